from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mlops.profile import frequent
from airflow_mlops.profile.frequent import MostFrequent, level_counts

levels = st.lists(st.one_of(st.sampled_from("ABC"), st.integers(0, 60).map(str)), max_size=300)


def counted(values: list[str], size: int = 7) -> MostFrequent:
    found = MostFrequent()
    for start in range(0, len(values), size):
        found.add(Counter(values[start : start + size]))
    return found


@given(levels)
def test_few_levels_are_ranked_exactly(values: list[str]) -> None:
    ranked = sorted(Counter(values).items(), key=lambda item: (-item[1], item[0]))
    assert counted(values).first(10) == tuple(level for level, _ in ranked[:10])


@given(levels)
def test_a_level_in_more_than_one_row_of_as_many_as_are_kept_stays(values: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frequent, "_KEPT", 20)
        kept = counted(values).first(1000)
    assert len(kept) <= 20 + 7
    assert {level for level, rows in Counter(values).items() if rows > len(values) / 20} <= set(kept)


def test_a_few_levels_are_found_among_millions() -> None:
    rng = np.random.default_rng(0)
    found, frequent_ones = MostFrequent(), [f"level {i}" for i in range(200)]
    for start in range(0, 400_000, 20_000):
        ids = [f"user {i}" for i in range(start, start + 20_000)]
        found.add(Counter([*ids, *rng.choice(frequent_ones, size=4000).tolist()]))
        assert len(found._counts) <= (1 << 16)
    assert set(found.first(200)) == set(frequent_ones)


def test_rows_of_a_level_are_counted_however_it_was_encoded() -> None:
    column = pa.DictionaryArray.from_arrays(pa.array([0, 2, None, 2]), pa.array(["B", "never", "A"]))
    assert level_counts(column) == {"B": 1, "A": 2}
    long = ["x" * 200 + "1", "x" * 200 + "2"]
    assert level_counts(pa.array(long).dictionary_encode()) == {"x" * 120: 2}
