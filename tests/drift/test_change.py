from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest

from airflow_mlops.drift.change import Change, ChangeKind, changes
from airflow_mlops.profile import edges_of, profile_table

Columns = dict[str, object]


def found(before: Columns, after: Columns) -> dict[tuple[str, ChangeKind], Change]:
    one, other = pa.table(before), pa.table(after)
    edges = edges_of(one)
    told = changes(profile_table(one, edges), profile_table(other, edges))
    assert len({(change.feature, change.kind, change.about) for change in told}) == len(told)
    return {(change.feature, change.kind): change for change in told}


def normal(rows: int = 4000, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=rows)


def test_nothing_changed_between_a_table_and_itself() -> None:
    table: Columns = {"x": normal(), "city": ["A", "B", None, "C"] * 1000}
    assert found(table, table) == {}


def test_a_mean_in_standard_deviations() -> None:
    change = found({"x": 10 + 2 * normal()}, {"x": 11 + 2 * normal(seed=1)})["x", ChangeKind.MEAN]
    assert (change.before, change.after) == (pytest.approx(10, abs=0.1), pytest.approx(11, abs=0.1))
    assert change.size == pytest.approx(0.5, abs=0.05)
    assert change.error == pytest.approx(math.sqrt(2 / 4000), rel=0.05)


def test_a_spread_whose_size_is_that_of_a_mean_as_unlikely() -> None:
    change = found({"x": normal()}, {"x": 1.5 * normal(seed=1)})["x", ChangeKind.SPREAD]
    # The log of a normal sample's standard deviation scatters by 1 / sqrt(2 n).
    assert change.size == pytest.approx(math.log(1.5) * math.sqrt(2), rel=0.15)


@pytest.mark.parametrize("kind", [ChangeKind.MEAN, ChangeKind.SPREAD, ChangeKind.NULLS, ChangeKind.LEVEL])
@pytest.mark.parametrize("draw", ["normal", "lognormal", "integer"])
def test_chance_makes_sizes_as_large_as_their_error(kind: ChangeKind, draw: str) -> None:
    rng = np.random.default_rng(0)

    def table(rows: int) -> pa.Table:
        x = {"normal": rng.normal(size=rows), "lognormal": rng.lognormal(size=rows), "integer": rng.poisson(2.0, rows)}
        missing = rng.random(rows) < 0.03
        return pa.table(
            {
                "x": pa.array(x[draw].astype(float), mask=missing),
                "city": rng.choice(["A", "B"], rows, p=[0.8, 0.2]),
            }
        )

    reference = table(20_000)
    edges = edges_of(reference)
    before = profile_table(reference, edges)
    scores = [
        change.size / change.error
        for _ in range(120)
        for change in changes(before, profile_table(table(800), edges))
        if change.kind is kind and change.feature == ("city" if kind is ChangeKind.LEVEL else "x")
    ]
    # Of heavy tails the kurtosis is that of their greatest value: with caution.
    assert (0.25 if (kind, draw) == (ChangeKind.SPREAD, "lognormal") else 0.6) < np.std(scores) < 1.35


def test_a_wild_value_is_no_move() -> None:
    wild = normal(seed=1)
    wild[0] = 1e9
    told = found({"x": normal()}, {"x": wild})
    assert abs(told["x", ChangeKind.MEAN].size) < 2 * told["x", ChangeKind.MEAN].error
    assert ("x", ChangeKind.SPREAD) not in told


def test_nulls_and_nan() -> None:
    told = found({"x": [1.0, 2.0] * 100}, {"x": [1.0, 2.0, None, math.nan] * 50})
    assert told["x", ChangeKind.NULLS].after == 0.5


def test_levels_that_moved_came_and_went() -> None:
    before = ["A"] * 50 + ["B"] * 40 + ["C"] * 9 + ["D"]
    after = ["A"] * 70 + ["C"] * 9 + ["E"] * 11 + ["F"] * 10
    told = found({"city": before * 10}, {"city": after * 10})
    assert told["city", ChangeKind.LEVEL].about == "A"
    assert told["city", ChangeKind.GONE_LEVEL].about == "B"
    new = told["city", ChangeKind.NEW_LEVELS]
    assert (new.about, new.after, new.unmistakable) == ("'E', 'F'", 0.21, True)


def test_a_rare_new_level_is_no_alarm_by_itself() -> None:
    new = found({"city": ["A", "B"] * 100}, {"city": ["A", "B"] * 100 + ["C"] * 5})["city", ChangeKind.NEW_LEVELS]
    assert not new.unmistakable
    few = found({"city": ["A", "B"] * 100}, {"city": ["A", "B"] * 5 + ["C"] * 4})["city", ChangeKind.NEW_LEVELS]
    assert not few.unmistakable


def test_ids_are_new_every_night_and_that_is_usual() -> None:
    told = found({"id": [f"a{i}" for i in range(3000)]}, {"id": [f"b{i}" for i in range(2000)]})
    assert not told  # all rows were new before, all are new now


@pytest.mark.parametrize("values", [[None] * 4, [math.nan] * 4])
def test_what_is_gone(values: list[float]) -> None:
    told = found({"x": [1.0, 2.0], "y": [1.0, 2.0]}, {"x": pa.array(values, pa.float64())})
    assert told["x", ChangeKind.EMPTIED].unmistakable
    assert told["y", ChangeKind.VANISHED].unmistakable
    assert len(told) == 2


def test_a_correlation_that_flipped_with_unchanged_marginals() -> None:
    x, y = normal(), normal(seed=1)
    x2, y2 = normal(seed=2), normal(seed=3)
    told = found({"x": x, "y": 0.6 * x + 0.8 * y}, {"x": x2, "y": -0.6 * x2 + 0.8 * y2})
    change = told["x", ChangeKind.CORRELATION]
    assert change.about == "y"
    assert change.before == pytest.approx(0.6, abs=0.05)
    assert change.after == pytest.approx(-0.6, abs=0.05)
    assert max(told.values(), key=lambda one: abs(one.size)) == change


def test_a_constant_that_changed() -> None:
    told = found({"version": [5.0] * 50}, {"version": [6.0] * 50})
    assert told["version", ChangeKind.SHAPE].size > 1.5


def test_largest_first() -> None:
    rng = np.random.default_rng(0)
    before = pa.table({"a": rng.normal(size=500), "b": rng.normal(size=500), "c": ["u", "v"] * 250})
    after = pa.table({"a": rng.normal(size=500) + 0.5, "b": rng.normal(size=500) + 1, "c": ["w", "v"] * 250})
    edges = edges_of(before)
    told = changes(profile_table(before, edges), profile_table(after, edges))
    assert told[0].unmistakable
    sizes = [abs(change.size) for change in told if not change.unmistakable]
    assert sizes == sorted(sizes, reverse=True)
