"""How a trained model comes into MLflow: run, datasets, logged model, then the version, which stands for all of them.

MLflow knows no transaction over several calls, and lets two runs carry one tag. So the version comes last, when every
file of its logged model is there, and its number, which MLflow gives out one by one, settles who was first: the lowest
version of a manifest is the one that counts, and whatever a killed or a second try left beside it is cleared away.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.errors import RemoteRejected, RemoteUnavailable
from airflow_mlops.hooks.mlflow_contents import REF_TAG, datasets_of, range_of, save_files
from airflow_mlops.hooks.mlflow_faults import or_none

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel, Run
    from mlflow.entities.model_registry import ModelVersion

    from airflow_mlops.records import Golden, Manifest

__all__ = ["Registered", "Registrar", "find_experiment", "is_whole", "logged_model_of"]

_LOGGED_MODEL = re.compile(r"models:/(m-\w+)")


class Registered(NamedTuple):
    """What stands in MLflow for a manifest."""

    run_id: str
    model_id: str
    version: str


@dataclass(frozen=True)
class Registrar:
    """Registers one manifest; every step can be done again, by another worker too.

    Parameters
    ----------
    client : mlflow.MlflowClient
        Whose tracking address is also the address of the registry.
    experiment_id : str
        Where the run goes.
    manifest : Manifest
        What was trained.
    golden : Golden or None
        The set that it will be judged on; without it that dataset has no nights and rows.
    more_tags : mapping of str to str
        More tags of run and version, such as the page of the record.
    """

    client: MlflowClient
    experiment_id: str
    manifest: Manifest
    golden: Golden | None
    more_tags: Mapping[str, str]

    def register(self, artefact: Path) -> Registered:
        """Register the files in a folder, or find what stands.

        Raises
        ------
        RemoteUnavailable
            If what was written is gone again.
        mlflow.exceptions.MlflowException
            If MLflow refuses or does not answer.
        """
        from mlflow.exceptions import MlflowException

        try:
            if not self._standing():
                self._write(artefact)
        except MlflowException:
            # Of two tries at once the other was first, and has cleared away what this one was writing.
            if not self._standing():
                raise
        versions = self._standing()
        if not versions:
            raise RemoteUnavailable(
                f"expected MLflow to keep the version of {self.manifest.model} that was registered just now, it is "
                "gone again. See who deletes versions, then run the task again."
            )
        registered = _registered(versions[0])
        self._link(registered)
        self._clear_away(registered)
        return registered

    @cached_property
    def _tags(self) -> dict[str, str]:
        ref = self.manifest.ref
        run = {"airflow_mlops.dag_run": self.manifest.dag_run} if self.manifest.dag_run else {}
        artefact = {"airflow_mlops.artefact": self.manifest.artefact.digest}
        return {REF_TAG: str(ref), f"{REF_TAG}.digest": ref.digest, **run, **artefact, **self.more_tags}

    @property
    def _of_manifest(self) -> str:
        return f"tags.`{REF_TAG}.digest` = '{self.manifest.ref.digest}'"

    @property
    def _params(self) -> dict[str, str]:
        return {
            "seed": str(self.manifest.seed),
            "entrypoint": self.manifest.entrypoint,
            "fingerprint": self.manifest.fingerprint,
            "nights": range_of(self.manifest.snapshot),
        }

    @property
    def _trained_at(self) -> int:
        return int(self.manifest.finished_at.timestamp() * 1000)

    def _versions(self) -> list[ModelVersion]:
        found = self.client.search_model_versions(f"name = '{self.manifest.model}' and {self._of_manifest}")
        return sorted(found, key=lambda version: int(version.version))

    def _standing(self) -> list[ModelVersion]:
        """Versions that somebody can use, the one that counts first."""
        return [version for version in self._versions() if logged_model_of(version) and is_whole(self.client, version)]

    def _runs(self) -> list[Run]:
        found = self.client.search_runs([self.experiment_id], self._of_manifest)
        return sorted(found, key=lambda run: str(run.info.run_id))

    def _models(self) -> list[LoggedModel]:
        return list(self.client.search_logged_models([self.experiment_id], filter_string=self._of_manifest))

    def _write(self, artefact: Path) -> None:
        from mlflow.exceptions import MlflowException

        run_id = self._run()
        model_id = self._logged_model(run_id, artefact)
        try:
            self.client.create_registered_model(self.manifest.model)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        source = f"models:/{model_id}"
        self.client.create_model_version(
            self.manifest.model, source=source, run_id=run_id, tags=self._tags, model_id=model_id
        )

    def _run(self) -> str:
        from mlflow.entities import Metric, Param

        manifest = self.manifest
        runs = self._runs()
        run = (
            runs[0]
            if runs
            else self.client.create_run(
                self.experiment_id,
                start_time=int(manifest.started_at.timestamp() * 1000),
                run_name=f"{manifest.model} {manifest.night}",
                tags=self._tags,
            )
        )
        run_id = str(run.info.run_id)
        # Also into a run that was found: whoever made it may have been killed before. The same value of the same
        # moment is kept once, and so is the same dataset.
        self.client.log_batch(
            run_id,
            metrics=[
                Metric(name, value, timestamp=self._trained_at, step=0) for name, value in manifest.metrics.items()
            ],
            params=[Param(name, value) for name, value in self._params.items()],
        )
        self.client.log_inputs(run_id, datasets=datasets_of(manifest, self.golden))
        return run_id

    def _logged_model(self, run_id: str, artefact: Path) -> str:
        """A logged model with all its files: a try of its own each, for a file that is written twice can be torn."""
        for model in self._models():
            if model.source_run_id == run_id and str(model.status) == "READY":
                return str(model.model_id)
        model = self.client.create_logged_model(
            self.experiment_id,
            name=self.manifest.model,
            source_run_id=run_id,
            tags={name: self._tags[name] for name in (REF_TAG, f"{REF_TAG}.digest")},
            params=self._params,
        )
        model_id = str(model.model_id)
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "model"
            save_files(self.manifest, artefact, model, folder)
            self.client.log_model_artifacts(model_id, str(folder))
        self.client.finalize_logged_model(model_id, "READY")
        return model_id

    def _link(self, registered: Registered) -> None:
        """Let run, logged model and version lead to each other on MLflow's pages, and end the run."""
        from mlflow.entities import LoggedModelOutput
        from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

        run_id, model_id, version = registered
        # A server sets this tag itself; with a database address nobody does.
        named = json.dumps([{"name": self.manifest.model, "version": int(version)}])
        self.client.set_logged_model_tags(model_id, {MLFLOW_MODEL_VERSIONS: named})
        run = or_none(lambda: self.client.get_run(run_id))
        # A run that a person deleted stays as it is.
        if run is None or run.info.status == "FINISHED" or run.info.lifecycle_stage != "active":
            return
        # MLflow keeps the same output as often as it is sent.
        if not any(output.model_id == model_id for output in (run.outputs.model_outputs if run.outputs else ())):
            self.client.log_outputs(run_id, [LoggedModelOutput(model_id, step=0)])
        self.client.set_terminated(run_id, "FINISHED", end_time=self._trained_at)

    def _clear_away(self, registered: Registered) -> None:
        client = self.client
        for version in self._versions():
            if str(version.version) != registered.version:
                name, number = version.name, str(version.version)
                # A search does not tell the aliases; a name that a person gave is theirs to take away.
                found = or_none(partial(client.get_model_version, name, number))
                if found is not None and not found.aliases:
                    or_none(partial(client.delete_model_version, name, number))
        for model in self._models():
            if model.model_id != registered.model_id:
                or_none(partial(client.delete_logged_model, model.model_id))
        for run in self._runs():
            if run.info.run_id != registered.run_id:
                or_none(partial(client.delete_run, run.info.run_id))


def logged_model_of(version: ModelVersion) -> str | None:
    """The logged model that a version is of; None where it was made of something else."""
    found = _LOGGED_MODEL.fullmatch(str(version.source))
    return found[1] if found else None


def is_whole(client: MlflowClient, version: ModelVersion) -> bool:
    """Whether a version can be loaded: it is ready, and so is the logged model that it is of, if it is of one."""
    if str(version.status) != "READY":
        return False
    model_id = logged_model_of(version)
    if model_id is None:
        return True
    model = or_none(lambda: client.get_logged_model(model_id))
    return model is not None and str(model.status) == "READY"


def find_experiment(client: MlflowClient, name: str, artefacts: str | None) -> str:
    """The experiment of a model, made where there is none.

    Raises
    ------
    RemoteRejected
        If it was deleted.
    """
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name, artifact_location=artefacts))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(name)
    if found is None or found.lifecycle_stage != "active":
        raise RemoteRejected(
            f"expected an active MLflow experiment {name!r}, it was deleted. Restore it: "
            "mlflow experiments restore --experiment-id ID"
        )
    return str(found.experiment_id)


def _registered(version: ModelVersion) -> Registered:
    return Registered(str(version.run_id), str(logged_model_of(version)), str(version.version))
