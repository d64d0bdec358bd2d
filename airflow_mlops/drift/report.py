"""A comparison as a page that needs nothing but itself."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from functools import cache
from typing import NamedTuple

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from airflow_mlops.calibrate import Budget
from airflow_mlops.drift.change import Change, ChangeKind
from airflow_mlops.drift.compare import Comparison, FeatureComparison
from airflow_mlops.drift.drawing import distribution_plot, history_plot
from airflow_mlops.drift.expected import Expected, expected_limits
from airflow_mlops.drift.past import CURRENT, DATE, past_of, series_names
from airflow_mlops.profile import Levels, Numbers, Profile
from airflow_mlops.records import DriftVerdict

__all__ = ["chance", "figure", "history_of", "render_report"]

# Features that nothing is said of are drawn up to here, so that a page of thousands still opens.
_DRAWN = 12
_MOST_DRAWN = 60
_MOST_HISTORIES = 2
_MOST_WINDOWS = 60
_FOUR_FIGURES = 10_000
# What a p-value is shown down to; below, the digits are those of the arithmetic.
_LEAST_P = 0.0001


class _Plots(NamedTuple):
    """A feature, how it lay and lies, and its history where there is one: (what, SVG)."""

    feature: FeatureComparison
    distribution: str
    histories: list[tuple[str, str]]


def render_report(
    comparison: Comparison,
    *,
    reference: Profile,
    current: Profile,
    title: str,
    name: str = CURRENT,
    history: Mapping[str, Profile] | None = None,
    facts: Mapping[str, str] | None = None,
    quiet: Collection[str] = (),
) -> str:
    """Write a comparison as HTML without any outside resource.

    Parameters
    ----------
    comparison : Comparison
        What `compare` said.
    reference, current : Profile
        What was compared.
    title : str
        Heading of the page.
    name : str
        Of the current window, among those of the history.
    history : mapping of str to Profile, optional
        Past windows by their names, oldest first.
    facts : mapping of str to str, optional
        What was compared: files and their digests, in the order of the page.
    quiet : collection of str
        Names of windows that were expected to be unusual.

    Raises
    ------
    MissingExtra
        If matplotlib, which draws, is not installed.
    """
    told = [one for one in comparison.features if one.verdict is not DriftVerdict.STABLE]
    calm = [one for one in comparison.features if one.verdict is DriftVerdict.STABLE]
    drawn = (told + calm[: max(0, _DRAWN - len(told))])[:_MOST_DRAWN]
    followed = {one.feature: _followed(one, reference.columns[one.feature]) for one in drawn}
    windows = {**(history or {}), name: current}
    expected = {}
    if comparison.judged_by == "history" and history:
        names = [found for changes in followed.values() for change in changes for found in series_names(change)]
        budget = Budget.of(comparison.false_alarms_per_year)
        expected = expected_limits(past_of(history, current, name=name, quiet=quiet), names, budget=budget)
    plots = [
        _Plots(
            feature,
            _distribution(reference.columns[feature.feature], current.columns.get(feature.feature)),
            [_history(change, windows, reference, expected) for change in followed[feature.feature]] if history else [],
        )
        for feature in drawn
    ]
    return (
        _templates()
        .get_template("report.html")
        .render(
            comparison=comparison,
            reference=reference,
            current=current,
            title=title,
            how=_how(comparison),
            plots=plots,
            left_out=len(comparison.features) - len(drawn),
            facts=facts or {},
        )
    )


def history_of(change: Change, profile: Profile) -> float:
    """What a change is about, in another window: its mean, spread, share or correlation; NaN where there is none.

    Examples
    --------
    >>> levels = Levels(counts={"A": 3, "B": 1}, nulls=0)
    >>> gone = Change(feature="city", kind="gone level", about="B")
    >>> history_of(gone, Profile(rows=4, columns={"city": levels}))
    0.25
    """
    column = profile.columns.get(change.feature)
    if column is None or not column.rows:
        return math.nan
    if change.kind in (ChangeKind.NULLS, ChangeKind.EMPTIED):
        return 1 - column.present / column.rows
    if change.kind is ChangeKind.CORRELATION:
        gram = profile.gram
        if gram is None or change.about not in gram.columns or change.feature not in gram.columns:
            return math.nan
        return float(gram.among([change.feature, change.about]).correlation()[0, 1])
    if isinstance(column, Numbers):
        return column.sd if change.kind is ChangeKind.SPREAD else column.mean
    if not column.present:
        return math.nan
    if change.kind is ChangeKind.NEW_LEVELS:
        return column.other / column.present
    return column.counts.get(change.about or "", 0) / column.present


def figure(value: float | None) -> str:
    """A number with three figures.

    Examples
    --------
    >>> figure(12345.6), figure(0.12345), figure(float("nan")), figure(None)
    ('12,346', '0.123', '-', '-')
    """
    if value is None or not math.isfinite(value):
        return "-"
    return f"{value:,.0f}" if abs(value) >= _FOUR_FIGURES else f"{value:.3g}"


def chance(p: float | None) -> str:
    """A p-value with two figures.

    Examples
    --------
    >>> chance(0.04321), chance(0.000001), chance(None)
    ('0.043', '< 0.0001', '-')
    """
    if p is None:
        return "-"
    return f"{p:.2g}" if p >= _LEAST_P else f"< {_LEAST_P}"


def _distribution(before: Numbers | Levels, now: Numbers | Levels | None) -> str:
    return distribution_plot(before, now) if now is not None and now.present and before.present else ""


def _history(
    change: Change, windows: Mapping[str, Profile], reference: Profile, expected: Mapping[str, Expected]
) -> tuple[str, str]:
    what = _what(change)
    found = next((expected[name] for name in series_names(change) if name in expected), None)
    if found is None:
        names = list(windows)[-_MOST_WINDOWS:]
        values = [history_of(change, windows[name]) for name in names]
        return what, history_plot(
            [_label(one) for one in names], values, what=what, reference=history_of(change, reference)
        )
    limits = [pair if np.isfinite(pair).all() else None for pair in zip(found.low, found.high, strict=True)]
    return what, history_plot(
        [_label(one) for one in found.names],
        found.values,
        what=what,
        limits=limits,
        reference=history_of(change, reference),
    )


def _label(name: str) -> str:
    """The date in a window's name, if it has one: there is little room below a plot."""
    found = DATE.search(name)
    return found[0] if found else name


