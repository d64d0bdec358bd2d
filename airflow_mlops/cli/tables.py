"""Tables as a person names them: a file, a folder, ``s3://``, nights of one pattern, or a table of a database."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

import typer

from airflow_mlops.errors import ConfigError, DataError

if TYPE_CHECKING:
    from airflow_mlops.project.quality_spec import QualitySpec
    from airflow_mlops.project.tables import TableSpec
    from airflow_mlops.quality.night_table import NightSource, NightTable
    from airflow_mlops.quality.sources import DatabaseAddress

__all__ = [
    "TABLE",
    "DatabaseEnv",
    "Night",
    "TimeColumn",
    "has_nights",
    "newest",
    "nightly_spec",
    "nights_of",
    "opened_table",
]

TABLE = (
    "Parquet or CSV: a file, a folder, s3://BUCKET/KEY, or nights such as 'data/night={night}.parquet'; with "
    "--database-env, SCHEMA.TABLE"
)
DatabaseEnv = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="TABLE lies in the database whose address, postgresql://USER:PASSWORD@HOST/DATABASE or duckdb:///FILE, "
        "stands in this environment variable: a password on a command line would show in the process list.",
        show_default=False,
    ),
]
Night = Annotated[
    str | None,
    typer.Option(metavar="DATE", help="Which night of TABLE; by default the newest.", show_default=False),
]
TimeColumn = Annotated[
    str | None,
    typer.Option(metavar="COLUMN", help="Says when a row happened; a database needs it.", show_default=False),
]
_ENGINES: dict[str, Literal["postgres", "duckdb"]] = {
    "postgresql": "postgres",
    "postgres": "postgres",
    "duckdb": "duckdb",
}


def has_nights(table: str, database_env: str | None) -> bool:
    """Whether a table is one of many nights, rather than one file or folder."""
    return database_env is not None or "{night}" in table


def nightly_spec(
    table: str, *, time_column: str | None, database_env: str | None, quality: Mapping[str, Any] | None = None
) -> TableSpec:
    """A table of many nights: ``FILE#NAME`` of a ``tables.yml``, or what such a file would say of it.

    Parameters
    ----------
    table : str
        As the person named it.
    time_column, database_env : str or None
        As the options say.
    quality : mapping of str, optional
        Fields of its ``QualitySpec`` that are other than there.

    Raises
    ------
    ConfigError
        If it is named in a way that nothing can be found by.
    """
    from pydantic import ValidationError

    from airflow_mlops.project.quality_spec import QualitySpec
    from airflow_mlops.project.tables import TableSpec, read_tables

    file, sharp, name = table.rpartition("#")
    if sharp and file.endswith((".yml", ".yaml")):
        known = {one.name: one for one in read_tables(file)}
        if name not in known:
            raise ConfigError(f"expected a table {name!r} in {file}, it has {', '.join(known)}. Correct the name.")
        spec = known[name]
        return spec.model_copy(update={"quality": _changed(spec.quality, quality or {})})
    if not has_nights(table, database_env):
        raise ConfigError(
            f"expected nights, got {table}. Write {{night}} where the date stands, such as "
            "'data/night={night}.parquet'."
        )
    # A store is opened at the folder that the nights lie in: here, if none is named.
    path = table if "/" in table else f"./{table}"
    place = {"path": path} if database_env is None else {"connection": database_env, "table": table}
    try:
        return TableSpec(
            name="table",
            folder=Path.cwd(),
            time_column=time_column,
            quality=_changed(QualitySpec(contract=None), quality or {}),
            **place,
        )
    except ValidationError as error:
        faults = "; ".join(fault["msg"] for fault in error.errors())
        raise ConfigError(f"expected a table that has nights, got {table!r}: {faults}.") from error


def _changed(spec: QualitySpec, fields: Mapping[str, Any]) -> QualitySpec:
    from pydantic import ValidationError

    try:
        return type(spec).model_validate(dict(spec) | dict(fields))
    except ValidationError as error:
        faults = "; ".join(f"{fault['loc'][0]}: {fault['msg']}" for fault in error.errors())
        raise ConfigError(f"expected options that a table can have, got {faults}. Correct them.") from error


def nights_of(spec: TableSpec, database_env: str | None) -> NightSource:
    """Open where the nights of a table lie.

    Raises
    ------
    ConfigError
        If the environment variable holds no address of a database; the message never shows what it holds.
    """
    from airflow_mlops.quality.sources import open_source

    return open_source(spec, database=None if database_env is None else _address(database_env))


@contextlib.contextmanager
def opened_table(
    table: str, *, night: str | None, time_column: str | None, database_env: str | None
) -> Iterator[NightTable]:
    """Open a table, or the night of it that is asked for.

    Raises
    ------
    ConfigError, DataError, RemoteUnavailable
        If it is not there, cannot be read, or does not answer.
    """
    from airflow_mlops.nights import parse_night
    from airflow_mlops.quality.sources import database_errors, open_table

    day = None if night is None else parse_night(night)
    if not has_nights(table, database_env):
        with open_table(table, night=day, time_column=time_column) as opened, database_errors(opened.location):
            yield opened
        return
    source = nights_of(nightly_spec(table, time_column=time_column, database_env=database_env), database_env)
    with source.open(day or newest(source)[-1]) as opened, database_errors(opened.location):
        yield opened


def newest(source: NightSource, most: int | None = None) -> list[dt.date]:
    """The newest nights that have data, up to so many, the oldest first.

    Raises
    ------
    DataError
        If there is none.
    """
    nights = source.nights()
    if not nights:
        raise DataError(f"expected nights at {source.location}, there is none. Correct the place, or wait for data.")
    return nights if most is None else nights[-most:]


def _address(variable: str) -> DatabaseAddress:
    from airflow_mlops.quality.sources import DatabaseAddress

    text = os.environ.get(variable)
    if text is None:
        raise ConfigError(
            f"expected the address of a database in the environment variable {variable}, it is not set. "
            f"Run: export {variable}=postgresql://USER:PASSWORD@HOST/DATABASE"
        )
    try:
        url = urlsplit(text)
        engine, port = _ENGINES[url.scheme], url.port
    except (KeyError, ValueError):
        # Not as the cause either: what the variable holds may be a secret, whatever else it is.
        raise ConfigError(
            f"expected postgresql://USER:PASSWORD@HOST:PORT/DATABASE or duckdb:///FILE in {variable}, got something "
            "else. Write letters such as @ in a password as %40."
        ) from None
    user, password = (unquote(part) if part else None for part in (url.username, url.password))
    # What libpq takes as an option may stand there too: ?host= with the folder of a socket.
    options = dict(parse_qsl(url.query))
    host, said = options.pop("host", url.hostname), options.pop("port", None)
    return DatabaseAddress(
        engine=engine,
        host=host,
        port=int(said) if said and said.isdigit() else port,
        user=options.pop("user", user),
        password=options.pop("password", password),
        # duckdb:///night.db is a file of this folder, duckdb:////srv/night.db one from the root.
        database=unquote(url.path.removeprefix("/")),
        options=options,
    )
