"""Performance of a classification that its own probabilities promise, once they are made true on labelled nights.

If of the rows with a recalibrated probability of 0.8 four of five are positive, the expected value of any metric
follows without a label: a row counts with 0.8 as a positive one. What it cannot see is concept drift: another relation
between features and truth leaves the probabilities as they are. What it does see is that rows have come that are
harder to tell.

References
----------
Guillory, D., Shankar, V., Ebrahimi, S., Darrell, T. & Schmidt, L. (2021). Predicting with confidence on unseen
distributions. ICCV, 1134-1144.

Garg, S., Balakrishnan, S., Lipton, Z. C., Neyshabur, B. & Sedghi, H. (2022). Leveraging unlabeled data to predict
out-of-distribution performance. ICLR.

Zadrozny, B. & Elkan, C. (2002). Transforming classifier scores into accurate multiclass probability estimates. KDD,
694-699 (isotonic regression; several classes one against the rest).

Oron, A. P. & Flournoy, N. (2017). Centered isotonic regression. Statistics in Biopharmaceutical Research 9(3), 258-267.

DeLong, E. R., DeLong, D. M. & Clarke-Pearson, D. L. (1988). Comparing the areas under two or more correlated receiver
operating characteristic curves. Biometrics 44(3), 837-845 (placements).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

from airflow_mlops.drift.performance.rows import Metric, Predicted, probabilities_of
from airflow_mlops.errors import ConfigError

__all__ = ["Recalibration", "expected_performance", "recalibrate"]

Floats = NDArray[np.float64]
_EPSILON = float(np.finfo(np.float64).eps)
_BINARY = 2


@dataclass(frozen=True, eq=False)
class Recalibration:
    """Of each class a rising curve from what was said to how often it was true; ``curves`` are its points."""

    curves: tuple[tuple[Floats, Floats], ...]

    def __call__(self, probabilities: Floats) -> Floats:
        """Recalibrated probabilities, of shape (n_rows, n_classes); each row adds up to one."""
        if len(self.curves) == _BINARY:
            positive = np.interp(probabilities[:, 1], *self.curves[1])
            return np.stack([1 - positive, positive], axis=1)
        each = np.stack(
            [np.interp(said, *curve) for said, curve in zip(probabilities.T, self.curves, strict=True)], axis=1
        )
        chances: Floats = each / each.sum(axis=1, keepdims=True)
        return chances


def recalibrate(probabilities: Floats, truth: Floats) -> Recalibration:
    """Learn from labelled rows how often is true what the champion says (centred isotonic regression).

    Parameters
    ----------
    probabilities : ndarray of shape (n_rows, n_classes)
        What the champion said of rows that it was not trained on.
    truth : ndarray of shape (n_rows,)
        Number of the class.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> said = rng.uniform(size=20_000)
    >>> truth = (rng.uniform(size=said.size) < 0.5 * said).astype(float)
    >>> recalibrate(np.stack([1 - said, said], axis=1), truth)(np.array([[0.2, 0.8]])).round(1)
    array([[0.6, 0.4]])
    """
    return Recalibration(tuple(_curve(said, truth == number) for number, said in enumerate(probabilities.T)))


def _curve(said: Floats, true: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    levels, place, rows = np.unique(said, return_inverse=True, return_counts=True)
    share = np.bincount(place, weights=true) / rows
    fitted = optimize.isotonic_regression(share, weights=rows)
    blocks = fitted.blocks[:-1].astype(np.intp)
    size = np.add.reduceat(rows.astype(np.float64), blocks)
    # A row of the usual share beside each block's own: a chance is never quite nought or one.
    true_share = (np.add.reduceat(share * rows, blocks) + true.mean()) / (size + 1)
    centre = np.add.reduceat(levels * rows, blocks) / size
    return centre, np.clip(np.maximum.accumulate(true_share), _EPSILON, 1 - _EPSILON)


def expected_performance(metric: Metric, predicted: Predicted, chances: Floats) -> tuple[float, float]:
    """Value of a metric if each class is true with the chance given; with certain labels it is the realised value.

    Parameters
    ----------
    metric : str
        accuracy, f1 (of the positive class; of several classes their mean), auc, log_loss or brier.
    predicted : Predicted
        What the champion decided and said.
    chances : ndarray of shape (n_rows, n_classes)
        Of each class to be the true one.

    Returns
    -------
    value, error : float
        The error is the standard one from which rows came, labels apart. NaN where there is nothing to divide by.

    Raises
    ------
    ConfigError
        If the metric is another one, or needs probabilities that there are not.

    Examples
    --------
    >>> predicted = Predicted(np.array([1.0, 0.0]), np.array([[0.2, 0.8], [0.6, 0.4]]))
    >>> round(expected_performance("accuracy", predicted, predicted.probabilities)[0], 2)
    0.7
    """
    rows, classes = chances.shape
    decided = np.eye(classes)[predicted.values.astype(np.intp)]
    if metric == "accuracy":
        return _mean((chances * decided).sum(axis=1))
    if metric == "f1":
        numbers = range(classes) if classes > _BINARY else (1,)
        parts = [_f1(chances[:, number], decided[:, number]) for number in numbers]
        scatter = np.mean([part[1] for part in parts], axis=0)
        return float(np.mean([part[0] for part in parts])), float(scatter.std() / rows**0.5)
    said = probabilities_of(metric, predicted)
    if metric == "log_loss":
        return _mean(-(chances * np.log(np.clip(said, _EPSILON, 1.0))).sum(axis=1))
    if metric == "brier":
        return _mean((np.square(said).sum(axis=1) - 2 * (chances * said).sum(axis=1) + 1) / 2)
    if metric == "auc" and classes == _BINARY:
        return _area(said[:, 1], chances[:, 1])
    raise ConfigError(f"expected a metric of {classes} classes, got {metric}. Take accuracy, log_loss or brier.")


def _mean(of_rows: Floats) -> tuple[float, float]:
    return float(of_rows.mean()), float(of_rows.std() / len(of_rows) ** 0.5)


def _f1(chance: Floats, decided: Floats) -> tuple[float, Floats]:
    """The ratio, and what each row adds to it."""
    below = float((decided + chance).mean())
    if below == 0:
        return float("nan"), np.full(len(chance), np.nan)
    value = 2 * float((chance * decided).mean()) / below
    return value, (2 * chance * decided - value * (decided + chance)) / below


def _area(score: Floats, chance: Floats) -> tuple[float, float]:
    """Chance that a positive row scores above a negative one, ties counted half; no row is compared with itself."""
    _, place = np.unique(score, return_inverse=True)
    positive, negative = np.bincount(place, weights=chance), np.bincount(place, weights=1 - chance)
    below = (np.cumsum(negative) - negative / 2)[place]
    above = (positive.sum() - np.cumsum(positive) + positive / 2)[place]
    itself = chance * (1 - chance)
    pairs = float(chance.sum() * (1 - chance).sum() - itself.sum())
    if pairs <= 0:
        return float("nan"), float("nan")
    value = float((chance * below).sum() - itself.sum() / 2) / pairs
    placed = chance * (below / (1 - chance).sum() - value) / chance.mean()
    placed += (1 - chance) * (above / chance.sum() - value) / (1 - chance).mean()
    return value, float(placed.std() / len(score) ** 0.5)
