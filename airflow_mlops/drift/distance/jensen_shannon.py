"""Jensen-Shannon distance."""

from __future__ import annotations

import numpy as np
from scipy import special

from airflow_mlops.drift.distance.cells import Counts, shares
from airflow_mlops.profile import Levels, Numbers

__all__ = ["jensen_shannon_distance"]


def jensen_shannon_distance(reference: Numbers | Levels, current: Numbers | Levels) -> float:
    """Root of the mean divergence of both sides from their mixture, in bits: a metric in [0, 1].

    Raises
    ------
    DataError
        If one side holds nothing, or they were counted in different bins.

    References
    ----------
    Lin, J. (1991). Divergence measures based on the Shannon entropy. IEEE Transactions on Information Theory 37(1),
    145-151, equation 3.4.

    Endres, D. M. & Schindelin, J. E. (2003). A new metric for probability distributions. IEEE Transactions on
    Information Theory 49(7), 1858-1860 (why the root).

    Examples
    --------
    >>> jensen_shannon_distance(Levels(counts={"A": 9}, nulls=0), Levels(counts={"B": 2}, nulls=0))
    1.0
    """
    before, now = shares(reference, current, of="a Jensen-Shannon distance")
    mixture = (before + now) / 2
    divergence = (_bits(before, mixture) + _bits(now, mixture)) / 2
    # What is left of equal shares after rounding may lie below zero.
    return float(np.sqrt(max(divergence, 0.0)))


def _bits(shares_: Counts, mixture: Counts) -> float:
    return float(special.rel_entr(shares_, mixture).sum() / np.log(2))
