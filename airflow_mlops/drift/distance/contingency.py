"""Chi-square and G: how unlikely two sets of counts are to come from one source, were rows independent."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import special, stats

from airflow_mlops.drift.distance.cells import Counts, cells
from airflow_mlops.profile import Levels, Numbers

__all__ = ["Contingency", "chi_square", "g_statistic"]


class Contingency(NamedTuple):
    """A statistic of two rows of counts, and what chance makes of it.

    ``expected`` is what it is on average if nothing changed and rows are independent: the degrees of freedom.
    ``p_value`` is that of independent rows. Rows of one night are alike, so that it alone is no ground for an alarm.
    """

    statistic: float
    expected: int
    p_value: float


def chi_square(reference: Numbers | Levels, current: Numbers | Levels) -> Contingency:
    """Sum over both sides and all cells of (rows - rows expected)^2 / rows expected.

    Raises
    ------
    DataError
        If one side holds nothing, or they were counted in different bins.

    References
    ----------
    Pearson, K. (1900). On the criterion that a given system of deviations from the probable ... Philosophical Magazine
    50, 157-175.

    Examples
    --------
    >>> chi_square(Levels(counts={"A": 20, "B": 10}, nulls=0), Levels(counts={"A": 10, "B": 20}, nulls=0)).statistic
    6.666666666666667
    """
    counts, expected = _table(reference, current)
    return _judged(float(((counts - expected) ** 2 / expected).sum()), counts)


def g_statistic(reference: Numbers | Levels, current: Numbers | Levels) -> Contingency:
    """Twice the log likelihood ratio: 2 * sum of rows * ln(rows / rows expected).

    Raises
    ------
    DataError
        If one side holds nothing, or they were counted in different bins.

    References
    ----------
    Wilks, S. S. (1935). The likelihood test of independence in contingency tables. Annals of Mathematical Statistics
    6(4), 190-196.

    Examples
    --------
    >>> before, now = Levels(counts={"A": 20, "B": 10}, nulls=0), Levels(counts={"A": 10, "B": 20}, nulls=0)
    >>> round(g_statistic(before, now).statistic, 3)
    6.796
    """
    counts, expected = _table(reference, current)
    return _judged(float(2 * special.rel_entr(counts, expected).sum()), counts)


def _table(reference: Numbers | Levels, current: Numbers | Levels) -> tuple[Counts, Counts]:
    """Rows of both sides, of shape (2, n_cells), without the cells that neither has, and what one source would give."""
    counts = np.stack(cells(reference, current, of="a chi-square or G statistic"))
    counts = counts[:, counts.sum(axis=0) > 0]
    return counts, np.outer(counts.sum(axis=1), counts.sum(axis=0)) / counts.sum()


def _judged(statistic: float, counts: Counts) -> Contingency:
    freedom = counts.shape[1] - 1
    # A G of equal counts may come out a rounding below zero.
    statistic = max(statistic, 0.0)
    return Contingency(statistic, freedom, float(stats.chi2.sf(statistic, freedom)) if freedom else 1.0)
