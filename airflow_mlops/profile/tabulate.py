"""From a table to its profile, in one pass."""

from __future__ import annotations

import datetime as dt
import functools
import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from airflow_mlops.errors import DataError
from airflow_mlops.profile.bins import edges_of_stream, wanted
from airflow_mlops.profile.kinds import is_numeric, kind_of
from airflow_mlops.profile.source import Source, Stream, open_stream, remembered
from airflow_mlops.profile.summary import Profile
from airflow_mlops.profile.tally import Plan, Tally, plan_of, tally
from airflow_mlops.store import StoreOptions

__all__ = ["profile", "profile_table"]

# One thread reads; more than four that count would wait for it.
_MOST_WORKERS = 4
# Of 260,000 rows, a correlation is known to 0.002; of longer files every so manieth batch is looked at.
_CORRELATED_ROWS = 1 << 18


def profile(
    source: Source,
    *,
    edges: Mapping[str, Sequence[float] | Sequence[str]] | None = None,
    columns: Sequence[str] | None = None,
    time_column: str | None = None,
    options: StoreOptions | None = None,
) -> Profile:
    """Boil a table down, in one pass and in bounded memory.

    Parameters
    ----------
    source : path, address or table
        A Parquet or CSV file, a folder of them, ``s3://BUCKET/KEY``, a table of Arrow, pandas or polars, or one of
        ibis, which is counted in its database.
    edges : mapping of str to sequence, optional
        From `edges_of` the reference, or ``reference.edges``. Without them, the table is its own reference (and is
        read twice). A column that the table lacks is left out.
    columns : sequence of str, optional
        Those to look at; by default all that have edges.
    time_column : str, optional
        Column whose first and last time is the profile's ``span``.
    options : StoreOptions, optional
        For ``s3://``.

    Raises
    ------
    DataError
        If the table has none of the columns, has one twice, or holds text where the reference has numbers, or the
        other way about; if a file is torn, or an object in S3 was exchanged while it was read.
    ConfigError
        If the source is nothing that holds a table, or there are more than 2,000 columns to look at.
    RemoteUnavailable
        If the store or the disk does not answer.

    Examples
    --------
    >>> table = pa.table({"temp": [0.1, 0.2, 0.7, None], "city": ["A", "B", "A", "C"]})
    >>> found = profile(table, edges={"temp": (0.0, 0.5, 1.0), "city": ("A", "B")})
    >>> found.columns["temp"].counts, found.columns["temp"].nulls
    ((0, 2, 1, 0), 1)
    >>> found.columns["city"].counts, found.columns["city"].novel
    ({'A': 2, 'B': 1}, {'C': 1})
    """
    texts = {name: not _are_numbers(bins) for name, bins in (edges or {}).items() if len(bins)}
    with open_stream(source, texts=texts, options=options) as opened:
        stream = remembered(opened) if edges is None else opened
        if edges is None:
            edges = edges_of_stream(stream, columns)
        elif columns is not None:
            edges = {name: edges[name] for name in columns if name in edges}
        kinds = {field.name: kind_of(field.type) for field in stream.schema}
        plan = _plan(edges, kinds)
        if time_column is not None:
            wanted(stream.schema, [time_column])
        count = stream.tally or functools.partial(_counted, stream)
        total, span = count(plan, time_column)
    counted = total.columns(plan)
    return Profile(
        rows=total.rows,
        columns={name: counted[name] for name in edges if name in counted},
        gram=total.gram(plan),
        types=kinds,
        span=span,
    )


def profile_table(table: pa.Table, edges: Mapping[str, Sequence[float] | Sequence[str]]) -> Profile:
    """`profile` of a table in memory, in the edges of a reference.

    Examples
    --------
    >>> profile_table(pa.table({"temp": [0.1, 0.7]}), {"temp": (0.0, 0.5, 1.0)}).columns["temp"].counts
    (0, 1, 1, 0)
    """
    return profile(table, edges=edges)


def _are_numbers(bins: Sequence[float] | Sequence[str]) -> bool:
    return len(bins) > 0 and not isinstance(bins[0], str)


def _plan(edges: Mapping[str, Sequence[float] | Sequence[str]], kinds: Mapping[str, str]) -> Plan:
    here = {name: bins for name, bins in edges.items() if name in kinds}
    if edges and not here:
        raise DataError(
            f"expected columns of the reference ({', '.join(list(edges)[:20])}), got none of them but "
            f"{', '.join(list(kinds)[:20])}. Compare a table with a reference of its own kind."
        )
    for name, bins in here.items():
        kind, numbers = kinds[name], _are_numbers(bins)
        if len(bins) and kind != "null" and numbers != is_numeric(kind):
            raise DataError(
                f"column {name!r}: expected {'numbers' if numbers else 'text'} as in the reference, got {kind}. "
                "Correct how the column is written, or take a new reference."
            )
    return plan_of(here, [name for name, bins in here.items() if _are_numbers(bins)])


def _counted(
    stream: Stream, plan: Plan, time_column: str | None
) -> tuple[Tally, tuple[dt.datetime, dt.datetime] | None]:
    """Read it through; with the span of its time column."""
    total = Tally.empty(plan)
    spans: list[tuple[dt.datetime, dt.datetime]] = []
    stride = max(1, (stream.rows or 0) // _CORRELATED_ROWS)

    def count(place: int, batch: pa.RecordBatch) -> tuple[Tally, tuple[dt.datetime, dt.datetime] | None]:
        part = tally(batch, plan, correlate=place % stride == 0)
        return part, None if time_column is None else _span(batch.column(time_column), time_column)

    names = [*plan.numbers, *plan.levels]
    read = names if time_column is None or time_column in names else [*names, time_column]
    for part, span in _in_step(count, stream.batches(read)):
        total.add(part)
        spans += [span] if span else []
    if not spans:
        return total, None
    return total, (min(since for since, _ in spans), max(until for _, until in spans))


def _in_step(count: Callable[[int, pa.RecordBatch], Any], batches: Iterable[pa.RecordBatch]) -> Iterator[Any]:
    """Count while the next batch is read; results in the order of the batches, so that sums are always the same."""
    numbered = enumerate(batches)
    begin = list(itertools.islice(numbered, 2))
    if len(begin) < 2:  # noqa: PLR2004 - one batch is nothing to share out
        yield from itertools.starmap(count, begin)
        return
    workers = min(len(os.sched_getaffinity(0)), _MOST_WORKERS)
    waiting: deque[Future[Any]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="profile") as pool:
        for place, batch in itertools.chain(begin, numbered):
            waiting.append(pool.submit(count, place, batch))
            if len(waiting) > workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _span(column: pa.Array, name: str) -> tuple[dt.datetime, dt.datetime] | None:
    """First and last time of a batch; a time without a zone is in UTC, as everywhere in this package."""
    kind = kind_of(column.type)
    try:
        ends = pc.min_max(column.cast(pa.timestamp("us", getattr(column.type, "tz", None)), safe=False)).as_py()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(
            f"expected times in the column {name!r}, got {kind}: {str(error)[:100]}. Name a column of times, or of "
            "text such as 2011-03-05 14:00."
        ) from error
    if ends["min"] is None:
        return None
    since, until = (
        end.astimezone(dt.UTC) if end.tzinfo else end.replace(tzinfo=dt.UTC) for end in (ends["min"], ends["max"])
    )
    return since, until
