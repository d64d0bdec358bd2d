"""Population stability index."""

from __future__ import annotations

import numpy as np

from airflow_mlops.drift.distance.cells import cells
from airflow_mlops.profile import Levels, Numbers

__all__ = ["population_stability_index"]

# A cell that nobody was seen in is not impossible. Half a row in each is what Jeffreys' prior lends it.
_HALF = 0.5


def population_stability_index(reference: Numbers | Levels, current: Numbers | Levels) -> float:
    """Sum over the cells of (share now - share before) * ln(share now / share before), with half a row in each.

    It is symmetric, at least 0 and without an upper end. The usual cut-offs (0.1, 0.25) know neither rows nor cells:
    were nothing changed it is about ``(1 / n_reference + 1 / n_current) * (n_cells - 1)`` (Yurdakul & Naranjo 2020).

    Raises
    ------
    DataError
        If one side holds nothing, or they were counted in different bins.

    References
    ----------
    Jeffreys, H. (1946). An invariant form for the prior probability in estimation problems. Proceedings of the Royal
    Society A 186, 453-461 (the divergence J, and the half rows).

    Siddiqi, N. (2006). Credit Risk Scorecards. Wiley (the name).

    Yurdakul, B. & Naranjo, J. (2020). Statistical properties of the population stability index. Journal of Risk Model
    Validation 14(4), 89-100.

    Examples
    --------
    >>> before, now = Levels(counts={"A": 50, "B": 50}, nulls=0), Levels(counts={"A": 100}, nulls=0)
    >>> round(population_stability_index(before, now), 2)
    2.63
    """
    before, now = cells(reference, current, of="a population stability index")
    before, now = ((counts + _HALF) / (counts.sum() + _HALF * counts.size) for counts in (before, now))
    return float(((now - before) * np.log(now / before)).sum())
