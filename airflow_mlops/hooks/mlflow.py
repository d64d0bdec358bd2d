"""The ``mlflow`` connection: runs, registered models and aliases, each written once however often it is tried."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from airflow.sdk import BaseHook
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from airflow_mlops.errors import ConfigError, RemoteUnavailable, require
from airflow_mlops.hooks.mlflow_contents import REF_TAG
from airflow_mlops.hooks.mlflow_faults import or_none, translated, without_credentials
from airflow_mlops.hooks.mlflow_registration import Registered, Registrar, find_experiment, is_whole
from airflow_mlops.hooks.store import connection_of

if TYPE_CHECKING:
    from airflow.sdk import Connection
    from mlflow import MlflowClient

    from airflow_mlops.records import Golden, Manifest, Verdict

__all__ = ["REF_TAG", "VERDICT_TAG", "MlflowHook", "MlflowModel"]

_Answer = TypeVar("_Answer")

VERDICT_TAG = "airflow_mlops.verdict"
_TRIES = 3
_FIRST_PAUSE_SECONDS = 0.5
# MLflow takes address and credentials from settings of the whole process: they are one connection's at a time.
_SETTINGS = threading.RLock()


class MlflowModel(NamedTuple):
    """Where MLflow keeps a model."""

    experiment_id: str
    run_id: str
    model_id: str
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
        # It prints the address of a run that ends, password and all.
        os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
        # One more try of each request, at once; what takes longer is tried again by the hook.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
        mlflow = require("mlflow", extra="mlflow")
        with self._translated("open"):
            # The registry as well: a worker's own MLFLOW_REGISTRY_URI is another connection's.
            client: MlflowClient = mlflow.MlflowClient(self.tracking_uri, registry_uri=self.tracking_uri)
            return client

    def register(
        self, manifest: Manifest, artefact: Path, *, tags: Mapping[str, str], golden: Golden | None = None
    ) -> MlflowModel:
        """Log a trained model and register a version of it; a second call finds what the first one left.

        The version comes last, so one that is there is whole, whatever was killed when.

        Parameters
        ----------
        manifest : Manifest
            What was trained; its digest is the tag by which run, logged model and version are found again.
        artefact : Path
            Folder with the files of the model.
        tags : mapping of str to str
            More tags of run and version, such as the record's page.
        golden : Golden, optional
            The golden set that the manifest names: tells the dataset's nights and rows.

        Raises
        ------
        RemoteUnavailable, RemoteRejected
            If MLflow does not answer, or refuses.
        """

        def write() -> tuple[str, Registered]:
            experiment = find_experiment(self.client, manifest.model, self._artefacts(manifest.model))
            return experiment, Registrar(self.client, experiment, manifest, golden, tags).register(artefact)

        experiment, (run_id, model_id, version) = self._asked(f"register {manifest.model}", write)
        base = self.connection.extra_dejson.get("ui_url") or without_credentials(self.tracking_uri)
        url = f"{base.rstrip('/')}/#/experiments/{experiment}/runs/{run_id}" if base.startswith("http") else None
        return MlflowModel(experiment, run_id, model_id, manifest.model, version, url)

    def alias(self, model: str, alias: str) -> str | None:
        """Version that an alias names; None if the alias or the model is not there."""
        return self._asked(
            f"read the alias {alias} of {model}",
            lambda: or_none(lambda: str(self.client.get_model_version_by_alias(model, alias).version)),
        )

    def set_alias(self, model: str, alias: str, version: str) -> None:
        """Let an alias name a version; where it does already, nothing is sent."""
        if self.alias(model, alias) != version:
            self._asked(
                f"set the alias {alias} of {model}",
                lambda: self.client.set_registered_model_alias(model, alias, version),
            )

    def version_ready(self, model: str, version: str) -> bool:
        """Whether a version is there and can be loaded: it is ready, and so is the logged model behind it."""

        def look() -> bool:
            found = or_none(lambda: self.client.get_model_version(model, version))
            return found is not None and is_whole(self.client, found)

        return self._asked(f"tell of version {version} of {model}", look)

    def tag_version(self, model: str, version: str, tags: Mapping[str, str]) -> None:
        """Put tags on a version; a tag that is there gets the new value."""

        def put() -> None:
            for name, value in tags.items():
                self.client.set_model_version_tag(model, version, name, value)

        self._asked(f"tag version {version} of {model}", put)

    def annotate(self, model: str, version: str, verdict: Verdict, *, page: str | None = None) -> None:
        """Let a version lead to the gate's verdict about it.

        Parameters
        ----------
        model, version : str
            As registered.
        verdict : Verdict
            The newest one: a later one takes its place.
        page : str, optional
            Address of the verdict's page.
        """
        tags = {VERDICT_TAG: str(verdict.ref), f"{VERDICT_TAG}.decision": str(verdict.decision)}
        if verdict.dag_run:
            tags[f"{VERDICT_TAG}.dag_run"] = verdict.dag_run
        if page:
            tags[f"{VERDICT_TAG}.page"] = page
        self.tag_version(model, version, tags)

    def test_connection(self) -> tuple[bool, str]:
        """Ask for one experiment, once: what the Test button of the connection's form does."""
        try:
            with self._translated("answer"):
                self.client.search_experiments(max_results=1)
        except Exception as error:  # noqa: BLE001 - the form shows whatever went wrong
            return False, str(error)
        return True, f"MLflow answers at {without_credentials(self.tracking_uri)}."

    def _artefacts(self, model: str) -> str | None:
        """Where a new experiment's files go; None: where the server says.

        A file of SQLite has no server, and MLflow would lay the files below whatever folder the worker runs in.
        """
        file = self.tracking_uri.removeprefix("sqlite:///")
        if file == self.tracking_uri or not file or file.startswith(":memory:"):
            return None
        return (Path(file).absolute().parent / "mlruns" / model).as_uri()

    def _asked(self, doing: str, ask: Callable[[], _Answer]) -> _Answer:
        """Ask MLflow, up to three times within seconds: all that is asked here can be asked twice."""

        def once() -> _Answer:
            with self._translated(doing):
                return ask()

        return Retrying(
            retry=retry_if_exception_type(RemoteUnavailable),
            stop=stop_after_attempt(_TRIES),
            wait=wait_exponential(multiplier=_FIRST_PAUSE_SECONDS),
            reraise=True,
        )(once)

    @contextlib.contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        mlflow = require("mlflow", extra="mlflow")
        with (
            translated(f"expected MLflow (connection {self.mlflow_conn_id!r}, {self.tracking_uri}) to {doing}"),
            self._settings(),
            _address(mlflow, self.tracking_uri),
        ):
            yield

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


@contextlib.contextmanager
def _address(mlflow: ModuleType, tracking_uri: str) -> Iterator[None]:
    """Parts of MLflow ask for the process's address rather than the client's; others of this process have their own."""
    before = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None
    mlflow.set_tracking_uri(tracking_uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)


def _put(settings: Mapping[str, str | None]) -> None:
    for name, value in settings.items():
        if value:
            os.environ[name] = value
        else:
            os.environ.pop(name, None)
