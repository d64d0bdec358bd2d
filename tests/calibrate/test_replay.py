"""Nights by their own past: how often nothing is called something, and how soon something is found."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from airflow_mlops.calibrate import Layout, replay
from airflow_mlops.errors import ConfigError

Floats = NDArray[np.float64]
FEATURES, PER_FEATURE, HISTORY, NIGHTS = 8, 3, 56, 100
SERIES = FEATURES * PER_FEATURE + 10
LAYOUT = Layout(
    names=tuple(f"s{i}" for i in range(SERIES)),
    features=tuple([f"f{i // PER_FEATURE}" for i in range(FEATURES * PER_FEATURE)] + [None] * 10),
    kinds=tuple([("mean", "spread", "share")[i % PER_FEATURE] for i in range(FEATURES * PER_FEATURE)] + ["pair"] * 10),
)


def stream(kind: str, nights: int, seed: int) -> Floats:
    """Series in units of their sampling errors; what nights do beside sampling shifts the first one of each feature."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(nights, SERIES))
    effects = np.zeros((nights, FEATURES))
    if kind == "season":
        effects = (8 * rng.normal(size=(7, FEATURES)))[np.arange(nights) % 7]
    elif kind == "autoregression":
        effects = 7 * rng.normal(size=(nights, FEATURES))
        for night in range(1, nights):
            effects[night] = 0.7 * effects[night - 1] + 0.71 * effects[night]
    elif kind == "odd":
        odd = rng.choice(HISTORY, 10, replace=False)
        effects[odd] = 35 * rng.normal(size=(10, FEATURES))
    values[:, : FEATURES * PER_FEATURE : PER_FEATURE] += effects
    return values


def judged(values: Floats) -> Floats:
    return replay(values, np.ones_like(values), LAYOUT).probability[HISTORY:]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["iid", "season", "autoregression"])
def test_nights_are_unusual_as_seldom_as_stated(kind: str) -> None:
    probability = np.concatenate([judged(stream(kind, HISTORY + NIGHTS, seed)) for seed in range(30)])
    # 3,000 nights: 30 +- 5.5 at one in a hundred, 6 +- 2.4 at one in five hundred.
    assert 0.004 < np.mean(probability <= 0.01) < 0.016
    assert np.mean(probability <= 0.002) < 0.004
    assert 0.03 < np.mean(probability <= 0.05) < 0.075


@pytest.mark.parametrize("kind", ["iid", "season"])
def test_a_break_is_found_on_its_first_night(kind: str) -> None:
    found = []
    for seed in range(8):
        values = stream(kind, HISTORY + 1, seed)
        values[HISTORY:, 0] += 10
        found.append(judged(values)[0] <= 0.002)
    assert np.mean(found) >= 0.75


def test_a_break_is_found_on_its_second_night_too() -> None:
    values = stream("iid", HISTORY + 3, 1)
    values[HISTORY:, 0] += 10
    assert (judged(values) <= 0.01).all()


def test_what_lasts_is_found_after_a_history_of_odd_nights() -> None:
    nights, runs = [], []
    for seed in range(8):
        values = stream("odd", HISTORY + 4, seed)
        values[HISTORY:, :9:3] += 17
        found = replay(values, np.ones_like(values), LAYOUT)
        nights.append((found.night_probability[HISTORY:] <= 0.01).any())
        runs.append((found.run_probability[HISTORY:] <= 0.005).any())
    assert np.mean(runs) >= 0.75
    assert np.mean(nights) <= 0.25


def test_no_single_night_makes_a_run() -> None:
    values = stream("iid", HISTORY + 3, 0)
    values[HISTORY] += 100
    found = replay(values, np.ones_like(values), LAYOUT)
    assert found.night_probability[HISTORY] < 1e-3
    assert found.run_probability[HISTORY:].min() > 0.01


def test_the_past_is_not_judged_by_the_future() -> None:
    values = stream("autoregression", 80, 0)
    until = replay(values[:70], np.ones((70, SERIES)), LAYOUT)
    whole = replay(values, np.ones((80, SERIES)), LAYOUT)
    np.testing.assert_array_equal(until.probability, whole.probability[:70])


