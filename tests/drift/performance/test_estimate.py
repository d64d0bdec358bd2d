import datetime as dt

import numpy as np
import pytest

from airflow_mlops.calibrate import Budget
from airflow_mlops.drift.performance import (
    Channel,
    EstimatedPerformance,
    Labelled,
    Predicted,
    estimated,
    learn_estimator,
)
from airflow_mlops.errors import ConfigError, DataError
from airflow_mlops.records import DriftVerdict

FIRST = dt.date(2026, 3, 2)


def scores(rows: int, rng: np.random.Generator, *, shift: float = 0.0, flipped: float = 0.0) -> Labelled:
    """A champion that is sure of itself beyond reason; `shift` moves rows towards its boundary, `flipped` lies."""
    margin = rng.normal(1.5 - shift, 1.0, size=rows) * rng.choice([-1, 1], size=rows)
    true = 1 / (1 + np.exp(-margin))
    said = 1 / (1 + np.exp(-2 * margin))
    truth = (rng.random(rows) < true).astype(float)
    truth = np.where(rng.random(rows) < flipped, 1 - truth, truth)
    return Labelled(
        Predicted((said > 0.5).astype(float), np.stack([1 - said, said], axis=1)), truth, np.arange(rows) % 10
    )


def numbers(rows: int, rng: np.random.Generator, *, heat: float = 0.0, bias: float = 0.0) -> Labelled:
    feature = rng.normal(heat, 1.0, size=rows)
    truth = feature + bias + rng.normal(size=rows) * np.exp(0.4 * feature)
    return Labelled(Predicted(feature, features=feature[:, None]), truth, np.arange(rows) % 10)


def accuracy(rows: Labelled) -> float:
    return float((rows.predicted.values == rows.truth).mean())


def test_without_labels_it_sees_that_rows_are_harder_to_tell():
    rng = np.random.default_rng(0)
    estimator = learn_estimator(scores(20_000, rng), "accuracy")
    tonight = scores(20_000, rng, shift=1.0)
    estimate = estimator.estimate(tonight.predicted)
    assert estimator.on_reference - accuracy(tonight) > 0.08
    assert estimate.value == pytest.approx(accuracy(tonight), abs=0.015)


@pytest.mark.parametrize("metric", ["f1", "auc", "log_loss", "brier"])
def test_every_metric_of_a_classification_is_estimated(metric):
    rng = np.random.default_rng(1)
    estimator = learn_estimator(scores(20_000, rng), metric)
    tonight = scores(20_000, rng, shift=1.0)
    # With labels, the same metric is what it is learned from and measured by.
    truly = learn_estimator(tonight, metric).on_reference
    fallen = abs(truly - estimator.on_reference)
    assert fallen > 0.03
    assert abs(estimator.estimate(tonight.predicted).value - truly) < 0.25 * fallen


@pytest.mark.parametrize("metric", ["mae", "rmse"])
def test_of_a_regression_too(metric):
    rng = np.random.default_rng(2)
    estimator = learn_estimator(numbers(20_000, rng), metric)
    tonight = numbers(20_000, rng, heat=0.7)
    truly = learn_estimator(tonight, metric).on_reference
    assert truly > 1.2 * estimator.on_reference
    assert estimator.estimate(tonight.predicted).value == pytest.approx(truly, rel=0.08)


def test_concept_drift_is_what_it_cannot_see():
    rng = np.random.default_rng(3)
    estimator = learn_estimator(scores(20_000, rng), "accuracy")
    tonight = scores(20_000, rng, flipped=0.2)
    assert accuracy(tonight) < estimator.on_reference - 0.08
    assert estimator.estimate(tonight.predicted).value == pytest.approx(estimator.on_reference, abs=0.01)
    regression = learn_estimator(numbers(20_000, rng), "mae")
    biased = numbers(20_000, rng, bias=2.0)
    assert regression.estimate(biased.predicted).value == pytest.approx(regression.on_reference, rel=0.05)


