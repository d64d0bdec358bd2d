from __future__ import annotations

import datetime as dt
from typing import Any

import pyarrow as pa
import pytest

from airflow_mlops.quality.partition import sound_partition
from airflow_mlops.records import CheckOutcome, CheckResult

NIGHT = dt.date(2011, 3, 5)
PASSED, FAILED, ERROR = CheckOutcome.PASSED, CheckOutcome.FAILED, CheckOutcome.ERROR


def hours(shift: float = 0, zone: str | None = None, unit: str = "us", rows: int = 24) -> pa.Array:
    start = dt.datetime(2011, 3, 5, tzinfo=dt.UTC if zone else None) + dt.timedelta(hours=shift)
    return pa.array([start + dt.timedelta(hours=hour) for hour in range(rows)], pa.timestamp(unit, zone))


def checked(**replaced: Any) -> dict[str, CheckResult]:
    columns = {"dteday": hours(), "temp": pa.array([0.5] * 24), "cnt": pa.array(range(24))} | replaced
    table = pa.table({name: values for name, values in columns.items() if values is not None})
    results = sound_partition(table, night=NIGHT, time_column="dteday", target="cnt", columns=["dteday", "temp", "cnt"])
    return {result.name: result for result in results}


def test_a_sound_night_passes() -> None:
    assert {name: result.outcome for name, result in checked().items()} == dict.fromkeys(
        ["rows", "columns", "target", "time"], PASSED
    )


def test_no_rows() -> None:
    empty = checked(dteday=hours(rows=0), temp=pa.array([], pa.float64()), cnt=pa.array([], pa.int64()))
    assert (empty["rows"].outcome, empty["rows"].actual) == (FAILED, "0 rows")


def test_renamed_column() -> None:
    results = checked(temp=None, Temp=pa.array([0.5] * 24))
    assert results["columns"].outcome is FAILED
    assert results["columns"].actual == "got no column 'temp' (did you mean 'Temp'?)"


def test_a_column_that_stands_twice() -> None:
    table = pa.table([hours(), pa.array(range(24)), pa.array(range(24))], names=["dteday", "cnt", "cnt"])
    results = list(sound_partition(table, night=NIGHT, time_column="dteday", target="cnt", columns=["cnt"]))
    assert {result.name: (result.outcome, result.actual) for result in results} == {
        "rows": (PASSED, "24 rows"),
        "columns": (FAILED, "got cnt, cnt, which SQL cannot tell apart"),
        "target": (ERROR, "got it 2 times"),
        "time": (PASSED, "all 24"),
    }


def test_columns_that_differ_in_case_alone() -> None:
    result = checked(Temp=pa.array([0.5] * 24))["columns"]
    assert (result.outcome, result.actual) == (FAILED, "got temp, Temp, which SQL cannot tell apart")


def test_a_night_without_time_and_target_is_no_pass() -> None:
    results = checked(dteday=None, cnt=None)
    assert results["columns"].outcome is FAILED
    assert results["time"].outcome is results["target"].outcome is ERROR


@pytest.mark.parametrize("kind", [pa.float64(), pa.float32()])
def test_target_with_null_nan_and_infinity(kind: pa.DataType) -> None:
    values = [None, float("nan"), float("nan"), float("inf"), float("-inf"), *range(19)]
    target = checked(cnt=pa.array(values, kind, from_pandas=False))["target"]
    assert target.outcome is FAILED
    assert target.actual == "5 of 24 are not: 1 null, 2 NaN, 2 infinite"


@pytest.mark.parametrize(
    ("values", "outcome"),
    [
        (pa.array(range(24), pa.uint8()), PASSED),
        (pa.array(range(24), pa.int64()).cast(pa.decimal128(21, 2)), PASSED),
        (pa.array([str(value) for value in range(24)]), FAILED),
        (pa.array([True] * 24), FAILED),
        (pa.nulls(24), FAILED),
    ],
)
def test_type_of_the_target(values: pa.Array, outcome: CheckOutcome) -> None:
    assert checked(cnt=values)["target"].outcome is outcome


@pytest.mark.parametrize(
    "times",
    [
        hours(zone="UTC"),
        hours(zone="+00:00"),
        hours(zone="Etc/UTC"),
        hours(unit="s"),
        hours(unit="ms"),
        hours(unit="ns"),
        hours(unit="ns", zone="UTC"),
        pa.array([NIGHT] * 24),
        pa.array([dt.datetime(2011, 3, 5, 23, 59, 59, 999_999)] * 24, pa.timestamp("us")),
    ],
)
def test_times_inside_the_night(times: pa.Array) -> None:
    assert checked(dteday=times)["time"].outcome is PASSED


@pytest.mark.parametrize(
    ("times", "actual"),
    [
        (hours(-5), "5 of 24 rows outside; first 2011-03-04T19:00:00; looks like a shift of -5 h"),
        (hours(5.75), "5 of 24 rows outside; first 2011-03-06T00:45:00; looks like a shift of +5.75 h"),
        (
            hours(8, zone="Asia/Shanghai"),
            "times in the zone Asia/Shanghai: write them in UTC; 8 of 24 rows outside",
        ),
        (hours(zone="Europe/London"), "times in the zone Europe/London: write them in UTC"),
        (hours(48), "24 of 24 rows outside; first 2011-03-07T00:00:00"),
        (pa.array([NIGHT + dt.timedelta(1)] * 24), "24 of 24 rows outside; first 2011-03-06T00:00:00"),
        (hours().cast(pa.string()), "values of type string"),
        (pa.array(range(24)), "values of type int64"),
        (pa.nulls(24, pa.timestamp("us")), "24 of 24 times are null"),
    ],
)
def test_times_outside_the_night(times: pa.Array, actual: str) -> None:
    result = checked(dteday=times)["time"]
    assert result.outcome is FAILED
    assert result.actual.startswith(actual)


def test_one_stray_row_is_not_taken_for_a_time_zone() -> None:
    stray = hours().to_pylist()
    stray[0] -= dt.timedelta(hours=5)
    result = checked(dteday=pa.array(stray, pa.timestamp("us")))["time"]
    assert result.actual == "1 of 24 rows outside; first 2011-03-04T19:00:00"


def test_a_time_too_far_away_for_microseconds() -> None:
    far = pa.array([2**62] * 24, pa.int64()).cast(pa.timestamp("s"))
    assert checked(dteday=far)["time"].outcome is FAILED
