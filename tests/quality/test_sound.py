from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from airflow_mlops.quality import NightTable, sound_night
from airflow_mlops.records import CheckOrigin, CheckOutcome, CheckResult

Judged = Callable[..., dict[str, CheckResult]]

NIGHT = dt.date(2011, 3, 5)
PASSED, FAILED, ERROR = CheckOutcome.PASSED, CheckOutcome.FAILED, CheckOutcome.ERROR


def hours(shift: float = 0, zone: str | None = None, unit: str = "us", rows: int = 24) -> pa.Array:
    start = dt.datetime(2011, 3, 5, tzinfo=dt.UTC if zone else None) + dt.timedelta(hours=shift)
    return pa.array([start + dt.timedelta(hours=hour) for hour in range(rows)], pa.timestamp(unit, zone))


@pytest.fixture
def judged(opened: Callable[[pa.Table], NightTable]) -> Judged:
    def judge(**replaced: Any) -> dict[str, CheckResult]:
        columns = {"dteday": hours(), "temp": pa.array([0.5] * 24), "cnt": pa.array(range(24))} | replaced
        night = opened(pa.table({name: values for name, values in columns.items() if values is not None}))
        found = sound_night(night, time_column="dteday", target="cnt", columns=["dteday", "temp", "cnt"])
        assert {finding.result.origin for finding in found} == {CheckOrigin.SOUND}
        return {finding.result.name: finding.result for finding in found}

    return judge


def test_a_sound_night_passes(judged: Judged) -> None:
    assert {name: result.outcome for name, result in judged().items()} == dict.fromkeys(
        ["rows", "columns", "target", "time"], PASSED
    )


def test_no_rows(judged: Judged) -> None:
    empty = judged(dteday=hours(rows=0), temp=pa.array([], pa.float64()), cnt=pa.array([], pa.int64()))
    assert (empty["rows"].outcome, empty["rows"].actual) == (FAILED, "0 rows")


def test_renamed_column(judged: Judged) -> None:
    results = judged(temp=None, Temp=pa.array([0.5] * 24))
    assert results["columns"].outcome is FAILED
    assert results["columns"].actual == "got no column 'temp' (did you mean 'Temp'?)"


def test_a_column_that_stands_twice(opened: Callable[[pa.Table], NightTable]) -> None:
    table = pa.table([hours(), pa.array(range(24)), pa.array(range(24))], names=["dteday", "cnt", "cnt"])
    found = sound_night(opened(table), time_column="dteday", target="cnt", columns=["cnt"])
    assert {result.name: (result.outcome, result.actual) for result, _ in found} == {
        "rows": (PASSED, "24 rows"),
        "columns": (FAILED, "got cnt, cnt, which SQL cannot tell apart"),
        "target": (ERROR, "got it 2 times"),
        "time": (PASSED, "all 24"),
    }


def test_columns_that_differ_in_case_alone(judged: Judged) -> None:
    result = judged(Temp=pa.array([0.5] * 24))["columns"]
    assert (result.outcome, result.actual) == (FAILED, "got temp, Temp, which SQL cannot tell apart")


def test_a_night_without_time_and_target_is_no_pass(judged: Judged) -> None:
    results = judged(dteday=None, cnt=None)
    assert results["columns"].outcome is FAILED
    assert results["time"].outcome is results["target"].outcome is ERROR


@pytest.mark.parametrize("kind", [pa.float64(), pa.float32()])
def test_target_with_null_nan_and_infinity(judged: Judged, kind: pa.DataType) -> None:
    values = [None, float("nan"), float("nan"), float("inf"), float("-inf"), *range(19)]
    target = judged(cnt=pa.array(values, kind, from_pandas=False))["target"]
    assert target.outcome is FAILED
    assert target.actual == "5 of 24 are not: 3 null or NaN, 2 infinite"


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
def test_type_of_the_target(judged: Judged, values: pa.Array, outcome: CheckOutcome) -> None:
    assert judged(cnt=values)["target"].outcome is outcome


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
def test_times_inside_the_night(judged: Judged, times: pa.Array) -> None:
    assert judged(dteday=times)["time"].outcome is PASSED


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
def test_times_outside_the_night(judged: Judged, times: pa.Array, actual: str) -> None:
    result = judged(dteday=times)["time"]
    assert result.outcome is FAILED
    assert result.actual.startswith(actual)


def test_one_stray_row_is_not_taken_for_a_time_zone(judged: Judged) -> None:
    stray = hours().to_pylist()
    stray[0] -= dt.timedelta(hours=5)
    result = judged(dteday=pa.array(stray, pa.timestamp("us")))["time"]
    assert result.actual == "1 of 24 rows outside; first 2011-03-04T19:00:00"


def test_a_time_too_far_away_for_a_calendar(judged: Judged) -> None:
    far = pa.array([2**62] * 24, pa.int64()).cast(pa.timestamp("us"))
    time = judged(dteday=far)["time"]
    assert (time.outcome, time.actual) == (FAILED, "24 of 24 rows outside; first 148108-07-06T14:00:27")


def test_a_table_without_time_or_target(opened: Callable[[pa.Table], NightTable]) -> None:
    found = sound_night(opened(pa.table({"x": [1.0]})), time_column=None, target=None, columns=[])
    assert [(result.name, result.outcome) for result, _ in found] == [("rows", PASSED), ("columns", PASSED)]


def test_the_rows_that_do_not_hold_with_their_numbers(opened: Callable[[pa.Table], NightTable]) -> None:
    times = hours().to_pylist()
    times[20] = None
    times[22] += dt.timedelta(days=1)
    counts = [*range(5), None, float("nan"), *range(10), float("-inf"), *range(6)]
    night = opened(pa.table({"dteday": pa.array(times, pa.timestamp("us")), "cnt": pa.array(counts, pa.float64())}))
    _, _, target, time = sound_night(night, time_column="dteday", target="cnt", columns=[])
    assert (target.result.failing_rows, time.result.failing_rows) == (3, 2)
    assert target.failing is not None
    assert target.failing(10)["row"].to_pylist() == [6, 7, 18]
    assert target.failing(2)["row"].to_pylist() == [6, 7]
    assert time.failing is not None
    rows = time.failing(10)
    assert rows.column_names == ["row", "dteday", "cnt"]
    assert rows["row"].to_pylist() == [21, 23]
    assert rows["cnt"].to_pylist() == [2.0, 4.0]
