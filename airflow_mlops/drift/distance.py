"""How far two profiles of one column lie apart, and how far chance alone puts them.

References
----------
Vallender, S. S. (1974). Calculation of the Wasserstein distance between probability distributions on the line. Theory
of Probability and Its Applications 18(4), 784-786.

Kish, L. (1965). Survey Sampling. Wiley.

McDiarmid, C. (1989). On the method of bounded differences. Surveys in Combinatorics, 148-188.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from airflow_mlops.errors import DataError
from airflow_mlops.profile import Levels, Numbers

__all__ = [
    "column_distance",
    "design_effect",
    "sampling_distance",
    "scale_of",
    "total_variation_distance",
    "wasserstein_distance",
]


def wasserstein_distance(reference: Numbers, current: Numbers) -> float:
    """Area between the two distribution functions, in the column's unit (Vallender 1974).

    The area between the functions within a bin follows from its counts and its sum, without a guess where in the bin
    the values lie. The result is exact unless the functions cross inside a bin; then it is slightly too small.

    Raises
    ------
    DataError
        If one of them holds no number.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from airflow_mlops.profile import profile_table
    >>> tables = pa.table({"x": [1, 2, 3, 9]}), pa.table({"x": [3, 4, 5, 11]})
    >>> reference, current = (profile_table(table, {"x": (0.0, 5.0)}) for table in tables)
    >>> wasserstein_distance(reference.columns["x"], current.columns["x"])
    2.0
    """
    if not reference.present or not current.present:
        raise DataError("expected numbers on both sides of a Wasserstein distance, got a column of nulls.")
    lows = (reference.low, current.low, reference.edges[0])
    highs = (reference.high, current.high, reference.edges[-1])
    borders = np.array(
        [
            min(low for low in lows if low is not None),
            *reference.edges,
            max(high for high in highs if high is not None),
        ]
    )
    return float(np.abs(_areas(reference, borders) - _areas(current, borders)).sum())


def _areas(column: Numbers, borders: NDArray[np.float64]) -> NDArray[np.float64]:
    """Integral of the distribution function over each bin: what came before, and the way of each value to its right."""
    counts, sums = np.array(column.counts), np.array(column.sums)
    before = np.cumsum(counts) - counts
    areas: NDArray[np.float64] = (before * np.diff(borders) + borders[1:] * counts - sums) / column.present
    return areas


def total_variation_distance(reference: Levels, current: Levels) -> float:
    """Share of rows, in [0, 1], that would have to change their level; null is a level.

    Examples
    --------
    >>> total_variation_distance(Levels(counts={"A": 3, "B": 1}, nulls=0), Levels(counts={"A": 2, "C": 2}, nulls=0))
    0.5
    """
    names = {*reference.counts, *current.counts}
    pairs = [(reference.counts.get(name, 0), current.counts.get(name, 0)) for name in names]
    pairs.append((reference.nulls, current.nulls))
    return 0.5 * math.fsum(abs(r / reference.rows - c / current.rows) for r, c in pairs)


def scale_of(reference: Numbers | Levels) -> float:
    """What a distance is measured in: the standard deviation; of a constant its size, of zeros and of levels one."""
    if isinstance(reference, Levels) or not reference.present:
        return 1.0
    return reference.sd or abs(reference.mean) or 1.0


def column_distance(reference: Numbers | Levels, current: Numbers | Levels, *, scale: float) -> float:
    """Distance of one column: of numbers in units of ``scale``, of levels in shares.

    A number that became null counts as one unit away, so a column that empties drifts too.

    Parameters
    ----------
    reference, current : Numbers or Levels
        Two profiles of the column, of one kind.
    scale : float
        `scale_of` the whole reference, also where a part of it is compared with the rest.

    Raises
    ------
    DataError
        If one counts numbers and the other levels.
    """
    if isinstance(reference, Levels) and isinstance(current, Levels):
        return total_variation_distance(reference, current)
    if isinstance(reference, Levels) or isinstance(current, Levels):
        raise DataError(
            f"expected two profiles of {reference.kind}, got one of {current.kind}. "
            "Profile the current table with the edges of the reference."
        )
    emptied = abs(reference.nulls / reference.rows - current.nulls / current.rows)
    if not reference.present or not current.present:
        return emptied
    return wasserstein_distance(reference, current) / scale + emptied


def design_effect(nights: Sequence[Numbers | Levels]) -> float:
    """How many rows are worth one, since rows of one night are alike (Kish 1965, section 5.4); at least 1.

    Variance between the nights' means (of levels: shares), over what it were if rows fell into nights by chance. A
    column that is constant within each night, such as a holiday, has as many as a night has rows.

    Parameters
    ----------
    nights : sequence of Numbers or Levels
        One column's profiles, night by night.
    """
    filled = [night for night in nights if night.present]
    if len(filled) < 2:  # noqa: PLR2004 - one night varies from no other
        return 1.0
    weights = np.array([night.present for night in filled])
    if all(isinstance(night, Numbers) for night in filled):
        means = np.array([[night.mean] for night in filled if isinstance(night, Numbers)])
        within = float(np.sum([night.deviation for night in filled if isinstance(night, Numbers)])) / weights.sum()
    else:
        levels = [night.counts for night in filled if isinstance(night, Levels)]
        names = sorted(set().union(*levels))
        means = np.array([[counts.get(name, 0) for name in names] for counts in levels]) / weights[:, None]
        within = float((weights @ (means * (1 - means)).sum(axis=1)) / weights.sum())
    between = float(means.var(axis=0, ddof=1).sum())
    total = within + between
    return max(1.0, between / total * float(weights.mean())) if total else 1.0


def sampling_distance(
    reference: Numbers | Levels, *, rows: float, tail_probability: float, design_effect: float = 1.0
) -> float:
    """Distance that ``rows`` drawn from the reference itself exceed with about this probability.

    No limit may be below it: it is what chance does even where nights are all alike. For numbers the tail of the
    shift of a mean; for levels the expected distance plus McDiarmid's (1989) bound.

    Parameters
    ----------
    reference : Numbers or Levels
        What is drawn from.
    rows : float
        Rows of the window.
    tail_probability : float
        In (0, 1).
    design_effect : float
        Rows that are worth one independent row.

    Examples
    --------
    >>> levels = Levels(counts={"A": 500, "B": 500}, nulls=0)
    >>> round(sampling_distance(levels, rows=168, tail_probability=0.001), 3)
    0.188
    """
    thinness = design_effect * (1 / rows + 1 / reference.rows)
    if isinstance(reference, Numbers):
        return float(stats.norm.isf(tail_probability / 2)) * math.sqrt(thinness)
    shares = np.array([*reference.counts.values(), reference.nulls]) / reference.rows
    expected = 0.5 * math.sqrt(2 / math.pi * thinness) * float(np.sqrt(shares * (1 - shares)).sum())
    return expected + math.sqrt(0.5 * thinness * math.log(1 / tail_probability))
