"""Many probabilities made one: of a single feature that stands out, and of several that lean together.

References
----------
Sidak, Z. (1967). Rectangular confidence regions for the means of multivariate normal distributions. Journal of the
American Statistical Association 62, 626-633.

Zaykin, D. V., Zhivotovsky, L. A., Westfall, P. H. & Weir, B. S. (2002). Truncated product method for combining
p-values. Genetic Epidemiology 22(2), 170-185, equation 2.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

__all__ = ["LEAST_PROBABILITY", "least_of", "single_of", "truncated_product"]

Floats = NDArray[np.float64]
LEAST_PROBABILITY = 1e-300
"""What is less likely than this is as likely: its logarithm stays finite."""
# A feature with a probability above this says nothing of a common move.
_TRUNCATED = 0.1


def least_of(probability: Floats, tests: NDArray[np.intp] | int) -> Floats:
    """Probability that the least of several independent ones is this small (Sidak 1967).

    Examples
    --------
    >>> least_of(np.array([0.001, 0.01]), 20).round(3)
    array([0.02 , 0.182])
    """
    whole: Floats = -np.expm1(tests * np.log1p(-np.minimum(probability, 1 - 1e-16)))
    return np.maximum(whole, LEAST_PROBABILITY)


def single_of(probability: Floats, tests: NDArray[np.intp] | int) -> Floats:
    """Probability of a single one whose `least_of` several is given.

    Examples
    --------
    >>> single_of(least_of(np.array([0.001]), 20), 20).round(6)
    array([0.001])
    """
    single: Floats = -np.expm1(np.log1p(-np.minimum(probability, 1 - 1e-16)) / tests)
    return single


def truncated_product(probabilities: Floats) -> float:
    """Probability that those below 0.1 have so small a product (Zaykin et al. 2002, equation 2).

    Parameters
    ----------
    probabilities : ndarray of shape (n_features,)
        Independent, in (0, 1].

    Examples
    --------
    >>> round(truncated_product(np.array([0.01, 0.01, 0.01, 0.6, 0.9])), 4)
    0.0012
    """
    held = np.maximum(probabilities, LEAST_PROBABILITY)
    product = float(np.maximum(0.0, np.log(_TRUNCATED) - np.log(held)).sum())
    if product <= 0:
        return 1.0
    counts, chances = _truncated_counts(probabilities.size)
    return max(float(chances @ special.gammaincc(counts, product)), LEAST_PROBABILITY)


@lru_cache
def _truncated_counts(features: int) -> tuple[Floats, Floats]:
    """How many of the features lie below, and how likely that many are."""
    counts = np.arange(1.0, features + 1)
    return counts, stats.binom.pmf(counts, features, _TRUNCATED)
