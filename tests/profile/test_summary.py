from __future__ import annotations

import json
import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mlops.errors import DataError
from airflow_mlops.profile import Levels, Numbers, Profile, merge, profile_table

EDGES = {"x": (-1.0, 0.0, 2.5), "city": ()}

numbers = st.one_of(st.none(), st.floats(-1e6, 1e6), st.sampled_from([float("nan"), float("inf"), -1.0, 0.0, 2.5]))
rows = st.lists(st.tuples(numbers, st.sampled_from(["A", "B", "ü", "", None])), max_size=20)


def table_of(part: list[tuple[float | None, str | None]]) -> pa.Table:
    return pa.table(
        {
            "x": pa.array([x for x, _ in part], pa.float64()),
            "city": pa.array([city for _, city in part], pa.string()),
        }
    )


def profile_of(part: list[tuple[float | None, str | None]]) -> Profile:
    return profile_table(table_of(part), EDGES)


def same(one: Profile, other: Profile) -> None:
    assert (one.rows, one.parts, set(one.columns)) == (other.rows, other.parts, set(other.columns))
    assert one.columns["city"] == other.columns["city"]
    x, y = one.columns["x"], other.columns["x"]
    assert isinstance(x, Numbers)
    assert isinstance(y, Numbers)
    assert (x.counts, x.nulls, x.low, x.high, x.edges) == (y.counts, y.nulls, y.low, y.high, y.edges)
    assert x.sums == pytest.approx(y.sums, rel=1e-9, abs=1e-6)
    assert x.deviation == pytest.approx(y.deviation, rel=1e-9, abs=1e-3)


@given(st.lists(rows, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_merging_parts_is_profiling_the_whole_in_any_order(
    parts: list[list[tuple[float | None, str | None]]], shuffle: random.Random
) -> None:
    profiles = [profile_of(part) for part in parts]
    whole = profile_of([row for part in parts for row in part]).model_copy(update={"parts": len(parts)})
    same(merge(profiles), whole)
    shuffle.shuffle(profiles)
    same(merge(profiles), whole)


@given(rows, rows, rows)
def test_merging_is_associative(
    one: list[tuple[float | None, str | None]],
    two: list[tuple[float | None, str | None]],
    three: list[tuple[float | None, str | None]],
) -> None:
    a, b, c = profile_of(one), profile_of(two), profile_of(three)
    same(merge([merge([a, b]), c]), merge([a, merge([b, c])]))


@given(rows)
def test_json_gives_the_same_profile_back(part: list[tuple[float | None, str | None]]) -> None:
    profile = profile_of(part)
    assert Profile.from_json(json.loads(json.dumps(profile.to_json(), allow_nan=False))) == profile


def test_moments_survive_a_large_offset() -> None:
    values = np.random.default_rng(0).normal(1.7e9, 1.0, 2000)
    edges = {"t": (1.7e9 - 1, 1.7e9, 1.7e9 + 1)}
    column = merge(profile_table(pa.table({"t": part}), edges) for part in np.split(values, 20)).columns["t"]
    assert isinstance(column, Numbers)
    assert column.mean == pytest.approx(values.mean(), abs=1e-5)
    assert column.sd == pytest.approx(values.std(), rel=1e-6)


def test_a_column_that_a_part_lacks_is_null_there() -> None:
    merged = merge([profile_table(pa.table({"x": [0.0, 3.0]}), EDGES), profile_table(pa.table({"y": [1.0]}), EDGES)])
    x = merged.columns["x"]
    assert (merged.rows, x.present, x.nulls) == (3, 2, 1)
    assert "city" not in merged.columns


def test_other_edges_or_other_kinds_do_not_merge() -> None:
    table = pa.table({"x": [0.0, 3.0]})
    one = profile_table(table, {"x": (0.0,)})
    with pytest.raises(DataError, match="same edges"):
        merge([one, profile_table(table, {"x": (1.0,)})])
    with pytest.raises(DataError, match="same edges"):
        merge([one, profile_table(table, {"x": ()})])
    with pytest.raises(DataError, match="at least one"):
        merge([])


def test_a_profile_of_the_demo_night_is_small() -> None:
    rng = np.random.default_rng(0)
    names = [f"c{i}" for i in range(100)]
    table = pa.table({name: rng.normal(size=1000) for name in names})
    profile = profile_table(table, {name: tuple(np.linspace(-2, 2, 33)) for name in names})
    assert len(json.dumps(profile.to_json())) < 200_000


def test_levels_and_numbers_count_their_rows() -> None:
    assert Levels(counts={"A": 2}, nulls=1).rows == 3
    column = profile_table(pa.table({"x": [1.0, None]}), {"x": (0.0,)}).columns["x"]
    assert (column.rows, column.present) == (2, 1)


@given(rows)
def test_the_blank_changes_nothing(part: list[tuple[float | None, str | None]]) -> None:
    profile = profile_of(part)
    same(merge([profile.blank, profile]), profile)