def test_what_it_says_it_misses_by_is_what_it_misses_by():
    rng = np.random.default_rng(4)
    said, missed = [], []
    for _ in range(20):
        estimator = learn_estimator(scores(5_000, rng), "accuracy")
        tonight = scores(500, rng)
        said.append(estimator.missed_by)
        missed.append(estimator.estimate(tonight.predicted).value - accuracy(tonight))
    assert np.mean(said) == pytest.approx(np.sqrt(np.mean(np.square(missed))), rel=0.5)


def test_one_night_is_not_enough_to_learn_from():
    rows = scores(500, np.random.default_rng(5))
    with pytest.raises(DataError, match="at least two labelled nights to learn from, got 1"):
        learn_estimator(Labelled(rows.predicted, rows.truth, np.zeros(500)), "accuracy")


def test_a_classification_without_probabilities_cannot_be_estimated():
    rng = np.random.default_rng(6)
    with pytest.raises(ConfigError, match="needs a probability for each class"):
        learn_estimator(numbers(500, rng), "accuracy")


def test_an_estimate_survives_its_json():
    estimate = learn_estimator(scores(500, np.random.default_rng(7)), "f1").estimate(
        scores(50, np.random.default_rng(8)).predicted
    )
    assert EstimatedPerformance.model_validate_json(estimate.model_dump_json()) == estimate


def said(value: float, metric: str = "accuracy") -> EstimatedPerformance:
    return EstimatedPerformance(metric=metric, value=value, error=0.005, missed_by=0.01, on_reference=0.85, rows=500)


def past(nights: int, *, weekday: float = 0.0) -> dict[dt.date, EstimatedPerformance]:
    rng = np.random.default_rng(0)
    dates = [FIRST + dt.timedelta(night) for night in range(nights)]
    return {date: said(0.85 + rng.normal(0, 0.005) - weekday * (date.weekday() > 4)) for date in dates}


@pytest.mark.parametrize(
    ("metric", "value", "verdict"),
    [
        ("accuracy", 0.85, DriftVerdict.STABLE),
        ("accuracy", 0.75, DriftVerdict.DRIFT),
        ("accuracy", 0.95, DriftVerdict.STABLE),
        ("log_loss", 0.95, DriftVerdict.DRIFT),
        ("log_loss", 0.75, DriftVerdict.STABLE),
    ],
    ids=["as usual", "worse", "better", "more loss", "less loss"],
)
def test_only_a_worse_performance_is_unusual(metric, value, verdict):
    nights = {date: one.model_copy(update={"metric": metric}) for date, one in past(42).items()}
    opinion = estimated(nights, FIRST + dt.timedelta(42), said(value, metric))
    assert opinion.verdict is verdict
    assert opinion.channel is Channel.ESTIMATED
    assert opinion.expected == pytest.approx(0.85, abs=0.01)


def test_a_weekend_that_is_always_worse_is_no_news():
    saturday = FIRST + dt.timedelta(47)
    assert saturday.weekday() == 5
    usual = past(47, weekday=0.05)
    assert estimated(usual, saturday, said(0.80)).verdict is DriftVerdict.STABLE
    assert estimated(usual, saturday - dt.timedelta(1), said(0.80)).verdict is DriftVerdict.DRIFT


def test_too_few_nights_say_nothing_and_never_alarm():
    opinion = estimated(past(8), FIRST + dt.timedelta(8), said(0.2))
    assert opinion.verdict is DriftVerdict.INSUFFICIENT
    assert "8 nights before it, at least 14 are needed" in opinion.words
    assert opinion.probability is None


def test_later_nights_do_not_speak_of_earlier_ones():
    nights = past(42)
    tonight = FIRST + dt.timedelta(30)
    before = {date: one for date, one in nights.items() if date < tonight}
    assert estimated(nights, tonight, said(0.84)) == estimated(before, tonight, said(0.84))


def test_a_stricter_budget_takes_more():
    nights, night = past(60), FIRST + dt.timedelta(60)
    found = estimated(nights, night, said(0.834), budget=Budget(0.2, 0.1))
    strict = estimated(nights, night, said(0.834), budget=Budget(1e-4, 1e-5))
    assert found.probability == pytest.approx(strict.probability)
    assert found.verdict is not DriftVerdict.STABLE
    assert strict.verdict is DriftVerdict.STABLE
