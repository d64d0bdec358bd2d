from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mlops.profile import Levels, merge, profile
from airflow_mlops.profile.novelty import MOST_NOVEL, distinct_levels, lowest_ranks, ranks


def levels_of(values: list[str], known: tuple[str, ...] = ("A",)) -> Levels:
    column = profile(pa.table({"x": values}), edges={"x": known}).columns["x"]
    assert isinstance(column, Levels)
    return column


def test_new_levels_are_counted_apart() -> None:
    column = levels_of(["A", "B", "B", "C", "A"])
    assert (column.counts, column.other, column.novel, column.other_levels) == ({"A": 2}, 3, {"B": 2, "C": 1}, 2)


@pytest.mark.parametrize("levels", [1_000, 100_000])
def test_many_levels_are_estimated_and_their_sample_is_exact(levels: int) -> None:
    values = np.array([f"user-{i:07d}" for i in range(levels)] * 2)
    column = levels_of(np.random.default_rng(0).permutation(values).tolist())
    assert column.other == 2 * levels
    assert len(column.novel) == MOST_NOVEL
    assert set(column.novel.values()) == {2}
    # Four standard errors of 1 / sqrt(62).
    assert abs(column.other_levels / levels - 1) < 4 / np.sqrt(MOST_NOVEL - 2)


@given(st.lists(st.lists(st.integers(0, 300).map(str), max_size=200), min_size=1, max_size=4), st.randoms())
def test_the_sample_of_parts_is_that_of_the_whole(parts: list[list[str]], shuffle: random.Random) -> None:
    tables = [pa.table({"x": pa.array(part, pa.string())}) for part in parts]
    whole = profile(pa.concat_tables(tables), edges={"x": ("1", "2")}).columns["x"]
    profiles = [profile(table, edges={"x": ("1", "2")}) for table in tables]
    shuffle.shuffle(profiles)
    assert merge(profiles).columns["x"] == whole


def test_ranks_are_spread_evenly_for_numbered_levels() -> None:
    for pattern in ("{}", "user {:08d}", "{:x}-item"):
        found = np.sort(ranks([pattern.format(i) for i in range(20_000)]))
        assert np.abs(found - np.linspace(0, 1, 20_000)).max() < 0.02
        assert distinct_levels(lowest_ranks([pattern.format(i) for i in range(20_000)])) == pytest.approx(
            20_000, rel=0.5
        )


def test_essays_are_told_apart_by_their_beginning() -> None:
    column = levels_of(["x" * 5000, "x" * 6000, "y" * 5000])
    assert column.novel == {"x" * 120: 2, "y" * 120: 1}