def _followed(feature: FeatureComparison, column: Numbers | Levels) -> list[Change]:
    """What is drawn over the past: what changed, or of a quiet feature its mean, or its most frequent level."""
    found: dict[str, Change] = {}
    for change in feature.changes:
        found.setdefault(_what(change), change)
    if found:
        return list(found.values())[:_MOST_HISTORIES]
    if isinstance(column, Numbers):
        return [Change(feature=feature.feature, kind=ChangeKind.MEAN)]
    level = max(column.counts, key=lambda name: column.counts[name], default="")
    return [Change(feature=feature.feature, kind=ChangeKind.LEVEL, about=level)]


def _what(change: Change) -> str:
    match change.kind:
        case ChangeKind.NULLS | ChangeKind.EMPTIED:
            return "null rate"
        case ChangeKind.SPREAD:
            return "sd"
        case ChangeKind.LEVEL | ChangeKind.GONE_LEVEL:
            return f"share of {change.about!r}"
        case ChangeKind.NEW_LEVELS:
            return "share of new levels"
        case ChangeKind.CORRELATION:
            return f"correlation with {change.about}"
        case _:
            return "mean"


def _how(comparison: Comparison) -> str:
    seen = f"A mean that moves by {comparison.least_effect:.2g} sd would mostly be seen."
    if comparison.judged_by == "history":
        return (
            f"Judged by {comparison.windows} past windows and what is usual among them, within a budget of "
            f"{comparison.false_alarms_per_year:g} false alarms a year. {seen}"
        )
    return (
        "Judged against the reference alone, with caution: nights are taken to stray by an eighth of a standard "
        f"deviation without cause. {seen} Past windows would make this sharper."
    )


def _mean(column: Numbers | Levels | None) -> str:
    return figure(column.mean) if isinstance(column, Numbers) else "-"


def _nulls(column: Numbers | Levels | None) -> str:
    return "-" if column is None or not column.rows else f"{100 * (1 - column.present / column.rows):.2g} %"


@cache
def _templates() -> Environment:
    templates = Environment(
        loader=PackageLoader("airflow_mlops.drift"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {"chance": chance, "figure": figure, "mean": _mean, "nulls": _nulls}
    return templates
