"""One batch of one column: counts and sums in bins, exactly, at a few nanoseconds a number.

A binary search takes 15 ns and more. Two ways are faster. Where the edges lie on a grid of cells as wide as a power of
two, scaling and rounding down are exact, and a number's cell is its place in an array; whole numbers are such places as
they are. Whatever lies off the grid is sorted (4 ns a number with vector instructions): the bins are slices of it then,
and infinities and NaN lie at its ends.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from airflow_mlops.profile.kinds import LARGEST

__all__ = ["MOST_CELLS", "Counted", "Grid", "count", "count_integers", "grid_of", "joined_deviation"]

MOST_CELLS = 1 << 14
"""Cells of a grid: counts and sums of them fit into a core's own cache."""
# Below this share of the squares, a deviation that is their difference has lost too many digits.
_CANCELLED = 1e-3
# Whole numbers up to here are float64 as they are.
_WHOLE = 1 << 53
_kept = threading.local()
_ONE = np.ones(1)


class Grid(NamedTuple):
    """Cells of width ``1 / scale``, from cell number ``first`` on; bins that are ``filled`` begin at ``starts``."""

    scale: float
    first: int
    cells: int
    filled: NDArray[np.bool_]
    starts: NDArray[np.int64]

    @property
    def low(self) -> float:
        """Where it begins."""
        return self.first / self.scale

    @property
    def high(self) -> float:
        """Where it ends."""
        return (self.first + self.cells) / self.scale


class Counted(NamedTuple):
    """What a column's bins hold; ``deviation`` is the sum of squared deviations from the mean."""

    counts: NDArray[np.int64]
    sums: NDArray[np.float64]
    deviation: float
    low: float
    high: float


