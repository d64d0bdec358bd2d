"""Data that stays where it is: a table in a database is counted there, in SQL that ibis writes for its engine.

What comes back are counts, so that it does not matter how long the table is; and they are those of the streaming
engine, to the last one. Nothing is written: no table, no view, no function, not even a temporary one.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from airflow_mlops.errors import ConfigError
from airflow_mlops.profile.kinds import is_numeric, kind_of
from airflow_mlops.profile.source import Stream
from airflow_mlops.profile.sql.answers import answer, batches
from airflow_mlops.profile.sql.tally import tally_of
from airflow_mlops.profile.sql.values import level_of, number_of, schema_of

__all__ = ["is_expression", "open_expression"]

_SAMPLED_CELLS = 1 << 21
# Which rows are drawn, where the engine can draw the same ones again.
_SEED = 0


def is_expression(source: Any) -> bool:
    """Whether this is a table expression of ibis; without importing it, since nobody has one without it."""
    return "ibis" in sys.modules and isinstance(source, sys.modules["ibis"].expr.types.Table)


def open_expression(table: Any) -> Stream:
    """A table that counts itself where it lies, and hands over no more rows than placing edges takes.

    Parameters
    ----------
    table : ibis.expr.types.Table
        Bound to a connection: ``ibis.postgres.connect(...).table("trips")``, filtered and computed as you like.

    Raises
    ------
    ConfigError
        If it is bound to none, or holds rows of this process.
    """
    from ibis.common.exceptions import IbisError
    from ibis.expr.operations import InMemoryTable

    if table.op().find(InMemoryTable):
        raise ConfigError(
            "expected a table that lies in the database, got one with rows of this process (ibis.memtable), of which "
            "a temporary table would have to be made there. Hand over the data frame itself, or load it first."
        )
    try:
        backend = table.get_backend()
    except IbisError as error:
        raise ConfigError(
            "expected a table of a connection, got an ibis expression without one. Begin with connection.table(...)."
        ) from error
    return Stream(
        schema_of(table),
        None,
        lambda names: _rows(table, names, backend),
        tally=lambda plan, time_column: tally_of(table, plan, time_column, backend),
    )


def _rows(table: Any, names: Sequence[str], backend: Any) -> Iterator[pa.RecordBatch]:
    """All rows of a small table; of a long one as many as the database draws, so that two million cells come over."""
    most = _SAMPLED_CELLS // max(len(names), 1)
    [(rows,)] = answer(table.aggregate(rows=table.count()), backend)
    picked = table if rows <= most else _drawn(table, most / rows, backend)
    numeric = {field.name for field in schema_of(table) if is_numeric(kind_of(field.type))}
    columns = {
        name: number_of(picked[name], backend.name) if name in numeric else level_of(picked[name]) for name in names
    }
    yield from batches(picked.select(**columns), backend)


def _drawn(table: Any, share: float, backend: Any) -> Any:
    from ibis.common.exceptions import UnsupportedOperationError

    seeded = table.sample(share, seed=_SEED)
    try:
        backend.compile(seeded)
    except UnsupportedOperationError:
        return table.sample(share)
    return seeded
