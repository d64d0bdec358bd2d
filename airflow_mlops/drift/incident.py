"""One incident, one alert: what goes on for a week is told once, when it begins, and once more when it is over."""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

from airflow_mlops.records import DriftVerdict, Incident, Notice

__all__ = ["CALM_NIGHTS", "COOLDOWN_NIGHTS", "Follow", "follow"]

CALM_NIGHTS = 3
"""Stable nights in a row after which an incident is over."""
COOLDOWN_NIGHTS = 7
"""Nights after the end in which the same features are the same incident again, and no new alert."""


class Follow(NamedTuple):
    """The incident as it stands after a night, and what to tell of it."""

    incident: Incident | None
    notice: Notice


def follow(
    incident: Incident | None,
    night: dt.date,
    verdict: DriftVerdict,
    features: tuple[str, ...] = (),
    *,
    since: dt.date | None = None,
    calm_nights: int = CALM_NIGHTS,
    cooldown_nights: int = COOLDOWN_NIGHTS,
) -> Follow:
    """Carry an incident on by a night.

    It begins with drift, goes on while nights are drift or watch (it takes less to go on than to begin), and ends after
    stable nights in a row. A night of which nothing can be said neither prolongs nor calms it. A night that was
    followed already changes nothing, so that a retry tells nobody twice.

    Parameters
    ----------
    incident : Incident or None
        As it stood after the night before; an ended one, too, for the cooldown.
    night : date
        Tonight.
    verdict : DriftVerdict
        Tonight's.
    features : tuple of str
        Those that moved.
    since : date, optional
        Night since which they have; tonight by default.
    calm_nights, cooldown_nights : int
        As their defaults say.

    Examples
    --------
    >>> incident = None
    >>> verdicts = ["stable", "drift", "watch", "stable", "stable", "stable"]
    >>> for day, verdict in enumerate(verdicts, start=1):
    ...     incident, notice = follow(incident, dt.date(2026, 5, day), DriftVerdict(verdict), ("temp",))
    ...     print(day, notice.value)
    1 none
    2 began
    3 none
    4 none
    5 none
    6 ended
    """
    if incident is not None:
        if night <= incident.followed:
            return Follow(incident, Notice.NONE)
        if incident.ended is None and (night - incident.followed).days > cooldown_nights:
            # Nobody looked for longer than it is remembered.
            incident = incident.model_copy(update={"ended": incident.followed})
        incident = incident.model_copy(update={"followed": night})
        if incident.ended is None:
            return _went_on(incident, verdict, features, calm_nights)
    if verdict is not DriftVerdict.DRIFT:
        return Follow(incident, Notice.NONE)
    if incident is not None and _same(incident, features, cooldown_nights):
        resumed = incident.model_copy(update={"latest": night, "ended": None, "calm_nights": 0})
        return Follow(resumed, Notice.NONE)
    begun = Incident(features=features, began=min(since or night, night), noticed=night, latest=night, followed=night)
    return Follow(begun, Notice.BEGAN)


def _went_on(incident: Incident, verdict: DriftVerdict, features: tuple[str, ...], calm_nights: int) -> Follow:
    if verdict is DriftVerdict.INSUFFICIENT:
        return Follow(incident, Notice.NONE)
    if verdict is DriftVerdict.STABLE:
        calm = incident.calm_nights + 1
        over = calm >= calm_nights
        calmer = incident.model_copy(update={"calm_nights": calm, "ended": incident.followed if over else None})
        return Follow(calmer, Notice.ENDED if over else Notice.NONE)
    joined = tuple(dict.fromkeys((*incident.features, *features)))
    update = {"features": joined, "latest": incident.followed, "calm_nights": 0}
    return Follow(incident.model_copy(update=update), Notice.NONE)


def _same(incident: Incident, features: tuple[str, ...], cooldown_nights: int) -> bool:
    """Whether what comes back is what has just ended."""
    waited = incident.followed - (incident.ended or incident.latest)
    return waited.days <= cooldown_nights and bool(features) and set(features) <= set(incident.features)
