"""One night of a table, where it lies, and what a check found in it: what all parts of this room share."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import pyarrow as pa

from airflow_mlops.records import CheckResult, PartitionPin

__all__ = ["Finding", "NightSource", "NightTable"]


@dataclass(frozen=True)
class NightTable:
    """The rows of one night: nothing of them is read before somebody asks.

    Attributes
    ----------
    night : date
        The day that the rows are of, UTC.
    name : str
        How SQL calls the night's rows: a view in DuckDB; ``SCHEMA.TABLE`` in PostgreSQL, where ``where`` picks them.
    engine : {"duckdb", "postgres"}
        What answers.
    connection : duckdb.DuckDBPyConnection or psycopg.Connection
        Read-only, time zone UTC; closed by who opened it.
    rows : ibis.expr.types.Table
        The night's rows alone, NaN as NULL, bound to that connection, in the order of the file.
    where : str or None
        SQL condition of the night's rows; None if ``name`` holds nothing else.
    schema : pyarrow.Schema
        As the file or the database declares it.
    pin : PartitionPin
        Digest of the content, and the number of rows.
    location : str
        Where it lies, for people; holds no secret.
    arrived : datetime or None
        When it was written, UTC; None if nobody knows.
    """

    night: dt.date
    name: str
    engine: Literal["duckdb", "postgres"]
    connection: Any
    rows: Any
    where: str | None
    schema: pa.Schema
    pin: PartitionPin
    location: str
    arrived: dt.datetime | None = None


class NightSource(Protocol):
    """Where the nights of a table lie."""

    @property
    def location(self) -> str:
        """Where, for people; holds no secret."""

    def nights(self) -> list[dt.date]:
        """Nights that have data, the oldest first."""

    def arrived(self, night: dt.date) -> bool:
        """Whether a night has data, without reading any."""

    def pin(self, night: dt.date) -> PartitionPin | None:
        """Pin a night by its content, also a torn one (0 rows); None if it has no data (yet)."""

    def open(self, night: dt.date) -> AbstractContextManager[NightTable]:
        """Open a night.

        Raises
        ------
        DataError
            If it has no data, or its data cannot be read.
        RemoteUnavailable
            If the disk, the store or the database does not answer.
        """

    def file(self, night: dt.date, scratch: Path) -> Path | None:
        """The night's file as it lies, also a torn one, fetched into ``scratch`` if it has to be.

        None if it has not just one file of its own: a folder, a pattern that fits several, a database.
        """


class Finding(NamedTuple):
    """What a check said, and, where rows can be told apart, up to so many of those that do not hold.

    The table of failing rows has all columns of the night, and first of all ``row``: its number in the file, from 1
    (null where the engine has no order).
    """

    result: CheckResult
    failing: Callable[[int], pa.Table] | None = None
