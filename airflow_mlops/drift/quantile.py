"""Quantiles of a column, as well as its bins know them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from airflow_mlops.profile import Numbers

__all__ = ["edge_slack", "quantiles"]


def quantiles(column: Numbers, probabilities: Sequence[float]) -> tuple[float, ...]:
    """Values below which these shares of the rows lie.

    Exact where a bin holds a single value; otherwise off by at most the bin, within which rows are taken to lie evenly.

    Parameters
    ----------
    column : Numbers
        A profile.
    probabilities : sequence of float
        In [0, 1].

    Returns
    -------
    tuple of float
        NaN for a column without numbers.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from airflow_mlops.profile import edges_of, profile_table
    >>> table = pa.table({"hour": [1, 2, 2, 3, 4]})
    >>> quantiles(profile_table(table, edges_of(table)).columns["hour"], [0.0, 0.5, 1.0])
    (1.0, 2.0, 4.0)
    """
    if column.low is None or column.high is None:
        return (float("nan"),) * len(probabilities)
    counts, sums = np.array(column.counts, dtype=np.float64), np.array(column.sums)
    left = np.array([column.low, *column.edges]).clip(column.low, column.high)
    right = np.array([*column.edges, column.high]).clip(column.low, column.high)
    means = np.divide(sums, counts, out=left.copy(), where=counts > 0)
    # With its mean at its left edge a bin holds nothing else, unless it also holds the least or the greatest of all.
    single = (means - left <= edge_slack(column.edges)) & (counts > 0)
    for end in (column.low, column.high):
        held = int(np.searchsorted(column.edges, end, side="right"))
        single[held] = np.isclose(means[held], end, rtol=1e-12, atol=0)
    left, right = (np.where(single, means, side) for side in (left, right))
    ends = np.cumsum(counts)
    found = []
    for probability in probabilities:
        rank = probability * ends[-1]
        place = int(np.searchsorted(ends, max(rank, np.finfo(float).tiny)))
        inside = (rank - (ends[place] - counts[place])) / counts[place]
        found.append(float(left[place] + inside * (right[place] - left[place])))
    return tuple(found)


def edge_slack(edges: Sequence[float]) -> float:
    """How far above its bin's edge a value of a column of few values may lie.

    `airflow_mlops.profile.edges_of` moves edges down by less than an eighth of the narrowest inner bin, to where
    counting is fast; of the bins after that, it is less than a seventh.
    """
    inner = np.diff(edges[1:-1])
    return float(inner.min()) / 7 if inner.size else 1e-12 * max(abs(edges[0]), abs(edges[-1]))
