from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from airflow_mlops.calibrate.combination import LEAST_PROBABILITY, least_of, single_of, truncated_product


def test_the_least_of_several_is_as_improbable_as_it_is_rare() -> None:
    uniform = np.random.default_rng(0).random((20_000, 20)).min(axis=1)
    assert stats.kstest(least_of(uniform, 20), "uniform").pvalue > 0.01


def test_the_least_of_several_stays_exact_where_it_is_tiny() -> None:
    assert least_of(np.array([1e-30]), 20)[0] == pytest.approx(2e-29)
    assert least_of(np.array([0.0]), 20)[0] == LEAST_PROBABILITY
    assert least_of(np.array([1.0]), 20)[0] == pytest.approx(1.0)


def test_single_and_least_undo_each_other() -> None:
    single = np.array([1e-20, 1e-6, 0.02, 0.4])
    assert single_of(least_of(single, np.array([3, 20, 200, 2])), np.array([3, 20, 200, 2])) == pytest.approx(single)


def test_a_truncated_product_is_uniform_where_nothing_happened() -> None:
    # Most have no feature below 0.1, or few: above 0.5 the distribution has atoms, below it must be uniform.
    rng = np.random.default_rng(1)
    products = np.array([truncated_product(row) for row in rng.random((20_000, 20))])
    for level in (0.2, 0.05, 0.01):
        assert np.mean(products <= level) == pytest.approx(level, rel=0.15)


def test_several_that_lean_together_say_more_than_the_foremost() -> None:
    together = np.array([0.004, 0.006, 0.01, *np.full(17, 0.5)])
    assert truncated_product(together) < least_of(together.min(), 20) / 5
    alone = np.array([1e-7, *np.full(19, 0.5)])
    assert truncated_product(alone) > least_of(alone.min(), 20)


def test_nothing_below_the_truncation_says_nothing() -> None:
    assert truncated_product(np.full(5, 0.2)) == 1.0


def test_zero_is_as_improbable_as_can_be_said() -> None:
    assert truncated_product(np.zeros(20)) == LEAST_PROBABILITY
