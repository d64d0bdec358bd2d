"""A night judged by its own past: what monitors say of it, all of them within one budget of false alarms."""

from __future__ import annotations

import datetime as dt
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from airflow_mlops.calibrate import Budget, Contribution, Layout, judge, rhythm_of
from airflow_mlops.project.quality_spec import QualitySpec
from airflow_mlops.quality.monitors.failing import failing_rows
from airflow_mlops.quality.monitors.novelty import Look, counted_looks, extreme_looks, probabilities
from airflow_mlops.quality.monitors.past import LEAST_NIGHTS, Nights, PastNight
from airflow_mlops.quality.monitors.series import ONE_SIDED, Series, alignment, arrivals, distribution, rates, volume
from airflow_mlops.quality.monitors.structure import Break, breaks
from airflow_mlops.quality.night_table import Finding, NightTable
from airflow_mlops.records import CheckOrigin, CheckOutcome, CheckResult

__all__ = ["MONITORS", "MonitorJudgement", "judge_night"]

MONITORS = (
    "freshness",
    "volume",
    "schema",
    "nulls",
    "distinct",
    "range",
    "uniqueness",
    "text",
    "relation",
    "distribution",
)
"""Each says something of every night that it can judge."""
# What shares the budget: things that never were, extremes, and four groups of series.
_COUNTED, _EXTREME = 0.45, 0.15
_SERIES = ((arrivals, 0.08), (volume, 0.1), (rates, 0.05), (distribution, 0.05), (alignment, 0.08))
_NIGHTS_A_YEAR = 365.0
_MOST_SERIES_NIGHTS = 173
# Findings of one monitor that are told one by one.
_MOST_FINDINGS = 8
_SHOWN_NIGHTS = 28


@dataclass(frozen=True)
class MonitorJudgement:
    """What monitors say of a night.

    Attributes
    ----------
    findings : tuple of Finding
        By monitor; one that found nothing has passed.
    lacking : str or None
        Why some of them could not say anything.
    notes : tuple of str
        What else a person may want to know.
    """

    findings: tuple[Finding, ...]
    lacking: str | None = None
    notes: tuple[str, ...] = ()


def judge_night(
    night: dt.date,
    facts: dict[str, Any],
    past: Sequence[PastNight],
    *,
    spec: QualitySpec,
    table: NightTable | None = None,
    arrived: dt.datetime | None = None,
    time_column: str | None = None,
) -> MonitorJudgement:
    """Judge a night by the nights before it.

    Parameters
    ----------
    night : date
        Tonight.
    facts : dict
        What `facts_of` counted.
    past : sequence of PastNight
        Nights before it, ascending; more than the last 400 make no difference.
    spec : QualitySpec
        The budget.
    table : NightTable, optional
        To show failing rows of.
    arrived : datetime, optional
        When tonight was written, UTC.
    time_column : str, optional
        When a row happened, to show rows outside of the night.

    Returns
    -------
    MonitorJudgement
        The same for the same arguments, always.
    """
    nights = Nights(night, facts, past, arrived=arrived)
    budget = spec.false_alarms_per_year / _NIGHTS_A_YEAR
    if night in spec.expected:
        reason = "was expected to be unusual"
        return MonitorJudgement(tuple(_in_order([], nights, reason)), reason)
    found = [_of_break(one, nights) for one in breaks(nights)]
    lacking = None
    if nights.before < LEAST_NIGHTS:
        lacking = f"has {nights.before} nights before it to learn from, at least {LEAST_NIGHTS} are needed"
    elif facts["rows"]:
        # Of a column that is gone, another type or empty, nothing else is worth saying.
        broken = {one.result.column for one in found if one.result.column is not None}
        for looks, share in ((counted_looks, _COUNTED), (extreme_looks, _EXTREME)):
            whole = [one for one in looks(nights) if one.column not in broken]
            found += _of_looks(whole, nights, share * budget, table, time_column)
        for series, share in _SERIES:
            telling = [one for one in series(nights) if one.column not in broken and np.isfinite(one.values[-1])]
            found += _of_series(telling, nights, share * budget)
    return MonitorJudgement(tuple(_in_order(found, nights, lacking)), lacking)


def _of_break(one: Break, nights: Nights) -> Finding:
    since = nights.since(lambda facts: one.holds(nights.tonight, facts))
    return Finding(
        CheckResult(
            name=one.monitor,
            column=one.column,
            outcome=CheckOutcome.FAILED,
            expected=one.expected,
            actual=one.actual,
            origin=CheckOrigin.MONITOR,
            since=since,
        )
    )


def _of_looks(
    looks: list[Look], nights: Nights, limit: float, table: NightTable | None, time_column: str | None
) -> Iterator[Finding]:
    for look, probability in zip(looks, probabilities(looks), strict=True):
        if probability > limit:
            continue
        expected, actual = _words(look, nights)
        count = int(look.values[-1]) if look.rows_counted else None
        result = CheckResult(
            name=look.monitor,
            column=look.column,
            outcome=CheckOutcome.FAILED,
            expected=expected,
            actual=actual,
            origin=CheckOrigin.MONITOR,
            failing_rows=count,
            since=nights.since(look.holds),
            probability=_rounded(probability),
        )
        yield Finding(result, failing_rows(table, look, nights.tonight["columns"], time_column))


