"""What every night must hold, whatever its contract says: rows, the model's columns, a finite target, its own hours."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from airflow_mlops.records import CheckOutcome, CheckResult
from airflow_mlops.table import missing_columns

__all__ = ["shift_of", "sound_partition"]

_UTC_NAMES = frozenset({"UTC", "ETC/UTC", "Z", "+00:00", "-00:00", "GMT", "ZULU"})
# Zones lie a multiple of 15 minutes from UTC, at most 14 hours (Kiritimati).
_ZONE_STEP = 15 * 60 * 1_000_000
_LARGEST_ZONE = 14 * 3600 * 1_000_000
_DAY = 24 * 3600 * 1_000_000


def sound_partition(
    table: pa.Table, *, night: dt.date, time_column: str, target: str, columns: Sequence[str]
) -> Iterator[CheckResult]:
    """Check a night that could be read.

    Parameters
    ----------
    table : pyarrow.Table
        The whole night, shape (n_rows, n_columns).
    night : date
        The day that its rows must lie in, UTC.
    time_column, target : str
        Columns of the model.
    columns : sequence of str
        Every column that the model needs.

    Yields
    ------
    CheckResult
        ``rows``, ``columns``, ``target``, ``time``, in this order.
    """
    yield _result("rows", "at least 1 row", f"{table.num_rows} rows", passed=table.num_rows > 0)
    yield _columns(table.column_names, columns)
    yield _finite(table, target)
    yield _inside(table, time_column, night)


def shift_of(first: int, last: int, *, start: int) -> int | None:
    """Recognise a night that was written in another time zone: moved to begin with the day, it ends with it.

    Parameters
    ----------
    first, last : int
        Earliest and latest time of the rows, in microseconds since the epoch.
    start : int
        When the night begins, likewise.

    Returns
    -------
    int or None
        By how many microseconds the rows lie too late (negative: too early), a multiple of 15 minutes; None if no
        time zone explains where they lie.

    Examples
    --------
    >>> hour = 3_600_000_000
    >>> shift_of(-5 * hour, 18 * hour, start=0) / hour
    -5.0
    >>> shift_of(-5 * hour, 23 * hour, start=0) is None
    True
    """
    shift = (first - start) // _ZONE_STEP * _ZONE_STEP
    fits = first - shift >= start and last - shift < start + _DAY
    return shift if fits and shift and abs(shift) <= _LARGEST_ZONE else None


def _columns(names: Sequence[str], expected: Sequence[str]) -> CheckResult:
    lower = [name.lower() for name in names]
    alike = [name for name in names if lower.count(name.lower()) > 1]
    fault = missing_columns(expected, names)
    if not fault and alike:
        fault = f"got {', '.join(alike)}, which SQL cannot tell apart"
    return _result("columns", f"{', '.join(expected)}, each once", fault or "all there", passed=not fault)


def _finite(table: pa.Table, target: str) -> CheckResult:
    expected = f"a finite number in every row of {target}"
    if (column := _column(table, target)) is None:
        return _not_evaluated("target", target, expected, table)
    kind = column.type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        return _result("target", expected, f"values of type {kind}", target, passed=False)
    nulls, rows, nans, infinite = column.null_count, table.num_rows, 0, 0
    if pa.types.is_floating(kind):
        nans, infinite = _count(pc.is_nan(column)), _count(pc.is_inf(column))
    bad = nulls + nans + infinite
    actual = f"{bad} of {rows} are not: {nulls} null, {nans} NaN, {infinite} infinite" if bad else f"all {rows}"
    return _result("target", expected, actual, target, passed=not bad)


def _inside(table: pa.Table, time_column: str, night: dt.date) -> CheckResult:
    expected = f"every time within {night}, as naive or UTC times"
    if (column := _column(table, time_column)) is None:
        return _not_evaluated("time", time_column, expected, table)
    if not (pa.types.is_timestamp(column.type) or pa.types.is_date(column.type)):
        return _result("time", expected, f"values of type {column.type}", time_column, passed=False)
    faults = []
    zone = getattr(column.type, "tz", None)
    if zone and zone.upper() not in _UTC_NAMES:
        faults.append(f"times in the zone {zone}: write them in UTC")
    if column.null_count:
        faults.append(f"{column.null_count} of {table.num_rows} times are null")
    times = _microseconds(column)
    start = int(np.datetime64(night, "us").astype(np.int64))
    outside = times[(times < start) | (times >= start + _DAY)]
    if outside.size:
        faults.append(f"{outside.size} of {table.num_rows} rows outside; first {_moment(int(outside.min()))}")
        if shift := shift_of(int(times.min()), int(times.max()), start=start):
            faults.append(f"looks like a shift of {shift / 3_600_000_000:+g} h")
    return _result("time", expected, "; ".join(faults) or f"all {table.num_rows}", time_column, passed=not faults)


def _column(table: pa.Table, name: str) -> pa.ChunkedArray | None:
    return table[name] if table.column_names.count(name) == 1 else None


def _microseconds(column: pa.ChunkedArray) -> NDArray[np.int64]:
    # Unsafe: nanoseconds are cut off, and a time too far away for microseconds wraps around, out of the night.
    known = column.drop_null().cast(pa.timestamp("us", getattr(column.type, "tz", None)), safe=False)
    times: NDArray[np.int64] = known.cast(pa.int64()).to_numpy()
    return times


def _moment(microseconds: int) -> str:
    return str(np.datetime64(microseconds, "us").astype("datetime64[s]"))


def _count(mask: pa.ChunkedArray) -> int:
    return int(pc.sum(mask).as_py() or 0)


def _result(name: str, expected: str, actual: str, column: str | None = None, *, passed: bool) -> CheckResult:
    outcome = CheckOutcome.PASSED if passed else CheckOutcome.FAILED
    return CheckResult(name=name, column=column, outcome=outcome, expected=expected, actual=actual)


def _not_evaluated(name: str, column: str, expected: str, table: pa.Table) -> CheckResult:
    times = table.column_names.count(column)
    actual = f"got it {times} times" if times else missing_columns([column], table.column_names)
    return CheckResult(name=name, column=column, outcome=CheckOutcome.ERROR, expected=expected, actual=actual)
