from __future__ import annotations

import itertools

import numpy as np
import pytest

from airflow_mlops.calibrate.tail import tail_of


def rate(draw: object, level: float, nights: int, *, histories: int = 1500) -> float:
    """How often one more night is called as improbable as ``level``."""
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(histories):
        numbers = draw(rng, nights + 1)  # type: ignore[operator]
        found += tail_of(numbers[:-1]).probability(float(numbers[-1])) <= level
    return found / histories


@pytest.mark.parametrize("scale", [0.5, 1.0, 2.0])
def test_nights_are_called_improbable_as_seldom_as_stated(scale: float) -> None:
    def exponential(rng: np.random.Generator, size: int) -> np.ndarray:
        return scale * rng.exponential(size=size)

    # A little more seldom where nights are calmer than was held beforehand.
    assert 0.025 < rate(exponential, 0.05, 112) < 0.06
    assert 0.002 < rate(exponential, 0.01, 112) < 0.014
    assert rate(exponential, 0.002, 112) < 0.004


def test_odd_nights_that_come_again_stop_being_alarms() -> None:
    def one_in_twenty_is_odd(rng: np.random.Generator, size: int) -> np.ndarray:
        odd = rng.random(size) < 0.05
        return np.where(odd, np.exp(rng.normal(4.0, 1.0, size)), rng.exponential(size=size))

    assert rate(one_in_twenty_is_odd, 0.01, 112, histories=1000) < 0.02
    # And they did not make the others wide: a body with them in it would have had three times the scale.
    rng = np.random.default_rng(3)
    assert tail_of(one_in_twenty_is_odd(rng, 112)).scale < 1.5


def test_the_first_odd_night_is_an_alarm_and_the_second_of_its_size_is_not() -> None:
    ordinary = np.random.default_rng(0).exponential(size=60)
    assert tail_of(ordinary).probability(40.0) < 0.002
    assert tail_of(np.append(ordinary, 45.0)).probability(40.0) > 0.01
    assert tail_of(np.append(ordinary, 10.0)).probability(200.0) < 0.002


def test_a_more_unusual_night_is_never_more_probable() -> None:
    tail = tail_of(np.append(np.random.default_rng(0).exponential(size=60), [20.0, 50.0]))
    probabilities = [tail.probability(unusual) for unusual in np.linspace(0, 300, 3001)]
    assert all(later <= earlier for earlier, later in itertools.pairwise(probabilities))
    assert probabilities[0] == 1.0


def test_unusual_undoes_probability() -> None:
    tail = tail_of(np.random.default_rng(0).exponential(size=60))
    for level in (0.3, 0.01, 0.002, 1e-5):
        assert tail.probability(tail.unusual(level)) == pytest.approx(level, rel=1e-3)


def test_without_a_past_only_what_is_far_beyond_the_model_speaks() -> None:
    tail = tail_of(np.empty(0))
    assert tail.probability(np.log(1 / 0.002)) > 0.01
    assert tail.probability(30.0) < 0.01


def test_runs_that_overlap_teach_less() -> None:
    # 56 nights whose upper half falls off half as fast: worth less, they move the scale less from what was held before.
    slow = 2 * np.random.default_rng(0).exponential(size=56)
    assert 1.0 < tail_of(slow, independent=0.5).scale < tail_of(slow).scale
