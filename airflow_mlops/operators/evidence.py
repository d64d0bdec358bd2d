"""What the gate is shown of two models: their answers to the same rows, and what else is judged of the challenger."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mlops.errors import DataError, RemoteJobFailed
from airflow_mlops.operators.answers import Hearing, ModelAnswers, size_of

if TYPE_CHECKING:
    from airflow_mlops.gate import PairedPredictions, UnusablePredictions
    from airflow_mlops.gate.checks.costs import ModelCost
    from airflow_mlops.ledger import Ledger
    from airflow_mlops.project import Project
    from airflow_mlops.records import Manifest, PartitionPin, RuleResult

__all__ = ["Exhibits", "exhibits", "golden_uses", "importable", "rules_digest_of"]


@dataclass(frozen=True)
class Exhibits:
    """Everything that the judgement rests on.

    Attributes
    ----------
    golden, recent : PairedPredictions, UnusablePredictions or None
        Both models' answers; None where there is no row that both may be judged on.
    others : tuple of RuleResult
        What was judged besides: artefact, leakage, signature, behaviours, costs.
    predictions : Path or None
        The challenger's answers to the golden set; None if it gave none.
    run_fault : str or None
        What went wrong while the models were asked: a verdict on the rest does not stand once it is mended.
    """

    golden: PairedPredictions | UnusablePredictions | None
    recent: PairedPredictions | UnusablePredictions | None
    others: tuple[RuleResult, ...]
    predictions: Path | None
    run_fault: str | None = None


def exhibits(
    project: Project,
    ledger: Ledger,
    manifest: Manifest,
    champion: Manifest | None,
    sets: Mapping[str, Sequence[PartitionPin]],
    folder: Path,
) -> Exhibits:
    """Fetch, look through, predict, compare.

    Parameters
    ----------
    project : Project
        The model project, with the rules of today.
    ledger : Ledger
        Where nights and models are kept.
    manifest, champion : Manifest
        Of the challenger, and of the model in service; None if there is none.
    sets : mapping of str to sequence of PartitionPin
        Nights of the sets ``golden`` and ``recent``.
    folder : Path
        For files; they have to stay until the judgement is done.

    Raises
    ------
    ConfigError
        If there is no night to predict.
    LedgerError
        If a night, or a file of the challenger, is not in the store.
    """
    from airflow_mlops.gate.checks.artefact import scan_artefact
    from airflow_mlops.gate.checks.costs import cost_results
    from airflow_mlops.gate.checks.signature import signature_result
    from airflow_mlops.records import Decision

    gate = project.spec.gate
    hearing = Hearing(project, ledger, sets, folder)
    artefact = ledger.fetch_folder(manifest.artefact, folder / "challenger" / "artefact")
    scanned = scan_artefact(artefact, allowed_pickles=gate.allowed_pickles)
    if scanned.decision is Decision.REJECT:
        # What runs code when it is loaded is not loaded to find out how well it predicts.
        ours = ModelAnswers(size_bytes=size_of(artefact), fault="was not loaded, for what its artefact holds")
    else:
        ours = hearing.ask(manifest, artefact)
    theirs = hearing.ask_champion(champion) if champion is not None else None
    known = theirs is not None and theirs.fault is None
    # Nights that nobody may be judged on are no evidence against anybody.
    paired = {name: _paired(hearing, name, ours, theirs) if pins else None for name, pins in sets.items()}
    behaviours, stumbled = _behaviours(hearing, manifest, artefact, ours)
    others = (
        scanned,
        _leakage(hearing, manifest),
        signature_result(manifest, champion),
        *behaviours,
        *cost_results(
            gate.rules,
            challenger=_cost(ours),
            champion=_cost(theirs) if theirs is not None and known else None,
            champion_fault=theirs.fault if theirs is not None else None,
            alpha=gate.alpha,
        ),
    )
    faults = {"challenger": ours, "champion": theirs}
    told = [f"the {name} {answers.fault}" for name, answers in faults.items() if answers and answers.of_run]
    told += [stumbled] if stumbled else []
    return Exhibits(paired["golden"], paired["recent"], others, ours.by_set.get("golden"), "; ".join(told) or None)


def golden_uses(ledger: Ledger, manifest: Manifest) -> int:
    """How many other models have been judged on the golden set of this one."""
    from airflow_mlops.records import Verdict

    verdicts = ledger.all(Verdict, f"{manifest.model}/")
    return len({verdict.manifest for verdict in verdicts if verdict.golden == manifest.golden} - {manifest.ref})


def rules_digest_of(project: Project) -> str:
    """Digest of what a model is held against: the rules, the code of metrics of one's own, its process's limits."""
    from airflow_mlops.ledger import digest_of_file
    from airflow_mlops.project.source import sources_of
    from airflow_mlops.records import sha256_digest

    resources = project.spec.training.resources
    parts = [project.spec.gate.model_dump_json(), f"{resources.timeout_minutes} {resources.memory_gib}"]
    for metric in sorted({rule.metric for rule in project.spec.gate.rules if rule.own}):
        module = metric.replace(":", ".").rpartition(".")[0]
        # A package's own __init__ runs with any of its modules. What is installed is not looked into.
        names = dict.fromkeys((module, module.partition(".")[0]))
        files = sorted({source.file for name in names for source in sources_of(project.folder, name)[0]})
        parts += [f"{path.relative_to(project.folder)} {digest_of_file(path)}" for path in files]
    return sha256_digest("\n".join(parts).encode())


@contextlib.contextmanager
def importable(project: Project) -> Iterator[None]:
    """Let metrics of the user's own be found in the project's folder, behind everything that is installed."""
    folder = str(project.folder)
    if not any(rule.own for rule in project.spec.gate.rules) or folder in sys.path:
        yield
        return
    sys.path.append(folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def _paired(
    hearing: Hearing, name: str, ours: ModelAnswers, theirs: ModelAnswers | None
) -> PairedPredictions | UnusablePredictions:
    from airflow_mlops.gate import PairedPredictions, UnusablePredictions, read_paired

    if ours.fault is not None:
        return UnusablePredictions(f"the challenger {ours.fault}", champion_given=theirs is not None)
    spec = hearing.project.spec
    paired = read_paired(
        task=spec.task,
        # What was true stands beside what was predicted: both models were given the same files.
        truth=ours.by_set[name],
        challenger=ours.by_set[name],
        champion=theirs.by_set.get(name) if theirs is not None else None,
        columns=spec.gate.columns,
        positive=spec.gate.positive,
        expected_rows=sum(pin.rows for pin in hearing.sets[name]),
    )
    if theirs is not None and theirs.fault is not None and isinstance(paired, PairedPredictions):
        return replace(paired, champion_fault=f"the champion {theirs.fault}")
    return paired


def _leakage(hearing: Hearing, manifest: Manifest) -> RuleResult:
    from airflow_mlops.gate.checks.leakage import leakage_result, leaked_rows

    def trained_on() -> Iterator[tuple[str, Path]]:
        # One at a time: a year of nights need not fit on the disk.
        for pin in manifest.snapshot:
            path = hearing.ledger.fetch_blob(pin.digest, hearing.folder / "snapshot" / f"{pin.night}.parquet")
            yield str(pin.night), path
            path.unlink()

    columns = (hearing.project.spec.time_column, *manifest.features, manifest.target)
    try:
        return leakage_result(leaked_rows(hearing.golden_nights.items(), trained_on(), columns))
    except DataError as error:
        return leakage_result(None, fault=str(error))


def _behaviours(
    hearing: Hearing, manifest: Manifest, artefact: Path, ours: ModelAnswers
) -> tuple[list[RuleResult], str | None]:
    """What was found, and what went wrong while the model was asked."""
    from airflow_mlops.gate import UnusablePredictions
    from airflow_mlops.gate.checks.behaviour import behaviour_results, changed_nights

    behaviours = hearing.project.spec.gate.behaviour
    if not behaviours:
        return [], None
    if ours.fault is not None:
        refused = UnusablePredictions(f"the challenger {ours.fault}")
        return behaviour_results(behaviours, {}, before=refused, after=None), None
    changed = changed_nights(hearing.golden_nights, behaviours, hearing.folder / "changed")
    after: Path | UnusablePredictions | None = None
    fault = None
    if changed:
        # Apart from the nights themselves: a model may stumble over what no night ever held.
        try:
            after = hearing.predict(manifest, artefact, changed, hearing.folder / "behaviour" / "predictions.parquet")
        except RemoteJobFailed as error:
            fault = f"the challenger cannot predict the changed rows: {error}"
            after = UnusablePredictions(fault)
    return behaviour_results(behaviours, changed, before=ours.by_set["golden"], after=after), fault


def _cost(answers: ModelAnswers) -> ModelCost:
    import numpy as np

    from airflow_mlops.gate.checks.costs import ModelCost

    if answers.latencies is None:
        return ModelCost(answers.size_bytes)
    measured = json.loads(answers.latencies.read_text(encoding="utf-8"))["latencies_ms"]
    return ModelCost(answers.size_bytes, np.array(measured, dtype=np.float64))
