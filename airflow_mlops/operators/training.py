"""Stage 3: a challenger, from a pinned snapshot of good nights."""

from __future__ import annotations

import datetime as dt
import json
import tempfile
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from airflow_mlops.errors import DataError
from airflow_mlops.links import MlflowRunLink, RecordLink
from airflow_mlops.operators.stage import StageOperator, asset_references

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_mlops.ledger import Ledger
    from airflow_mlops.nights import Split
    from airflow_mlops.project import Project
    from airflow_mlops.records import Artefact, Golden, Manifest

__all__ = ["TrainModelOperator"]


class TrainModelOperator(StageOperator):
    """Train a challenger on the newest good nights, and register it in MLflow.

    One thing is trained once: data, code, configuration and seed make a fingerprint, and where the ledger holds a
    manifest of it, that one is returned. A model is trained at most once in ``cooldown_nights``; a request that comes
    too early is skipped, unless the last training is still unknown to MLflow: then that one is carried on with.

    Parameters
    ----------
    project : str or Path
        Folder of the model project.
    night : str
        Last night that may be trained on. Empty: the newest night that is good or asked for training.
    force : bool or str
        Train again, whatever the ledger holds and however short ago.
    mlflow_conn_id : str
        Connection of type ``mlflow``.
    """

    template_fields: Collection[str] = (*StageOperator.template_fields, "night", "force")
    operator_extra_links = (RecordLink(), MlflowRunLink())

    def __init__(
        self,
        *,
        project: str | Path,
        night: str = "",
        force: bool | str = False,
        mlflow_conn_id: str = "mlflow",
        **kwargs: Any,
    ) -> None:
        super().__init__(project=project, **kwargs)
        self.night = night
        self.force = force
        self.mlflow_conn_id = mlflow_conn_id

    def run_stage(self, context: Context) -> str:
        """Train, or find what was trained; then register."""
        from airflow_mlops.golden import read_golden
        from airflow_mlops.nights import cooldown_ends, good_nights, parse_night, split_nights
        from airflow_mlops.records import Manifest, sha256_digest, short

        project, ledger = self.load()
        forced = str(self.force).lower() == "true"
        golden = read_golden(ledger, project)
        until = parse_night(self.night) if self.night else dt.date.max
        good = [record.partition for record in good_nights(ledger, project.name, until=until)]
        split = split_nights(
            good,
            golden=[pin.night for pin in golden.partitions],
            window_nights=project.spec.training.window_nights,
            recent_nights=project.spec.gate.recent_nights,
        )
        if len(split.training) < project.spec.training.min_nights:
            raise DataError(
                f"expected at least {project.spec.training.min_nights} good nights to train on besides the golden and "
                f"the {len(split.recent)} recent ones, found {len(split.training)}. Wait for more nights, or lower "
                "min_nights in model.toml."
            )
        night = good[-1].night
        code = self._keep_code(project, ledger)
        identity = [
            project.name,
            code.digest,
            golden.ref.digest,
            [pin.digest for pin in (*split.training, *split.recent)],
        ]
        if forced:
            identity.append(context["dag_run"].run_id)
        fingerprint = sha256_digest(json.dumps(identity).encode())
        trained = list(ledger.all(Manifest, f"{project.name}/"))
        # A run trains once: cleared when more nights have come, it is still about the nights that it was about.
        of_this_run = [one for one in trained if one.dag_run == self.stamp(context)["dag_run"]]
        manifest = of_this_run[0] if of_this_run else ledger.find(Manifest, f"{project.name}/{short(fingerprint)}")
        if manifest is None:
            ends = cooldown_ends(trained, cooldown_nights=project.spec.training.cooldown_nights)
            if ends is None or night >= ends or forced:
                manifest = ledger.write(self._train(context, project, ledger, golden, split, code, fingerprint, night))
            else:
                manifest = _unregistered(ledger, trained)
        if manifest is None:
            self.tell(context, f"{night} not trained: cooling down until {ends}")
            raise AirflowSkipException(f"the last training is too recent: cooling down until the night {ends}")
        self._register(context, project, ledger, manifest)
        figures = ", ".join(f"{name} {value:.4g}" for name, value in sorted(manifest.metrics.items())[:4])
        return self.leave(
            context, manifest, f"trained on {len(manifest.snapshot)} nights to {manifest.night}: {figures}"
        )

    def _keep_code(self, project: Project, ledger: Ledger) -> Artefact:
        from airflow_mlops.records import Artefact

        return Artefact(files={name: ledger.put_blob(path) for name, path in project.code_files().items()})

    def _train(
        self,
        context: Context,
        project: Project,
        ledger: Ledger,
        golden: Golden,
        split: Split,
        code: Artefact,
        fingerprint: str,
        night: dt.date,
    ) -> Manifest:
        from airflow_mlops.nights import pinned_file
        from airflow_mlops.records import Manifest, RecordRef
        from airflow_mlops.training.order import TrainingOrder
        from airflow_mlops.training.process import run_training

        # None where a person started it: an older drift is not what this training answers.
        asked = asset_references(context, "drift")
        trigger = RecordRef.parse(asked[-1]) if asked else None
        spec = project.spec
        data = self.open_data(project)
        with tempfile.TemporaryDirectory(prefix=f"train-{project.name}-") as scratch:
            folder = Path(scratch)
            # Copied into the store first: a model can be rebuilt when the source has long been cleaned up.
            for pin in (*split.training, *split.recent):
                ledger.put_blob(pinned_file(data, project, pin, folder))
            partitions = [
                ledger.fetch_blob(pin.digest, folder / "data" / f"{pin.night}.parquet") for pin in split.training
            ]
            code_folder = ledger.fetch_folder(code, folder / "code")
            order = TrainingOrder(
                project=code_folder,
                task=spec.task,
                entrypoint=spec.training.entrypoint,
                partitions=tuple(partitions),
                features=spec.features,
                target=spec.target,
                seed=spec.training.seed,
                cpu=spec.training.resources.cpu,
                output=folder / "output",
            )
            result = run_training(
                order,
                folder / "work",
                timeout_seconds=spec.training.resources.timeout_minutes * 60,
                memory_gib=spec.training.resources.memory_gib,
                on_line=lambda line: self.log.info("%s", line),
                requirements=code_folder / "requirements.txt" if "requirements.txt" in code.files else None,
            )
            artefact = ledger.put_folder(order.artefact)
        return Manifest(
            model=project.name,
            night=night,
            fingerprint=fingerprint,
            trigger=trigger,
            snapshot=split.training,
            recent=split.recent,
            golden=golden.ref,
            code=code,
            entrypoint=spec.training.entrypoint,
            features=spec.features,
            target=spec.target,
            seed=spec.training.seed,
            runner=spec.training.runner,
            environment=result.environment,
            started_at=result.started_at,
            finished_at=result.finished_at,
            metrics=result.metrics,
            artefact=artefact,
            **self.stamp(context, trigger, golden.ref),
        )

    def _register(self, context: Context, project: Project, ledger: Ledger, manifest: Manifest) -> None:
        from airflow_mlops.hooks.mlflow import MlflowHook
        from airflow_mlops.links import record_page
        from airflow_mlops.records import Golden, Registration, short

        registration = ledger.find(Registration, f"{project.name}/{short(manifest.ref.digest)}")
        if registration is None:
            with tempfile.TemporaryDirectory() as scratch:
                model = MlflowHook(self.mlflow_conn_id).register(
                    manifest,
                    ledger.fetch_folder(manifest.artefact, Path(scratch) / "artefact"),
                    tags={"airflow_mlops.page": record_page(manifest.ref)},
                    golden=ledger.read(Golden, manifest.golden),
                )
            registration = ledger.write(
                Registration(
                    model=project.name,
                    manifest=manifest.ref,
                    experiment_id=model.experiment_id,
                    run_id=model.run_id,
                    registered_model=model.name,
                    registered_version=model.version,
                    run_url=model.run_url,
                    **self.stamp(context, manifest.ref),
                )
            )
        if registration.run_url:
            self.links["MLflow run"] = registration.run_url


def _unregistered(ledger: Ledger, trained: Sequence[Manifest]) -> Manifest | None:
    """The last training, if MLflow was away for so long that nothing came of it."""
    from airflow_mlops.records import Registration, short

    last = max(trained, key=lambda manifest: manifest.finished_at)
    return None if ledger.find(Registration, f"{last.model}/{short(last.ref.digest)}") else last
