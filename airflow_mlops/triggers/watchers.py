"""What wakes assets: an ``AssetWatcher`` holds one, and Airflow lets it run for as long as the DAG is there."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

__all__ = ["AliasChangedTrigger", "DriftTrigger"]


class AliasChangedTrigger(BaseEventTrigger):
    """Wake an asset whenever an MLflow alias names another version: for ``AssetWatcher(trigger=...)``.

    A change that is made and undone between two looks, or while no triggerer runs, is not seen.

    Parameters
    ----------
    model : str
        Registered model.
    alias : str
        Its alias.
    mlflow_conn_id : str
        Connection of type ``mlflow``.
    poll_seconds : float
        Pause between two looks. (MLflow's own webhooks refuse private addresses, so the alias is polled.)
    """

    def __init__(
        self, model: str, alias: str = "champion", mlflow_conn_id: str = "mlflow", poll_seconds: float = 30.0
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # Airflow has no annotation there
        self.model = model
        self.alias = alias
        self.mlflow_conn_id = mlflow_conn_id
        self.poll_seconds = poll_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Give Airflow what it makes the trigger from again."""
        names = ("model", "alias", "mlflow_conn_id", "poll_seconds")
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield an event for every change; while MLflow is away, wait."""
        from airflow_mlops.hooks.mlflow import MlflowHook

        hook = MlflowHook(self.mlflow_conn_id)
        known: str | None = None
        started = False
        while True:
            try:
                version = await asyncio.to_thread(hook.alias, self.model, self.alias)
            except Exception as error:  # noqa: BLE001 - a watcher that ends is never started again
                self.log.warning("%s", error)
            else:
                if started and version != known:
                    yield TriggerEvent({"model": self.model, "alias": self.alias, "version": version, "was": known})
                known, started = version, True
            await asyncio.sleep(self.poll_seconds)


class DriftTrigger(BaseEventTrigger):
    """Wake an asset when an incident begins, and not again while it lasts: for ``AssetWatcher(trigger=...)``.

    What is in the store when the trigger starts is old news; what came while no triggerer ran is not seen.

    Parameters
    ----------
    model : str
        Name of the model.
    ends : bool
        Also when an incident is over.
    store_conn_id : str
        Connection of type ``mlops_store``.
    poll_seconds : float
        Pause between two looks.
    """

    def __init__(
        self, model: str, *, ends: bool = False, store_conn_id: str = "mlops_store", poll_seconds: float = 60.0
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # Airflow has no annotation there
        self.model = model
        self.ends = ends
        self.store_conn_id = store_conn_id
        self.poll_seconds = poll_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Give Airflow what it makes the trigger from again."""
        names = ("model", "ends", "store_conn_id", "poll_seconds")
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Yield an event for every incident; while the store is away, wait."""
        known: frozenset[str] | None = None
        while True:
            try:
                paths, events = await asyncio.to_thread(self._look, known)
            except Exception as error:  # noqa: BLE001 - a watcher that ends is never started again
                self.log.warning("%s", error)
            else:
                for event in events:
                    yield TriggerEvent(event)
                known = paths
            await asyncio.sleep(self.poll_seconds)

    def _look(self, known: frozenset[str] | None) -> tuple[frozenset[str], list[dict[str, Any]]]:
        """Keys of all drift records, and what the new ones among them tell."""
        from airflow_mlops.errors import LedgerError
        from airflow_mlops.hooks.store import StoreHook
        from airflow_mlops.records import Drift, Notice

        ledger = StoreHook(self.store_conn_id).ledger()
        prefix = f"records/{Drift.kind}/"
        paths = frozenset(ledger.store.keys(f"{prefix}{self.model}/"))
        told = {Notice.BEGAN, Notice.ENDED} if self.ends else {Notice.BEGAN}
        fresh = sorted(paths - known) if known is not None else []
        found = []
        for path in fresh:
            try:
                found.append(ledger.find(Drift, path.removeprefix(prefix).removesuffix(".json")))
            except LedgerError as error:
                self.log.warning("%s", error)
        return paths, [
            {
                "model": self.model,
                "night": str(drift.night),
                "notice": drift.notice.value,
                "features": list(drift.incident.features) if drift.incident else [],
                "reason": drift.reason,
                "drift": str(drift.ref),
            }
            for drift in found
            if drift is not None and drift.notice in told
        ]
