from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from airflow_mlops.gate.statistics.bootstrap import BCa, acceleration, left_out, resample_counts, resampled_sums

ONE = np.zeros(50, dtype=int)


def test_units_are_drawn_whole_and_as_many_as_there_are() -> None:
    counts = np.concatenate(list(resample_counts(ONE, resamples=300, seed=1)))
    assert counts.shape == (300, 50)
    assert set(counts.sum(axis=1)) == {50.0}
    # Multinomial: the variance of a count is 1 - 1 / n.
    assert counts.var() == pytest.approx(0.98, abs=0.03)


def test_strata_keep_their_sizes() -> None:
    stratum = np.random.default_rng(0).integers(3, size=60)
    counts = np.concatenate(list(resample_counts(stratum, resamples=100, seed=2)))
    for number in range(3):
        assert set(counts[:, stratum == number].sum(axis=1)) == {float((stratum == number).sum())}
    assert counts.var(axis=0).min() > 0.5


def test_it_does_not_matter_in_how_many_pieces_it_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    sums = np.random.default_rng(0).random((50, 2))
    whole = resampled_sums(sums, ONE, resamples=101, seed=7)
    monkeypatch.setattr("airflow_mlops.gate.statistics.bootstrap._KEPT_CELLS", 0)
    monkeypatch.setattr("airflow_mlops.gate.statistics.bootstrap._CELLS", 400)
    monkeypatch.setattr("airflow_mlops.gate.statistics.bootstrap._DRAWN_CELLS", 130)
    assert resampled_sums(sums, ONE, resamples=101, seed=7) == pytest.approx(whole, rel=1e-12)
    assert not np.allclose(resampled_sums(sums, ONE, resamples=101, seed=8), whole)


def test_draws_that_are_kept_are_not_spoiled_by_who_uses_them() -> None:
    first = [piece.copy() for piece in resample_counts(ONE, resamples=20, seed=3)]
    for piece in resample_counts(ONE, resamples=20, seed=3):
        piece[:] = 0.0
    for one, other in zip(first, resample_counts(ONE, resamples=20, seed=3), strict=True):
        assert (one == other).all()


def test_more_units_than_a_byte_counts() -> None:
    sums = np.ones((70_000, 1))
    assert set(resampled_sums(sums, np.zeros(70_000, dtype=int), resamples=5, seed=0).ravel()) == {70_000.0}


def test_acceleration_of_strata_is_taken_around_their_means() -> None:
    values = np.random.default_rng(1).normal(size=50)
    stratum = np.repeat([0, 1], 25)
    shifted = values + 100.0 * stratum
    same = [
        acceleration(left_out(np.stack([column, np.ones(50)], axis=1), stratum) @ [0.02, 0.0], stratum)
        for column in (values, shifted)
    ]
    assert same[0] == pytest.approx(same[1], abs=1e-6)
    assert acceleration(np.ones(50), ONE) == 0.0


def test_bounds_and_p_values_turn_at_the_same_place() -> None:
    rng = np.random.default_rng(2)
    for skew in (-0.1, 0.0, 0.12):
        for bias in (-0.3, 0.0, 0.3):
            replicates = np.sort(rng.gamma(3.0, 1.0, 1_999))
            estimate = float(np.quantile(replicates, special.ndtr(bias)))
            bca = BCa(estimate, replicates, skew)
            low, high = bca.bounds(0.05)
            assert bca.p_below(high + 1e-9) <= 0.05
            assert bca.p_below(high - 1e-9) > 0.05
            assert bca.p_above(low - 1e-9) <= 0.05
            assert bca.p_above(low + 1e-9) > 0.05


def test_without_bias_and_skew_it_is_the_percentile_interval() -> None:
    replicates = np.arange(-1000.0, 1001.0)
    low, high = BCa(0.0, replicates, 0.0).bounds(0.05)
    assert (low, high) == pytest.approx((-900.0, 900.0), abs=2.0)


def test_replicates_that_all_say_the_same() -> None:
    bca = BCa(0.0, np.zeros(500), 0.0)
    assert bca.bounds(0.05) == (0.0, 0.0)
    assert bca.p_below(0.1) < 0.01
    assert bca.p_below(0.0) > 0.99
    assert bca.p_above(0.0) > 0.99


def test_too_few_resamples_bound_nothing() -> None:
    assert BCa(5.0, np.arange(10.0), 0.0).bounds(0.001) == (-np.inf, np.inf)
    # So skewed that no share of replicates is far enough.
    assert BCa(500.0, np.arange(999.0), 0.9).bounds(0.05)[1] == np.inf


def test_infinite_replicates_make_an_infinite_bound_not_nan() -> None:
    bca = BCa(0.0, np.sort(np.array([0.0] * 450 + [np.inf] * 50)), 0.0)
    assert bca.bounds(0.05)[1] == np.inf
    assert bca.p_below(1.0) > 0.05
