from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from airflow_mlops.calibrate import Budget, Layout, judge, replay
from airflow_mlops.calibrate.judge import NightJudgement

Floats = NDArray[np.float64]
LAYOUT = Layout(
    names=("mean of a", "spread of a", "mean of b", "spread of b", "mean of c", "spread of c", "a with b"),
    features=("a", "a", "b", "b", "c", "c", None),
    kinds=("mean", "spread", "mean", "spread", "mean", "spread", "pair"),
)


def nights(count: int = 60, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(size=(count, 7))


def judged(values: Floats, **options: object) -> NightJudgement:
    return judge(values, np.ones_like(values), LAYOUT, **options)  # type: ignore[arg-type]


def test_an_ordinary_night_is_neither() -> None:
    found = judged(nights())
    assert not found.watch
    assert not found.drift
    assert found.contributions == ()
    assert found.lacking is None
    assert 0.01 < found.probability <= 1


def test_the_foremost_feature_is_named_first_with_its_side_and_its_beginning() -> None:
    values = nights()
    values[57:, 2] += 15
    values[58:, 4] -= 8
    found = judged(values)
    assert found.drift
    assert found.lasting
    named = {one.series: one for one in found.contributions}
    assert found.contributions[0].series == "mean of b"
    assert named["mean of b"].since == 57
    assert named["mean of b"].deviation > 4
    assert named["mean of c"].deviation < -3
    assert named["mean of c"].since == 58
    assert "mean of a" not in named


def test_one_odd_night_does_not_last() -> None:
    values = nights()
    values[59, 0] += 12
    found = judged(values)
    assert found.drift
    assert not found.lasting
    assert not found.contributions[0].lasting
    assert found.contributions[0].since == 59


def test_a_feature_is_named_once_and_a_pair_by_itself() -> None:
    values = nights()
    values[59, [0, 1, 6]] += 12
    found = judged(values)
    assert sorted(one.feature or one.series for one in found.contributions) == ["a", "a with b"]


@pytest.mark.parametrize("count", [1, 2, 14])
def test_too_few_nights_are_no_alarm_but_a_reason(count: int) -> None:
    values = nights(count)
    values[-1] += 1000
    found = judged(values)
    assert not found.watch
    assert np.isnan(found.probability)
    assert found.lacking == f"has {count - 1} nights before it, at least 14 are needed"


def test_after_two_weeks_a_break_is_seen() -> None:
    values = nights(15)
    values[-1, 0] += 30
    assert judged(values).watch


def test_more_nights_see_less_of_a_change() -> None:
    few, many = judged(nights(20)), judged(nights(120))
    assert np.isfinite(few.least_effects).all()
    assert few.least_effects[0] > many.least_effects[0] > 3


def test_an_expected_night_is_no_alarm() -> None:
    values = nights()
    values[59] += 1000
    found = judged(values, quiet=np.arange(60) == 59)
    assert not found.watch
    assert found.lacking == "was expected to be unusual"


def test_a_night_without_anything_known_is_no_alarm() -> None:
    values = nights()
    values[59] = np.nan
    assert judge(values, np.ones_like(values), LAYOUT).lacking == (
        "holds nothing that was seen in at least two seasons before it"
    )


def test_a_larger_budget_speaks_earlier() -> None:
    values = nights()
    values[59, 0] = 3.9
    found = judged(values)
    generous = judged(values, budget=Budget(watch=0.2, drift=0.1))
    assert not found.watch
    assert generous.watch
    assert generous.probability == found.probability


def test_the_last_night_of_a_replay_is_the_one_that_is_judged() -> None:
    values = nights(240)
    replayed = replay(values, np.ones_like(values), LAYOUT)
    assert judged(values).probability == replayed.probability[-1]
    # What lies further back than windows and tails reach says nothing.
    recent = values[-173:]
    assert judged(recent).probability == pytest.approx(replayed.probability[-1])
