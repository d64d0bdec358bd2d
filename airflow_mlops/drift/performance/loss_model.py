"""How wrong a regression usually is on rows like these: its loss, learned from the features and from what it said.

Every feature, and the prediction, is cut into bins by its quantiles on the reference; each bin adds something to the
expected loss, as little as the data allow (ridge). Missing values have a bin of their own. The model is small, exact on
average over its own reference, and says nothing of interactions that the prediction does not show. What it cannot see
is concept drift: rows that look as they did are expected to cost what they did.

References
----------
Hoerl, A. E. & Kennard, R. W. (1970). Ridge regression: biased estimation for nonorthogonal problems. Technometrics
12(1), 55-67.

Golub, G. H., Heath, M. & Wahba, G. (1979). Generalized cross-validation as a method for choosing a good ridge
parameter. Technometrics 21(2), 215-223, equation 1.4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from airflow_mlops.errors import DataError

__all__ = ["LossModel", "fit_loss_model"]

Floats = NDArray[np.float64]
_BINS = 16
_PENALTIES = np.geomspace(0.1, 1e5, 25)
# Rows that are turned into bins at once.
_BATCH = 8192


@dataclass(frozen=True, eq=False)
class LossModel:
    """Expected loss of a row: a mean, and what each of its bins adds.

    ``edges`` lie between the bins of each column, the prediction last; ``added`` has the bins of all columns in a row,
    after those of each the one for missing values.
    """

    edges: tuple[Floats, ...]
    mean: float
    added: Floats

    def expected(self, features: Floats | None, predictions: Floats) -> Floats:
        """Loss that is expected of each row, of shape (n_rows,); never negative."""
        expected: Floats = np.maximum(self.mean + self.added[_bins(features, predictions, self.edges)].sum(axis=1), 0.0)
        return expected


def fit_loss_model(features: Floats | None, predictions: Floats, losses: Floats) -> LossModel:
    """Learn the loss of rows from labelled reference nights that the champion was not trained on.

    Parameters
    ----------
    features : ndarray of shape (n_rows, n_features) or None
        What the champion saw; None if nothing but the prediction is known.
    predictions : ndarray of shape (n_rows,)
        What it said.
    losses : ndarray of shape (n_rows,)
        What that cost: absolute or squared errors.

    Raises
    ------
    DataError
        If there are fewer than 256 rows.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> said = rng.uniform(1.0, 3.0, size=5_000)
    >>> model = fit_loss_model(None, said, np.abs(rng.normal(size=said.size) * said))
    >>> model.expected(None, np.array([1.0, 2.0, 3.0])).round(1)
    array([0.9, 1.7, 2.3])
    """
    if len(losses) < _BINS**2:
        raise DataError(
            f"expected at least {_BINS**2} labelled rows to learn a loss from, got {len(losses)}. Add nights."
        )
    columns = _columns(features, predictions)
    edges = tuple(_edges(column) for column in columns.T)
    width = sum(len(own) + 2 for own in edges)
    mean = float(losses.mean())
    gram, moment = np.zeros((width, width)), np.zeros(width)
    for first in range(0, len(losses), _BATCH):
        chosen = slice(first, first + _BATCH)
        places = _bins(None if features is None else features[chosen], predictions[chosen], edges)
        design = np.zeros((len(places), width))
        np.put_along_axis(design, places, 1.0, axis=1)
        gram += design.T @ design
        moment += design.T @ (losses[chosen] - mean)
    values, vectors = np.linalg.eigh(gram)
    values, rotated = np.maximum(values, 0.0), vectors.T @ moment
    penalty = _penalty(values, rotated, float(np.square(losses - mean).sum()), len(losses))
    return LossModel(edges, mean, vectors @ (rotated / (values + penalty)))


def _penalty(values: Floats, rotated: Floats, total: float, rows: int) -> float:
    """The one with the least generalised cross-validation error."""
    kept = values[:, None] / (values[:, None] + _PENALTIES)
    fitted = np.square(rotated)[:, None] / (values[:, None] + _PENALTIES)
    left = total - (fitted * (2 - kept)).sum(axis=0)
    error = left / np.square(np.maximum(rows - 1 - kept.sum(axis=0), 1.0))
    return float(_PENALTIES[np.argmin(error)])


def _columns(features: Floats | None, predictions: Floats) -> Floats:
    return predictions[:, None] if features is None else np.column_stack([features, predictions])


def _edges(column: Floats) -> Floats:
    """Between bins of about as many rows; each value has its own where there are few."""
    values = np.unique(column[np.isfinite(column)])
    if len(values) > _BINS:
        return np.unique(np.quantile(column[np.isfinite(column)], np.arange(1, _BINS) / _BINS))
    edges: Floats = (values[1:] + values[:-1]) / 2
    return edges


def _bins(features: Floats | None, predictions: Floats, edges: tuple[Floats, ...]) -> NDArray[np.intp]:
    """Number of each row's bin in each column, of shape (n_rows, n_columns), counted through all columns."""
    columns = _columns(features, predictions)
    places = np.empty(columns.shape, dtype=np.intp)
    first = 0
    for number, (column, own) in enumerate(zip(columns.T, edges, strict=True)):
        inner = np.searchsorted(own, column, side="right")
        places[:, number] = first + np.where(np.isnan(column), len(own) + 1, inner)
        first += len(own) + 2
    return places
