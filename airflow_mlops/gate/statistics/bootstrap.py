"""The paired bootstrap: what figures could have been on other units like these, and the BCa interval of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import special

from airflow_mlops.gate.rows import Floats

__all__ = ["BCa", "acceleration", "left_out", "resample_counts", "resampled_sums"]

Numbers = npt.NDArray[np.intp]
Counts = npt.NDArray[np.uint8]

# Cells of one matrix of resample counts: 8 MB as floats; more would be slower, for the processor's cache holds no more.
_CELLS = 1_000_000
# Cells that are drawn at once: what is drawn and counted stays near the processor.
_DRAWN_CELLS = 32_768
# Draws that are kept (a byte a cell), and how many such: the same for all metrics, slices of one size and trials.
_KEPT_CELLS = 25_000_000
_KEPT = 4


def resampled_sums(unit_sums: Floats, stratum: Numbers, *, resamples: int, seed: int) -> Floats:
    """Sums over resamples of whole units; all columns (sums, models) see the same resample, so they stay paired.

    A resample is a row of a matrix of counts, how often each unit was drawn; every sum of every resample then is one
    matrix product.

    Parameters
    ----------
    unit_sums : numpy.ndarray, shape (n_units, n_sums)
        What each unit adds to each sum.
    stratum : numpy.ndarray of int, shape (n_units,)
        As many units as a stratum has are drawn from it.
    resamples : int
        How many times to draw.
    seed : int
        Of the draws: the same for the same number of units, strata and resamples.

    Returns
    -------
    numpy.ndarray, shape (resamples, n_sums)

    References
    ----------
    Davison, A. C., Hinkley, D. V. (1997). Bootstrap Methods and their Application, sections 2.4, 3.2 and 3.8.

    Examples
    --------
    >>> sums = resampled_sums(np.array([[1.0, 2.0], [1.0, 3.0]]), np.zeros(2, dtype=int), resamples=4, seed=0)
    >>> sums[:, 0].tolist(), set(sums[:, 1]) <= {4.0, 5.0, 6.0}
    ([2.0, 2.0, 2.0, 2.0], True)
    """
    return np.concatenate([counts @ unit_sums for counts in resample_counts(stratum, resamples=resamples, seed=seed)])


def resample_counts(stratum: Numbers, *, resamples: int, seed: int) -> Iterator[Floats]:
    """How often each unit is drawn, in pieces of shape (n_resamples, n_units) that fit in memory.

    Examples
    --------
    >>> counts = np.concatenate(list(resample_counts(np.array([1, 0, 1]), resamples=5, seed=0)))
    >>> counts[:, 1].tolist(), counts[:, [0, 2]].sum(axis=1).tolist()
    ([1.0, 1.0, 1.0, 1.0, 1.0], [2.0, 2.0, 2.0, 2.0, 2.0])
    """
    sizes = np.bincount(stratum)
    key = (tuple(sizes.tolist()), resamples, seed)
    pieces = _kept(*key) if stratum.size * resamples <= _KEPT_CELLS else _drawn(*key)
    # Drawn in the order of the strata, where a stratum's units are neighbours; given back in that of the units.
    place = np.argsort(np.argsort(stratum, kind="stable")) if sizes.size > 1 else slice(None)
    for counts in pieces:
        yield counts[:, place].astype(np.float64)


@lru_cache(maxsize=_KEPT)
def _kept(sizes: tuple[int, ...], resamples: int, seed: int) -> tuple[Counts, ...]:
    return tuple(_drawn(sizes, resamples, seed))


def _drawn(sizes: tuple[int, ...], resamples: int, seed: int) -> Iterator[Counts]:
    rng = np.random.default_rng(seed)
    n_units = sum(sizes)
    high: Numbers | int = n_units
    if len(sizes) > 1:
        high = np.repeat(np.array(sizes), sizes)
    first = np.repeat(np.cumsum([0, *sizes[:-1]]), sizes)
    rows, at_once = max(16, _CELLS // n_units), max(1, _DRAWN_CELLS // n_units)
    shift = first + n_units * np.arange(at_once)[:, np.newaxis]
    for start in range(0, resamples, rows):
        # A unit is drawn more than 255 times in no lifetime of the universe, unless there are fewer to draw.
        counts = np.empty((min(rows, resamples - start), n_units), dtype=np.uint8)
        for row in range(0, len(counts), at_once):
            block = counts[row : row + at_once]
            drawn = rng.integers(high, size=block.shape)
            drawn += shift[: len(block)]
            # Counted by hand: Generator.multinomial takes ten times as long for many units.
            block[:] = np.bincount(drawn.ravel(), minlength=block.size).reshape(block.shape)
        yield counts


def left_out(unit_sums: Floats, stratum: Numbers) -> Floats:
    """Sums with each unit left out in turn, and the rest of its stratum weighted up for it.

    Returns
    -------
    numpy.ndarray, shape (n_units, n_sums)

    Examples
    --------
    >>> left_out(np.array([[1.0], [2.0], [6.0]]), np.zeros(3, dtype=int)).ravel().tolist()
    [12.0, 10.5, 4.5]
    """
    sizes = np.bincount(stratum)
    totals = np.stack([np.bincount(stratum, weights=column) for column in unit_sums.T], axis=1)
    rest = (totals[stratum] - unit_sums) / np.maximum(sizes - 1, 1)[stratum][:, np.newaxis]
    return np.asarray(totals.sum(axis=0) - unit_sums + rest)


def acceleration(jackknife: Floats, stratum: Numbers) -> float:
    """How fast the spread of an estimate changes with it, from the values with each unit left out.

    Sum of cubes over 6 times the 3/2 power of the sum of squares, of what leaving a unit out takes away.

    References
    ----------
    Efron, B. (1987). Better Bootstrap Confidence Intervals. JASA 82(397), 171-185, eq. 6.6.
    Davison & Hinkley (1997), eq. 5.23 (several samples).

    Examples
    --------
    >>> round(acceleration(-np.array([0.0, 0.0, 0.0, 1.0]), np.zeros(4, dtype=int)), 4)
    0.0962
    """
    sizes = np.bincount(stratum)
    gain = (np.bincount(stratum, weights=jackknife) / sizes)[stratum] - jackknife
    # An influence is (n - 1) times the gain, over n of its stratum in the mean.
    gain *= ((sizes - 1) / sizes)[stratum]
    squares = float((gain**2).sum())
    return float((gain**3).sum() / (6 * squares**1.5)) if squares > 0 else 0.0


@dataclass(frozen=True)
class BCa:
    """Bias-corrected and accelerated bounds of an estimate, and the p-values that invert them.

    Attributes
    ----------
    estimate : float
        Of the rows themselves.
    replicates : numpy.ndarray, shape (resamples,)
        Of the resamples, sorted.
    acceleration : float
        Of the jackknife.
    df : float
        Degrees of freedom of the units. The bootstrap is as narrow as if the spread of few units were known: by
        sqrt(df / (df + 1)), and by z instead of Student's t. Its tails are taken further out for both.

    References
    ----------
    Efron (1987), eq. 3.8. DiCiccio, T. J., Efron, B. (1996). Bootstrap confidence intervals. Statistical Science
    11(3), 189-228, eq. 2.3. Hesterberg, T. C. (2015). What Teachers Should Know About the Bootstrap. The American
    Statistician 69(4), 371-386, section 3.3 (the expanded tail).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> bca = BCa(0.0, np.sort(rng.normal(0, 1, 9_999)), 0.0)
    >>> [round(bound, 2) for bound in bca.bounds(0.05)], round(bca.p_below(1.645), 2)
    ([-1.61, 1.66], 0.05)
    """

    estimate: float
    replicates: Floats
    acceleration: float
    df: float = np.inf
    method: str = "BCa bootstrap"

    @property
    def bias(self) -> float:
        """Normal quantile of the share of replicates below the estimate, of equal ones half."""
        below = np.searchsorted(self.replicates, self.estimate, side="left")
        through = np.searchsorted(self.replicates, self.estimate, side="right")
        return self._quantile((int(below) + int(through)) / 2)

    def p_below(self, bound: float) -> float:
        """P-value against the truth being at the bound or above it."""
        return self._tail(self._quantile(int(np.searchsorted(self.replicates, bound, side="left"))), 1.0)

    def p_above(self, bound: float) -> float:
        """P-value against the truth being at the bound or below it."""
        return self._tail(self._quantile(int(np.searchsorted(self.replicates, bound, side="right"))), -1.0)

    def bounds(self, alpha: float) -> tuple[float, float]:
        """Lower and upper bound, each at level ``alpha``, taken outward to the nearest replicate."""
        count = self.replicates.size
        places: list[float] = []
        reach = float(special.stdtrit(self.df, 1 - alpha)) / self._narrowness
        for z in (-reach, reach):
            shifted = self.bias + z
            if 1 - self.acceleration * shifted <= 0:
                places.append(np.inf * np.sign(z))
                continue
            share = special.ndtr(self.bias + shifted / (1 - self.acceleration * shifted))
            places.append(share * (count + 1) - 0.5)
        # The p-values count in halves, too: they cross alpha where the bound lies.
        low, high = int(max(np.floor(places[0]), -1)), int(min(np.ceil(places[1]), count + 1)) - 1
        return (
            float(self.replicates[low]) if 0 <= low < count else -np.inf,
            float(self.replicates[high]) if 0 <= high < count else np.inf,
        )

    def _quantile(self, below: float) -> float:
        return float(special.ndtri((below + 0.5) / (self.replicates.size + 1)))

    def _tail(self, quantile: float, side: float) -> float:
        shifted = quantile - self.bias
        spread = 1 + self.acceleration * shifted
        # Beyond what the acceleration reaches, nothing is shown.
        if spread <= 0:
            return 1.0
        return float(special.stdtr(self.df, -side * (shifted / spread - self.bias) * self._narrowness))

    @property
    def _narrowness(self) -> float:
        return 1.0 if np.isinf(self.df) else float(np.sqrt(self.df / (self.df + 1)))
