from __future__ import annotations

import json
import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mlops.errors import DataError
from airflow_mlops.profile import Edges, Gram, Levels, Numbers, Profile, merge, profile, profile_table

EDGES: Edges = {"x": (-1.0, 0.0, 2.5), "y": (0.1, 0.3), "city": ("A", "B")}

numbers = st.one_of(st.none(), st.floats(-1e6, 1e6), st.sampled_from([float("nan"), float("inf"), -1.0, 0.0, 2.5]))
cities = st.one_of(st.sampled_from(["A", "B", "ü", "", None]), st.integers(0, 500).map(str))
rows = st.lists(st.tuples(numbers, numbers, cities), max_size=20)


def table_of(part: list[tuple[float | None, float | None, str | None]]) -> pa.Table:
    return pa.table(
        {
            "x": pa.array([x for x, _, _ in part], pa.float64()),
            "y": pa.array([y for _, y, _ in part], pa.float64()),
            "city": pa.array([city for _, _, city in part], pa.string()),
        }
    )


def profile_of(part: list[tuple[float | None, float | None, str | None]]) -> Profile:
    return profile_table(table_of(part), EDGES)


def gram_of(found: Profile) -> Gram:
    assert found.gram is not None
    return found.gram


def same(one: Profile, other: Profile) -> None:
    assert (one.rows, one.parts, set(one.columns), one.types) == (
        other.rows,
        other.parts,
        set(other.columns),
        other.types,
    )
    assert one.columns["city"] == other.columns["city"]
    for name in ("x", "y"):
        x, y = one.columns[name], other.columns[name]
        assert isinstance(x, Numbers)
        assert isinstance(y, Numbers)
        assert (x.counts, x.nulls, x.not_finite, x.low, x.high, x.edges) == (
            y.counts,
            y.nulls,
            y.not_finite,
            y.low,
            y.high,
            y.edges,
        )
        assert x.sums == pytest.approx(y.sums, rel=1e-9, abs=1e-6)
        assert x.deviation == pytest.approx(y.deviation, rel=1e-9, abs=1e-3)
    gram, more = gram_of(one), gram_of(other)
    assert (gram.columns, gram.rows, gram.centres) == (more.columns, more.rows, more.centres)
    assert (gram.pairs() == more.pairs()).all()
    assert gram.sums == pytest.approx(more.sums, rel=1e-9, abs=1e-6)
    assert gram.products == pytest.approx(more.products, rel=1e-9, abs=1e-3)


