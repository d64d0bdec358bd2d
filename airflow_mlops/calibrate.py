"""How unusual is a number among its own past, within a stated budget of false alarms.

Series of positive numbers (distances, one series a feature) are judged on the log scale, by a prediction interval for
one more of them. How much each series scatters is learned from few windows, so the series lend each other strength: a
scatter that few windows made look small or large is squeezed towards what is usual among them.

References
----------
Smyth, G. K. (2004). Linear models and empirical Bayes methods for assessing differential expression in microarray
experiments. Statistical Applications in Genetics and Molecular Biology 3(1), article 3, section 6.2.

Sidak, Z. (1967). Rectangular confidence regions for the means of multivariate normal distributions. Journal of the
American Statistical Association 62, 626-633.

Hahn, G. J. & Meeker, W. Q. (1991). Statistical Intervals, section 4.8 (prediction interval for one more observation).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from airflow_mlops.errors import ConfigError

__all__ = ["nightly_probability", "squeezed_variances", "upper_limits"]

_NIGHTS_A_YEAR = 365.0
# A scatter below this, on the log scale, is that of numbers that are all alike: it says nothing of other series.
_ALIKE = 1e-12
# A scatter takes two: of one number, or one series, there is none.
_A_PAIR = 2
_CONVERGED = 1e-8


def nightly_probability(alarms_per_year: float, *, series: int) -> float:
    """Tail probability for one series on one night, when ``series`` of them share a budget (Sidak 1967).

    Parameters
    ----------
    alarms_per_year : float
        Nights a year on which an alarm may be false; more than there are nights are all of them.
    series : int
        Series that are looked at each night.

    Returns
    -------
    float
        In (0, 1).

    Raises
    ------
    ConfigError
        If the budget is not positive or there is no series.

    Examples
    --------
    >>> round(nightly_probability(4, series=11), 5)
    0.001
    """
    if not alarms_per_year > 0 or series < 1:
        raise ConfigError(
            f"expected a positive budget of false alarms a year and at least one series, got {alarms_per_year} "
            f"and {series}. Set false_alarms_per_year to a number such as 4."
        )
    any_series = min(alarms_per_year / _NIGHTS_A_YEAR, 0.99)
    return float(-np.expm1(np.log1p(-any_series) / series))


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


def squeezed_variances(
    variances: NDArray[np.float64], *, degrees_of_freedom: float
) -> tuple[NDArray[np.float64], float]:
    """Variances that lend each other strength, and the degrees of freedom they then have (Smyth 2004, section 6.2).

    Parameters
    ----------
    variances : ndarray of shape (n_series,)
        One a series; a zero is left as it is.
    degrees_of_freedom : float
        Of each.

    Returns
    -------
    variances : ndarray of shape (n_series,)
        Weighted means of each variance and what is usual.
    degrees_of_freedom : float
        Own and borrowed; infinite if the variances differ no more than chance would make them.

    Examples
    --------
    >>> squeezed, freedom = squeezed_variances(np.array([0.1, 0.2, 0.9, 1.8]), degrees_of_freedom=7)
    >>> squeezed.round(2), round(freedom, 1)
    (array([0.15, 0.22, 0.76, 1.44]), 9.2)
    """
    own = degrees_of_freedom
    telling = variances > _ALIKE
    if telling.sum() < _A_PAIR:
        return variances, own
    logs = np.log(variances[telling]) - special.digamma(own / 2) + np.log(own / 2)
    excess = float(logs.var(ddof=1) - special.polygamma(1, own / 2))
    if excess <= 0:
        return np.where(telling, np.exp(logs.mean()), variances), np.inf
    borrowed = 2 * _inverse_trigamma(excess)
    usual = np.exp(logs.mean() + special.digamma(borrowed / 2) - np.log(borrowed / 2))
    squeezed = (borrowed * usual + own * variances) / (borrowed + own)
    return np.where(telling, squeezed, variances), own + borrowed


def _inverse_trigamma(value: float) -> float:
    """Newton's iteration on 1 / trigamma, which is convex (Smyth 2004, appendix)."""
    guess = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(special.polygamma(1, guess))
        step = trigamma * (1 - trigamma / value) / float(special.polygamma(2, guess))
        guess += step
        if -step / guess < _CONVERGED:
            break
    return guess
