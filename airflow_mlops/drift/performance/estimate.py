"""Estimated performance: what labels would say tonight if they were there, and whether that is unusual."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from airflow_mlops.calibrate import Budget, Layout, judge, rhythm_of
from airflow_mlops.drift.performance.confidence import expected_performance, recalibrate
from airflow_mlops.drift.performance.loss_model import fit_loss_model
from airflow_mlops.drift.performance.rows import Labelled, Metric, Predicted, probabilities_of, row_losses
from airflow_mlops.errors import DataError
from airflow_mlops.records import Channel, DriftVerdict, Opinion, Value

__all__ = ["EstimatedPerformance", "Estimator", "estimated", "learn_estimator"]

Floats = NDArray[np.float64]
_REGRESSION = ("mae", "rmse")
_GREATER_IS_BETTER = ("accuracy", "f1", "auc")
_FOLDS = 5
# An estimate that no row moves has no error; a change of a millionth is still none.
_ROUNDING = 1e-6


class EstimatedPerformance(Value):
    """What a metric is expected to be on the rows of a night.

    ``error`` is the standard error from which rows came. ``missed_by`` is by how much such estimates missed what labels
    said on reference nights that they had not learned from (root mean square, the luck of a night's labels among it),
    and ``on_reference`` what labels said there on the whole.
    """

    metric: Metric
    value: float
    error: float
    missed_by: float
    on_reference: float
    rows: int


@dataclass(frozen=True)
class Estimator:
    """What was learned from labelled nights."""

    metric: Metric
    on_reference: float
    missed_by: float
    expected: Callable[[Predicted], tuple[float, float]]

    def estimate(self, tonight: Predicted) -> EstimatedPerformance:
        """Estimate the metric on rows without labels."""
        value, error = self.expected(tonight)
        return EstimatedPerformance(
            metric=self.metric,
            value=value,
            error=max(error, _ROUNDING * abs(value), _ROUNDING * abs(self.on_reference), 1e-12),
            missed_by=self.missed_by,
            on_reference=self.on_reference,
            rows=len(tonight.values),
        )


def learn_estimator(reference: Labelled, metric: Metric) -> Estimator:
    """Learn what a metric will be without labels, and measure on held-out nights how far that is off.

    Parameters
    ----------
    reference : Labelled
        Nights that the champion was not trained on, at least two.
    metric : str
        Of a classification accuracy, f1, auc, log_loss or brier; of a regression mae or rmse.

    Raises
    ------
    ConfigError
        If the metric does not suit the predictions.
    DataError
        If there are fewer than two nights, or too few rows.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> said = rng.beta(2.0, 2.0, size=6_000)
    >>> predicted = Predicted((said > 0.5).astype(float), np.stack([1 - said, said], axis=1))
    >>> truth = (rng.uniform(size=said.size) < said).astype(float)
    >>> estimator = learn_estimator(Labelled(predicted, truth, np.arange(said.size) % 6), "accuracy")
    >>> sure = predicted.at(np.abs(said - 0.5) > 0.3)
    >>> round(estimator.on_reference, 2), round(estimator.estimate(sure).value, 2)
    (0.7, 0.88)
    """
    nights, night = np.unique(reference.nights, return_inverse=True)
    if len(nights) < 2:  # noqa: PLR2004 - one to learn from, one to be wrong on
        raise DataError(
            f"expected at least two labelled nights to learn from, got {len(nights)}. Wait for more labels."
        )
    missed = []
    for fold in range(min(_FOLDS, len(nights))):
        held_out = night % _FOLDS == fold
        expected = _learned(reference.at(~held_out), metric)
        for number in np.unique(night[held_out]):
            own = reference.at(night == number)
            missed.append(expected(own.predicted)[0] - _realised(own, metric))
    told = [one for one in missed if math.isfinite(one)]
    return Estimator(
        metric,
        on_reference=_realised(reference, metric),
        missed_by=float(np.sqrt(np.mean(np.square(told)))) if told else math.inf,
        expected=_learned(reference, metric),
    )


def _learned(reference: Labelled, metric: Metric) -> Callable[[Predicted], tuple[float, float]]:
    if metric not in _REGRESSION:
        recalibration = recalibrate(probabilities_of(metric, reference.predicted), reference.truth)
        return lambda rows: expected_performance(metric, rows, recalibration(probabilities_of(metric, rows)))
    predicted = reference.predicted
    model = fit_loss_model(predicted.features, predicted.values, row_losses(metric, predicted, reference.truth))
    return lambda rows: _of_losses(metric, model.expected(rows.features, rows.values))


def _realised(rows: Labelled, metric: Metric) -> float:
    if metric in _REGRESSION:
        return _of_losses(metric, row_losses(metric, rows.predicted, rows.truth))[0]
    classes = probabilities_of(metric, rows.predicted).shape[1]
    return expected_performance(metric, rows.predicted, np.eye(classes)[rows.truth.astype(np.intp)])[0]


def _of_losses(metric: Metric, losses: Floats) -> tuple[float, float]:
    mean, error = float(losses.mean()), float(losses.std() / len(losses) ** 0.5)
    if metric == "mae":
        return mean, error
    root = math.sqrt(mean)
    return root, error / (2 * root) if root else 0.0


def estimated(
    past: Mapping[dt.date, EstimatedPerformance],
    night: dt.date,
    tonight: EstimatedPerformance,
    *,
    budget: Budget | None = None,
) -> Opinion:
    """Judge tonight's estimate among those of the nights before: unusually bad, or not.

    Parameters
    ----------
    past : mapping of date to EstimatedPerformance
        Of nights before, by one and the same champion.
    night : date
        Tonight.
    tonight : EstimatedPerformance
        Its estimate.
    budget : Budget, optional
        Shares of nights that may be called watch and drift in vain.

    Examples
    --------
    >>> def said(value):
    ...     return EstimatedPerformance(
    ...         metric="mae", value=value, error=0.1, missed_by=0.2, on_reference=4.0, rows=500)
    >>> rng = np.random.default_rng(0)
    >>> first = dt.date(2026, 5, 1)
    >>> past = {first + dt.timedelta(day): said(rng.normal(4.0, 0.1)) for day in range(40)}
    >>> estimated(past, dt.date(2026, 6, 10), said(5.0)).verdict.value
    'drift'
    """
    before = {date: past[date] for date in sorted(past) if date < night}
    rhythm = rhythm_of([*before, night])
    values, errors = np.full((rhythm.length, 1), np.nan), np.ones((rhythm.length, 1))
    for place, one in zip(rhythm.places, [*before.values(), tonight], strict=True):
        values[place], errors[place] = one.value, one.error
    layout = Layout((f"estimated {tonight.metric}",), ("performance",), ("performance",))
    found = judge(values, errors, layout, budget=budget, season=rhythm.season)
    known = [one.value for one in before.values() if math.isfinite(one.value)]
    usual = float(np.median(known)) if known else tonight.on_reference
    worse = usual - tonight.value if tonight.metric in _GREATER_IS_BETTER else tonight.value - usual
    if found.lacking is not None:
        verdict = DriftVerdict.INSUFFICIENT
    elif worse <= 0 or not found.watch:
        verdict = DriftVerdict.STABLE
    else:
        verdict = DriftVerdict.DRIFT if found.drift else DriftVerdict.WATCH
    words = (
        f"estimated {tonight.metric} {tonight.value:.3g}, usual is {usual:.3g} (labels said {tonight.on_reference:.3g} "
        f"on the reference; estimates miss by {tonight.missed_by:.2g}, and see no concept drift)"
    )
    return Opinion(
        channel=Channel.ESTIMATED,
        verdict=verdict,
        words=f"{words}; {night} {found.lacking}" if found.lacking else words,
        estimate=tonight.value,
        expected=usual,
        error=math.hypot(tonight.error, tonight.missed_by),
        probability=None if math.isnan(found.probability) else found.probability,
    )
