"""Kolmogorov-Smirnov distance, as well as bins know it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from airflow_mlops.drift.distance.cells import cells
from airflow_mlops.profile import Numbers

__all__ = ["Bounds", "kolmogorov_smirnov_distance"]

# How near the mean of a bin must lie to its edge, as a share of the edge, for all its values to lie on it.
_ON_THE_EDGE = 1e-12


class Bounds(NamedTuple):
    """Between what a distance lies; ``high - low`` is what the bins hide."""

    low: float
    high: float


def kolmogorov_smirnov_distance(reference: Numbers, current: Numbers) -> Bounds:
    """Greatest gap between the two distribution functions, in [0, 1].

    Counts say what both functions are at every edge: the greatest gap there is the lower bound. Within a bin the gap is
    at most what is left when one function has risen through all of it and the other through none. Where all values of
    a bin lie on its left edge, as its sum tells, both have risen there: a bin a value makes the bounds meet. Sides that
    do not overlap are known to be 1 apart.

    Returns
    -------
    Bounds
        Of the distance between the rows themselves.

    Raises
    ------
    DataError
        If one side holds no number, or they were counted in different bins.

    References
    ----------
    Smirnov, N. V. (1939). On the estimation of the discrepancy between empirical curves of distribution for two
    independent samples. Bulletin Mathematique de l'Universite de Moscou 2(2), 3-14.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from airflow_mlops.profile import profile_table
    >>> tables = pa.table({"x": [1, 2, 3, 4]}), pa.table({"x": [3, 4, 5, 6]})
    >>> columns = [profile_table(table, {"x": (2.0, 4.0)}).columns["x"] for table in tables]
    >>> kolmogorov_smirnov_distance(*columns)
    Bounds(low=0.5, high=0.75)
    """
    counts = cells(reference, current, of="a Kolmogorov-Smirnov distance")
    if _above(reference, current) or _above(current, reference):
        return Bounds(1.0, 1.0)
    (before, before_low), (now, now_low) = (
        _reached(column, rows) for column, rows in zip((reference, current), counts, strict=True)
    )
    return Bounds(
        low=float(np.abs(before - now).max()), high=float(np.maximum(before - now_low, now - before_low).max())
    )


def _above(one: Numbers, other: Numbers) -> bool:
    """Whether all of one lies above all of the other, be it in the same open bin."""
    return one.low is not None and other.high is not None and one.low > other.high


def _reached(column: Numbers, counts: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What the distribution function is at the end of each bin, and the least that it is within it."""
    end = np.cumsum(counts) / counts.sum()
    start = np.concatenate([[0.0], end[:-1]])
    edges = np.array([-np.inf, *column.edges])
    with np.errstate(invalid="ignore"):
        above = np.array(column.sums) - counts * edges
    on_the_edge = np.zeros(counts.size, dtype=bool)
    on_the_edge[1:] = above[1:] <= _ON_THE_EDGE * np.abs(edges[1:]) * counts[1:]
    return end, np.where(on_the_edge, end, start)
