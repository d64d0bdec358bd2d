"""A column that came in another unit: kilograms as grams, Celsius as Fahrenheit, a share as per cent."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from airflow_mlops.drift.distance import kolmogorov_smirnov_distance
from airflow_mlops.profile import Numbers

__all__ = ["unit_change"]


class _Formula(NamedTuple):
    """``factor * x + offset``, and what a person calls it."""

    factor: float
    offset: float
    name: str


_DECADES = [
    _Formula(10.0**power, 0.0, f"times {10**power:,}" if power > 0 else f"divided by {10**-power:,}")
    for power in (1, 2, 3, 6, 9, -1, -2, -3, -6, -9)
]
_FORMULAS = (
    *_DECADES,
    _Formula(1.8, 32.0, "times 1.8 plus 32, as of Celsius in Fahrenheit"),
    _Formula(1 / 1.8, -32.0 / 1.8, "less 32 divided by 1.8, as of Fahrenheit in Celsius"),
    _Formula(1.0, 273.15, "plus 273.15, as of Celsius in kelvins"),
    _Formula(1.0, -273.15, "less 273.15, as of kelvins in Celsius"),
    _Formula(60.0, 0.0, "times 60, as of hours in minutes"),
    _Formula(1 / 60.0, 0.0, "divided by 60, as of minutes in hours"),
    _Formula(3600.0, 0.0, "times 3,600, as of hours in seconds"),
    _Formula(1 / 3600.0, 0.0, "divided by 3,600, as of seconds in hours"),
    _Formula(-1.0, 0.0, "times -1"),
)
# Nights differ: the mean may lie this many standard deviations from what the formula says, the spread this factor.
_NEAR, _ALIKE = 0.6, 1.25
# And the column as it came must be this far from what it was, or it is no unit but a drift like any other.
_FAR, _UNALIKE = 3.0, 2.5
# One far value can move a mean and a spread as a unit does, but not the distribution function: the formula must bring
# the two functions this much nearer to each other than they came.
_NEARER = 0.5
# Of fewer values they may be anything: a day of snow is a tenth of a day, hour by hour. A constant is no such thing.
_LEAST_ROWS, _LEAST_ALIKE = 50, 10


def unit_change(reference: Numbers, current: Numbers) -> str | None:
    """What the column was multiplied with, if mean, spread and distribution say so together; None if they do not.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from airflow_mlops.profile import profile_table
    >>> celsius = [8.0, 11.0, 14.0, 9.0, 13.0, 10.0, 12.0, 15.0, 7.0, 11.0] * 5
    >>> tables = pa.table({"temp": celsius}), pa.table({"temp": [1.8 * value + 32 for value in celsius]})
    >>> unit_change(*(profile_table(table, {"temp": (5.0, 10.0, 15.0)}).columns["temp"] for table in tables))
    'times 1.8 plus 32, as of Celsius in Fahrenheit'
    """
    rows = min(reference.present, current.present)
    if not reference.sd or not current.sd:
        return _of_constants(reference, current) if rows >= _LEAST_ALIKE else None
    if rows < _LEAST_ROWS:
        return None
    unlike = abs(math.log(current.sd / reference.sd)) > math.log(_UNALIKE)
    if not unlike and abs(current.mean - reference.mean) < _FAR * reference.sd:
        return None
    fits = [(misfit, formula) for formula in _FORMULAS if (misfit := _misfit(formula, reference, current)) < 1]
    if not fits:
        return None
    formula = min(fits)[1]
    as_it_came = kolmogorov_smirnov_distance(reference, current).high
    return formula.name if _gap(formula, reference, current) < _NEARER * as_it_came else None


def _misfit(formula: _Formula, reference: Numbers, current: Numbers) -> float:
    """Below 1 where the formula makes one column of the other."""
    spread = abs(formula.factor) * reference.sd
    away = abs(current.mean - formula.factor * reference.mean - formula.offset) / spread
    return max(away / _NEAR, abs(math.log(current.sd / spread)) / math.log(_ALIKE))


def _gap(formula: _Formula, reference: Numbers, current: Numbers) -> float:
    """Greatest gap between the reference's distribution function in the new unit and tonight's, as far as bins know."""
    edges = np.array(reference.edges)
    before, now = (np.cumsum(column.counts) / column.present for column in (reference, current))
    # Within a bin of the reference its function is at least what it was before, at most what it is behind it.
    bins = np.searchsorted(edges, (edges - formula.offset) / formula.factor, side="right")
    low, high = np.concatenate([[0.0], before])[bins], before[bins]
    if formula.factor < 0:
        low, high = 1 - high, 1 - low
    return float(np.maximum(low - now[:-1], now[:-1] - high).max(initial=0.0))


def _of_constants(reference: Numbers, current: Numbers) -> str | None:
    if reference.sd or current.sd or not reference.mean:
        return None
    for formula in _FORMULAS:
        if math.isclose(current.mean, formula.factor * reference.mean + formula.offset, rel_tol=1e-9):
            return formula.name
    return None
