"""How well rows are ranked, query by query."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from airflow_mlops.gate.rows import Floats

__all__ = ["QUERY_VALUES", "hits", "ndcg", "reciprocal_ranks"]

Numbers = npt.NDArray[np.intp]


def ndcg(queries: Numbers, n_queries: int, relevance: Floats, score: Floats, k: int | None) -> Floats:
    """Normalised discounted cumulative gain of each query.

    Rows of the same score share the gains of their places, so that no order of the file counts (McSherry & Najork
    2008). A query without a relevant row has 0, as in sklearn; one with a negative relevance has none: NaN.

    Parameters
    ----------
    queries : numpy.ndarray of int, shape (n_rows,)
        Number of the query, from 0.
    n_queries : int
        How many there are.
    relevance, score : numpy.ndarray, shape (n_rows,)
        The truth, and what the model ranks by.
    k : int or None
        Places that count.

    Returns
    -------
    numpy.ndarray, shape (n_queries,)

    References
    ----------
    Järvelin, K., Kekäläinen, J. (2002). Cumulated gain-based evaluation of IR techniques. ACM TOIS 20(4).
    McSherry, F., Najork, M. (2008). Computing information retrieval performance measures efficiently in the presence
    of tied scores. ECIR.

    Examples
    --------
    >>> ndcg(np.array([0, 0]), 1, np.array([0.0, 1.0]), np.array([0.9, 0.1]), None).round(4).tolist()
    [0.6309]
    """
    gained, ideal = (_discounted_gain(queries, n_queries, relevance, by, k) for by in (score, relevance))
    values = np.divide(gained, ideal, out=np.zeros(n_queries), where=ideal > 0)
    values[np.unique(queries[~(relevance >= 0)])] = np.nan
    return values


def reciprocal_ranks(queries: Numbers, n_queries: int, relevance: Floats, score: Floats, k: int | None) -> Floats:
    """1 / rank of each query's first relevant row, 0 if it has none among the first k; ties are lost."""
    rank = _first_relevant(queries, n_queries, relevance, score)
    return np.where(rank <= (np.inf if k is None else k), 1 / rank, 0.0)


def hits(queries: Numbers, n_queries: int, relevance: Floats, score: Floats, k: int | None) -> Floats:
    """1 for each query with a relevant row among its first k; ties are lost."""
    rank = _first_relevant(queries, n_queries, relevance, score)
    return (np.isfinite(rank) & (rank <= (np.inf if k is None else k))).astype(np.float64)


QUERY_VALUES: Mapping[str, Callable[[Numbers, int, Floats, Floats, int | None], Floats]] = MappingProxyType(
    {"ndcg": ndcg, "mrr": reciprocal_ranks, "hit_rate": hits}
)


def _discounted_gain(queries: Numbers, n_queries: int, gain: Floats, by: Floats, k: int | None) -> Floats:
    order = np.lexsort((-by, queries))
    place = _place(queries[order], n_queries)
    discount = 1 / np.log2(place + 2)
    if k is not None:
        discount[place >= k] = 0.0
    tie = _ties(queries[order], by[order])
    size = np.bincount(tie)
    shared = np.bincount(tie, weights=gain[order]) / size * np.bincount(tie, weights=discount)
    first = np.concatenate([[0], np.cumsum(size)[:-1]])
    return np.asarray(np.bincount(queries[order][first], weights=shared, minlength=n_queries), dtype=np.float64)


def _first_relevant(queries: Numbers, n_queries: int, relevance: Floats, score: Floats) -> Floats:
    # Of one score the irrelevant come first: a model that tells nothing apart does not win by the order of the file.
    order = np.lexsort((relevance, -score, queries))
    relevant = relevance[order] > 0
    rank = np.full(n_queries, np.inf)
    np.minimum.at(rank, queries[order][relevant], _place(queries[order], n_queries)[relevant] + 1.0)
    return rank


def _place(queries: Numbers, n_queries: int) -> Numbers:
    """Place of each row within its query, from 0, where rows are sorted by query."""
    sizes = np.bincount(queries, minlength=n_queries)
    return np.arange(queries.size) - np.repeat(np.cumsum(sizes) - sizes, sizes)


def _ties(queries: Numbers, by: Floats) -> Numbers:
    """Number of the group of rows of one query and one score."""
    new = (np.diff(queries, prepend=-1) != 0) | (np.diff(by, prepend=np.nan) != 0)
    return np.cumsum(new) - 1
