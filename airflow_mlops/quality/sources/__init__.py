"""Where nights lie: files on a disk or in S3, tables of Arrow and pandas, DuckDB, PostgreSQL."""

from __future__ import annotations

from airflow_mlops.errors import ConfigError
from airflow_mlops.project.tables import TableSpec
from airflow_mlops.quality.night_table import NightSource
from airflow_mlops.quality.sources.address import DatabaseAddress
from airflow_mlops.quality.sources.database import DatabaseNights
from airflow_mlops.quality.sources.errors import database_errors
from airflow_mlops.quality.sources.files import FileNights
from airflow_mlops.quality.sources.memory import open_table
from airflow_mlops.store import Store, open_store

__all__ = ["DatabaseAddress", "database_errors", "open_source", "open_table"]


def open_source(
    table: TableSpec, *, store: Store | None = None, database: DatabaseAddress | None = None
) -> NightSource:
    """Open where the nights of a table lie; nothing is read yet.

    Parameters
    ----------
    table : TableSpec
        The table.
    store : Store, optional
        Opened at the table's ``data_root``; by default with the credentials that this process has.
    database : DatabaseAddress, optional
        Of the table's connection.

    Raises
    ------
    ConfigError
        If the table lies in a database, and its address is not given.
    """
    if table.connection is None:
        return FileNights(table, store or open_store(table.data_root))
    if database is None:
        raise ConfigError(f"expected the address of the connection {table.connection!r} of {table.name}, got none.")
    return DatabaseNights(table, database)
