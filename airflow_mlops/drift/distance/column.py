"""One distance for a column of either kind, nulls among them."""

from __future__ import annotations

from airflow_mlops.drift.distance.null_rate import null_rate_difference
from airflow_mlops.drift.distance.total_variation import total_variation_distance
from airflow_mlops.drift.distance.wasserstein import wasserstein_distance
from airflow_mlops.errors import DataError
from airflow_mlops.profile import Levels, Numbers

__all__ = ["column_distance", "scale_of"]


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
    emptied = abs(null_rate_difference(reference, current))
    if not reference.present or not current.present:
        return emptied
    return wasserstein_distance(reference, current) / scale + emptied