@given(st.lists(rows, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_merging_parts_is_profiling_the_whole_in_any_order(
    parts: list[list[tuple[float | None, float | None, str | None]]], shuffle: random.Random
) -> None:
    profiles = [profile_of(part) for part in parts]
    whole = profile_of([row for part in parts for row in part]).model_copy(update={"parts": len(parts)})
    same(merge(profiles), whole)
    shuffle.shuffle(profiles)
    same(merge(profiles), whole)


@given(rows, rows, rows)
def test_merging_is_associative(
    one: list[tuple[float | None, float | None, str | None]],
    two: list[tuple[float | None, float | None, str | None]],
    three: list[tuple[float | None, float | None, str | None]],
) -> None:
    a, b, c = profile_of(one), profile_of(two), profile_of(three)
    same(merge([merge([a, b]), c]), merge([a, merge([b, c])]))


@given(rows)
def test_json_keeps_everything(part: list[tuple[float | None, float | None, str | None]]) -> None:
    found = profile_of(part)
    assert Profile.from_json(json.loads(json.dumps(found.to_json(), indent=2))) == found


@given(rows)
def test_the_blank_changes_nothing(part: list[tuple[float | None, float | None, str | None]]) -> None:
    found = profile_of(part)
    same(merge([found.blank, found]), found)


def test_moments_are_those_of_numpy() -> None:
    values = np.random.default_rng(0).normal(20, 3, size=997)
    parts = [profile_table(pa.table({"x": part}), {"x": (15.0, 25.0)}) for part in np.array_split(values, 7)]
    column = merge(parts).columns["x"]
    assert isinstance(column, Numbers)
    assert column.mean == pytest.approx(values.mean())
    assert column.sd == pytest.approx(values.std())


def test_a_far_shift_costs_no_digits() -> None:
    rng = np.random.default_rng(0)
    nights = [1e9 + night + rng.normal(size=100) for night in range(20)]
    column = merge([profile_table(pa.table({"x": night}), {"x": (1e9, 1e9 + 10)}) for night in nights]).columns["x"]
    assert isinstance(column, Numbers)
    assert column.sd == pytest.approx(np.concatenate(nights).std(), rel=1e-6)


def test_a_column_that_a_part_lacks_is_null_there() -> None:
    whole = merge([profile_of([(1.0, 1.0, "A")]), profile_table(pa.table({"city": ["B", "B"]}), EDGES)])
    assert (whole.rows, whole.columns["x"].nulls, whole.columns["city"].nulls) == (3, 2, 0)
    assert gram_of(whole).columns == ()


def test_other_edges_are_refused() -> None:
    table = pa.table({"x": [1.0]})
    one = profile_table(table, {"x": (0.0,)})
    with pytest.raises(DataError, match="same edges"):
        merge([one, profile_table(table, {"x": (1.0,)})])
    with pytest.raises(DataError, match="same edges"):
        merge([one, profile_table(table, {"x": ()})])
    text = pa.table({"x": ["A"]})
    with pytest.raises(DataError, match="same edges"):
        merge([profile_table(text, {"x": ("A",)}), profile_table(text, {"x": ("B",)})])
    with pytest.raises(DataError, match="at least one"):
        merge([])


NIGHT = np.random.default_rng(0)
WIDE = {
    "numbers": lambda: NIGHT.normal(7, 1, size=20_000),
    "numbers with nulls": lambda: pa.array(NIGHT.normal(7, 1, size=20_000), mask=NIGHT.random(20_000) < 0.03),
    "a thousand levels": lambda: [f"level {level:04d}" for level in NIGHT.integers(0, 1000, 20_000)],
    "ids": lambda: [f"level {level:08d}" for level in NIGHT.permutation(20_000)],
}


@pytest.mark.parametrize(
    "kinds",
    [
        {"numbers": 100},
        {"numbers with nulls": 100},
        {"numbers with nulls": 80, "a thousand levels": 20},
        {"a thousand levels": 100},
        {"ids": 100},
    ],
    ids=lambda kinds: ", ".join(f"{count} {kind}" for kind, count in kinds.items()),
)
def test_a_hundred_columns_stay_below_200_kilobytes_as_stored(kinds: dict[str, int]) -> None:
    table = pa.table({f"a feature of {kind} {i}": WIDE[kind]() for kind, count in kinds.items() for i in range(count)})
    found = profile(table)
    assert len(found.columns) == 100
    # Records are indented (records/record.py), and a baseline's profile lies two levels deep.
    stored = json.dumps({"record": {"profile": found.to_json()}}, indent=2)
    assert len(stored) < 200_000
    assert Profile.from_json(json.loads(stored)["record"]["profile"]) == found


def test_a_profile_from_before_is_still_read() -> None:
    before = {
        "rows": 3,
        "parts": 1,
        "columns": {
            "x": {
                "kind": "numbers",
                "edges": [0.0, 1.0],
                "counts": [0, 1, 1],
                "sums": [0.0, 0.5, 1.5],
                "deviation": 0.5,
                "low": 0.5,
                "high": 1.5,
                "nulls": 1,
            },
            "city": {"kind": "levels", "counts": {"A": 3}, "nulls": 0},
        },
    }
    found = Profile.from_json(before)
    assert found.columns["x"].rows == found.columns["city"].rows == 3
    assert found.edges == {"x": (0.0, 1.0), "city": ("A",)}


def test_levels_and_numbers_count_their_rows() -> None:
    assert Levels(counts={"A": 2}, nulls=1, other=3, novel={"C": 3}).rows == 6
    table = pa.table({"x": [1.0, None, float("nan")]})
    column = profile_table(table, {"x": (0.0,)}).columns["x"]
    assert isinstance(column, Numbers)
    assert (column.rows, column.present, column.nulls, column.not_finite) == (3, 1, 1, 1)


def test_types_and_span_are_joined() -> None:
    def night(hour: int, values: pa.Array) -> Profile:
        table = pa.table({"x": values, "at": [f"2011-03-05 {hour}:00"]})
        return profile(table, edges={"x": (0.0,)}, time_column="at")

    whole = merge([night(14, pa.array([1])), night(11, pa.array([1.5]))])
    assert whole.types == {"x": "integer or number", "at": "text"}
    assert whole.span is not None
    assert [end.isoformat() for end in whole.span] == ["2011-03-05T11:00:00+00:00", "2011-03-05T14:00:00+00:00"]
