"""Two tables without a past: what is called drift, what is not, what is no input."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from airflow_mlops.drift.comparable import require_comparable
from airflow_mlops.drift.compare import Comparison, compare, distances_of
from airflow_mlops.errors import ConfigError, DataError
from airflow_mlops.profile import Levels, Profile, edges_of, profile_table
from airflow_mlops.records import DriftVerdict

SHARES = [0.5, 0.3, 0.15, 0.05]
Draw = np.random.Generator


def table(rows: int, seed: int, **columns: object) -> pa.Table:
    rng = np.random.default_rng(seed)
    found: dict[str, object] = {f"f{i}": rng.normal(size=rows) for i in range(18)}
    found["city"] = rng.choice(list("ABCD"), rows, p=SHARES)
    found["price"] = rng.lognormal(0, 1.5, rows)
    return pa.table(found | columns)


REFERENCE = table(20_000, seed=0)
EDGES = edges_of(REFERENCE)
BEFORE = profile_table(REFERENCE, EDGES)


def judged(current: pa.Table, **options: float) -> Comparison:
    return compare(BEFORE, profile_table(current, EDGES), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("rows", [60, 500, 5000])
@pytest.mark.parametrize("seed", range(1, 6))
def test_another_night_is_stable(rows: int, seed: int) -> None:
    found = judged(table(rows, seed))
    assert found.verdict is DriftVerdict.STABLE
    assert found.judged_by == "reference"
    assert found.reasons[0].startswith("nothing unusual; a mean that moves by 0.")
    assert {one.feature for one in found.features} == {*REFERENCE.column_names}


def test_nights_that_differ_are_no_drift() -> None:
    rng = np.random.default_rng(0)
    verdicts = []
    for seed in range(60):
        night = table(2000, seed + 100)
        effects = rng.normal(0, 0.1, 18)
        moved = {f"f{i}": night[f"f{i}"].to_numpy() + effect for i, effect in enumerate(effects)}
        verdicts.append(judged(table(2000, seed + 100, **moved)).verdict)
    assert verdicts.count(DriftVerdict.DRIFT) == 0
    assert verdicts.count(DriftVerdict.WATCH) <= 1


@pytest.mark.parametrize("sign", [1, -1])
def test_a_shift_is_found_and_said(sign: int) -> None:
    current = table(5000, 1)
    moved = table(5000, 1, f3=current["f3"].to_numpy() + sign * 0.8)
    found = judged(moved)
    assert found.verdict is DriftVerdict.DRIFT
    assert found.features[0].feature == "f3"
    assert [one.verdict for one in found.features[1:]] == [DriftVerdict.STABLE] * 19
    assert found.reasons[0].startswith(f"f3 moved {'up' if sign > 0 else 'down'} by 0.")
    assert found.features[0].words == found.reasons[0]


def test_watch_lies_between_stable_and_drift() -> None:
    current = table(5000, 1)["f3"].to_numpy()
    verdicts = [judged(table(5000, 1, f3=current + shift)).verdict for shift in np.linspace(0, 1, 26)]
    order = [DriftVerdict.STABLE, DriftVerdict.WATCH, DriftVerdict.DRIFT]
    ranks = [order.index(verdict) for verdict in verdicts]
    assert ranks == sorted(ranks)
    assert set(verdicts) == set(order)


def test_a_larger_budget_says_more() -> None:
    moved = table(5000, 1, f3=table(5000, 1)["f3"].to_numpy() + 0.5)
    assert judged(moved, false_alarms_per_year=0.1).verdict is DriftVerdict.STABLE
    assert judged(moved, false_alarms_per_year=50).verdict is DriftVerdict.DRIFT
    for budget in (0.0, -1.0, math.nan, 366.0):
        with pytest.raises(ConfigError, match="budget of false alarms"):
            judged(moved, false_alarms_per_year=budget)


def test_the_least_effect_is_mostly_seen() -> None:
    least = judged(table(5000, 1)).least_effect
    seen = []
    for seed in range(1, 21):
        # What nights add on their own, as it is taken to be, is part of the promise.
        shift = least + np.random.default_rng(seed).normal(0, 0.125)
        current = table(5000, seed)
        seen.append(judged(table(5000, seed, f3=current["f3"].to_numpy() + shift)).verdict is DriftVerdict.DRIFT)
    assert 0.6 <= np.mean(seen) <= 0.98


def correlated(rng: Draw, rows: int) -> dict[str, object]:
    x = rng.normal(size=rows)
    return {"f5": x, "f6": 0.7 * x + 0.7 * rng.normal(size=rows)}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda rng, n: {"f5": 10 * rng.normal(size=n)}, "f5 looks like another unit, times 10"),
        (lambda rng, n: {"f5": 1.8 * rng.normal(size=n) + 32}, "f5 looks like another unit, times 1.8 plus 32"),
        (lambda rng, n: {"f5": 2 * rng.normal(size=n)}, "f5 spreads 2 times as wide"),
        (lambda rng, n: {"f5": rng.choice([-1.0, 1.0], n)}, "f5 changed shape by"),
        (lambda rng, n: {"f5": pa.array(rng.normal(size=n), mask=rng.random(n) < 0.2)}, "f5: nulls 0 % -> "),
        (lambda rng, n: {"city": rng.choice(list("ABCE"), n, p=[0.5, 0.3, 0.14, 0.06])}, "city: never seen before:"),
        (lambda rng, n: {"city": rng.choice(list("ABD"), n, p=[0.5, 0.4, 0.1])}, "city: gone: 'C'"),
        (lambda rng, n: {"city": rng.choice(list("ABCD"), n, p=[0.1, 0.7, 0.15, 0.05])}, "city: 'A' 49 % -> "),
        (correlated, "f5: correlation with f6"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("rows", [500, 5000])
def test_what_is_unmistakable_is_drift_without_a_past(
    change: Callable[[Draw, int], dict[str, object]], reason: str, rows: int
) -> None:
    found = judged(table(rows, 1, **change(np.random.default_rng(9), rows)))
    assert found.verdict is DriftVerdict.DRIFT
    assert found.reasons[0].startswith(reason)


def test_a_vanished_column_is_drift() -> None:
    found = judged(table(5000, 1).drop_columns(["f4"]))
    assert (found.verdict, found.reasons) == (DriftVerdict.DRIFT, ("f4 vanished",))
    assert found.features[0].distances == {}


def test_too_few_rows_are_insufficient_but_what_is_plain_is_plain() -> None:
    few = judged(table(20, 1))
    assert few.verdict is DriftVerdict.INSUFFICIENT
    assert "too few rows: only a shift of 1." in few.reasons[0]
    assert judged(table(1, 1)).verdict is DriftVerdict.INSUFFICIENT
    far = table(20, 1)["f0"].to_numpy() + 8
    assert judged(table(20, 1, f0=far)).verdict is DriftVerdict.DRIFT


def test_few_rows_do_not_alarm_by_accident() -> None:
    verdicts = [judged(table(rows, seed)).verdict for rows in (2, 5, 20) for seed in range(40)]
    assert verdicts.count(DriftVerdict.DRIFT) <= 1
    assert verdicts.count(DriftVerdict.WATCH) <= 3


def test_importance_orders_the_reasons() -> None:
    moved = table(5000, 1)
    moved = table(5000, 1, f0=moved["f0"].to_numpy() + 2, f9=moved["f9"].to_numpy() + 1)
    current = profile_table(moved, EDGES)
    assert [reason[:2] for reason in compare(BEFORE, current).reasons] == ["f0", "f9"]
    assert [reason[:2] for reason in compare(BEFORE, current, importance={"f9": 1.0}).reasons] == ["f9", "f0"]


def test_a_comparison_survives_its_json() -> None:
    found = judged(table(500, 1).drop_columns(["f4"]))
    assert Comparison.model_validate_json(found.model_dump_json()).verdict is found.verdict


def test_distances_of_what_cannot_be_compared() -> None:
    column = Levels(counts={"A": 3}, nulls=0)
    assert distances_of(column, None) == {}
    assert distances_of(column, Levels(counts={"A": 0}, nulls=3)) == {"null_rate_difference": 1.0}


def two(before: dict[str, object], after: dict[str, object]) -> tuple[Profile, Profile]:
    tables = pa.table(before), pa.table(after)
    edges = edges_of(tables[0])
    return profile_table(tables[0], edges), profile_table(tables[1], edges)


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ({"x": [1.0], "y": [1.0]}, {"x": pa.array([], pa.float64())}, "expected now.csv to have rows, got 0"),
        ({"x": [1.0]}, {"x": pa.nulls(3, pa.float64())}, "values in the column 'x' of now.csv, got only nulls"),
        ({"x": pa.nulls(3), "y": [1, 2, 3]}, {"x": pa.nulls(3), "y": [1, 2, 3]}, "of the reference, got only nulls"),
        ({"x": [1.0, 2.0]}, {"x": [True, False]}, "held in the reference .number., got boolean"),
        ({"x": pa.array([1, 2], pa.timestamp("s"))}, {"x": [1, 2]}, "held in the reference .time., got integer"),
    ],
)  # fmt: skip
def test_what_is_no_input(before: dict[str, object], after: dict[str, object], reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        require_comparable(*two(before, after), name="now.csv")


def test_whole_and_broken_numbers_are_comparable_and_so_is_a_vanished_column() -> None:
    require_comparable(*two({"x": [1, 2]}, {"x": [1.5, 2.0]}))
    require_comparable(*two({"x": [1, 2], "y": [1, 2]}, {"x": [1.5, 2.0], "new": ["a", "b"]}))
