from __future__ import annotations

import pytest

from airflow_mlops.calibrate import Budget, nightly_probability
from airflow_mlops.errors import ConfigError


def test_the_default_allows_a_watch_in_a_hundred_nights_and_a_fifth_of_a_drift() -> None:
    assert Budget() == Budget(watch=0.01, drift=0.002)


def test_a_stated_budget_is_of_drift_and_watch_follows() -> None:
    budget = Budget.of(7.3)
    assert budget.drift == pytest.approx(0.02)
    assert budget.watch == pytest.approx(0.1)
    assert Budget.of(52, nights_per_year=104) == Budget(watch=0.5, drift=0.5)
    assert Budget.of(1, nights_per_year=52).drift == pytest.approx(1 / 52)


@pytest.mark.parametrize("alarms", [0, -1, float("nan"), 183, float("inf")])
def test_a_budget_that_means_nothing_is_refused(alarms: float) -> None:
    with pytest.raises(ConfigError, match="false_alarms_per_year"):
        Budget.of(alarms)


@pytest.mark.parametrize(("watch", "drift"), [(0.01, 0.02), (0.6, 0.1), (0.01, 0.0), (float("nan"), 0.1)])
def test_shares_of_nights_are_in_order(watch: float, drift: float) -> None:
    with pytest.raises(ConfigError, match="0 < drift <= watch"):
        Budget(watch=watch, drift=drift)


def test_the_budget_is_shared_between_series() -> None:
    single = nightly_probability(4, series=20)
    assert 1 - (1 - single) ** 20 == pytest.approx(4 / 365)
    assert nightly_probability(4, series=1) == pytest.approx(4 / 365)


def test_a_budget_of_every_night_is_still_a_probability() -> None:
    assert 0 < nightly_probability(5 * 366, series=3) < 1


@pytest.mark.parametrize(("budget", "series"), [(0, 3), (-1, 3), (float("nan"), 3), (4, 0)])
def test_a_share_of_nothing_is_refused(budget: float, series: int) -> None:
    with pytest.raises(ConfigError, match="false_alarms_per_year"):
        nightly_probability(budget, series=series)
