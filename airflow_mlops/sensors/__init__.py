"""Waiting for a night, a verdict, an alias, an endpoint: in the triggerer, or (``deferrable=False``) in the worker."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airflow_mlops.boundary import NIGHT
from airflow_mlops.errors import ConfigError
from airflow_mlops.sensors.lookout import LookoutSensor
from airflow_mlops.sensors.night import PartitionSensor, QualityGateSensor

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from airflow_mlops.triggers import LookoutTrigger

__all__ = [
    "DeploymentReadySensor",
    "DriftSensor",
    "GateVerdictSensor",
    "LookoutSensor",
    "ModelAliasSensor",
    "PartitionSensor",
    "QualityGateSensor",
]

_DECISIONS = frozenset({"promote", "hold", "reject"})
_VERDICTS = frozenset({"stable", "watch", "drift", "insufficient"})


class DriftSensor(LookoutSensor):
    """Wait for what the drift check says of a night; returns the record's reference.

    Parameters
    ----------
    model : str
        Name of the model.
    night : str
        ``YYYY-MM-DD``; the partition key of the run, or its logical date.
    wanted : collection of str
        Verdicts that go on: ``stable``, ``watch``, ``drift``, ``insufficient``. Any other ends the wait too: the task
        fails, or skips with ``soft_fail``. By default every one goes on.
    store_conn_id : str
        Connection of type ``mlops_store``.

    Raises
    ------
    ConfigError
        If ``wanted`` names what is no verdict.
    """

    template_fields: Collection[str] = ("model", "night")

    def __init__(
        self,
        *,
        model: str,
        night: str = NIGHT,
        wanted: Collection[str] = (),
        store_conn_id: str = "mlops_store",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.night = night
        self.wanted = _among(_VERDICTS, wanted, "verdicts", self.task_id)
        self.store_conn_id = store_conn_id

    def lookout(self, **when: float) -> LookoutTrigger:
        """Look for the night's record."""
        from airflow_mlops.nights import parse_night
        from airflow_mlops.triggers import DriftVerdictTrigger

        night = str(parse_night(self.night))
        return DriftVerdictTrigger(model=self.model, night=night, store_conn_id=self.store_conn_id, **when)

    def resume(self, context: Context, event: dict[str, Any]) -> str:
        """Hand on the record's reference, if it says what is wanted."""
        found = super().resume(context, event)
        if self.wanted and found["verdict"] not in self.wanted:
            kind = AirflowSkipException if self.soft_fail else AirflowFailException
            raise kind(f"expected a night of {' or '.join(self.wanted)}, got {found['verdict']}: {found['drift']}.")
        return str(found["drift"])


class GateVerdictSensor(LookoutSensor):
    """Wait for the gate's verdict about a challenger; returns its reference.

    Parameters
    ----------
    model : str
        Name of the model.
    night : str
        The night that the challenger was trained up to, ``YYYY-MM-DD``; the partition key of the run, or its logical
        date.
    manifest : str
        Reference of the challenger's manifest, instead of the night.
    wanted : collection of str
        Decisions that go on: ``promote``, ``hold``, ``reject``. Any other ends the wait too: the task fails, or skips
        with ``soft_fail``. By default every one goes on.
    store_conn_id : str
        Connection of type ``mlops_store``.

    Raises
    ------
    ConfigError
        If ``wanted`` names what is no decision.
    """

    template_fields: Collection[str] = ("model", "night", "manifest")

    def __init__(
        self,
        *,
        model: str,
        night: str = NIGHT,
        manifest: str | XComArg = "",
        wanted: Collection[str] = (),
        store_conn_id: str = "mlops_store",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.night = night
        self.manifest = manifest
        self.wanted = _among(_DECISIONS, wanted, "decisions", self.task_id)
        self.store_conn_id = store_conn_id

    def lookout(self, **when: float) -> LookoutTrigger:
        """Look for the verdict."""
        from airflow_mlops.nights import parse_night
        from airflow_mlops.triggers import GateVerdictTrigger

        manifest = str(self.manifest) or None
        night = None if manifest else str(parse_night(self.night))
        return GateVerdictTrigger(
            model=self.model, manifest=manifest, night=night, store_conn_id=self.store_conn_id, **when
        )

    def resume(self, context: Context, event: dict[str, Any]) -> str:
        """Hand on the verdict's reference, if it says what is wanted."""
        found = super().resume(context, event)
        if self.wanted and found["decision"] not in self.wanted:
            # Asking again would change nothing: of a manifest there is one verdict by one set of rules.
            kind = AirflowSkipException if self.soft_fail else AirflowFailException
            raise kind(
                f"expected a verdict of {' or '.join(self.wanted)}, got {found['decision']}: {found['verdict']}."
            )
        return str(found["verdict"])


class ModelAliasSensor(LookoutSensor):
    """Wait until an MLflow alias names a version (other than ``unlike``); returns the version.

    Parameters
    ----------
    model, alias : str
        Registered model and its alias.
    unlike : str, optional
        A version that does not count.
    mlflow_conn_id : str
        Connection of type ``mlflow``.
    """

    template_fields: Collection[str] = ("model", "alias", "unlike")

    def __init__(
        self,
        *,
        model: str,
        alias: str = "champion",
        unlike: str | None = None,
        mlflow_conn_id: str = "mlflow",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.alias = alias
        self.unlike = unlike
        self.mlflow_conn_id = mlflow_conn_id

    def lookout(self, **when: float) -> LookoutTrigger:
        """Look at the alias."""
        from airflow_mlops.triggers import ModelAliasTrigger

        return ModelAliasTrigger(
            model=self.model, alias=self.alias, unlike=self.unlike, mlflow_conn_id=self.mlflow_conn_id, **when
        )


class DeploymentReadySensor(LookoutSensor):
    """Wait until an endpoint is ready, and serves a version if one is named; returns the version.

    Parameters
    ----------
    url : str
        Address of the endpoint.
    version : str, optional
        What it must serve.
    """

    template_fields: Collection[str] = ("url", "version")

    def __init__(self, *, url: str, version: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.url = url
        self.version = version

    def lookout(self, **when: float) -> LookoutTrigger:
        """Look at the endpoint."""
        from airflow_mlops.triggers import EndpointTrigger

        return EndpointTrigger(url=self.url, version=self.version or None, **when)


def _among(known: Collection[str], wanted: Collection[str], what: str, task_id: str) -> tuple[str, ...]:
    """The names that a user wants, if all of them are known."""
    if unknown := sorted({wanted} if isinstance(wanted, str) else set(wanted) - set(known)):
        raise ConfigError(
            f"expected {what} among {', '.join(sorted(known))} in `wanted` of {task_id}, got "
            f"{', '.join(unknown)}. Give a list, such as {[min(known)]}."
        )
    return tuple(wanted)
