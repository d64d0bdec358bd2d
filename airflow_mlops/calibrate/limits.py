"""Limits of distances that are learned from windows of past nights.

References
----------
Hahn, G. J. & Meeker, W. Q. (1991). Statistical Intervals, section 4.8 (prediction interval for one more observation).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from airflow_mlops.calibrate.variance import squeezed_variances
from airflow_mlops.errors import ConfigError

__all__ = ["upper_limits"]

_A_PAIR = 2


def upper_limits(
    past: NDArray[np.float64], *, effective_windows: float, tail_probability: float
) -> NDArray[np.float64]:
    """What one more number of each series exceeds with a given probability, if nothing changed.

    Parameters
    ----------
    past : ndarray of shape (n_series, n_windows)
        Positive numbers, windows that overlap among them.
    effective_windows : float
        How many independent windows they are worth, at least 2: nights / nights in a window.
    tail_probability : float
        In (0, 1), for one series.

    Returns
    -------
    ndarray of shape (n_series,)
        ``exp(mean + t * sqrt(variance * (1 + 1 / effective_windows)))`` of the logarithms, with Student's t.

    Raises
    ------
    ConfigError
        If there are fewer than two effective windows.

    Examples
    --------
    >>> past = np.exp(np.random.default_rng(0).normal(0.0, 0.3, size=(5, 40)))
    >>> upper_limits(past, effective_windows=40, tail_probability=0.01).round(1)
    array([1.9, 2.2, 2. , 1.9, 2. ])
    """
    if not effective_windows >= _A_PAIR:
        raise ConfigError(
            f"expected at least 2 windows to learn a scatter from, got {effective_windows:.1f}. Learn from more nights."
        )
    logs = np.log(past)
    variances, freedom = squeezed_variances(logs.var(axis=1, ddof=1), degrees_of_freedom=effective_windows - 1)
    reach = stats.norm if np.isinf(freedom) else stats.t(freedom)
    spread = np.sqrt(variances * (1 + 1 / effective_windows))
    limits: NDArray[np.float64] = np.exp(logs.mean(axis=1) + reach.isf(tail_probability) * spread)
    return limits
