"""The current table among past windows: how unusual it is, by what, and since when."""

from __future__ import annotations

import datetime as dt
import itertools
import math
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from airflow_mlops.calibrate import Budget, NightJudgement, judge, rhythm_of
from airflow_mlops.drift.change import Change, ChangeKind
from airflow_mlops.drift.series import NightlySeries, nightly_series
from airflow_mlops.profile import Profile, merge

__all__ = ["CURRENT", "DATE", "Past", "PastJudgement", "judge_by_past", "past_of", "series_names", "usual_of"]

CURRENT = "current"
DATE = re.compile(r"(?<!\d)\d{4}-\d\d-\d\d(?!\d)")
_A_WEEK = 7
# What is usual is what the windows of the last eight weeks held.
_USUAL = 56
_FEW_ALIKE = 4
_SERIES_OF = {
    ChangeKind.MEAN: "mean of {feature}",
    ChangeKind.UNIT: "mean of {feature}",
    ChangeKind.SPREAD: "spread of {feature}",
    ChangeKind.NULLS: "nulls of {feature}",
    ChangeKind.EMPTIED: "nulls of {feature}",
    ChangeKind.LEVEL: "share of {feature} {about!r}",
    ChangeKind.GONE_LEVEL: "share of {feature} {about!r}",
    ChangeKind.NEW_LEVELS: "share of rarer levels of {feature}",
    ChangeKind.CORRELATION: "correlation of {feature} and {about}",
}
# A series of one kind may tell of several kinds of change.
_KINDS = {
    "mean": (ChangeKind.MEAN,),
    "spread": (ChangeKind.SPREAD,),
    "shape": (ChangeKind.MEAN, ChangeKind.SPREAD, ChangeKind.SHAPE),
    "nulls": (ChangeKind.NULLS,),
    "level": (ChangeKind.LEVEL, ChangeKind.GONE_LEVEL, ChangeKind.NEW_LEVELS),
    "correlation": (),
}
_MOST_TOLD = 3


@dataclass(frozen=True)
class Past:
    """Windows in a row without gaps, the current one last, as series.

    ``names`` are those of the windows, '' where one is missing; levels come again after ``season`` places. Windows that
    were expected to be unusual are ``quiet``: not judged, and not learned from.
    """

    names: tuple[str, ...]
    series: NightlySeries
    season: int
    quiet: tuple[bool, ...]


@dataclass(frozen=True)
class PastJudgement:
    """What the past says: the judgement, the changes that made it, and since which window.

    ``nameless`` are sentences on series that stand out although nothing about them changed on the whole. The
    ``least_effect`` is the shift of a mean, in standard deviations of a row, that would mostly be seen.
    """

    judgement: NightJudgement
    changes: tuple[Change, ...]
    since: dict[str, str]
    nameless: tuple[str, ...]
    least_effect: float


def past_of(
    history: Mapping[str, Profile], current: Profile, *, name: str = CURRENT, quiet: Collection[str] = ()
) -> Past:
    """Lay windows out by the dates in their names; without dates, as nights one after another.

    Parameters
    ----------
    history : mapping of str to Profile
        Past windows by name, oldest first, in the bins of ``current``.
    current : Profile
        The current one.
    name : str
        Its name; without a date it comes a place after the last.
    quiet : collection of str
        Names of windows that were expected to be unusual.
    """
    windows = [*history.values(), current]
    dates = _dates([*history, name])
    if dates is None:
        places, season = tuple(range(len(windows))), _A_WEEK
    else:
        rhythm = rhythm_of(dates)
        places, season = rhythm.places, rhythm.season
    laid: list[Profile | None] = [None] * (places[-1] + 1)
    names = [""] * len(laid)
    for place, called, window in zip(places, [*history, name], windows, strict=True):
        laid[place], names[place] = window, called
    expected = tuple(called in quiet for called in names)
    return Past(names=tuple(names), series=nightly_series(laid), season=season, quiet=expected)


def usual_of(history: Mapping[str, Profile], past: Past) -> Profile:
    """What recent windows held together: those of the same weekday, if there are some, so that words do not lie.

    A Saturday that is higher than all Saturdays may still be lower than most days.
    """
    told = [name for name, quiet in zip(past.names[:-1], past.quiet, strict=False) if name and not quiet]
    alike = set(past.names[-1 - past.season :: -past.season]) & set(told)
    recent = [name for name in told if name in alike][-_USUAL // past.season :]
    return merge([history[name] for name in (recent if len(recent) >= _FEW_ALIKE else told[-_USUAL:])])


def judge_by_past(past: Past, found: Sequence[Change], *, budget: Budget) -> PastJudgement:
    """Judge the current window, and say which of the changes against what was usual made it unusual.

    Parameters
    ----------
    past : Past
        From `past_of`.
    found : sequence of Change
        `changes` between what recent windows held together and the current one.
    budget : Budget
        Of false alarms.
    """
    judgement = judge(
        past.series.values,
        past.series.errors,
        past.series.layout,
        budget=budget,
        season=past.season,
        quiet=np.array(past.quiet),
    )
    told: dict[Change, None] = {}
    since: dict[str, str] = {}
    nameless = []
    kind_of = dict(zip(past.series.layout.names, past.series.layout.kinds, strict=True))
    for one in judgement.contributions:
        exact = [change for change in found if one.series in series_names(change)]
        alike = [
            change for change in found if change.feature == one.feature and change.kind in _KINDS[kind_of[one.series]]
        ]
        chosen = exact or alike[:_MOST_TOLD]
        told.update(dict.fromkeys(chosen))
        began = next(name for name in past.names[one.since :] if name)
        if not chosen:
            nameless.append(f"{one.series} lies {abs(one.deviation):.2g} sd of its nights from what was expected")
        elif began != past.names[-1]:
            since.setdefault(chosen[0].feature, began)
    effects = [*past.series.shifts(judgement.least_effects).values()]
    finite = [effect for effect in effects if np.isfinite(effect)]
    least = float(np.median(finite)) if finite else math.inf
    return PastJudgement(judgement, tuple(told), since, tuple(nameless), least)


def series_names(change: Change) -> tuple[str, ...]:
    """The series in which a change would show, by the names of `nightly_series`; none of a shape: several show it."""
    template = _SERIES_OF.get(change.kind)
    pairs = [(change.feature, change.about), (change.about, change.feature)]
    both = pairs if change.kind is ChangeKind.CORRELATION else pairs[:1]
    return tuple(template.format(feature=feature, about=about) for feature, about in both) if template else ()


def _dates(names: Sequence[str]) -> list[dt.date] | None:
    """The date in each name; the last may lack one and follows the others; None if they are no rising dates."""
    found = []
    for name in names:
        try:
            found.append(dt.date.fromisoformat(match[0]) if (match := DATE.search(name)) else None)
        except ValueError:
            found.append(None)
    *before, last = found
    known = [date for date in before if date is not None]
    if len(known) < len(before) or not known:
        return None
    if last is None:
        gap = min((later - earlier for earlier, later in itertools.pairwise(known)), default=dt.timedelta(1))
        last = known[-1] + gap
    dates = [*known, last]
    return dates if all(later > earlier for earlier, later in itertools.pairwise(dates)) else None
