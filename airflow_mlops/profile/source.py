"""Whatever holds a table, as a stream of Arrow batches: files, folders, ``s3://``, pandas, polars, Arrow, ibis."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import pyarrow as pa

from airflow_mlops.errors import ConfigError, DataError
from airflow_mlops.profile.files import open_files
from airflow_mlops.profile.tally import Plan, Tally
from airflow_mlops.store import StoreOptions

__all__ = ["MOST_CELLS", "Source", "Stream", "open_stream", "remembered"]

Source: TypeAlias = str | Path | pa.Table | pa.RecordBatch | pa.RecordBatchReader | Any
"""A Parquet or CSV file, a folder of them, ``s3://``, anything with ``__arrow_c_stream__`` (pandas, polars, ...), or a
table of ibis, which is counted in its database."""

MOST_CELLS = 1 << 21
"""Cells of a batch: 16 MiB of numbers."""
# A column of a batch is small enough for a core's cache to help.
_MOST_ROWS = 1 << 16
# 256 MiB: a reference of a million rows and thirty columns.
_REMEMBERED_BYTES = 1 << 28


class Stream(NamedTuple):
    """A table that can be read in batches, again and again (but for a record batch reader)."""

    schema: pa.Schema
    rows: int | None
    batches: Callable[[Sequence[str]], Iterator[pa.RecordBatch]]
    again: bool = True
    tally: Callable[[Plan, str | None], tuple[Tally, tuple[dt.datetime, dt.datetime] | None]] | None = None
    """Counts the table where it lies, with the span of its time column; then ``batches`` are those for edges alone."""


@contextlib.contextmanager
def open_stream(
    source: Source, *, texts: Mapping[str, bool] | None = None, options: StoreOptions | None = None
) -> Iterator[Stream]:
    """Open a table for reading.

    Parameters
    ----------
    source : path, address or table
        See `Source`.
    texts : mapping of str to bool, optional
        Columns whose kind is known, for formats that have to guess it (CSV): True for text, False for numbers.
    options : StoreOptions, optional
        For ``s3://``.

    Raises
    ------
    DataError
        If there is nothing, or it is torn, of another format, or names two columns alike.
    ConfigError
        If it is nothing that holds a table, or may not be read.
    RemoteUnavailable
        If the store or the disk does not answer.
    """
    from airflow_mlops.profile.sql import is_expression, open_expression  # which makes streams too

    with contextlib.ExitStack() as stack:
        if is_expression(source):
            stream = open_expression(source)
        elif isinstance(source, str | Path):
            stream = stack.enter_context(_files(source, texts or {}, options))
        elif isinstance(source, pa.RecordBatchReader):
            stream = Stream(source.schema, None, lambda names: _selected(source, names), again=False)
        elif hasattr(source, "__arrow_c_stream__") or isinstance(source, pa.RecordBatch):
            stream = _in_memory(source)
        else:
            raise ConfigError(
                "expected a path, an s3:// address, or a table of Arrow, pandas or polars, got "
                f"{type(source).__name__}. Hand over one of those."
            )
        name, times = next(iter(Counter(stream.schema.names).most_common(1)), ("", 0))
        if times > 1:
            raise DataError(f"expected one column {name!r}, got {times}. Give each column a name of its own.")
        yield stream


def remembered(stream: Stream) -> Stream:
    """The stream, whose rows stay in memory once they were read if they fit: a reference is read twice.

    Names of the second reading have to be among those of the first; otherwise it is read again.
    """
    whole: list[pa.RecordBatch] = []

    def batches(names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        if whole and set(names) <= set(whole[0].schema.names):
            yield from (batch.select(list(names)) for batch in whole)
            return
        read: list[pa.RecordBatch] = []
        size = 0
        for batch in stream.batches(names):
            size += batch.nbytes
            if size <= _REMEMBERED_BYTES:
                read.append(batch)
            else:
                read.clear()
            yield batch
        whole[:] = read

    return stream._replace(batches=batches)


def batch_rows(columns: int) -> int:
    """Rows of a batch: as many as keep it small, however wide the table is."""
    return max(1, min(_MOST_ROWS, MOST_CELLS // max(columns, 1)))


@contextlib.contextmanager
def _files(source: str | Path, texts: Mapping[str, bool], options: StoreOptions | None) -> Iterator[Stream]:
    with open_files(source, texts, options) as files:
        yield Stream(files.schema, files.rows, lambda names: files.batches(names, batch_rows(len(names))))


def _in_memory(source: Any) -> Stream:
    if isinstance(source, pa.RecordBatch):
        source = pa.Table.from_batches([source])
    if not isinstance(source, pa.Table):
        # Two columns of one name are refused by pandas itself, in words of its own.
        names = [str(name) for name in getattr(source, "columns", ())]
        if len(set(names)) < len(names):
            return Stream(pa.schema([(name, pa.null()) for name in names]), 0, lambda _: iter(()))
        try:
            source = pa.RecordBatchReader.from_stream(source).read_all()
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
            raise DataError(
                f"expected columns of one type each, got a {type(source).__name__} that Arrow cannot read: "
                f"{str(error).splitlines()[0]}. Convert the column to one type."
            ) from error
    table: pa.Table = source
    return Stream(
        table.schema,
        table.num_rows,
        lambda names: iter(table.select(list(names)).to_batches(max_chunksize=batch_rows(len(names)))),
    )


def _selected(reader: pa.RecordBatchReader, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
    rows = batch_rows(len(names))
    for batch in reader:
        part = batch.select(list(names))
        for start in range(0, part.num_rows, rows):
            yield part.slice(start, rows)
