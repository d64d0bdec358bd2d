"""DuckDB in memory, with the night's rows as a view: they stay where they lie until a query asks for them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from airflow_mlops.errors import require
from airflow_mlops.quality.night_sql import quoted

__all__ = ["VIEW", "connected", "described", "exactly", "expose", "text_literal"]

VIEW = "night"
# What DuckDB may take before it goes on in the scratch folder.
_MEMORY = "600MB"
# SQL that makes of a column of a type what every check can work with.
_AS_SEEN = {
    # NaN is a missing value.
    "FLOAT": "CASE WHEN isnan({0}) THEN NULL ELSE {0} END",
    "DOUBLE": "CASE WHEN isnan({0}) THEN NULL ELSE {0} END",
    # SQL's `timestamp`, which is what a contract says, is one of microseconds.
    "TIMESTAMP_S": "{0}::TIMESTAMP",
    "TIMESTAMP_MS": "{0}::TIMESTAMP",
    "TIMESTAMP_NS": "{0}::TIMESTAMP",
    "TIMESTAMPTZ_NS": "{0}::TIMESTAMPTZ",
    '"NULL"': "{0}::VARCHAR",
}
_ENUM = "{0}::VARCHAR"


@contextlib.contextmanager
def connected(scratch: Path) -> Iterator[Any]:
    """Open a database in memory that spills into ``scratch``, and fetches nothing from a network.

    Raises
    ------
    MissingExtra
        If DuckDB is not installed.
    """
    duckdb = require("duckdb", extra="soda")
    config = {
        "autoinstall_known_extensions": "false",
        "memory_limit": _MEMORY,
        "temp_directory": str(scratch / "spilled"),
    }
    with duckdb.connect(":memory:", config=config) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET enable_progress_bar = false")
        # A file's statistics leave NaN out: trusting them, the optimizer takes isnan(x) for false (DuckDB 2.0).
        connection.execute("SET disabled_optimizers = 'statistics_propagation'")
        yield connection


def expose(connection: Any, relation: str, *, where: str | None = None) -> Any:
    """Make a view of a relation, as checks see it.

    Parameters
    ----------
    connection : duckdb.DuckDBPyConnection
        Of `connected`.
    relation : str
        What SQL selects from.
    where : str, optional
        Condition of its rows.

    Returns
    -------
    ibis.expr.types.Table
        The view.
    """
    ibis = require("ibis", extra="sql")
    columns = ", ".join(f"{_seen(name, kind)} AS {quoted(name)}" for name, kind in described(connection, relation))
    condition = f" WHERE {where}" if where else ""
    connection.execute(f"CREATE VIEW {VIEW} AS SELECT {columns} FROM {relation}{condition}")  # noqa: S608 - quoted
    return ibis.duckdb.from_connection(connection).table(VIEW)


def described(connection: Any, relation: str) -> Sequence[tuple[str, str]]:
    """Names and types of a relation's columns, as DuckDB calls them."""
    rows = connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()  # noqa: S608 - quoted by the caller
    return [(str(row[0]), str(row[1])) for row in rows]


def exactly(path: Path) -> str:
    """Give a path as SQL that names this very file: DuckDB takes a ``*`` in it for a pattern."""
    return text_literal("".join(f"[{letter}]" if letter in "*?[" else letter for letter in str(path)))


def text_literal(text: str) -> str:
    """Quote a text for SQL."""
    return "'" + text.replace("'", "''") + "'"


def _seen(name: str, kind: str) -> str:
    return _AS_SEEN.get(kind, _ENUM if kind.startswith("ENUM(") else "{0}").format(quoted(name))