def grid_of(edges: Sequence[float]) -> Grid | None:
    """Grid on which all edges lie but perhaps the outermost two; None if there is none of at most 16,384 cells.

    Examples
    --------
    >>> grid_of((-3.3, -0.5, 0.0, 0.25, 2.9)).scale
    4.0
    >>> grid_of((0.1, 0.2, 0.3, 0.4)) is None
    True
    """
    inner = edges[1:-1] if len(edges) > 2 else edges  # noqa: PLR2004 - those within the outermost two
    denominator = max(edge.as_integer_ratio()[1] for edge in inner)
    if denominator > 1 << 40 or max(abs(edge) for edge in inner) * denominator > 1 << 50:
        return None
    numerators = [int(edge * denominator) for edge in inner]
    divisor = math.gcd(*numerators) or 1
    step = (divisor & -divisor) / denominator
    first, last = (int(edge / step) for edge in (inner[0], inner[-1]))
    if last - first >= MOST_CELLS or abs(edges[0]) > LARGEST or abs(edges[-1]) > LARGEST:
        return None
    # Room for tails: of a normal distribution in 32 equally full bins, seven standard deviations on either side.
    spare = min((MOST_CELLS - (last - first)) // 2, (last - first) * 3 // 2 + 32)
    first, last = first - spare, last + spare
    # An outermost edge between two cells bounds the grid.
    if edges[0] % step and edges[0] > first * step:
        first = math.ceil(edges[0] / step)
    if edges[-1] % step and edges[-1] < last * step:
        last = math.floor(edges[-1] / step)
    starts = np.clip(np.floor(np.asarray((-math.inf, *edges)) / step) - first, 0, last - first).astype(np.int64)
    filled = np.diff(starts, append=last - first) > 0
    return Grid(1 / step, first, last - first, filled, starts[filled])


def count(values: NDArray[np.float64], edges: NDArray[np.float64], grid: Grid | None) -> Counted:
    """Count a batch.

    Parameters
    ----------
    values : ndarray of shape (n,)
        NaN, infinities and whatever is too large to square are passed over.
    edges : ndarray of shape (bins - 1,)
        Ascending.
    grid : Grid or None
        `grid_of` the edges.

    Examples
    --------
    >>> edges = np.array([0.0, 0.5, 1.0])
    >>> found = count(np.array([-1.0, 0.2, 0.3, np.nan]), edges, grid_of(edges.tolist()))
    >>> found.counts, found.sums
    (array([1, 2, 0, 0]), array([-1. ,  0.5,  0. ,  0. ]))
    """
    if grid is None or not values.size:
        return _sorted(values, edges)
    low, high = float(values.min()), float(values.max())
    if not (low > -LARGEST and high < LARGEST):  # nor is a NaN
        return count(values[np.abs(values) < LARGEST], edges, grid)
    inside = low >= grid.low and high < grid.high
    counts, sums = _placed(values, grid, inside=inside)
    if not inside:
        far = _sorted(values[np.flatnonzero((values < grid.low) | (values >= grid.high))], edges)
        counts, sums = counts + far.counts, sums + far.sums
    return Counted(counts, sums, _deviation(values, float(sums.sum()), low, high), low, high)


def count_integers(values: NDArray[np.integer[Any]], edges: NDArray[np.float64]) -> Counted | None:
    """`count` whole numbers; None if they lie farther apart than a grid is long.

    Examples
    --------
    >>> count_integers(np.array([3, 1, 1, 2]), np.array([1.0, 2.5]))[:2]
    (array([0, 3, 1]), array([0., 4., 3.]))
    """
    if not values.size:
        return None
    low, high = int(values.min()), int(values.max())
    if high - low >= MOST_CELLS or max(-low, high) > _WHOLE:
        return None
    cells: NDArray[np.int64] = np.bincount(np.subtract(values, low, dtype=np.int64, casting="unsafe"))
    numbers = np.arange(low, high + 1, dtype=np.float64)
    bins = np.searchsorted(edges, numbers, side="right")
    counts = np.bincount(bins, weights=cells, minlength=len(edges) + 1).astype(np.int64)
    sums = np.bincount(bins, weights=cells * numbers, minlength=len(edges) + 1).astype(np.float64)
    deviation = float(cells @ np.square(numbers - sums.sum() / values.size))
    return Counted(counts, sums, deviation, float(low), float(high))


def joined_deviation(
    n: NDArray[np.int64], total: NDArray[np.float64], m: NDArray[np.int64], more: NDArray[np.float64]
) -> NDArray[np.float64]:
    """What the distance of two means adds to the squared deviations of both parts (Chan, Golub & LeVeque 1983).

    Parameters
    ----------
    n, m : ndarray
        Numbers in each part.
    total, more : ndarray
        Their sums.
    """
    filled = (n > 0) & (m > 0)
    n, m = np.where(filled, n, 1), np.where(filled, m, 1)
    gap: NDArray[np.float64] = np.where(filled, (total / n - more / m) ** 2 * (n * (m / (n + m))), 0.0)
    return gap


def _placed(values: NDArray[np.float64], grid: Grid, *, inside: bool) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Counts and sums of what lies on the grid; before its first cell and after its last one lies all the rest."""
    places, cells, ones = _scratch(values.size)
    np.multiply(values, grid.scale, out=places)
    np.floor(places, out=places)
    places -= grid.first - 1
    if not inside:
        np.clip(places, 0, grid.cells + 1, out=places)
    np.copyto(cells, places, casting="unsafe")
    # Ones in the rows of their cells: the matrix times one is the counts, and with the numbers in place of the ones
    # it is their sums, in half the time that numpy's bincount takes.
    shape = (grid.cells + 2, 1)
    matrix = sparse.csc_array((ones, cells, np.array([0, values.size], dtype=np.int32)), shape=shape)
    counts, sums = np.zeros(len(grid.filled), dtype=np.int64), np.zeros(len(grid.filled))
    # Of an empty slice, reduceat gives the next value: only bins that hold a cell are asked for.
    counts[grid.filled] = np.add.reduceat((matrix @ _ONE)[1:-1], grid.starts)
    matrix.data = values
    sums[grid.filled] = np.add.reduceat((matrix @ _ONE)[1:-1], grid.starts)
    return counts, sums


def _sorted(values: NDArray[np.float64], edges: NDArray[np.float64]) -> Counted:
    ordered = np.sort(values)
    first, last = np.searchsorted(ordered, (np.nextafter(-LARGEST, 0.0), LARGEST))
    ordered = ordered[first:last]
    starts = np.concatenate(([0], np.searchsorted(ordered, edges)))
    counts, sums = np.diff(starts, append=ordered.size), np.zeros(len(starts))
    if not ordered.size:
        return Counted(counts, sums, 0.0, math.inf, -math.inf)
    filled = counts > 0
    sums[filled] = np.add.reduceat(ordered, starts[filled])
    low, high = float(ordered[0]), float(ordered[-1])
    return Counted(counts, sums, _deviation(ordered, float(sums.sum()), low, high), low, high)


def _deviation(values: NDArray[np.float64], total: float, low: float, high: float) -> float:
    if low == high:
        return 0.0
    # No BLAS: it would start threads of its own for a product of this length, beside ours.
    mean, squares = total / values.size, float(np.einsum("i,i", values, values))
    deviation = squares - values.size * mean * mean
    if deviation < _CANCELLED * squares:
        centred = values - mean
        deviation = float(np.einsum("i,i", centred, centred))
    return deviation


def _scratch(size: int) -> tuple[NDArray[np.float64], NDArray[np.int32], NDArray[np.float64]]:
    """Memory of this thread's own, kept: arrays made anew for each batch cost as much in page faults as counting."""
    if getattr(_kept, "size", -1) < size:
        _kept.size, _kept.places, _kept.cells, _kept.ones = (
            size,
            np.empty(size),
            np.empty(size, np.int32),
            np.ones(size),
        )
    return _kept.places[:size], _kept.cells[:size], _kept.ones[:size]