def _words(look: Look, nights: Nights) -> tuple[str, str]:
    known, rows, of = int(look.known[-1]), int(nights.rows[-1]), f" of {look.column}" if look.column else ""
    if look.kind == "least":
        least, tonight = np.exp(look.limit), np.exp(look.values[-1])
        return f"values{of} other than zero at least {least:.6g} large, as in {known} nights", f"{tonight:.6g}"
    if not look.rows_counted:
        side = "at least" if look.kind in ("min", "shortest") else "at most"
        return f"{look.kind}{of} {side} {look.limit:.6g}, as in {known} nights", f"{look.values[-1]:.6g}"
    actual = f"{int(look.values[-1])} of {rows} rows {look.words}"
    if look.levels:
        actual += f": {', '.join(map(repr, look.levels[:3]))}{' ...' if len(look.levels) > 3 else ''}"  # noqa: PLR2004 - shown
    return f"no row {look.words}{of and f' in{of[3:]}'}, as in {known} nights", actual


def _of_series(series: list[Series], nights: Nights, limit: float) -> Iterator[Finding]:
    if not series:
        return
    kept = slice(max(len(nights) - _MOST_SERIES_NIGHTS, 0), None)
    rhythm = rhythm_of(nights.nights[kept])
    places, length = _closed_up(rhythm.places, rhythm.season)
    values, errors = np.full((length, len(series)), np.nan), np.ones((length, len(series)))
    for place, one in enumerate(series):
        values[places, place], errors[places, place] = (
            one.values[kept],
            np.where(np.isfinite(one.errors[kept]), one.errors[kept], 1.0),
        )
    layout = Layout(
        tuple(str(place) for place in range(len(series))),
        tuple(one.column or one.words for one in series),
        tuple(one.kind for one in series),
    )
    judged = judge(values, errors, layout, budget=Budget(watch=limit, drift=limit), season=rhythm.season)
    if not judged.drift:
        return
    night_at = dict(zip(places, nights.nights[kept], strict=True))
    for contribution in judged.contributions:
        one = series[int(contribution.series)]
        too_low = contribution.deviation < 0 and one.kind in ONE_SIDED
        # How columns hang together may change and stay so, but then without a fault in any one night.
        slowly = contribution.lasting and one.monitor == "relation"
        if not (too_low or slowly or _was_accepted(one, nights)):
            since = min(place for place in night_at if place >= min(contribution.since, places[-1]))
            yield Finding(_result_of(one, contribution, night_at[since], judged.probability))


def _closed_up(places: Sequence[int], season: int) -> tuple[list[int], int]:
    """Places without long gaps, each on its weekday: what lies before weeks of quarantine is still learned from."""
    closed = [0]
    for before, place in itertools.pairwise(places):
        gap = place - before
        closed.append(closed[-1] + (gap if gap <= 2 * season else season + gap % season))
    return closed, closed[-1] + 1


def _was_accepted(one: Series, nights: Nights) -> bool:
    """Whether a night that a person accepted lay as far out: nearer to tonight than to what was usual."""
    if not nights.accepted[:-1].any():
        return False
    past = one.values[:-1]
    usual, tonight = float(np.nanmedian(np.where(nights.accepted[:-1], np.nan, past)[-_SHOWN_NIGHTS:])), one.values[-1]
    accepted = past[nights.accepted[:-1]]
    near = np.abs(accepted - tonight) < 0.5 * abs(tonight - usual)
    return bool(near.any())


def _result_of(one: Series, contribution: Contribution, since: dt.date, probability: float) -> CheckResult:
    before = one.shown[:-1][np.isfinite(one.shown[:-1])][-_SHOWN_NIGHTS:]
    return CheckResult(
        name=one.monitor,
        column=one.column,
        outcome=CheckOutcome.FAILED,
        expected=f"{one.words} as usual: {before.min():.4g} to {before.max():.4g} in {before.size} nights before",
        actual=f"{one.shown[-1]:.4g}, {abs(contribution.deviation):.2g} standard deviations "
        f"{'above' if contribution.deviation > 0 else 'below'} the forecast"
        + (" for three nights" if contribution.lasting else ""),
        origin=CheckOrigin.MONITOR,
        since=since,
        probability=_rounded(probability),
    )


def _in_order(found: list[Finding], nights: Nights, lacking: str | None) -> Iterator[Finding]:
    for monitor in MONITORS:
        of_it = [one for one in found if one.result.name == monitor]
        yield from of_it[:_MOST_FINDINGS]
        if not of_it:
            yield Finding(
                CheckResult(
                    name=monitor,
                    outcome=CheckOutcome.PASSED,
                    expected="as the nights before",
                    actual=f"as {nights.before} nights before" if lacking is None else f"not judged: {lacking}",
                    origin=CheckOrigin.MONITOR,
                )
            )


def _rounded(probability: float) -> float:
    return float(f"{max(probability, 0.0):.3g}") if math.isfinite(probability) else 1.0
