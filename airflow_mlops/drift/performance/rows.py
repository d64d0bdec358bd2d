"""Rows with what the champion said of them, and later with what was true."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from airflow_mlops.errors import ConfigError, DataError
from airflow_mlops.records import Value

__all__ = ["Labelled", "Metric", "NightLoss", "Predicted", "row_losses"]

Floats = NDArray[np.float64]
Metric = Literal["accuracy", "f1", "auc", "log_loss", "brier", "mae", "rmse"]
_OF_NUMBERS = ("mae", "rmse")
# A certainty that is wrong costs 36, not infinity.
_EPSILON = float(np.finfo(np.float64).eps)
_A_PAIR = 2


@dataclass(frozen=True, eq=False)
class Predicted:
    """What the champion said of rows.

    Attributes
    ----------
    values : ndarray of shape (n_rows,)
        The prediction; of a classification the number of the class that it decided for.
    probabilities : ndarray of shape (n_rows, n_classes), optional
        Of a classification; of two classes the second is the positive one.
    features : ndarray of shape (n_rows, n_features), optional
        What it saw, levels as numbers, NaN where a value is missing; a loss model needs it.
    """

    values: Floats
    probabilities: Floats | None = None
    features: Floats | None = None

    def __post_init__(self) -> None:
        if not len(self.values):
            raise DataError("expected predictions, got none. Give the rows of a night that has some.")
        for what in (self.probabilities, self.features):
            if what is not None and (what.ndim != _A_PAIR or len(what) != len(self.values)):
                raise DataError(f"expected a line for each of {len(self.values)} predictions, got {what.shape}.")
        told = (self.values, *([] if self.probabilities is None else [self.probabilities]))
        if not all(np.isfinite(what).all() for what in told):
            raise DataError(
                "expected finite predictions, got NaN or infinity. Ask the champion again, or leave them out."
            )

    def at(self, chosen: NDArray[np.bool_]) -> Predicted:
        """Those of some rows."""
        probabilities, features = (
            None if what is None else what[chosen] for what in (self.probabilities, self.features)
        )
        return Predicted(self.values[chosen], probabilities, features)


@dataclass(frozen=True, eq=False)
class Labelled:
    """Rows of reference nights, held out from training, with their labels.

    Attributes
    ----------
    predicted : Predicted
        What the champion said.
    truth : ndarray of shape (n_rows,)
        What was true; of a classification the number of the class.
    nights : ndarray of shape (n_rows,)
        Which night each row is of, in any type that compares.
    """

    predicted: Predicted
    truth: Floats
    nights: NDArray[np.generic]

    def __post_init__(self) -> None:
        if not self.truth.shape == self.nights.shape == self.predicted.values.shape:
            raise DataError(
                f"expected a label and a night for each of {len(self.predicted.values)} predictions, got "
                f"{self.truth.shape} and {self.nights.shape}."
            )
        if not np.isfinite(self.truth).all():
            raise DataError("expected finite labels, got NaN or infinity. Leave out rows whose labels have not come.")

    def at(self, chosen: NDArray[np.bool_]) -> Labelled:
        """Those of some rows."""
        return Labelled(self.predicted.at(chosen), self.truth[chosen], self.nights[chosen])


class NightLoss(Value):
    """The mean loss of a night's rows, and its standard error if rows were independent; less is better."""

    night: dt.date
    loss: float
    error: float
    rows: int

    @classmethod
    def of(cls, night: dt.date, losses: Floats) -> NightLoss:
        """Of the losses of its rows.

        Raises
        ------
        DataError
            If there are fewer than two, or one is not finite.

        Examples
        --------
        >>> NightLoss.of(dt.date(2026, 5, 1), np.array([0.0, 1.0, 0.0, 1.0])).loss
        0.5
        """
        if len(losses) < _A_PAIR or not np.isfinite(losses).all():
            raise DataError(
                f"{night}: expected at least 2 losses, all finite, got {len(losses)}. Wait for more labels."
            )
        # Rows that are all alike have been lucky: half a row of scatter is left to them.
        scatter = max(float(losses.std(ddof=1)), abs(float(losses.mean())) / len(losses), _EPSILON)
        return cls(night=night, loss=float(losses.mean()), error=scatter / len(losses) ** 0.5, rows=len(losses))


def row_losses(metric: Metric, predicted: Predicted, truth: Floats) -> Floats:
    """What each row cost, in the way of a metric: errors for accuracy, squares for rmse.

    Parameters
    ----------
    metric : str
        One that is a mean over rows: not f1, nor auc.
    predicted : Predicted
        What the champion said.
    truth : ndarray of shape (n_rows,)
        What was true.

    Returns
    -------
    ndarray of shape (n_rows,)
        Less is better.

    Raises
    ------
    ConfigError
        If the metric is no mean over rows, or needs probabilities that there are not.

    Examples
    --------
    >>> row_losses("accuracy", Predicted(np.array([1.0, 0.0])), np.array([1.0, 1.0])).tolist()
    [0.0, 1.0]
    """
    if metric in _OF_NUMBERS:
        away = np.abs(predicted.values - truth)
        return away if metric == "mae" else np.asarray(np.square(away))
    if metric == "accuracy":
        return np.asarray(predicted.values != truth, dtype=np.float64)
    if metric not in ("log_loss", "brier"):
        raise ConfigError(
            f"expected a metric that is a mean over rows, got {metric}. Take accuracy, log_loss or brier."
        )
    said = probabilities_of(metric, predicted)
    label = truth.astype(np.intp)
    if metric == "log_loss":
        losses: Floats = -np.log(np.clip(said[np.arange(len(label)), label], _EPSILON, 1.0))
        return losses
    squares: Floats = np.square(said - np.eye(said.shape[1])[label]).sum(axis=1) / 2
    return squares


def probabilities_of(metric: str, predicted: Predicted) -> Floats:
    """The probabilities that a metric needs."""
    if predicted.probabilities is None:
        raise ConfigError(
            f"{metric} needs a probability for each class, got decisions alone. Take accuracy, with labels."
        )
    return predicted.probabilities
