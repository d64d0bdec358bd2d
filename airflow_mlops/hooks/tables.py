"""The table that a task is about, and its nights, opened with Airflow's connections."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops.errors import ConfigError

if TYPE_CHECKING:
    from airflow_mlops.project.tables import TableSpec
    from airflow_mlops.quality.night_table import NightSource

__all__ = ["name_of", "nights_of", "table_of"]


def name_of(project: str, table: TableSpec | Mapping[str, Any] | str | None) -> str:
    """Name under which a table's records are kept, without reading a ``tables.yml``.

    Parameters
    ----------
    project : str
        Folder of a model project, or empty.
    table : TableSpec, dict or str
        Instead of a project: the table, what a ``tables.yml`` says of one, ``FILE#NAME``, or its name alone.

    Raises
    ------
    ConfigError
        If both or neither is given.

    Examples
    --------
    >>> name_of("", "tables.yml#orders"), name_of("", {"name": "orders"}), name_of("", "orders")
    ('orders', 'orders', 'orders')
    """
    _just_one(project, table)
    if isinstance(table, str) and table:
        return table.rpartition("#")[2]
    if isinstance(table, Mapping):
        return str(table.get("name", ""))
    return table_of(project, table).name


def table_of(project: str, table: TableSpec | Mapping[str, Any] | str | None) -> TableSpec:
    """Read the table of a model project, or a table of its own.

    Parameters
    ----------
    project, table
        As for ``name_of``; a name alone says not enough.

    Raises
    ------
    ConfigError
        If both or neither is given, or what is given has faults.
    """
    from airflow_mlops.project import load_project
    from airflow_mlops.project.tables import TableSpec, read_tables

    _just_one(project, table)
    if isinstance(table, TableSpec):
        return table
    if isinstance(table, Mapping):
        return _validated({"folder": str(Path.cwd()), **table})
    if not table:
        return load_project(project).table
    file, sharp, name = table.rpartition("#")
    if not sharp or not file:
        raise ConfigError(f"expected a table as FILE#NAME, such as /srv/tables.yml#orders, got {table!r}.")
    known = {one.name: one for one in read_tables(file)}
    if name not in known:
        raise ConfigError(f"expected a table {name!r} in {file}, it has {', '.join(known)}. Correct the name.")
    return known[name]


def nights_of(table: TableSpec, store_conn_id: str) -> NightSource:
    """Open the place where a table's nights lie: a folder, S3 with the store's credentials, a database.

    Parameters
    ----------
    table : TableSpec
        The table.
    store_conn_id : str
        Connection whose credentials open ``s3://``.

    Raises
    ------
    ConfigError
        If a connection is missing, or says not enough.
    RemoteUnavailable
        If the store or the database does not answer.
    """
    from airflow_mlops.quality.sources import open_source

    if table.connection is not None:
        from airflow_mlops.hooks.database import DatabaseHook

        return open_source(table, database=DatabaseHook(table.connection).address())
    if str(table.path).startswith("s3://"):
        from airflow_mlops.hooks.store import StoreHook

        return open_source(table, store=StoreHook(store_conn_id).open(table.data_root))
    return open_source(table)


def _just_one(project: str, table: object) -> None:
    if bool(project) == bool(table):
        raise ConfigError(
            f"expected either a project or a table, got {'both' if project else 'neither'}. Give the folder of a model "
            "project, or FILE#NAME of a tables.yml."
        )


def _validated(said: Mapping[str, Any]) -> TableSpec:
    from pydantic import ValidationError

    from airflow_mlops.project.tables import TableSpec

    try:
        # Through JSON, as an XCom or a trigger hands it over: there a date and a path are text.
        return TableSpec.model_validate_json(json.dumps(said, default=str))
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'table'}: {one['msg']}" for one in error.errors())
        raise ConfigError(
            f"expected a table as tables.yml describes one, got {said.get('name')!r}: {faults}."
        ) from error
