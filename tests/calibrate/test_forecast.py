from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from airflow_mlops.calibrate.forecast import Forecast, _median, _running_median, forecast_of

Floats = NDArray[np.float64]


def learned(window: Floats, *, season: int = 7, sampling: float = 1.0) -> Forecast:
    return forecast_of(window, np.full(window.shape, sampling), np.zeros(window.shape[1], dtype=np.intp), season=season)


def autoregression(phi: float, sd: float, nights: int, series: int, seed: int = 0) -> Floats:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(nights, series)) * sd
    for night in range(1, nights):
        values[night] = phi * values[night - 1] + np.sqrt(1 - phi**2) * values[night]
    return values


def test_weekdays_have_levels_of_their_own() -> None:
    week = np.array([0.0, 1, 2, 3, 4, 20, -20])
    forecast = learned(week[np.arange(56) % 7][:, None] + np.random.default_rng(0).normal(size=(56, 30)))
    found = np.array([forecast.value(ahead).mean() for ahead in range(1, 9)])
    assert found == pytest.approx([*week, week[0]], abs=0.3)


@pytest.mark.parametrize("phi", [0.0, 0.7, 0.9])
def test_autocorrelation_is_followed(phi: float) -> None:
    forecasts = [learned(autoregression(phi, 5.0, 56, 30, seed), sampling=0.01) for seed in range(10)]
    assert np.mean([forecast.phi for forecast in forecasts]) == pytest.approx(phi, abs=0.1)


@pytest.mark.parametrize("phi", [0.0, 0.7])
@pytest.mark.parametrize("ahead", [1, 3])
def test_the_variance_is_that_of_what_comes(phi: float, ahead: int) -> None:
    scores = []
    for seed in range(30):
        values = autoregression(phi, 5.0, 60, 40, seed)
        forecast = learned(values[:56], sampling=0.01)
        scores.append(
            (values[55 + ahead] - forecast.value(ahead)) / np.sqrt(forecast.variance(ahead, np.full(40, 0.01)))
        )
    assert np.std(scores) == pytest.approx(1.0, abs=0.12)


def test_odd_nights_among_the_learned_ones_change_nothing() -> None:
    calm = np.random.default_rng(0).normal(size=(56, 30))
    odd = calm.copy()
    odd[np.random.default_rng(1).choice(56, 10, replace=False)] += 30.0
    before, after = learned(calm), learned(odd)
    assert after.innovation.mean() == pytest.approx(before.innovation.mean(), rel=0.25)
    assert np.abs(after.levels - before.levels).mean() < 0.5


def test_a_change_that_lasts_is_a_new_level_and_not_forever_odd() -> None:
    values = np.random.default_rng(0).normal(size=(56, 30))
    values[28:] += 30.0
    assert learned(values).value(1).mean() > 20.0


def test_a_climb_is_followed_and_is_no_pattern_of_weekdays() -> None:
    week = np.array([0.0, 1, 2, 3, 4, 20, -20])
    night = np.arange(60)
    truth = week[night % 7] + 2.0 * night
    values = truth[:, None] + np.random.default_rng(0).normal(size=(60, 30))
    forecast = learned(values[:56])
    # The level of eight weeks lies 57 lower, and the same weekday 14; what is left is that a distance is held to fade.
    assert forecast.value(1).mean() == pytest.approx(truth[56], abs=4.0)
    assert (forecast.levels - forecast.levels.mean(axis=0)).mean(axis=1) == pytest.approx(week - week.mean(), abs=0.5)


def test_a_step_is_no_climb() -> None:
    values = np.random.default_rng(0).normal(size=(56, 30))
    values[28:] += 30.0
    assert np.ptp(learned(values).levels.mean(axis=1)) < 1.0


def test_one_far_night_is_a_fault_and_two_are_believed() -> None:
    def far(nights: int) -> Floats:
        values = autoregression(0.9, 5.0, 56, 30)
        values[56 - nights :] += 300.0
        return learned(values, sampling=0.01).last

    assert np.median(far(1)) < 60
    assert np.median(far(2)) > 150


def test_no_series_varies_by_less_than_its_sampling() -> None:
    quiet = 0.1 * np.random.default_rng(0).normal(size=(56, 30))
    forecast = learned(quiet)
    assert (forecast.variance(1, np.ones(30)) >= 1.0).all()
    # A night of a hundredth of the rows may stray ten times as far.
    assert (forecast.variance(1, np.full(30, 100.0)) >= 100.0).all()


def test_a_series_that_sits_still_has_a_forecast() -> None:
    forecast = learned(np.full((28, 3), 5.0))
    assert forecast.value(1) == pytest.approx(5.0)
    assert forecast.variance(1, np.ones(3)) == pytest.approx(1.0 + 1 / 4)


def test_units_do_not_matter() -> None:
    values = autoregression(0.5, 3.0, 56, 10)
    one, other = learned(values), learned(1000 * values, sampling=1e6)
    assert other.value(1) == pytest.approx(1000 * one.value(1))
    assert other.variance(1, np.full(10, 1e6)) == pytest.approx(1e6 * one.variance(1, np.ones(10)))


def test_missing_nights_are_no_zeros() -> None:
    values = 100 + np.random.default_rng(0).normal(size=(56, 10))
    values[[3, 20, 21, 55]] = np.nan
    forecast = learned(values)
    assert forecast.value(1) == pytest.approx(100, abs=2)
    assert (forecast.innovation < 3).all()


def test_the_last_night_that_was_seen_fades_with_its_age() -> None:
    values = np.tile(autoregression(0.9, 5.0, 56, 1), (1, 20)) + 0.1 * np.random.default_rng(0).normal(size=(56, 20))
    values[54] = 10.0
    hidden = values.copy()
    hidden[55] = np.nan
    forecast = learned(hidden, sampling=0.01)
    assert forecast.last == pytest.approx(forecast.phi * (10.0 - forecast.levels[5]), rel=0.01)


def test_what_was_seen_in_less_than_two_seasons_has_no_forecast() -> None:
    values = np.random.default_rng(0).normal(size=(56, 3))
    values[:43, 1] = np.nan
    assert np.isnan(learned(values).value(1)).tolist() == [False, True, False]


def test_the_running_median_is_numpys() -> None:
    values = np.random.default_rng(0).integers(0, 6, (30, 4)).astype(float)
    padded = np.pad(values, ((2, 2), (0, 0)), mode="reflect")
    wanted = np.median(np.lib.stride_tricks.sliding_window_view(padded, 5, axis=0), axis=-1)
    assert _running_median(values) == pytest.approx(wanted)


def test_the_median_is_numpys_without_nan() -> None:
    values = np.random.default_rng(0).normal(size=(9, 50))
    values[np.random.default_rng(1).random((9, 50)) < 0.3] = np.nan
    assert _median(values) == pytest.approx(np.nanmedian(values, axis=0))
    assert np.isnan(_median(np.full((3, 1), np.nan))).all()
