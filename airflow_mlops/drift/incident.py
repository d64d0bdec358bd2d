"""The incident of drifting features, night by night, by the verdict of each."""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

from airflow_mlops import incident as course
from airflow_mlops.incident import CALM_NIGHTS, COOLDOWN_NIGHTS, Sign
from airflow_mlops.records import DriftVerdict, Incident, Notice

__all__ = ["CALM_NIGHTS", "COOLDOWN_NIGHTS", "Follow", "follow"]

_SIGNS = {
    DriftVerdict.DRIFT: Sign.BAD,
    DriftVerdict.WATCH: Sign.UNEASY,
    DriftVerdict.STABLE: Sign.CALM,
    DriftVerdict.INSUFFICIENT: Sign.UNKNOWN,
}


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
    """Carry an incident on by a night: it begins with drift, goes on with drift or watch, ends after stable nights.

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
    tonight = Incident(features=features, began=min(since or night, night), noticed=night, latest=night, followed=night)
    followed = course.follow(
        incident, tonight, _SIGNS[verdict], calm_nights=calm_nights, cooldown_nights=cooldown_nights
    )
    return Follow(*followed)
