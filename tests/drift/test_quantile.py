from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_mlops.drift.quantile import quantiles
from airflow_mlops.profile import Numbers, edges_of, profile_table

ASKED = [0.0, 0.01, 0.25, 0.5, 0.75, 0.99, 1.0]


def profiled(values: object, edges: tuple[float, ...] | None = None) -> Numbers:
    table = pa.table({"x": pa.array(values, pa.float64())})
    column = profile_table(table, {"x": edges} if edges else edges_of(table)).columns["x"]
    assert isinstance(column, Numbers)
    return column


@settings(deadline=None)  # two cores may be busy with other things
@given(st.lists(st.integers(-9, 9), min_size=1, max_size=80))
def test_exact_where_bins_are_values(values: list[int]) -> None:
    expected = np.quantile(values, ASKED, method="inverted_cdf")
    assert quantiles(profiled(values), ASKED) == pytest.approx(expected.tolist())


@settings(deadline=None)  # two cores may be busy with other things
@given(st.lists(st.integers(-9, 9), min_size=1, max_size=80))
def test_exact_for_few_broken_values(values: list[int]) -> None:
    broken = [value / 10 for value in values]
    expected = np.quantile(broken, ASKED, method="inverted_cdf")
    assert quantiles(profiled(broken), ASKED) == pytest.approx(expected.tolist())


@pytest.mark.parametrize("draw", ["normal", "lognormal", "uniform"])
def test_within_a_bin_otherwise(draw: str) -> None:
    values = getattr(np.random.default_rng(0), draw)(size=5000)
    found = quantiles(profiled(values), ASKED[1:-1])
    for probability, value in zip(ASKED[1:-1], found, strict=True):
        assert abs(np.mean(values <= value) - probability) < 1 / 32


@settings(deadline=None)  # two cores may be busy with other things
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50))
def test_they_rise_from_the_least_to_the_greatest(values: list[float]) -> None:
    column = profiled(values, (-10.0, 0.0, 10.0))
    found = quantiles(column, ASKED)
    assert (np.diff(found) >= -1e-9).all()
    assert (found[0], found[-1]) == pytest.approx((min(values), max(values)), rel=1e-12, abs=1e-9)


def test_of_nothing() -> None:
    assert all(math.isnan(value) for value in quantiles(profiled([None], (0.0,)), ASKED))
