"""Tests of a figure, or of a share that is not divided: Student's t and, of few units, the shares of their subsets."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import special

from airflow_mlops.gate.rows import Floats

__all__ = ["ShareT", "StudentT", "SubsetShare", "jackknife_covariance"]

Numbers = npt.NDArray[np.intp]

# 4,095 subsets: the p-value of alpha = 5 % then has a standard error of 0.3 points.
_ALL_SUBSETS_OF = 12


def jackknife_covariance(left_out: Floats, stratum: Numbers) -> Floats:
    """Covariance of figures from their values with each unit left out.

    Parameters
    ----------
    left_out : numpy.ndarray, shape (n_units, n_figures)
        Each figure without each unit.
    stratum : numpy.ndarray of int, shape (n_units,)
        Spread is taken within strata.

    Returns
    -------
    numpy.ndarray, shape (n_figures, n_figures)

    References
    ----------
    Efron, B., Stein, C. (1981). The jackknife estimate of variance. Annals of Statistics 9(3), 586-596. It errs to
    the wide side, which is what clusters of unequal size ask for (MacKinnon, Nielsen & Webb 2023, CV3).

    Examples
    --------
    >>> rows = np.array([1.0, 2.0, 6.0])
    >>> jackknife_covariance((rows.sum() - rows)[:, np.newaxis] / 2, np.zeros(3, dtype=int)).round(6).tolist()
    [[2.333333]]
    """
    sizes = np.bincount(stratum)
    means = np.stack([np.bincount(stratum, weights=column) / sizes for column in left_out.T], axis=1)
    deviation = (left_out - means[stratum]) * np.sqrt((sizes - 1) / sizes)[stratum][:, np.newaxis]
    return np.asarray(deviation.T @ deviation)


def _t_tail(difference: float, error: float, df: float) -> float:
    """Chance of a t as low as difference / error; nothing is shown by a difference of none."""
    if not df > 0 or not np.isfinite(error):
        return 1.0
    if error == 0:
        return 0.0 if difference < 0 else 1.0
    return float(special.stdtr(df, difference / error))


@dataclass(frozen=True)
class StudentT:
    """An estimate with a standard error of ``df`` degrees of freedom."""

    estimate: float
    standard_error: float
    df: float
    method: str = "Student's t"

    def p_below(self, bound: float) -> float:
        """P-value against the truth being at the bound or above it."""
        return _t_tail(self.estimate - bound, self.standard_error, self.df)

    def p_above(self, bound: float) -> float:
        """P-value against the truth being at the bound or below it."""
        return _t_tail(bound - self.estimate, self.standard_error, self.df)

    def bounds(self, alpha: float) -> tuple[float, float]:
        """Lower and upper bound, each at level ``alpha``."""
        if not self.df > 0 or not np.isfinite(self.standard_error):
            return -np.inf, np.inf
        reach = float(special.stdtrit(self.df, 1 - alpha)) * self.standard_error
        return self.estimate - reach, self.estimate + reach


@dataclass(frozen=True)
class ShareT:
    """How much more the challenger has than the champion, as a share of the champion's.

    ``challenger < (1 + share) champion`` is tested as a difference of means, ``challenger**p - (1 + share)**p
    champion**p``: losses with a heavy tail make the ratio of two means erratic, and its bootstrap promotes 10 to
    14 % at alpha = 5 %, whereas paired losses that are exchangeable at the bound have a symmetric difference, of
    which t is conservative. The bounds are Fieller's, the shares at which the test turns.

    Attributes
    ----------
    values : tuple of float
        The means (``metric**power``) of challenger and champion; the champion's is positive.
    covariance : numpy.ndarray, shape (2, 2)
        Of the means.
    df : float
        Degrees of freedom.
    power : int
        What the metric is raised to in order to be a mean: 2 for rmse.

    References
    ----------
    Fieller, E. C. (1954). Some problems in interval estimation. J. R. Statist. Soc. B 16(2), 175-185.

    Examples
    --------
    >>> share = ShareT((1.0, 1.0), np.array([[0.02, 0.01], [0.01, 0.02]]), 30)
    >>> [round(bound, 3) for bound in share.bounds(0.05)], round(share.p_below(0.2799), 3)
    ([-0.219, 0.28], 0.05)
    """

    values: tuple[float, float]
    covariance: Floats
    df: float
    power: int = 1
    method: str = "Student's t"

    def p_below(self, bound: float) -> float:
        """P-value against the share being at the bound or above it."""
        return _t_tail(*self._difference(bound), self.df)

    def p_above(self, bound: float) -> float:
        """P-value against the share being at the bound or below it."""
        difference, error = self._difference(bound)
        return _t_tail(-difference, error, self.df)

    def bounds(self, alpha: float) -> tuple[float, float]:
        """Lower and upper bound, each at level ``alpha``; infinite if the champion's mean may be none."""
        if not self.df > 0 or not np.isfinite(self.covariance).all():
            return -np.inf, np.inf
        squared = float(special.stdtrit(self.df, 1 - alpha)) ** 2
        (challenger, champion), ((own, shared), (_, other)) = self.values, self.covariance
        a = champion**2 - squared * other
        b = challenger * champion - squared * shared
        c = challenger**2 - squared * own
        if a <= 0:
            return -np.inf, np.inf
        root = np.sqrt(max(b**2 - a * c, 0.0))
        low, high = (float(max((b + side * root) / a, 0.0) ** (1 / self.power) - 1) for side in (-1, 1))
        return low, high

    def _difference(self, share: float) -> tuple[float, float]:
        ratio = max(1 + share, 0.0) ** self.power
        variance = self.covariance[0, 0] - 2 * ratio * self.covariance[0, 1] + ratio**2 * self.covariance[1, 1]
        return self.values[0] - ratio * self.values[1], float(np.sqrt(max(variance, 0.0)))


