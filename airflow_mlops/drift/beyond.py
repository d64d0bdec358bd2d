"""A night that lies beyond everything ever seen: plain to see, however few nights there are to learn from.

How far nights stray is learned from some weeks of them, and with few weeks the tail of Student's t is so wide that
nothing short of the absurd stands out. Ranges need no such learning: where a mean lies outside of every single row of
every night before, as far again as they all lie apart, and that was hardly ever so, something happened.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from airflow_mlops.profile import Numbers, Profile

__all__ = ["LEAST_SEEN", "beyond_all_seen"]

LEAST_SEEN = 14
"""Nights that have to be known: of fewer, one is soon the most extreme."""
# Of the first nights each is new in some way.
_FIRST = LEAST_SEEN // 2
# Nights after which what was never seen is what is usual; a column that counts up is beyond all from its first nights.
_NEWS = 7
# Once before is a coincidence; a column that does it more often does it.
_MOST_BEFORE = 1
# Records are broken all the time where nights differ more than their rows; by the whole range they are not.
_CLEAR = 1.0


def beyond_all_seen(past: Sequence[Profile], tonight: Profile) -> dict[str, int]:
    """Numeric features that lie far beyond all rows that were seen before they went there, and have stayed there.

    Parameters
    ----------
    past : sequence of Profile
        Nights in order, the oldest first.
    tonight : Profile
        The night after them, in the same bins.

    Returns
    -------
    dict of str to int
        Night since which: its place in ``past``, or ``len(past)`` for tonight.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from airflow_mlops.profile import profile_table
    >>> edges = {"temp": (10.0, 20.0)}
    >>> nights = [profile_table(pa.table({"temp": [9.0, 11.0 + night % 5]}), edges) for night in range(14)]
    >>> beyond_all_seen(nights, profile_table(pa.table({"temp": [28.0, 29.0]}), edges))
    {'temp': 14}
    """
    found: dict[str, int] = {}
    for name, column in tonight.columns.items():
        if isinstance(column, Numbers) and column.present:
            since = _since([_numbers(night, name) for night in (*past, tonight)])
            if since is not None:
                found[name] = since
    return found


def _numbers(night: Profile, name: str) -> Numbers | None:
    column = night.columns.get(name)
    return column if isinstance(column, Numbers) and column.present else None


def _or(value: float | None, other: float) -> float:
    return other if value is None else value


def _since(nights: Sequence[Numbers | None]) -> int | None:
    held = [(place, night) for place, night in enumerate(nights) if night is not None]
    if len(held) <= LEAST_SEEN:
        return None
    low, high = math.inf, -math.inf
    began: int | None = None
    before = 0
    beside: list[Numbers] = []
    for count, (place, night) in enumerate(held):
        margin = _CLEAR * (high - low)
        if count >= _FIRST and not low - margin <= night.mean <= high + margin:
            began = place if began is None else began
            beside.append(night)
            continue
        if began is not None:
            began, before = None, before + 1
        # Those that have come back were a part of what is seen after all.
        for one in (*beside, night):
            low, high = min(low, _or(one.low, math.inf)), max(high, _or(one.high, -math.inf))
        beside = []
    is_news = began is not None and held[-1][0] - began < _NEWS and before <= _MOST_BEFORE
    return began if is_news else None
