"""One table, without nights around it: a file, a folder, or what this process has in memory."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import io
import re
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from airflow_mlops.errors import ConfigError, DataError
from airflow_mlops.quality.night_sql import quoted
from airflow_mlops.quality.night_table import NightTable
from airflow_mlops.quality.sources.duck import VIEW, connected, expose
from airflow_mlops.quality.sources.errors import database_errors
from airflow_mlops.quality.sources.files import night_files, opened
from airflow_mlops.records import PartitionPin
from airflow_mlops.store import open_store

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["open_table"]

_DATE = re.compile(r"\d{4}-\d\d-\d\d")
# What writers leave beside the data.
_HIDDEN = re.compile(r"/[._]")
# The day of a table that says none: only a check of freshness asks.
_NO_NIGHT = dt.date(1970, 1, 1)


@contextlib.contextmanager
def open_table(
    source: str | Path | pa.Table | pd.DataFrame, *, night: dt.date | None = None, time_column: str | None = None
) -> Iterator[NightTable]:
    """Open one table.

    Parameters
    ----------
    source : str, Path, pyarrow.Table or pandas.DataFrame
        A Parquet or CSV file, a folder of them, either in S3 too, or a table in memory (anything that hands over Arrow
        data).
    night : date, optional
        The day of its rows; by default the date in its name, or that of its latest row.
    time_column : str, optional
        Column that says when a row happened.

    Raises
    ------
    DataError
        If it has no data, or cannot be read.
    ConfigError
        If it is nothing that holds a table, or this user may not read it.
    RemoteUnavailable
        If the disk or the store does not answer.

    Examples
    --------
    >>> with open_table(pa.table({"temp": [0.3, float("nan")]})) as table:
    ...     table.connection.execute(f"SELECT count(temp) FROM {table.name}").fetchall()
    [(1,)]
    """
    with tempfile.TemporaryDirectory(prefix="table-") as folder, contextlib.ExitStack() as stack:
        scratch = Path(folder)
        if isinstance(source, str | Path):
            dates = _DATE.findall(str(source))
            table = stack.enter_context(_of_files(str(source), scratch))
        else:
            dates = []
            table = stack.enter_context(_of_memory(source, scratch))
        night = night or _last_date(dates) or _last_day(table, time_column) or _NO_NIGHT
        yield replace(table, night=night, pin=table.pin.model_copy(update={"night": night}))


@contextlib.contextmanager
def _of_files(address: str, scratch: Path) -> Iterator[NightTable]:
    if "://" not in address:
        path = Path(address).expanduser().absolute()
        address = f"{path}/" if path.is_dir() else str(path)
    many = address.endswith("/")
    root, _, name = address.rstrip("/").rpartition("/")
    store = open_store(root or "/")
    keys = [key for key in store.keys(f"{name}/") if not _HIDDEN.search(key)] if many else [name]
    found = {key: store.local_path(key, scratch) for key in keys}
    files = {key: path for key, path in found.items() if path}
    if not files:
        raise DataError(f"expected Parquet or CSV at {address}, there is none. Correct the path.")
    arrived = max((time for key in files if (time := store.written_at(key))), default=None)
    pinned = night_files(_NO_NIGHT, files, scratch, location=address, alone=not many)
    with opened(pinned, location=address, arrived=arrived, scratch=scratch) as table:
        yield table


@contextlib.contextmanager
def _of_memory(source: Any, scratch: Path) -> Iterator[NightTable]:
    table = _as_arrow(source)
    sink = _Digest()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        # Combined, so that the digest does not hang on how the rows are cut into batches.
        writer.write_table(table.combine_chunks())
    # Half precision is not for DuckDB.
    halves = {field.name: pa.float32() for field in table.schema if pa.types.is_float16(field.type)}
    readable = table.cast(pa.schema([field.with_type(halves.get(field.name, field.type)) for field in table.schema]))
    with connected(scratch) as connection, database_errors("the table"):
        connection.register("registered", readable)
        yield NightTable(
            night=_NO_NIGHT,
            name=VIEW,
            engine="duckdb",
            connection=connection,
            rows=expose(connection, "registered"),
            where=None,
            schema=table.schema,
            pin=PartitionPin(night=_NO_NIGHT, digest=sink.digest, rows=table.num_rows),
            location="memory",
        )


def _as_arrow(source: Any) -> pa.Table:
    if isinstance(source, pa.Table):
        return source
    if not hasattr(source, "__arrow_c_stream__"):
        raise ConfigError(f"expected a path, or a table of Arrow or pandas, got {type(source).__name__}.")
    try:
        return pa.table(source)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise DataError(
            f"expected columns of one type each, got a {type(source).__name__} that Arrow cannot read: "
            f"{str(error).splitlines()[0]}. Convert the column to one type."
        ) from error


class _Digest(io.RawIOBase):
    """A file that keeps nothing but the digest of what is written into it."""

    def __init__(self) -> None:
        super().__init__()
        self._hash = hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._hash.update(data)
        return len(data)

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"


def _last_date(texts: list[str]) -> dt.date | None:
    for text in reversed(texts):
        with contextlib.suppress(ValueError):
            return dt.date.fromisoformat(text)
    return None


def _last_day(table: NightTable, time_column: str | None) -> dt.date | None:
    if time_column is None or time_column not in table.rows.columns:
        return None
    if not (table.rows[time_column].type().is_timestamp() or table.rows[time_column].type().is_date()):
        return None
    sql = f"SELECT max({quoted(time_column)})::DATE FROM {table.name}"  # noqa: S608 - quoted
    (last,) = table.connection.execute(sql).fetchone()
    return last if isinstance(last, dt.date) else None
