from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from airflow_mlops.calibrate import upper_limits
from airflow_mlops.calibrate.variance import squeezed_variances
from airflow_mlops.errors import ConfigError


@pytest.mark.parametrize("tail", [0.05, 0.01])
@pytest.mark.parametrize("spread", [0.0, 0.5])
def test_one_more_number_exceeds_its_limit_as_often_as_stated(tail: float, spread: float) -> None:
    rng = np.random.default_rng(7)
    exceeded = []
    for _ in range(1500):
        scatter = 0.4 * np.exp(spread * rng.normal(size=(12, 1)))
        numbers = np.exp(rng.normal(size=(12, 1)) + scatter * rng.normal(size=(12, 9)))
        limits = upper_limits(numbers[:, :8], effective_windows=8, tail_probability=tail)
        exceeded.append(np.mean(numbers[:, 8] > limits))
    assert np.mean(exceeded) == pytest.approx(tail, rel=0.25)


def test_series_lend_each_other_strength() -> None:
    past = np.exp(np.random.default_rng(0).normal(0.0, 0.3, size=(12, 6)))
    alone = np.concatenate([upper_limits(p[None], effective_windows=6, tail_probability=0.001) for p in past])
    together = upper_limits(past, effective_windows=6, tail_probability=0.001)
    assert np.median(together) < np.median(alone) / 2


def test_more_budget_means_lower_limits_and_fewer_windows_higher_ones() -> None:
    past = np.exp(np.random.default_rng(0).normal(0.0, 0.3, size=(4, 30)))
    limits = [
        upper_limits(past, effective_windows=w, tail_probability=p) for w, p in ((8, 0.01), (8, 0.001), (4, 0.001))
    ]
    assert (limits[0] < limits[1]).all()
    assert (limits[1] < limits[2]).all()


def test_a_series_that_never_varies_neither_lends_nor_borrows() -> None:
    varying = np.exp(np.random.default_rng(0).normal(0.0, 0.3, size=(4, 30)))
    still = np.full((1, 30), 0.25)
    limits = upper_limits(np.vstack([varying, still]), effective_windows=8, tail_probability=0.01)
    assert limits[4] == pytest.approx(0.25)
    assert limits[:4] == pytest.approx(upper_limits(varying, effective_windows=8, tail_probability=0.01))


def test_squeezing_recovers_what_the_variances_were_drawn_from() -> None:
    # Smyth (2004): 1 / variance ~ chi2(d0) / (d0 s0^2), sample variances ~ variance chi2(d) / d.
    rng = np.random.default_rng(1)
    true = 0.2 * 10 / rng.chisquare(10, size=20_000)
    sample = true * rng.chisquare(5, size=true.size) / 5
    squeezed, freedom = squeezed_variances(sample, degrees_of_freedom=5)
    assert freedom == pytest.approx(15, rel=0.1)
    assert np.mean((squeezed - true) ** 2) < 0.5 * np.mean((sample - true) ** 2)


def test_equal_variances_become_one() -> None:
    squeezed, freedom = squeezed_variances(np.array([0.2, 0.21, 0.19]), degrees_of_freedom=5)
    assert np.isinf(freedom)
    assert np.ptp(squeezed) == 0
    # The mean of a log chi-square lies below the log of its mean (Smyth 2004, equation 6.2).
    assert squeezed[0] == pytest.approx(0.2 * np.exp(np.log(2.5) - special.digamma(2.5)), rel=0.01)


def test_a_single_window_teaches_nothing() -> None:
    with pytest.raises(ConfigError, match="more nights"):
        upper_limits(np.ones((2, 3)), effective_windows=1.0, tail_probability=0.01)
