from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from airflow_mlops.gate.bootstrap import expanded_tail, percentile_bounds, resampled_means


def test_by_rows_it_agrees_with_scipy() -> None:
    rng = np.random.default_rng(1)
    challenger, champion = rng.gamma(2.0, 1.0, 300), rng.gamma(2.0, 1.3, 300)

    def excess(a: np.ndarray, b: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.sqrt(a.mean(axis=axis)) / np.sqrt(b.mean(axis=axis)) - 1

    theirs = stats.bootstrap(
        (challenger, champion),
        excess,
        paired=True,
        method="percentile",
        confidence_level=0.90,
        n_resamples=20_000,
        rng=np.random.default_rng(2),
    ).confidence_interval
    means = resampled_means(
        np.stack([challenger, champion]), np.arange(300), resamples=20_000, rng=np.random.default_rng(3)
    )
    ours = percentile_bounds(np.sqrt(means[0]) / np.sqrt(means[1]) - 1, 0.05)
    # 20,000 resamples place a 5 % quantile to about 1 % of the interval.
    width = theirs.high - theirs.low
    assert ours == pytest.approx((theirs.low, theirs.high), abs=0.03 * width)


def test_units_are_drawn_whole() -> None:
    losses = np.array([[1.0, 3.0, 10.0, 20.0, 30.0]])
    means = resampled_means(losses, np.array([0, 0, 1, 1, 1]), resamples=200, rng=np.random.default_rng(0))
    # Two of night 0, one of each, two of night 1.
    assert {round(mean, 6) for mean in means[0]} == {2.0, round(64 / 5, 6), 20.0}


def test_it_does_not_matter_in_how_many_pieces_it_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    losses = np.random.default_rng(0).random((2, 50))
    whole = resampled_means(losses, np.arange(50), resamples=101, rng=np.random.default_rng(7))
    monkeypatch.setattr("airflow_mlops.gate.bootstrap._CELLS", 400)
    pieces = resampled_means(losses, np.arange(50), resamples=101, rng=np.random.default_rng(7))
    assert pieces == pytest.approx(whole, rel=1e-12)


def test_the_tail_reaches_alpha_from_below() -> None:
    tails = [expanded_tail(0.05, n) for n in (2, 5, 10, 100, 100_000)]
    assert tails == sorted(tails)
    assert tails[-1] == pytest.approx(0.05, abs=1e-4)
    # n = 10 by the tables: t(0.95, 9) = 1.8331, Phi(-1.8331 * sqrt(10 / 9)) = 0.02666.
    assert tails[2] == pytest.approx(0.02666, abs=2e-5)


def test_bounds_of_infinite_values_are_infinite_not_nan() -> None:
    assert percentile_bounds(np.array([0.0] * 50 + [np.inf] * 50), 0.05) == (0.0, np.inf)
