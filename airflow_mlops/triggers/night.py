"""Waiting for a night: for its data, and for what its check says."""

from __future__ import annotations

from typing import Any

from airflow_mlops.triggers.lookout import LookoutTrigger

__all__ = ["PartitionTrigger", "QualityTrigger"]


class PartitionTrigger(LookoutTrigger):
    """Wait for a night's data.

    Parameters
    ----------
    table : str
        JSON of the ``TableSpec``; a secret is in no part of it.
    night : str
        ``YYYY-MM-DD``.
    store_conn_id : str
        Connection with the credentials, for S3.
    """

    arguments = (*LookoutTrigger.arguments, "table", "night", "store_conn_id")

    def __init__(self, *, table: str, night: str, store_conn_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.table = table
        self.night = night
        self.store_conn_id = store_conn_id

    @property
    def waiting_for(self) -> str:
        """The night."""
        table = self._spec
        where = table.path or f"{table.table} in the connection {table.connection}"
        return f"the night {self.night} of {table.name} ({where})"

    def look(self) -> str | None:
        """Where the night lies, if it is there."""
        import datetime as dt

        from airflow_mlops.hooks.tables import nights_of

        nights = nights_of(self._spec, self.store_conn_id)
        arrived = nights.arrived(dt.date.fromisoformat(self.night))
        return nights.location.replace("{night}", self.night) if arrived else None

    @property
    def _spec(self) -> Any:
        from airflow_mlops.project.tables import TableSpec

        return TableSpec.model_validate_json(self.table)


class QualityTrigger(LookoutTrigger):
    """Wait for what the quality check says of a night.

    Parameters
    ----------
    table : str
        Name under which its records are kept.
    night : str
        ``YYYY-MM-DD``.
    store_conn_id : str
        Connection of type ``mlops_store``.
    """

    arguments = (*LookoutTrigger.arguments, "table", "night", "store_conn_id")

    def __init__(self, *, table: str, night: str, store_conn_id: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.table = table
        self.night = night
        self.store_conn_id = store_conn_id

    @property
    def waiting_for(self) -> str:
        """The record."""
        return f"the quality check of {self.table} of {self.night}"

    def look(self) -> dict[str, Any] | None:
        """The standing record's reference, and what is wrong with the night, if there is one."""
        import datetime as dt

        from airflow_mlops.hooks.store import StoreHook
        from airflow_mlops.nights import quality_of

        record = quality_of(StoreHook(self.store_conn_id).ledger(), self.table, dt.date.fromisoformat(self.night))
        if record is None:
            return None
        faults = [f"{one.name} {one.column or ''}".strip() for one in record.faults]
        return {"quality": str(record.ref), "quarantined": record.quarantined, "faults": faults}
