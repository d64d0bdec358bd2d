"""In which rhythm nights come, so that those that are missing leave a gap and weekdays meet their like."""

from __future__ import annotations

import datetime as dt
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from airflow_mlops.errors import ConfigError

__all__ = ["Rhythm", "rhythm_of"]

_WEEK = 7


@dataclass(frozen=True)
class Rhythm:
    """Where each night stands in a row without gaps.

    Attributes
    ----------
    places : tuple of int
        Of each night that was given, from 0.
    season : int
        Places after which the same weekday comes again; 1 where nights do not come by weekdays.
    """

    places: tuple[int, ...]
    season: int

    @property
    def length(self) -> int:
        """Places up to the last night."""
        return self.places[-1] + 1


def rhythm_of(nights: Sequence[dt.date]) -> Rhythm:
    """Find the rhythm in which nights come: each day, certain weekdays, each week.

    Parameters
    ----------
    nights : sequence of date
        Ascending, at least one.

    Raises
    ------
    ConfigError
        If they do not ascend, or there is none.

    Examples
    --------
    >>> import datetime as dt
    >>> rhythm_of([dt.date(2026, 5, day) for day in (1, 2, 3, 5)])
    Rhythm(places=(0, 1, 2, 4), season=7)
    >>> rhythm_of([dt.date(2026, 5, day) for day in (1, 8, 22)])
    Rhythm(places=(0, 1, 3), season=1)
    """
    if not nights or any(later <= earlier for earlier, later in itertools.pairwise(nights)):
        raise ConfigError(f"expected nights that ascend, got {len(nights)} that do not. Sort them, each once.")
    days = [(night - nights[0]).days for night in nights]
    step = math.gcd(*days) or 1
    if step > 1:
        return Rhythm(tuple(day // step for day in days), season=1)
    weekdays = sorted({day % _WEEK for day in days})
    # Two weeks in which a weekday never came may be chance.
    if len(weekdays) == _WEEK or days[-1] < 3 * _WEEK:
        return Rhythm(tuple(days), season=_WEEK)
    places = [day // _WEEK * len(weekdays) + weekdays.index(day % _WEEK) for day in days]
    return Rhythm(tuple(place - places[0] for place in places), season=len(weekdays))
