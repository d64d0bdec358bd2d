"""Total variation distance."""

from __future__ import annotations

import math

from airflow_mlops.errors import DataError
from airflow_mlops.profile import Levels

__all__ = ["total_variation_distance"]


def total_variation_distance(reference: Levels, current: Levels) -> float:
    """Share of rows, in [0, 1], that would have to change their level; null is a level.

    Raises
    ------
    DataError
        If one side has no rows.

    References
    ----------
    Levin, D. A. & Peres, Y. (2017). Markov Chains and Mixing Times, 2nd edition, proposition 4.2.

    Examples
    --------
    >>> total_variation_distance(Levels(counts={"A": 3, "B": 1}, nulls=0), Levels(counts={"A": 2, "C": 2}, nulls=0))
    0.5
    """
    if not reference.rows or not current.rows:
        raise DataError("expected rows on both sides of a total variation, got none. Take nights that hold data.")
    names = {*reference.counts, *current.counts}
    pairs = [(reference.counts.get(name, 0), current.counts.get(name, 0)) for name in names]
    pairs += [(reference.nulls, current.nulls), (reference.other, current.other)]
    return 0.5 * math.fsum(abs(r / reference.rows - c / current.rows) for r, c in pairs)
