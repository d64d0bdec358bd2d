"""One incident, one alert: what goes on for a week is told once, when it begins, and once more when it is over."""

from __future__ import annotations

from enum import StrEnum
from typing import TypeVar

from airflow_mlops.records import Course, Notice

__all__ = ["CALM_NIGHTS", "COOLDOWN_NIGHTS", "Sign", "follow"]

CALM_NIGHTS = 3
"""Calm nights in a row after which an incident is over."""
COOLDOWN_NIGHTS = 7
"""Nights after the end in which the same subjects are the same incident again, and no new alert."""

C = TypeVar("C", bound=Course)


class Sign(StrEnum):
    """What a night says of an incident: it takes less to go on (``UNEASY``) than to begin (``BAD``)."""

    BAD = "bad"
    UNEASY = "uneasy"
    CALM = "calm"
    UNKNOWN = "unknown"


def follow(
    incident: C | None,
    tonight: C,
    sign: Sign,
    *,
    calm_nights: int = CALM_NIGHTS,
    cooldown_nights: int = COOLDOWN_NIGHTS,
) -> tuple[C | None, Notice]:
    """Carry an incident on by a night.

    It begins with a bad night, goes on while nights are bad or uneasy, and ends after calm nights in a row. A night of
    which nothing can be said neither prolongs nor calms it. A night that was followed already changes nothing, so that
    a retry tells nobody twice.

    Parameters
    ----------
    incident : Course or None
        As it stood after the night before; an ended one, too, for the cooldown.
    tonight : Course
        As it would stand if it began tonight: its ``noticed`` is tonight.
    sign : Sign
        Tonight's.
    calm_nights, cooldown_nights : int
        As their defaults say.

    Returns
    -------
    incident : Course or None
        As it stands after tonight.
    notice : Notice
        What to tell of it.
    """
    night = tonight.noticed
    if incident is not None:
        if night <= incident.followed:
            return incident, Notice.NONE
        if incident.ended is None and (night - incident.followed).days > cooldown_nights:
            # Nobody looked for longer than it is remembered.
            incident = incident.model_copy(update={"ended": incident.followed})
        incident = incident.model_copy(update={"followed": night})
        if incident.ended is None:
            return _went_on(incident, tonight, sign, calm_nights)
    if sign is not Sign.BAD:
        return incident, Notice.NONE
    if incident is not None and _same(incident, tonight, cooldown_nights):
        return incident.model_copy(update={"latest": night, "ended": None, "calm_nights": 0}), Notice.NONE
    return tonight, Notice.BEGAN


def _went_on(incident: C, tonight: C, sign: Sign, calm_nights: int) -> tuple[C, Notice]:
    if sign is Sign.UNKNOWN:
        return incident, Notice.NONE
    if sign is Sign.CALM:
        calm = incident.calm_nights + 1
        over = calm >= calm_nights
        calmer = incident.model_copy(update={"calm_nights": calm, "ended": incident.followed if over else None})
        return calmer, Notice.ENDED if over else Notice.NONE
    more = incident.joined(tonight).model_copy(update={"latest": incident.followed, "calm_nights": 0})
    return more, Notice.NONE


def _same(incident: Course, tonight: Course, cooldown_nights: int) -> bool:
    """Whether what comes back is what has just ended."""
    waited = incident.followed - (incident.ended or incident.latest)
    back = set(tonight.subjects)
    return waited.days <= cooldown_nights and bool(back) and back <= set(incident.subjects)
