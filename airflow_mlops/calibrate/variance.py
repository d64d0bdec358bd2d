"""Variances learned from few nights, which lend each other strength.

References
----------
Smyth, G. K. (2004). Linear models and empirical Bayes methods for assessing differential expression in microarray
experiments. Statistical Applications in Genetics and Molecular Biology 3(1), article 3, section 6.2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

__all__ = ["squeezed_variances"]

# A scatter below this, on the log scale, is that of numbers that are all alike: it says nothing of other series.
_ALIKE = 1e-12
# A scatter takes two: of one number, or one series, there is none.
_A_PAIR = 2
_CONVERGED = 1e-8


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
