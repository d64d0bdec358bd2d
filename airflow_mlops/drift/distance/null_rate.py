"""Difference of null rates."""

from __future__ import annotations

import math

from airflow_mlops.errors import DataError
from airflow_mlops.profile import Levels, Numbers

__all__ = ["cohen_h", "null_rate_difference"]


def null_rate_difference(reference: Numbers | Levels, current: Numbers | Levels) -> float:
    """Share of rows without a value now, less that of the reference, in [-1, 1].

    Raises
    ------
    DataError
        If one side has no rows.

    Examples
    --------
    >>> before, now = Levels(counts={"A": 98}, nulls=2), Levels(counts={"A": 94}, nulls=6)
    >>> round(null_rate_difference(before, now), 2)
    0.04
    """
    before, now = _rates(reference, current)
    return now - before


def cohen_h(reference: Numbers | Levels, current: Numbers | Levels) -> float:
    """Difference of the null rates on the arcsine scale, where chance scatters alike for rare and common nulls.

    Its sampling standard error is ``sqrt(1 / n_reference + 1 / n_current)`` whatever the rates are.

    Raises
    ------
    DataError
        If one side has no rows.

    References
    ----------
    Cohen, J. (1988). Statistical Power Analysis for the Behavioral Sciences, 2nd edition, equation 6.2.1.

    Examples
    --------
    >>> before, now = Levels(counts={"A": 98}, nulls=2), Levels(counts={"A": 94}, nulls=6)
    >>> round(cohen_h(before, now), 2)
    0.21
    """
    before, now = _rates(reference, current)
    return 2 * (math.asin(math.sqrt(now)) - math.asin(math.sqrt(before)))


def _rates(reference: Numbers | Levels, current: Numbers | Levels) -> tuple[float, float]:
    if not reference.rows or not current.rows:
        raise DataError("expected rows on both sides of a null rate, got none. Take nights that hold data.")
    # NaN and infinity are no values either.
    return 1 - reference.present / reference.rows, 1 - current.present / current.rows