@dataclass(frozen=True, eq=False)
class SubsetShare:
    """What ``ShareT`` tests, of few units: by the shares in all their subsets.

    Nights differ in how hard they are, and of two models that are nearly alike ``challenger - (1 + share) champion``
    differs from night to night as the nights do. Of few nights t then shows nothing, though the challenger kept the
    bound in each. The sign-flip test does not mind: it is exact where the units' differences are symmetric at the
    bound, whatever their sizes. A flipped sum is below the sum where the units that were flipped have a sum below
    zero, so the p-value is the share of subsets that do not keep the bound by themselves. Of more than twelve units
    4,095 subsets are drawn, the same ones every time.

    Attributes
    ----------
    units : numpy.ndarray, shape (n_units, 2)
        What each unit has of ``metric**power``, challenger and champion; the champion's are positive.
    power : int
        What the metric is raised to in order to be a mean.

    References
    ----------
    Hartigan, J. A. (1969). Using subsample values as typical values. JASA 64(328), 1303-1317. Canay, I. A., Romano,
    J. P., Shaikh, A. M. (2017). Randomization tests under an approximate symmetry assumption. Econometrica 85(3),
    1013-1030 (few clusters).

    Examples
    --------
    >>> hardness = np.array([1.0, 2.0, 4.0, 8.0, 16.0, 32.0])
    >>> subsets = SubsetShare(np.stack([1.02 * hardness, hardness], axis=1))
    >>> [round(bound, 3) for bound in subsets.bounds(0.05)], subsets.p_below(0.1), subsets.p_below(0.01)
    ([0.02, 0.02], 0.015625, 1.0)
    """

    units: Floats
    power: int = 1
    method: str = "sign flips"

    @cached_property
    def shares(self) -> Floats:
        """Share of each subset but the empty one, or of as many drawn by chance; sorted."""
        count = len(self.units)
        if count <= _ALL_SUBSETS_OF:
            chosen = (np.arange(1, 2**count)[:, np.newaxis] >> np.arange(count)) & 1
        else:
            chosen = np.random.default_rng(0).integers(0, 2, size=(2**_ALL_SUBSETS_OF - 1, count))
            chosen = chosen[chosen.any(axis=1)]
        sums = chosen @ self.units
        return np.sort(np.maximum(sums[:, 0] / sums[:, 1], 0.0) ** (1 / self.power) - 1)

    def p_below(self, bound: float) -> float:
        """P-value against the share being at the bound or above it."""
        return (self.shares.size - int(np.searchsorted(self.shares, bound, side="left")) + 1) / (self.shares.size + 1)

    def p_above(self, bound: float) -> float:
        """P-value against the share being at the bound or below it."""
        return (int(np.searchsorted(self.shares, bound, side="right")) + 1) / (self.shares.size + 1)

    def bounds(self, alpha: float) -> tuple[float, float]:
        """Lower and upper bound, each at level ``alpha``; infinite if there are too few units for that."""
        place = int(alpha * (self.shares.size + 1)) - 1
        return (float(self.shares[place]), float(self.shares[-1 - place])) if place >= 0 else (-np.inf, np.inf)
