"""``airflow-mlops gate``: judge files of predictions, from any framework."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from airflow_mlops.cli.options import NO, AsJson, echo_json
from airflow_mlops.errors import ConfigError

if TYPE_CHECKING:
    from airflow_mlops.gate import Judgement, PairedPredictions, UnusablePredictions
    from airflow_mlops.project.gate_spec import BehaviourSpec, GateRules
    from airflow_mlops.records import RuleResult

__all__ = ["gate"]

_TRUTH = "Parquet or CSV with row_id, y_true, and the columns that rules slice by"


def gate(
    rules: Annotated[Path, typer.Option(metavar="R.toml", help="What must hold: task and rules, or a model.toml.")],
    golden: Annotated[Path, typer.Option(metavar="G.parquet", help=f"The golden set: {_TRUTH}.")],
    challenger: Annotated[
        Path, typer.Option(metavar="C.parquet", help="The new model's predictions: row_id and y_pred, or p_<class>.")
    ],
    champion: Annotated[
        Path | None, typer.Option(metavar="P.parquet", help="Those of the model in service; none judges a first model.")
    ] = None,
    recent: Annotated[
        Path | None,
        typer.Option(
            metavar="RG.parquet",
            help="The last labelled rows, like the golden set. Their predictions stand in the same files, unless "
            "the next two options name others.",
        ),
    ] = None,
    recent_challenger: Annotated[
        Path | None, typer.Option(metavar="RC.parquet", help="The new model's predictions of the recent rows.")
    ] = None,
    recent_champion: Annotated[
        Path | None, typer.Option(metavar="RP.parquet", help="Those of the model in service.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the resampling: the same seed, the same verdict.")] = 0,
    as_json: AsJson = False,
    html: Annotated[Path | None, typer.Option(metavar="OUT.html", help="Also write a page that shows all.")] = None,
) -> None:
    """Judge files of predictions: ends with 0 for promote, 1 for hold or reject, 2 if it was given what is no input."""
    from airflow_mlops.gate import judge
    from airflow_mlops.project.rules_file import load_rules
    from airflow_mlops.records import Decision

    own_files = recent_challenger is not None
    if (own_files or recent_champion is not None) and recent is None:
        raise typer.BadParameter("--recent-challenger and --recent-champion go with --recent RG.parquet")
    if (recent_champion is not None) != (own_files and champion is not None):
        raise typer.BadParameter(
            "expected both --recent-challenger and, where there is a --champion, --recent-champion, or neither"
        )
    if html is not None and not html.absolute().parent.is_dir():
        raise ConfigError(f"expected a folder to write {html.name} in, {html.absolute().parent} is none. Make it.")

    spec = load_rules(rules)
    shared = recent if not own_files else None
    sets = {"golden": _read(spec, golden, challenger, champion, beside=shared), "recent": None}
    if recent is not None and recent_challenger is not None:
        sets["recent"] = _read(spec, recent, recent_challenger, recent_champion, beside=None)
    elif recent is not None:
        sets["recent"] = _read(spec, recent, challenger, champion, beside=golden)
    others = _unseen(spec.behaviour)
    try:
        judgement = judge(spec, golden=sets["golden"], recent=sets["recent"], seed=seed, others=others)
    except SystemExit as ended:
        # With whatever code a library under a metric ends the process: 0 is said by a verdict alone.
        raise ConfigError(
            f"expected a judgement, something in it called sys.exit({ended.code!r}). Let the metric return instead."
        ) from ended
    files = {
        "rules": rules, "golden": golden, "challenger": challenger, "champion": champion, "recent": recent,
        "recent_challenger": recent_challenger, "recent_champion": recent_champion,
    }  # fmt: skip
    digests = _digests(files)
    if html is not None:
        _write_page(html, judgement, sets, {name: f"{files[name]} {digest}" for name, digest in digests.items()})
    if as_json:
        echo_json(_values(judgement, spec, digests, seed))
    else:
        from airflow_mlops.terminal import print_judgement

        print_judgement(judgement)
    if judgement.decision is not Decision.PROMOTE:
        raise typer.Exit(NO)


def _read(
    spec: GateRules, truth: Path, challenger: Path, champion: Path | None, *, beside: Path | None
) -> PairedPredictions | UnusablePredictions | None:
    from airflow_mlops.gate import read_paired

    return read_paired(
        task=spec.task,
        truth=truth,
        challenger=challenger,
        champion=champion,
        columns=spec.columns,
        positive=spec.positive,
        beside=beside,
    )


def _unseen(behaviours: Sequence[BehaviourSpec]) -> list[RuleResult]:
    """What only the model itself could show: fail-closed, like every other rule that nothing was found out about."""
    from airflow_mlops.records import Decision, RuleResult

    nan = float("nan")
    why = "only the model can be asked what it says of changed rows, files of predictions cannot"
    return [
        RuleResult(
            rule=f"behaviour: {one.name}", on="model", decision=Decision.REJECT, required=one.required, rows=0,
            scale="value", challenger=nan, champion=None, estimate=nan, low=nan, high=nan, bound=one.max_violations,
            reason=f"behaviour {one.name!r}: {why}: {Decision.REJECT}",
        )
        for one in behaviours
    ]  # fmt: skip


def _digests(files: dict[str, Path | None]) -> dict[str, str]:
    from airflow_mlops.ledger import digest_of_file

    return {name: digest_of_file(path) for name, path in files.items() if path is not None}


def _values(judgement: Judgement, spec: GateRules, digests: dict[str, str], seed: int) -> dict[str, Any]:
    return {
        "verdict": judgement.decision.value,
        "decision": judgement.decision.value,
        "task": spec.task,
        "alpha": spec.alpha,
        "seed": seed,
        # NaN and infinity are texts, as in the records.
        "rules": [json.loads(rule.model_dump_json()) for rule in judgement.rules],
        "reasons": list(judgement.reasons),
        "warnings": list(judgement.warnings),
        "weak_spots": [json.loads(spot.model_dump_json()) for spot in judgement.weak_spots],
        "digests": digests,
    }


def _write_page(
    out: Path,
    judgement: Judgement,
    sets: dict[str, PairedPredictions | UnusablePredictions | None],
    facts: dict[str, str],
) -> None:
    from airflow_mlops.gate.report import render_report

    page = render_report(judgement, title="Evaluation gate", facts=facts, sets=sets)
    try:
        out.write_text(page, encoding="utf-8")
    except (IsADirectoryError, PermissionError) as error:
        raise ConfigError(f"expected a file that can be written, {out} cannot: {error.strerror}.") from error
