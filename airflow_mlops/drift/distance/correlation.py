"""Differences of correlations, on Fisher's scale."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from airflow_mlops.errors import DataError
from airflow_mlops.profile import Gram

__all__ = ["correlation_differences", "correlation_distance", "correlation_scatter"]

# Of one, Fisher's z is infinite; beyond this a correlation is one, up to rounding.
_ALMOST_ONE = 1 - 1e-9
# Fisher's variance is 1 / (n - 3).
_LOST = 3


def correlation_differences(reference: Gram, current: Gram) -> NDArray[np.float64]:
    """Fisher's z of each pair's correlation now, less that of the reference.

    Parameters
    ----------
    reference, current : Gram
        Of the same columns in the same order.

    Returns
    -------
    ndarray of shape (n_columns, n_columns)
        Symmetric, with a diagonal of zeros; zero too where one side has no correlation, such as of a constant.

    Raises
    ------
    DataError
        If they are of other columns, or one side has no rows.

    References
    ----------
    Fisher, R. A. (1921). On the "probable error" of a coefficient of correlation deduced from a small sample. Metron 1,
    3-32.
    """
    if reference.columns != current.columns:
        raise DataError(
            f"expected correlations of the columns {', '.join(reference.columns)}, got those of "
            f"{', '.join(current.columns)}. Profile the current table with the edges of the reference."
        )
    if not reference.rows or not current.rows:
        raise DataError("expected rows on both sides of a correlation, got none. Take nights that hold data.")
    before, now = (np.arctanh(np.clip(gram.correlation(), -_ALMOST_ONE, _ALMOST_ONE)) for gram in (reference, current))
    differences: NDArray[np.float64] = np.nan_to_num(now - before)
    np.fill_diagonal(differences, 0.0)
    return differences


def correlation_distance(reference: Gram, current: Gram) -> float:
    """Greatest absolute difference of `correlation_differences`."""
    return float(np.abs(correlation_differences(reference, current)).max(initial=0.0))


def correlation_scatter(reference: Gram, current: Gram) -> NDArray[np.float64]:
    """Standard error of each difference, were rows independent and normal: sqrt(1 / (n - 3) + 1 / (m - 3)).

    Returns
    -------
    ndarray of shape (n_columns, n_columns)
        Infinite where one side has three rows or fewer with both numbers.
    """
    with np.errstate(divide="ignore"):
        scatter: NDArray[np.float64] = np.sqrt(
            sum(1 / np.maximum(gram.pairs() - _LOST, 0).astype(np.float64) for gram in (reference, current))
        )
    return scatter
