"""The paired bootstrap: what two mean losses could have been on other nights like these."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import special

__all__ = ["expanded_tail", "percentile_bounds", "resampled_means"]

Floats = npt.NDArray[np.float64]

# Cells of one matrix of resample counts (8 bytes each): 32 MB, and a few such at a time.
_CELLS = 4_000_000


def resampled_means(losses: Floats, units: npt.NDArray[np.intp], *, resamples: int, rng: np.random.Generator) -> Floats:
    """Mean losses over resamples of whole units, all models seeing the same resample (paired).

    A resample is a row of a matrix of counts, how often each unit was drawn; every mean of every resample then is
    one matrix product.

    Parameters
    ----------
    losses : numpy.ndarray, shape (n_models, n_rows)
        Loss of each model in each row.
    units : numpy.ndarray of int, shape (n_rows,)
        What is drawn together, numbered from 0 without a gap: the night of the row, or the row itself.
    resamples : int
        How many times to draw as many units as there are.
    rng : numpy.random.Generator
        Seeded by the caller.

    Returns
    -------
    numpy.ndarray, shape (n_models, resamples)

    References
    ----------
    Davison, A. C., Hinkley, D. V. (1997). Bootstrap Methods and their Application, sections 2.4 and 3.8.

    Examples
    --------
    >>> losses = np.array([[1.0, 1.0, 4.0], [2.0, 2.0, 5.0]])
    >>> means = resampled_means(losses, np.arange(3), resamples=4, rng=np.random.default_rng(0))
    >>> (means[1] - means[0]).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """
    sizes = np.bincount(units).astype(np.float64)
    sums = np.stack([np.bincount(units, weights=loss) for loss in losses])
    n_units = sizes.size
    step = max(1, _CELLS // n_units)
    means = np.empty((len(losses), resamples))
    for start in range(0, resamples, step):
        stop = min(start + step, resamples)
        # Counted by hand: Generator.multinomial takes ten times as long for many units.
        drawn = rng.integers(n_units, size=(stop - start, n_units))
        drawn += n_units * np.arange(stop - start)[:, np.newaxis]
        counts = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape).astype(np.float64)
        means[:, start:stop] = (sums @ counts.T) / (counts @ sizes)
    return means


def expanded_tail(alpha: float, n_units: int) -> float:
    """Tail of the bootstrap distribution that bounds a mean of few units at one-sided level ``alpha``.

    The plain percentile interval is as narrow as if the spread of n units were known: by a factor
    sqrt((n - 1) / n), and by z instead of Student's t. With eight nights it misses twice as often as it says. The
    expanded tail, Phi(-sqrt(n / (n - 1)) t(1 - alpha, n - 1)), makes up for both; for many units it is ``alpha``.
    BCa corrects skewness and bias, of which a paired difference has little, but not this narrowness.

    References
    ----------
    Hesterberg, T. C. (2015). What Teachers Should Know About the Bootstrap. The American Statistician 69(4),
    371-386, section 3.3 (the "expanded percentile" interval).

    Examples
    --------
    >>> [round(expanded_tail(0.05, n), 4) for n in (8, 28, 10_000)]
    [0.0214, 0.0414, 0.05]
    """
    width = np.sqrt(n_units / (n_units - 1)) * special.stdtrit(n_units - 1, 1.0 - alpha)
    return float(special.ndtr(-width))


def percentile_bounds(values: Floats, tail: float) -> tuple[float, float]:
    """Lower and upper bound that each leave ``tail`` of the values outside.

    Taken outward to the nearest value, so that an infinite one is never interpolated.

    Examples
    --------
    >>> percentile_bounds(np.arange(101.0), 0.05)
    (5.0, 95.0)
    """
    low = np.quantile(values, tail, method="lower")
    high = np.quantile(values, 1.0 - tail, method="higher")
    return float(low), float(high)