def test_units_and_levels_do_not_matter() -> None:
    values = stream("autoregression", 70, 0)
    scale = np.exp(np.random.default_rng(0).normal(0, 5, SERIES))
    one = replay(values, np.ones_like(values), LAYOUT)
    other = replay(scale * (values + 100), np.broadcast_to(scale, values.shape), LAYOUT)
    np.testing.assert_allclose(other.probability, one.probability, rtol=1e-6)


def test_a_night_of_few_rows_may_stray_further() -> None:
    values, errors = stream("iid", HISTORY + 1, 0), np.ones((HISTORY + 1, SERIES))
    values[HISTORY] *= 10
    errors[HISTORY] = 10
    assert replay(values, errors, LAYOUT).probability[HISTORY] > 0.01
    assert replay(values, np.ones_like(errors), LAYOUT).probability[HISTORY] < 0.01


def test_quiet_nights_are_neither_judged_nor_learned_from() -> None:
    values = stream("iid", 80, 0)
    quiet = np.zeros(80, dtype=bool)
    quiet[[40, 41, 70]] = True
    wild = values.copy()
    wild[quiet] += 1000
    found = replay(wild, np.ones_like(values), LAYOUT, quiet=quiet)
    np.testing.assert_array_equal(
        found.probability, replay(values, np.ones_like(values), LAYOUT, quiet=quiet).probability
    )
    assert np.isnan(found.probability[70])
    wild[[40, 41]] = values[[40, 41]]
    assert replay(wild, np.ones_like(values), LAYOUT).probability[70] < 0.002


def test_missing_nights_and_series_that_come_late_are_no_alarms() -> None:
    values = stream("iid", 80, 0)
    values[[60, 61, 75]] = np.nan
    values[:70, 3] = np.nan
    errors = np.where(np.isfinite(values), 1.0, np.nan)
    found = replay(values, errors, LAYOUT)
    assert np.isnan(found.probability[[60, 75]]).all()
    assert np.nanmin(found.probability[56:]) > 0.002
    assert np.isnan(found.deviations[79, 3])


def test_series_without_a_feature_are_enough() -> None:
    layout = Layout(names=("a", "b"), features=(None, None), kinds=("pair", "pair"))
    values = np.random.default_rng(0).normal(size=(60, 2))
    values[57:, 0] += 12
    assert replay(values, np.ones_like(values), layout).probability[57] < 0.002


def test_a_least_effect_is_mostly_found() -> None:
    alpha, found = 0.01, []
    for seed in range(20):
        values = stream("iid", HISTORY + 1, seed)
        effect = replay(values, np.ones_like(values), LAYOUT, first=HISTORY, alpha=alpha).least_effects[HISTORY, 0]
        values[HISTORY, 0] += effect
        found.append(judged(values)[0] <= alpha)
    assert 0.6 < np.mean(found) <= 1.0


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"errors": np.zeros((20, SERIES))}, "positive standard error"),
        ({"errors": np.full((20, SERIES), np.nan)}, "positive standard error"),
        ({"errors": np.ones((20, 2))}, "of shape"),
        ({"season": 0}, "season of 1 to 14"),
        ({"season": 15}, "season of 1 to 14"),
        ({"quiet": np.zeros(3, dtype=bool)}, "a flag for each of 20 nights"),
        ({"values": np.empty((0, SERIES)), "errors": np.empty((0, SERIES))}, "at least one night"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, object], named: str) -> None:
    given: dict[str, object] = {"values": np.zeros((20, SERIES)), "errors": np.ones((20, SERIES)), **change}
    with pytest.raises(ConfigError, match=named):
        replay(layout=LAYOUT, **given)  # type: ignore[arg-type]


def test_a_layout_names_each_series() -> None:
    with pytest.raises(ConfigError, match="a name, a feature and a kind"):
        Layout(names=("a",), features=(), kinds=("mean",))
    with pytest.raises(ConfigError, match="at least one series"):
        Layout(names=(), features=(), kinds=())
