"""Distances from profiles beside scipy's from rows, on data whose values are the bins."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.spatial import distance as scipy_distance

from airflow_mlops.drift import distance as room
from airflow_mlops.profile import Levels, Numbers, profile_table

pytestmark = [
    # scipy warns of its own p-value for the smallest samples; only its statistic is looked at.
    pytest.mark.filterwarnings("ignore::RuntimeWarning:scipy"),
]
WHOLE = st.lists(st.integers(-6, 6), min_size=1, max_size=60)


def numbers(values: list[int], edges: tuple[float, ...]) -> Numbers:
    column = profile_table(pa.table({"x": values}), {"x": edges}).columns["x"]
    assert isinstance(column, Numbers)
    return column


def both(x: list[int], y: list[int]) -> tuple[Numbers, Numbers]:
    edges = tuple(float(value) for value in sorted({*x, *y}))
    return numbers(x, edges), numbers(y, edges)


def counted(x: list[int], y: list[int]) -> np.ndarray:
    values = sorted({*x, *y})
    return np.array([[side.count(value) for value in values] for side in (x, y)])


@settings(deadline=None)  # two cores may be busy with other things
@given(WHOLE, WHOLE)
def test_wasserstein_agrees_with_scipy(x: list[int], y: list[int]) -> None:
    assert room.wasserstein_distance(*both(x, y)) == pytest.approx(stats.wasserstein_distance(x, y), abs=1e-9)


@settings(deadline=None)  # two cores may be busy with other things
@given(WHOLE, WHOLE)
def test_kolmogorov_smirnov_agrees_with_scipy_and_its_bounds_meet(x: list[int], y: list[int]) -> None:
    expected = stats.ks_2samp(x, y, method="asymp").statistic
    assert room.kolmogorov_smirnov_distance(*both(x, y)) == pytest.approx((expected, expected), abs=1e-12)


@settings(deadline=None)  # two cores may be busy with other things
@given(st.lists(st.floats(-4, 4), min_size=1, max_size=60), st.lists(st.floats(-4, 4), min_size=1, max_size=60))
def test_kolmogorov_smirnov_lies_within_its_bounds(x: list[float], y: list[float]) -> None:
    edges = (-2.0, -1.0, 0.0, 0.5, 2.0)
    one, other = (profile_table(pa.table({"x": values}), {"x": edges}).columns["x"] for values in (x, y))
    assert isinstance(one, Numbers)
    assert isinstance(other, Numbers)
    found = room.kolmogorov_smirnov_distance(one, other)
    assert found.low - 1e-12 <= stats.ks_2samp(x, y, method="asymp").statistic <= found.high + 1e-12


def test_the_bounds_of_kolmogorov_smirnov_are_as_near_as_the_bins_are_fine() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=3000), rng.normal(0.4, 1, size=3000)
    edges = tuple(np.quantile(x, np.linspace(0, 1, 33)).tolist())
    one, other = (profile_table(pa.table({"x": values}), {"x": edges}).columns["x"] for values in (x, y))
    assert isinstance(one, Numbers)
    assert isinstance(other, Numbers)
    low, high = room.kolmogorov_smirnov_distance(one, other)
    assert low <= stats.ks_2samp(x, y, method="asymp").statistic <= high
    assert high - low < 0.06


@settings(deadline=None)  # two cores may be busy with other things
@given(WHOLE, WHOLE)
def test_jensen_shannon_agrees_with_scipy(x: list[int], y: list[int]) -> None:
    expected = scipy_distance.jensenshannon(*counted(x, y), base=2)
    assert room.jensen_shannon_distance(*both(x, y)) == pytest.approx(np.nan_to_num(expected), abs=1e-6)


@settings(deadline=None)  # two cores may be busy with other things
@given(WHOLE, WHOLE)
def test_chi_square_and_g_agree_with_scipy(x: list[int], y: list[int]) -> None:
    counts = counted(x, y)
    for mine, family in ((room.chi_square, "pearson"), (room.g_statistic, "log-likelihood")):
        expected = stats.chi2_contingency(counts, correction=False, lambda_=family)
        levels = [Levels(counts={str(i): int(n) for i, n in enumerate(side)}, nulls=3) for side in counts]
        for found in (mine(*both(x, y)), mine(levels[0], levels[1])):
            assert found.statistic == pytest.approx(expected.statistic, abs=1e-9)
            assert found.expected == expected.dof
            assert found.p_value == pytest.approx(expected.pvalue, abs=1e-9)


@settings(deadline=None)  # two cores may be busy with other things
@given(WHOLE, WHOLE)
def test_the_index_agrees_with_entropies_of_counts_and_a_half(x: list[int], y: list[int]) -> None:
    # The open bin below the first value is a cell too, with half a row in it.
    before, now = np.pad(counted(x, y), ((0, 0), (1, 0))) + 0.5
    expected = stats.entropy(before, now) + stats.entropy(now, before)
    assert room.population_stability_index(*both(x, y)) == pytest.approx(expected, abs=1e-9)
