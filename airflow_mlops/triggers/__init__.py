"""Waiting without a worker's slot: async only, exactly one event each, blocking calls in a thread."""

from __future__ import annotations

from typing import Any

from airflow_mlops.triggers.lookout import LookoutTrigger
from airflow_mlops.triggers.night import PartitionTrigger, QualityTrigger
from airflow_mlops.triggers.watchers import AliasChangedTrigger, DriftTrigger

__all__ = [
    "AliasChangedTrigger",
    "DriftTrigger",
    "DriftVerdictTrigger",
    "EndpointTrigger",
    "GateVerdictTrigger",
    "LookoutTrigger",
    "ModelAliasTrigger",
    "PartitionTrigger",
    "QualityTrigger",
]


class ModelAliasTrigger(LookoutTrigger):
    """Wait until an MLflow alias names a version (other than ``unlike``).

    Parameters
    ----------
    model, alias : str
        Registered model and its alias.
    unlike : str or None
        A version that does not count.
    mlflow_conn_id : str
        Connection of type ``mlflow``.
    """

    arguments = (*LookoutTrigger.arguments, "model", "alias", "unlike", "mlflow_conn_id")

    def __init__(self, *, model: str, alias: str, unlike: str | None, mlflow_conn_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.alias = alias
        self.unlike = unlike
        self.mlflow_conn_id = mlflow_conn_id

    @property
    def waiting_for(self) -> str:
        """The alias."""
        return f"the alias {self.alias} of {self.model}"

    def look(self) -> str | None:
        """Version that the alias names, if it counts."""
        from airflow_mlops.hooks.mlflow import MlflowHook

        version = MlflowHook(self.mlflow_conn_id).alias(self.model, self.alias)
        return None if version == self.unlike else version


class GateVerdictTrigger(LookoutTrigger):
    """Wait for the gate's verdict about a challenger.

    Parameters
    ----------
    model : str
        Name of the model.
    manifest : str or None
        Reference of the challenger's manifest.
    night : str or None
        Where no manifest is named: the night that the challenger was trained up to, ``YYYY-MM-DD``.
    store_conn_id : str
        Connection of type ``mlops_store``.
    """

    arguments = (*LookoutTrigger.arguments, "model", "manifest", "night", "store_conn_id")

    def __init__(
        self, *, model: str, manifest: str | None, night: str | None, store_conn_id: str, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.manifest = manifest
        self.night = night
        self.store_conn_id = store_conn_id

    @property
    def waiting_for(self) -> str:
        """The verdict."""
        return f"the verdict on {self.manifest or f'the model of {self.model} of {self.night}'}"

    def look(self) -> dict[str, str] | None:
        """The newest verdict's reference and decision, if there is one."""
        from airflow_mlops.hooks.store import StoreHook
        from airflow_mlops.records import Manifest, Verdict

        ledger = StoreHook(self.store_conn_id).ledger()
        if self.manifest:
            wanted = {self.manifest}
        else:
            trained = ledger.all(Manifest, f"{self.model}/")
            wanted = {str(manifest.ref) for manifest in trained if str(manifest.night) == self.night}
        found = [verdict for verdict in ledger.all(Verdict, f"{self.model}/") if str(verdict.manifest) in wanted]
        if not found:
            return None
        newest = max(found, key=lambda verdict: verdict.recorded_at)
        return {"verdict": str(newest.ref), "decision": newest.decision.value}


class DriftVerdictTrigger(LookoutTrigger):
    """Wait for what the drift check says of a night.

    Parameters
    ----------
    model : str
        Name of the model.
    night : str
        ``YYYY-MM-DD``.
    store_conn_id : str
        Connection of type ``mlops_store``.
    """

    arguments = (*LookoutTrigger.arguments, "model", "night", "store_conn_id")

    def __init__(self, *, model: str, night: str, store_conn_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.night = night
        self.store_conn_id = store_conn_id

    @property
    def waiting_for(self) -> str:
        """The record."""
        return f"the drift check of {self.model} of {self.night}"

    def look(self) -> dict[str, str] | None:
        """The newest record's reference and verdict, if there is one."""
        from airflow_mlops.hooks.store import StoreHook
        from airflow_mlops.records import Drift

        records = StoreHook(self.store_conn_id).ledger().all(Drift, f"{self.model}/{self.night}/")
        newest = max(records, key=lambda drift: drift.recorded_at, default=None)
        return None if newest is None else {"drift": str(newest.ref), "verdict": newest.verdict.value}


class EndpointTrigger(LookoutTrigger):
    """Wait until an endpoint is ready, and serves a version if one is named.

    Parameters
    ----------
    url : str
        Address of the endpoint.
    version : str or None
        What the header ``x-model-version`` must say; None accepts any.
    """

    arguments = (*LookoutTrigger.arguments, "url", "version")

    def __init__(self, *, url: str, version: str | None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.url = url
        self.version = version

    @property
    def waiting_for(self) -> str:
        """The endpoint."""
        return f"{self.url} to serve {self.version or 'a model'}"

    def look(self) -> str | None:
        """Version that is served, if it is the one."""
        import httpx

        from airflow_mlops.errors import RemoteUnavailable

        try:
            answer = httpx.get(f"{self.url}/readyz", timeout=5.0)
        except httpx.TransportError as error:
            raise RemoteUnavailable(f"expected {self.url} to answer, got {type(error).__name__}: {error}.") from error
        served = answer.headers.get("x-model-version")
        if not answer.is_success or served is None:
            return None
        return str(served) if self.version in (None, served) else None
