"""The ``mlflow`` connection: runs, registered models and aliases, each written once however often it is tried."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import threading
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow.sdk import BaseHook

from airflow_mlops.errors import ConfigError, MLOpsError, RemoteRejected, RemoteUnavailable, require
from airflow_mlops.hooks.store import connection_of

if TYPE_CHECKING:
    from airflow.sdk import Connection
    from mlflow import MlflowClient

    from airflow_mlops.records import Manifest

__all__ = ["REF_TAG", "MlflowHook", "MlflowModel"]

REF_TAG = "airflow_mlops.manifest"
_ARTEFACT = "model"
# MLflow takes address and credentials from settings of the whole process: they are one connection's at a time.
_SETTINGS = threading.RLock()
# Codes of MLflow for which the same call can work later.
_TRANSIENT = frozenset({"TEMPORARILY_UNAVAILABLE", "INTERNAL_ERROR", "REQUEST_LIMIT_EXCEEDED", "ABORTED", "IO_ERROR"})


class MlflowModel(NamedTuple):
    """Where MLflow keeps a model."""

    experiment_id: str
    run_id: str
    name: str
    version: str
    run_url: str | None


class MlflowHook(BaseHook):
    """Talks to MLflow.

    Parameters
    ----------
    mlflow_conn_id : str
        A connection of type ``mlflow``: host is the tracking address (``http://...`` or ``sqlite:///...``), login and
        password or extra ``token`` where it asks for them, extra ``ui_url`` where people see it at another address.
    """

    conn_name_attr = "mlflow_conn_id"
    default_conn_name = "mlflow"
    conn_type = "mlflow"
    hook_name = "MLflow"

    def __init__(self, mlflow_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mlflow_conn_id = mlflow_conn_id

    @cached_property
    def connection(self) -> Connection:
        """The connection, read once."""
        return connection_of(self.mlflow_conn_id, example="--conn-type mlflow --conn-host http://127.0.0.1:5000")

    @property
    def tracking_uri(self) -> str:
        """Tracking address.

        Raises
        ------
        ConfigError
            If the connection names none.
        """
        host = self.connection.host
        if not host:
            raise ConfigError(
                f"expected the tracking address as host of the connection {self.mlflow_conn_id!r}, "
                "such as http://127.0.0.1:5000 or sqlite:///mlflow.db."
            )
        if "://" in host:
            return f"{host}:{self.connection.port}" if self.connection.port else host
        # An Airflow connection that is given as an address loses its scheme to the connection's type.
        port = f":{self.connection.port}" if self.connection.port else ""
        return f"{self.connection.extra_dejson.get('scheme', 'http')}://{host}{port}"

    @cached_property
    def client(self) -> MlflowClient:
        """MLflow's own client; fails within seconds rather than minutes where the server is down."""
        # MLflow sends usage figures home unless told not to.
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
        mlflow = require("mlflow", extra="mlflow")
        with self._translated("open"):
            client: MlflowClient = mlflow.MlflowClient(tracking_uri=self.tracking_uri)
            return client

    def register(self, manifest: Manifest, artefact: Path, *, tags: Mapping[str, str]) -> MlflowModel:
        """Log a trained model and register a version of it; a second call finds what the first one left.

        Parameters
        ----------
        manifest : Manifest
            What was trained; its digest is the tag by which run and version are found again.
        artefact : Path
            Folder with the files of the model.
        tags : mapping of str to str
            More tags of the run: the DAG run, the record's page.

        Raises
        ------
        RemoteUnavailable, RemoteRejected
            If MLflow does not answer, or refuses.
        """
        with self._translated(f"register {manifest.model}"):
            experiment = self._experiment(manifest.model)
            run_id = self._run(experiment, manifest, tags)
            version = self._version(manifest.model, run_id) or self._new_version(manifest, run_id, artefact)
            self.client.set_terminated(run_id, "FINISHED")
        base = self.connection.extra_dejson.get("ui_url") or _without_credentials(self.tracking_uri)
        url = f"{base.rstrip('/')}/#/experiments/{experiment}/runs/{run_id}" if base.startswith("http") else None
        return MlflowModel(experiment, run_id, manifest.model, version, url)

    def alias(self, model: str, alias: str) -> str | None:
        """Version that an alias names; None if the alias or the model is not there."""
        with self._translated(f"read the alias {alias} of {model}"):
            from mlflow.exceptions import MlflowException

            try:
                return str(self.client.get_model_version_by_alias(model, alias).version)
            except MlflowException as error:
                # A missing alias is INVALID_PARAMETER_VALUE, a missing model RESOURCE_DOES_NOT_EXIST.
                if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                    return None
                raise

    def set_alias(self, model: str, alias: str, version: str) -> None:
        """Let an alias name a version; where it does already, nothing is sent."""
        if self.alias(model, alias) == version:
            return
        with self._translated(f"set the alias {alias} of {model}"):
            self.client.set_registered_model_alias(model, alias, version)

    def test_connection(self) -> tuple[bool, str]:
        """Ask for one experiment: what the Test button of the connection's form does."""
        try:
            with self._translated("answer"):
                self.client.search_experiments(max_results=1)
        except Exception as error:  # noqa: BLE001 - the form shows whatever went wrong
            return False, str(error)
        return True, f"MLflow answers at {_without_credentials(self.tracking_uri)}."

    def _experiment(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        found = self.client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(self.client.create_experiment(name))
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                found = self.client.get_experiment_by_name(name)
        if found is None or found.lifecycle_stage != "active":
            raise RemoteRejected(
                f"expected an active MLflow experiment {name!r}, it was deleted. Restore it: "
                "mlflow experiments restore --experiment-id ID"
            )
        return str(found.experiment_id)

    def _run(self, experiment: str, manifest: Manifest, tags: Mapping[str, str]) -> str:
        from mlflow.entities import Metric, Param

        digest = manifest.ref.digest
        trained = int(manifest.finished_at.timestamp() * 1000)
        runs = self.client.search_runs([experiment], f"tags.`{REF_TAG}.digest` = '{digest}'", max_results=1)
        run = (
            runs[0]
            if runs
            else self.client.create_run(
                experiment,
                start_time=int(manifest.started_at.timestamp() * 1000),
                run_name=f"{manifest.model} {manifest.night}",
                tags={REF_TAG: str(manifest.ref), f"{REF_TAG}.digest": digest, **tags},
            )
        )
        run_id = str(run.info.run_id)
        params = {
            "seed": str(manifest.seed),
            "entrypoint": manifest.entrypoint,
            "fingerprint": manifest.fingerprint,
            "nights": f"{manifest.snapshot[0].night} to {manifest.snapshot[-1].night}",
        }
        # Also into a run that was found: whoever made it may have been killed before. The same value of the same
        # moment is kept once.
        self.client.log_batch(
            run_id,
            metrics=[Metric(name, value, timestamp=trained, step=0) for name, value in manifest.metrics.items()],
            params=[Param(name, value) for name, value in params.items()],
        )
        return run_id

    def _version(self, model: str, run_id: str) -> str | None:
        found = self.client.search_model_versions(f"name = '{model}' and run_id = '{run_id}'")
        return str(found[0].version) if found else None

    def _new_version(self, manifest: Manifest, run_id: str, artefact: Path) -> str:
        from mlflow.exceptions import MlflowException
        from mlflow.models import ModelSignature
        from mlflow.pyfunc import save_model
        from mlflow.types import ColSpec, DataType, Schema, TensorSpec

        columns: list[ColSpec | TensorSpec] = [ColSpec(DataType.float, name) for name in manifest.features]
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / _ARTEFACT
            save_model(
                folder,
                loader_module="airflow_mlops.training.mlflow_loader",
                data_path=str(artefact),
                # A local version such as 2.13.0+cpu is on no index.
                pip_requirements=[f"torch=={manifest.environment['torch'].partition('+')[0]}"],
                signature=ModelSignature(
                    inputs=Schema(columns), outputs=Schema([ColSpec(DataType.float, manifest.target)])
                ),
                metadata={"artefact_digest": manifest.artefact.digest},
            )
            self.client.log_artifacts(run_id, str(folder), _ARTEFACT)
        try:
            self.client.create_registered_model(manifest.model)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        version = self.client.create_model_version(
            manifest.model,
            source=f"runs:/{run_id}/{_ARTEFACT}",
            run_id=run_id,
            tags={REF_TAG: str(manifest.ref), "airflow_mlops.artefact": manifest.artefact.digest},
        )
        return str(version.version)

    @contextlib.contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        mlflow = require("mlflow", extra="mlflow")
        from mlflow.exceptions import MlflowException
        from requests.exceptions import RequestException
        from sqlalchemy.exc import OperationalError

        where = f"expected MLflow (connection {self.mlflow_conn_id!r}, {self.tracking_uri}) to {doing}"
        try:
            with self._settings():
                mlflow.set_tracking_uri(self.tracking_uri)
                yield
        except MlflowException as error:
            kind: type[MLOpsError] = RemoteUnavailable if error.error_code in _TRANSIENT else RemoteRejected
            raise kind(
                _without_credentials(f"{where}, got {error.error_code}: {_first_line(error)}. See that it runs.")
            ) from error
        except (RequestException, OperationalError, ConnectionError) as error:
            raise RemoteUnavailable(
                _without_credentials(
                    f"{where}, got {type(error).__name__}: {_first_line(error)}. Start it, then run the task again."
                )
            ) from error

    @contextlib.contextmanager
    def _settings(self) -> Iterator[None]:
        """Lend this connection's credentials to MLflow for one call, so that no other server ever gets them."""
        connection = self.connection
        lent = {
            "MLFLOW_TRACKING_USERNAME": connection.login,
            "MLFLOW_TRACKING_PASSWORD": connection.password,
            "MLFLOW_TRACKING_TOKEN": connection.extra_dejson.get("token"),
        }
        with _SETTINGS:
            before = {name: os.environ.get(name) for name in lent}
            try:
                # A connection without any leaves the worker's own in place.
                if any(lent.values()):
                    _put(lent)
                yield
            finally:
                _put(before)


def _put(settings: Mapping[str, str | None]) -> None:
    for name, value in settings.items():
        if value:
            os.environ[name] = value
        else:
            os.environ.pop(name, None)


def _first_line(error: Exception) -> str:
    # Before it is cut: of an address that lost its end, nothing tells where the credentials are.
    return _without_credentials((str(error).splitlines() or [""])[0])[:300]


def _without_credentials(text: str) -> str:
    """Take user and password out of every address in a text: it is shown, logged or recorded.

    Up to the last @, for a password may hold one, or a slash that makes a path of the rest.

    Examples
    --------
    >>> _without_credentials("no answer of http://me:p@ss/word@127.0.0.1:5000 at /word@127.0.0.1:5000/api")
    'no answer of http://127.0.0.1:5000 at 127.0.0.1:5000/api'
    """
    return re.sub(r"(\S*?://)?\S*@", r"\1", text)
