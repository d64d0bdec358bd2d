from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from airflow_mlops.drift.distance import (
    column_distance,
    design_effect,
    sampling_distance,
    scale_of,
    total_variation_distance,
    wasserstein_distance,
)
from airflow_mlops.errors import DataError
from airflow_mlops.profile import Levels, Numbers, edges_of, profile_table


def profiled(reference: object, *others: object) -> list[Numbers]:
    tables = [pa.table({"x": values}) for values in (reference, *others)]
    edges = edges_of(tables[0])
    columns = [profile_table(table, edges).columns["x"] for table in tables]
    assert all(isinstance(column, Numbers) for column in columns)
    return columns  # type: ignore[return-value]


@pytest.mark.parametrize("seed", range(5))
def test_wasserstein_from_bins_is_that_of_the_rows_for_a_shift(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=5000), rng.normal(0.5, 1.3, size=700)
    reference, current = profiled(x, y)
    assert wasserstein_distance(reference, current) == pytest.approx(stats.wasserstein_distance(x, y), rel=0.01)


@settings(deadline=None)  # two cores may be busy with other things
@given(
    st.lists(st.integers(-5, 5), min_size=1, max_size=50),
    st.lists(st.integers(-5, 5), min_size=1, max_size=50),
)
def test_wasserstein_is_exact_for_few_levels(x: list[int], y: list[int]) -> None:
    edges = {"x": tuple(float(value) for value in sorted({*x, *y}))}
    reference, current = (profile_table(pa.table({"x": values}), edges).columns["x"] for values in (x, y))
    assert isinstance(reference, Numbers)
    assert isinstance(current, Numbers)
    assert wasserstein_distance(reference, current) == pytest.approx(stats.wasserstein_distance(x, y), abs=1e-9)


@settings(deadline=None)  # two cores may be busy with other things
@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=60), st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=60))
def test_wasserstein_never_exceeds_that_of_the_rows_nor_falls_below_the_shift_of_means(
    x: list[float], y: list[float]
) -> None:
    reference, current = profiled(x, y)
    distance = wasserstein_distance(reference, current)
    assert distance <= stats.wasserstein_distance(x, y) + 1e-6
    assert distance >= abs(np.mean(x) - np.mean(y)) - 1e-6
    assert distance == pytest.approx(wasserstein_distance(current, reference))


def test_a_column_of_nulls_has_no_wasserstein_distance() -> None:
    reference, current = profiled([1.0, 2.0], [None, None])
    with pytest.raises(DataError, match="nothing but nulls"):
        wasserstein_distance(reference, current)
    assert column_distance(reference, current, scale=1.0) == 1.0


def test_nulls_count_as_one_unit_away() -> None:
    reference, current = profiled([1.0, 2.0] * 10, [1.0, 2.0, None, None])
    assert column_distance(reference, current, scale=scale_of(reference)) == pytest.approx(0.5)


@pytest.mark.parametrize(("values", "scale"), [([5.0, 5.0], 5.0), ([0.0, 0.0], 1.0), ([-2.0, 2.0], 2.0)])
def test_a_constant_is_measured_by_its_own_size(values: list[float], scale: float) -> None:
    assert scale_of(profiled(values)[0]) == scale


def test_total_variation_counts_new_levels_and_nulls() -> None:
    reference = Levels(counts={"A": 8, "B": 2}, nulls=0)
    assert total_variation_distance(reference, reference) == 0
    assert total_variation_distance(reference, Levels(counts={"C": 3}, nulls=0)) == 1
    assert total_variation_distance(reference, Levels(counts={"A": 8, "B": 2}, nulls=10)) == pytest.approx(0.5)


def test_levels_and_numbers_are_not_compared() -> None:
    with pytest.raises(DataError, match="edges of the reference"):
        column_distance(Levels(counts={"A": 1}, nulls=0), profiled([1.0])[0], scale=1.0)


def test_chance_exceeds_the_sampling_distance_about_as_often_as_stated() -> None:
    rng = np.random.default_rng(0)
    reference, *windows = profiled(rng.normal(size=2000), *(rng.normal(size=168) for _ in range(1000)))
    limit = sampling_distance(reference, rows=168, tail_probability=0.02)
    exceeded = np.mean([column_distance(reference, window, scale=scale_of(reference)) > limit for window in windows])
    assert 0.002 <= exceeded <= 0.05


def test_chance_rarely_exceeds_the_sampling_distance_of_levels() -> None:
    rng = np.random.default_rng(0)
    shares = [0.5, 0.3, 0.15, 0.05]
    reference, *windows = (
        Levels(counts=dict(zip("ABCD", rng.multinomial(rows, shares).tolist(), strict=True)), nulls=0)
        for rows in (2000, *[168] * 1000)
    )
    limit = sampling_distance(reference, rows=168, tail_probability=0.02)
    assert np.mean([total_variation_distance(reference, window) > limit for window in windows]) <= 0.02


def test_design_effect_tells_rows_of_one_night_from_rows_of_many() -> None:
    rng = np.random.default_rng(0)
    spread = [profiled(rng.normal(size=24))[0] for _ in range(60)]
    constant = [profiled(np.full(24, value))[0] for value in rng.normal(size=60)]
    assert design_effect(spread) == pytest.approx(1.0, abs=0.5)
    assert design_effect(constant) == pytest.approx(24)
    assert design_effect(constant[:1]) == 1.0
    one_level = [Levels(counts={level: 24}, nulls=0) for level in "ABAABBABAB"]
    mixed = [Levels(counts={"A": 12, "B": 12}, nulls=0)] * 10
    assert design_effect(one_level) == pytest.approx(24)
    assert design_effect(mixed) == 1.0
