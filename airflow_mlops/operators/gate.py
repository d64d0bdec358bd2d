"""Stage 4: the challenger against the champion, and what follows from it."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from airflow_mlops.errors import ConfigError, Conflict, RemoteJobFailed
from airflow_mlops.links import MlflowRunLink, RecordLink, ReportLink
from airflow_mlops.operators.drift import champion_manifest
from airflow_mlops.operators.stage import StageOperator

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from airflow_mlops.gate import PairedPredictions, UnusablePredictions
    from airflow_mlops.ledger import Ledger
    from airflow_mlops.project import Project
    from airflow_mlops.records import Manifest, PartitionPin, Registration, Verdict

__all__ = ["EvaluateGateOperator", "PromoteModelOperator", "registration_of"]


class EvaluateGateOperator(StageOperator):
    """Judge a challenger on the frozen golden set and on recent nights that it never saw.

    The task succeeds whatever the verdict is: a refused model is an answer.

    Parameters
    ----------
    project : str or Path
        Folder of the model project.
    manifest : str
        Reference of the challenger's manifest, as ``TrainModelOperator`` returns it.
    """

    template_fields: Collection[str] = (*StageOperator.template_fields, "manifest")
    operator_extra_links = (RecordLink(), ReportLink())

    def __init__(self, *, project: str | Path, manifest: str | XComArg, **kwargs: Any) -> None:
        super().__init__(project=project, **kwargs)
        self.manifest = manifest

    def run_stage(self, context: Context) -> str:
        """Write the verdict, or find the one that stands."""
        from airflow_mlops.records import Manifest, RecordRef, sha256_digest

        project, ledger = self.load()
        rules_digest = sha256_digest(project.spec.gate.model_dump_json().encode())
        manifest = ledger.read(Manifest, RecordRef.parse(str(self.manifest)))
        champion = champion_manifest(ledger, project.name)
        verdict = _standing_verdict(ledger, manifest, champion, rules_digest)
        if verdict is None:
            verdict = ledger.write(self._judge(context, project, ledger, manifest, champion, rules_digest))
        reasons = "; ".join(verdict.reasons)
        return self.leave(context, verdict, f"{manifest.night} {verdict.decision}: {reasons}", report=True)

    def _judge(
        self,
        context: Context,
        project: Project,
        ledger: Ledger,
        manifest: Manifest,
        champion: Manifest | None,
        rules_digest: str,
    ) -> Verdict:
        from airflow_mlops.gate import judge
        from airflow_mlops.records import Golden, Verdict

        golden = ledger.read(Golden, manifest.golden)
        # A night that the champion was trained on would be judged by what it knows by heart.
        known = {pin.night for pin in champion.snapshot} if champion else set()
        recent = tuple(pin for pin in manifest.recent if pin.night not in known)
        sets = {"golden": golden.partitions, "recent": recent}
        with tempfile.TemporaryDirectory(prefix=f"gate-{project.name}-") as scratch:
            folder = Path(scratch)
            challenger_files = _predictions(project, ledger, manifest, sets, folder / "challenger")
            champion_files = _predictions(project, ledger, champion, sets, folder / "champion") if champion else {}
            paired = {
                # Nights that nobody may be judged on are no evidence against anybody.
                name: _paired(name, challenger_files, champion_files, sum(pin.rows for pin in pins)) if pins else None
                for name, pins in sets.items()
            }
            judgement = judge(project.spec.gate, golden=paired["golden"], recent=paired["recent"], seed=manifest.seed)
            stored = None if isinstance(challenger_files, str) else ledger.put_blob(challenger_files["golden"])
        return Verdict(
            model=project.name,
            decision=judgement.decision,
            manifest=manifest.ref,
            champion=champion.ref if champion else None,
            artefact_digest=manifest.artefact.digest,
            rules_digest=rules_digest,
            golden=golden.ref,
            recent=recent,
            rules=judgement.rules,
            reasons=judgement.reasons,
            predictions_digest=stored,
            **self.stamp(context, manifest.ref, golden.ref, champion.ref if champion else None),
        )


class PromoteModelOperator(StageOperator):
    """Make a promoted challenger the champion: the ledger's pointer, then the MLflow alias.

    Skips where the verdict is another. Killed between the two, it does the rest when it runs again.

    Parameters
    ----------
    project : str or Path
        Folder of the model project.
    verdict : str
        Reference of the verdict, as ``EvaluateGateOperator`` returns it.
    dry_run : bool
        Say what would be promoted, and move neither pointer nor alias.
    mlflow_conn_id : str
        Connection of type ``mlflow``.
    """

    template_fields: Collection[str] = (*StageOperator.template_fields, "verdict")
    operator_extra_links = (RecordLink(), ReportLink(), MlflowRunLink())

    def __init__(
        self,
        *,
        project: str | Path,
        verdict: str | XComArg,
        dry_run: bool = False,
        mlflow_conn_id: str = "mlflow",
        **kwargs: Any,
    ) -> None:
        super().__init__(project=project, **kwargs)
        self.verdict = verdict
        # BaseOperator has a method of this name already.
        self.moves_nothing = dry_run
        self.mlflow_conn_id = mlflow_conn_id

    def run_stage(self, context: Context) -> str:
        """Move pointer and alias, or skip."""
        from airflow_mlops.hooks.mlflow import MlflowHook
        from airflow_mlops.records import Decision, Manifest, RecordRef, Verdict

        project, ledger = self.load()
        verdict = ledger.read(Verdict, RecordRef.parse(str(self.verdict)))
        manifest = ledger.read(Manifest, verdict.manifest)
        registration = registration_of(ledger, manifest)
        if registration is not None and registration.run_url:
            self.links["MLflow run"] = registration.run_url
        if verdict.decision is not Decision.PROMOTE:
            self.leave(context, verdict, f"not promoted: {verdict.decision}", report=True)
            raise AirflowSkipException(f"the gate's verdict is {verdict.decision}: {'; '.join(verdict.reasons)}")
        if self.moves_nothing:
            story = f"dry run: would promote the model of {manifest.night}"
            return self.leave(context, verdict, story, report=True, night=manifest.night)
        pointer = ledger.pointer(project.name, "champion")
        if pointer is None or pointer.to != verdict.ref:
            champion = champion_manifest(ledger, project.name)
            if verdict.champion != (champion.ref if champion else None):
                if pointer is not None and verdict.ref in pointer.history:
                    # Only a rollback goes back along the chain; a cleared task of an old run must not.
                    story = f"not promoted: the model of {manifest.night} was replaced since"
                    self.leave(context, verdict, story, report=True)
                    raise AirflowSkipException(f"{verdict.ref} made a champion before, which was replaced since.")
                raise Conflict(
                    f"expected the champion that the challenger was judged against ({verdict.champion}), but "
                    f"{champion.ref if champion else 'none'} is champion now. Run the gate again."
                )
            reason = f"{manifest.night}: {'; '.join(verdict.reasons)}"
            stamp = self.stamp(context)
            ledger.move(project.name, "champion", verdict.ref, seen=pointer, reason=reason, now=stamp["recorded_at"])
        if registration is not None:
            MlflowHook(self.mlflow_conn_id).set_alias(
                registration.registered_model, "champion", registration.registered_version
            )
        version = f" (MLflow version {registration.registered_version})" if registration else ""
        story = f"champion is now the model of {manifest.night}{version}"
        return self.leave(context, verdict, story, report=True, night=manifest.night)


def registration_of(ledger: Ledger, manifest: Manifest) -> Registration | None:
    """Where MLflow keeps a trained model; None if it was never registered."""
    from airflow_mlops.records import Registration, short

    return ledger.find(Registration, f"{manifest.model}/{short(manifest.ref.digest)}")


def predict(project: Project, ledger: Ledger, manifest: Manifest, pins: Collection[PartitionPin], folder: Path) -> Path:
    """Let a model predict pinned nights, in a process of its own; the file of its predictions."""
    from airflow_mlops.training.process import run_prediction

    if not pins:
        raise ConfigError("expected nights to predict, got none: see golden and recent_nights under [gate].")
    nights = {str(pin.night): ledger.fetch_blob(pin.digest, folder / f"{pin.night}.parquet") for pin in pins}
    return run_prediction(
        ledger.fetch_folder(manifest.artefact, folder / "artefact"),
        nights,
        out=folder / "predictions.parquet",
        timeout_seconds=project.spec.training.resources.timeout_minutes * 60,
    )


def _predictions(
    project: Project, ledger: Ledger, manifest: Manifest, sets: Mapping[str, Collection[PartitionPin]], folder: Path
) -> dict[str, Path] | str:
    """Predict every set in one process (most of its time is the start); a text says why the model could not."""
    every = [pin for pins in sets.values() for pin in pins]
    try:
        return _by_set(predict(project, ledger, manifest, every, folder), sets)
    except RemoteJobFailed as error:
        # A model that cannot predict is an answer, not a fault of the gate: a column that it knew is gone, say.
        return f"cannot predict: {error}"


def _paired(
    name: str, challenger: dict[str, Path] | str, champion: dict[str, Path] | str, rows: int
) -> PairedPredictions | UnusablePredictions:
    from airflow_mlops.gate import PairedPredictions, UnusablePredictions, read_paired

    if isinstance(challenger, str):
        return UnusablePredictions(f"the challenger {challenger}")
    if isinstance(champion, str):
        alone = read_paired(challenger[name], None, expected_rows=rows)
        fault = f"the champion {champion}"
        return replace(alone, champion_fault=fault) if isinstance(alone, PairedPredictions) else alone
    return read_paired(challenger[name], champion.get(name), expected_rows=rows)


def _by_set(predictions: Path, sets: Mapping[str, Collection[PartitionPin]]) -> dict[str, Path]:
    """Divide a file of predictions by the nights of each set."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pq.read_table(predictions)
    files = {}
    for name, pins in sets.items():
        files[name] = predictions.with_name(f"{name}.parquet")
        nights = pa.array([str(pin.night) for pin in pins], pa.string())
        pq.write_table(table.filter(pc.is_in(table["night"], nights)), files[name])
    return files


def _standing_verdict(
    ledger: Ledger, manifest: Manifest, champion: Manifest | None, rules_digest: str
) -> Verdict | None:
    """Find the verdict in force: by today's rules against today's champion, or one that ever made it the champion."""
    from airflow_mlops.records import Verdict

    pointer = ledger.pointer(manifest.model, "champion")
    champions = (pointer.to, *pointer.history) if pointer else ()
    for verdict in ledger.all(Verdict, f"{manifest.model}/"):
        promoted = verdict.ref in champions
        today = verdict.rules_digest == rules_digest and verdict.champion == (champion.ref if champion else None)
        if verdict.manifest == manifest.ref and (promoted or today):
            return verdict
    return None
