"""What every night must hold, whatever its contract says: rows, the model's columns, a finite target, its own hours."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from airflow_mlops.quality.night_sql import quoted, rows_of, rows_where, run
from airflow_mlops.quality.night_table import Finding, NightTable
from airflow_mlops.records import CheckOrigin, CheckOutcome, CheckResult
from airflow_mlops.table import missing_columns

__all__ = ["shift_of", "sound_night"]

_UTC_NAMES = frozenset({"UTC", "ETC/UTC", "Z", "+00:00", "-00:00", "GMT", "ZULU"})
# Zones lie a multiple of 15 minutes from UTC, at most 14 hours (Kiritimati).
_ZONE_STEP = 15 * 60
_LARGEST_ZONE = 14 * 3600
_DAY = 24 * 3600
_INFINITE = "(CAST('Infinity' AS DOUBLE PRECISION), CAST('-Infinity' AS DOUBLE PRECISION))"


class _Check(NamedTuple):
    """A check: the aggregates (SQL) that it needs, and what it makes of their values."""

    aggregates: Sequence[str]
    judged: Callable[..., Finding]


def sound_night(
    table: NightTable, *, time_column: str | None, target: str | None, columns: Sequence[str]
) -> tuple[Finding, ...]:
    """Check a night that could be read, with one query.

    Parameters
    ----------
    table : NightTable
        The night.
    time_column, target : str or None
        Columns of the table, if it has such.
    columns : sequence of str
        Every column that it must have.

    Returns
    -------
    tuple of Finding
        ``rows``, ``columns``, then ``target`` and ``time`` if there are such columns.

    Raises
    ------
    RemoteUnavailable
        If the disk or the database does not answer.
    """
    checks = [_Check(["count(*)"], lambda rows: _finding("rows", "at least 1 row", f"{rows} rows", passed=rows > 0))]
    checks.append(_Check([], lambda: _columns(table.schema.names, columns)))
    if target is not None:
        checks.append(_finite(table, target))
    if time_column is not None:
        checks.append(_inside(table, time_column))
    aggregates = [aggregate for check in checks for aggregate in check.aggregates]
    asked = f"SELECT {', '.join(aggregates)} FROM {rows_of(table)}"  # noqa: S608 - columns are quoted
    values = iter(run(table, asked).rows[0])
    return tuple(check.judged(*(next(values) for _ in check.aggregates)) for check in checks)


def shift_of(first: float, last: float, *, start: int) -> int | None:
    """Recognise a night that was written in another time zone: moved to begin with the day, it ends with it.

    Parameters
    ----------
    first, last : float
        Earliest and latest time of the rows, in seconds since the epoch.
    start : int
        When the night begins, likewise.

    Returns
    -------
    int or None
        By how many seconds the rows lie too late (negative: too early), a multiple of 15 minutes; None if no time
        zone explains where they lie.

    Examples
    --------
    >>> shift_of(-5 * 3600, 18 * 3600, start=0) / 3600
    -5.0
    >>> shift_of(-5 * 3600, 23 * 3600, start=0) is None
    True
    """
    shift = int((first - start) // _ZONE_STEP) * _ZONE_STEP
    fits = first - shift >= start and last - shift < start + _DAY
    return shift if fits and shift and abs(shift) <= _LARGEST_ZONE else None


def _columns(names: Sequence[str], expected: Sequence[str]) -> Finding:
    lower = [name.lower() for name in names]
    alike = [name for name in names if lower.count(name.lower()) > 1]
    fault = missing_columns(expected, names)
    if not fault and alike:
        fault = f"got {', '.join(alike)}, which SQL cannot tell apart"
    return _finding("columns", f"{', '.join(expected) or 'columns'}, each once", fault or "all there", passed=not fault)


def _finite(table: NightTable, target: str) -> _Check:
    expected = f"a finite number in every row of {target}"
    if (kind := _type(table, target)) is None:
        return _not_evaluated("target", target, expected, table)
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        return _wrong_type("target", target, expected, kind)
    infinite = f"{quoted(target)} IN {_INFINITE}" if pa.types.is_floating(kind) else "1 = 0"
    missing = f"{quoted(target)} IS NULL"

    def judged(rows: int, nulls: int, infinities: int) -> Finding:
        bad = nulls + infinities
        actual = f"{bad} of {rows} are not: {nulls} null or NaN, {infinities} infinite" if bad else f"all {rows}"
        failing = rows_where(table, f"{missing} OR {infinite}") if bad else None
        return _finding("target", expected, actual, target, passed=not bad, failing_rows=bad, failing=failing)

    return _Check(["count(*)", *(f"count(*) FILTER (WHERE {condition})" for condition in (missing, infinite))], judged)


def _inside(table: NightTable, time_column: str) -> _Check:
    expected = f"every time within {table.night}, as naive or UTC times"
    if (kind := _type(table, time_column)) is None:
        return _not_evaluated("time", time_column, expected, table)
    if not (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
        return _wrong_type("time", time_column, expected, kind)
    column, after = quoted(time_column), table.night + dt.timedelta(days=1)
    outside = f"{column} < TIMESTAMP '{table.night}' OR {column} >= TIMESTAMP '{after}'"
    seconds = f"CAST(extract(epoch FROM {{}}({column})) AS DOUBLE PRECISION)"

    def judged(rows: int, known: int, count: int, first: float, last: float, first_outside: float) -> Finding:
        faults = [] if known == rows else [f"{rows - known} of {rows} times are null"]
        zone = getattr(kind, "tz", None)
        if zone and zone.upper() not in _UTC_NAMES:
            faults.insert(0, f"times in the zone {zone}: write them in UTC")
        if count:
            faults.append(f"{count} of {rows} rows outside; first {_moment(first_outside)}")
            start = int(np.datetime64(table.night, "s").astype(np.int64))
            if shift := shift_of(first, last, start=start):
                faults.append(f"looks like a shift of {shift / 3600:+g} h")
        bad = rows - known + count
        return _finding(
            "time",
            expected,
            "; ".join(faults) or f"all {rows}",
            time_column,
            passed=not faults,
            failing_rows=bad,
            failing=rows_where(table, f"{column} IS NULL OR {outside}") if bad else None,
        )

    counts = ["count(*)", f"count({column})", f"count(*) FILTER (WHERE {outside})"]
    extremes = [seconds.format("min"), seconds.format("max")]
    first_outside = f"CAST(extract(epoch FROM min({column}) FILTER (WHERE {outside})) AS DOUBLE PRECISION)"
    return _Check([*counts, *extremes, first_outside], judged)


def _type(table: NightTable, name: str) -> pa.DataType | None:
    return table.schema.field(name).type if table.schema.names.count(name) == 1 else None


def _moment(seconds: float) -> str:
    return str(np.datetime64(int(seconds // 1), "s"))


def _wrong_type(name: str, column: str, expected: str, kind: pa.DataType) -> _Check:
    return _Check([], lambda: _finding(name, expected, f"values of type {kind}", column, passed=False))


def _not_evaluated(name: str, column: str, expected: str, table: NightTable) -> _Check:
    times = table.schema.names.count(column)
    actual = f"got it {times} times" if times else missing_columns([column], table.schema.names)
    return _Check([], lambda: _finding(name, expected, actual, column, passed=None))


def _finding(
    name: str,
    expected: str,
    actual: str,
    column: str | None = None,
    *,
    passed: bool | None,
    failing_rows: int | None = None,
    failing: Callable[[int], pa.Table] | None = None,
) -> Finding:
    outcome = {True: CheckOutcome.PASSED, False: CheckOutcome.FAILED, None: CheckOutcome.ERROR}[passed]
    result = CheckResult(
        name=name,
        column=column,
        outcome=outcome,
        expected=expected,
        actual=actual,
        origin=CheckOrigin.SOUND,
        failing_rows=failing_rows,
    )
    return Finding(result, failing)
