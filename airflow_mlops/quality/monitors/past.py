"""The nights that a table learns from, their facts laid out as one array for each number."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["LEAST_NIGHTS", "MOST_PAST", "Nights", "PastNight"]

Floats = NDArray[np.float64]
LEAST_NIGHTS = 14
"""Nights before the first that is judged by how they vary."""
MOST_PAST = 400
"""Nights that are looked back on: a year, and the month after it."""


class PastNight(NamedTuple):
    """A night before tonight.

    Attributes
    ----------
    night : date
        Which.
    facts : dict or None
        What was counted; None if it could not be.
    arrived : datetime or None
        When it was written, UTC.
    quiet : bool
        Expected to be unusual, or quarantined: teaches nothing.
    accepted : bool
        A person said that it was fine: it teaches, whatever it was.
    """

    night: dt.date
    facts: dict[str, Any] | None
    arrived: dt.datetime | None = None
    quiet: bool = False
    accepted: bool = False


class Nights:
    """Nights that teach, in order, and tonight, the last of them.

    Parameters
    ----------
    night : date
        Tonight.
    facts : dict
        Of tonight.
    past : sequence of PastNight
        Nights before it, in order.
    arrived : datetime or None
        When tonight was written.
    """

    def __init__(
        self, night: dt.date, facts: dict[str, Any], past: Sequence[PastNight], *, arrived: dt.datetime | None = None
    ) -> None:
        before = past[-MOST_PAST:]
        self.learned = [one for one in before if one.facts is not None and (one.accepted or not one.quiet)]
        self._before = before
        self.all = [*self.learned, PastNight(night, facts, arrived)]
        self.nights = [one.night for one in self.all]
        self.facts: list[dict[str, Any]] = [one.facts for one in self.all if one.facts is not None]
        self.tonight = facts
        self.rows = np.array([one["rows"] for one in self.facts], dtype=np.float64)
        self.accepted = np.array([one.accepted for one in self.all])
        self._statistics: dict[tuple[str, str], Floats] = {}

    def __len__(self) -> int:
        """How many nights there are, with tonight."""
        return len(self.all)

    @property
    def before(self) -> int:
        """How many nights there are to learn from."""
        return len(self.learned)

    def since(self, holds: Callable[[dict[str, Any]], bool]) -> dt.date:
        """The first of the quiet nights up to tonight that something holds of."""
        began = self.nights[-1]
        for one in reversed(self._before):
            if not one.quiet or one.accepted or one.facts is None or not holds(one.facts):
                break
            began = one.night
        return began

    def statistic(self, column: str, name: str) -> Floats:
        """A number of a column, night by night: shape (n_nights,), NaN where a night has none."""
        key = column, name
        if key not in self._statistics:
            found = (one["columns"].get(column, {}).get(name) for one in self.facts)
            values = np.array([np.nan if value is None else value for value in found], dtype=np.float64)
            values.flags.writeable = False
            self._statistics[key] = values
        return self._statistics[key]

    def of_table(self, name: str) -> Floats:
        """A number of the table, night by night: shape (n_nights,)."""
        return np.array([np.nan if (value := one.get(name)) is None else value for one in self.facts], dtype=np.float64)

    def is_level_of_the_night(self, column: str) -> bool:
        """Whether every night before had one value in all its rows, as a date has: rows then are no evidence."""
        return bool(self.before) and bool(np.nanmax(self.statistic(column, "distinct")[:-1], initial=0.0) <= 1)
