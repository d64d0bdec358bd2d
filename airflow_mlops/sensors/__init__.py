"""Waiting for a night, a verdict, an alias, an endpoint: in the triggerer, or (``deferrable=False``) in the worker."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Collection
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airflow_mlops.boundary import NIGHT, airflow_errors
from airflow_mlops.errors import ConfigError
from airflow_mlops.polling import Ended, decide

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from airflow_mlops.triggers import LookoutTrigger

__all__ = ["DeploymentReadySensor", "DriftSensor", "GateVerdictSensor", "ModelAliasSensor", "PartitionSensor"]

_DECISIONS = frozenset({"promote", "hold", "reject"})
_VERDICTS = frozenset({"stable", "watch", "drift", "insufficient"})
# The trigger ends the wait itself, at its own deadline; Airflow's is only there for a triggerer that is gone.
_GRACE = timedelta(minutes=5)


class LookoutSensor(BaseOperator):
    """Wait for something until it is there or ``timeout_seconds`` have passed.

    Parameters
    ----------
    poll_seconds : float
        Pause between two looks.
    timeout_seconds : float
        Longest wait.
    deferrable : bool
        Wait in the triggerer, without a worker's slot.
    soft_fail : bool
        Skip instead of failing when it did not come in time.

    Raises
    ------
    ConfigError
        If ``poll_seconds`` is not positive: the triggerer would do nothing else.
    """

    template_fields: Collection[str] = ()

    def __init__(
        self,
        *,
        poll_seconds: float = 30.0,
        timeout_seconds: float = 6 * 3600.0,
        deferrable: bool = True,
        soft_fail: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if poll_seconds <= 0:
            raise ConfigError(f"expected poll_seconds above 0 in {self.task_id}, got {poll_seconds}. Try 30.")
        self.poll_seconds = poll_seconds
        self.timeout_seconds = timeout_seconds
        self.deferrable = deferrable
        self.soft_fail = soft_fail

    @abstractmethod
    def lookout(self, **when: float) -> LookoutTrigger:
        """Make the trigger that looks."""

    @airflow_errors
    def execute(self, context: Context) -> Any:
        """Look once; then wait, deferred or here."""
        deadline = time.time() + self.timeout_seconds
        lookout = self.lookout(deadline=deadline, poll_seconds=self.poll_seconds)
        while True:
            try:
                seen: Any = lookout.look()
            except Exception as error:  # noqa: BLE001 - decide tells a passing fault from a lasting one
                seen = error
            outcome = decide(
                seen,
                now=time.time(),
                deadline=deadline,
                poll_seconds=self.poll_seconds,
                waiting_for=lookout.waiting_for,
            )
            if isinstance(outcome, Ended):
                return self.resume(context, outcome.payload())
            if self.deferrable:
                self.defer(
                    trigger=lookout,
                    method_name="resume",
                    timeout=timedelta(seconds=self.timeout_seconds) + _GRACE,
                )
            time.sleep(outcome.seconds)

    def resume(self, context: Context, event: dict[str, Any]) -> Any:
        """End as the event says."""
        del context
        if event["error"] is None:
            return event["found"]
        # Never retried: the wait was as long as it was meant to be, and a lasting answer does not change.
        kind = AirflowSkipException if self.soft_fail and event["late"] else AirflowFailException
        raise kind(event["error"])


class PartitionSensor(LookoutSensor):
    """Wait for a night's data.

    Parameters
    ----------
    project : str or Path
        Folder of the model project.
    night : str
        ``YYYY-MM-DD``; the partition key of the run, or its logical date.
    store_conn_id : str
        Connection with the credentials where the data lies in S3.
    """

    template_fields: Collection[str] = ("project", "night")

    def __init__(
        self, *, project: str | Path, night: str = NIGHT, store_conn_id: str = "mlops_store", **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.project = str(project)
        self.night = night
        self.store_conn_id = store_conn_id

    def lookout(self, **when: float) -> LookoutTrigger:
        """Look for the night's file."""
        from airflow_mlops.nights import parse_night
        from airflow_mlops.project import load_project
        from airflow_mlops.triggers import PartitionTrigger

        project = load_project(self.project)
        key = project.data_key(parse_night(self.night))
        return PartitionTrigger(root=project.data_root, key=key, store_conn_id=self.store_conn_id, **when)


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
