"""A current table against a reference: what moved, how unusual that is, and the verdict, in one value."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from airflow_mlops.calibrate import Budget
from airflow_mlops.drift.beyond import beyond_all_seen
from airflow_mlops.drift.change import Change, ChangeKind, changes, column_changes
from airflow_mlops.drift.distance import (
    chi_square,
    g_statistic,
    jensen_shannon_distance,
    kolmogorov_smirnov_distance,
    null_rate_difference,
    population_stability_index,
    scale_of,
    total_variation_distance,
    wasserstein_distance,
)
from airflow_mlops.drift.explain import explain
from airflow_mlops.drift.pair import PairJudgement, judge_pair
from airflow_mlops.drift.past import CURRENT, judge_by_past, past_of, usual_of
from airflow_mlops.drift.series import new_levels
from airflow_mlops.profile import Levels, Numbers, Profile, merge
from airflow_mlops.records import DriftVerdict, Value

__all__ = ["FALSE_ALARMS_PER_YEAR", "Comparison", "FeatureComparison", "compare", "distances_of"]

FALSE_ALARMS_PER_YEAR = 0.73
"""By default one night in 500 may be called drift when nothing happened, and one in 100 watch."""
# If not even a shift by a whole standard deviation would mostly be seen, silence says nothing.
_LEAST_POWER = 1.0
_BEYOND = "beyond all that was seen"
# Windows in a row that are no odd one any more.
_LASTING = 3
_SEVERITY = {DriftVerdict.DRIFT: 0, DriftVerdict.WATCH: 1, DriftVerdict.INSUFFICIENT: 2, DriftVerdict.STABLE: 3}


class FeatureComparison(Value):
    """One feature: its verdict, and what it rests on.

    ``p_value`` is how likely a night with anything as unusual is when nothing happened, of all features together; None
    of a feature that does not stand out of its past.
    """

    feature: str
    verdict: DriftVerdict
    p_value: float | None
    distances: dict[str, float]
    changes: tuple[Change, ...]
    words: str
    since: str | None = None


class Comparison(Value):
    """A verdict with its features, the most unusual first, and its reasons in words, the weightiest first.

    ``notes`` say what else is worth knowing, outside of the verdict; ``least_effect`` is the shift of a mean, in
    standard deviations of a row, that would be called drift in four of five cases. ``lasting`` is a change that stands
    since three windows, not one odd night.
    """

    verdict: DriftVerdict
    judged_by: Literal["history", "reference"]
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    features: tuple[FeatureComparison, ...]
    false_alarms_per_year: float
    least_effect: float
    windows: int
    lasting: bool = False


@dataclass(frozen=True)
class _Told:
    """What is said of the changes, whoever judged them."""

    changes: tuple[Change, ...]
    verdict_of: Callable[[Change], DriftVerdict]
    p_values: Mapping[str, float]
    since: Mapping[str, str]
    least_effect: float
    nameless: tuple[str, ...] = ()
    verdict: DriftVerdict = DriftVerdict.STABLE
    lasting: bool = False


def compare(
    reference: Profile,
    current: Profile,
    *,
    history: Mapping[str, Profile] | None = None,
    name: str = CURRENT,
    false_alarms_per_year: float = FALSE_ALARMS_PER_YEAR,
    importance: Mapping[str, float] | None = None,
    quiet: Collection[str] = (),
) -> Comparison:
    """Compare two tables: by what was usual in past windows where there are enough of them, else by themselves.

    Parameters
    ----------
    reference, current : Profile
        Both in the bins of the reference.
    history : mapping of str to Profile, optional
        Past windows by name, oldest first, in the bins of the reference. Dates in the names tell weekdays and gaps.
    name : str
        Of the current window, among those of the history.
    false_alarms_per_year : float
        Nights a year that may be called drift when nothing happened; five times as many may be called watch.
    importance : mapping of str to float, optional
        How much the champion leans on each feature: the order in which they are told.
    quiet : collection of str
        Names of windows that were expected to be unusual: no alarm if ``name`` is among them, and never learned from.

    Raises
    ------
    ConfigError
        If the budget is none.
    DataError
        If windows have other edges than the reference.
    """
    budget = Budget.of(false_alarms_per_year)
    if name in quiet:
        return _not_judged(reference, current, name, false_alarms_per_year, windows=len(history or {}))
    against_reference = changes(reference, current)
    pair = judge_pair(reference, current, against_reference, tail_probability=budget.drift)
    told, notes = None, []
    if history:
        told, lacking = _told_by_past(reference, current, history, name, budget, quiet)
        if lacking:
            notes.append(f"{name} {lacking}: judged against the reference alone, with caution")
    by_past = told is not None
    told = told or _told_by_pair(pair, budget)
    features = _features(reference, current, told)
    verdict = min([told.verdict, *(one.verdict for one in features)], key=_SEVERITY.__getitem__)
    # Where nights stray far, a large effect is needed whatever the rows; that is no lack of them.
    if verdict is DriftVerdict.STABLE and min(told.least_effect, pair.least_effect) > _LEAST_POWER:
        verdict = DriftVerdict.INSUFFICIENT
    reasons = explain(told.changes, importance=importance, since=told.since) + told.nameless
    if by_past:
        notes += _far_from_reference(pair.beyond(budget.watch), told)
    return Comparison(
        verdict=verdict,
        judged_by="history" if by_past else "reference",
        reasons=reasons or (_nothing_found(told.least_effect, verdict),),
        notes=tuple(notes),
        features=features,
        false_alarms_per_year=false_alarms_per_year,
        least_effect=told.least_effect,
        windows=len(history or {}),
        lasting=told.lasting,
    )


def _not_judged(
    reference: Profile, current: Profile, name: str, false_alarms_per_year: float, *, windows: int
) -> Comparison:
    """A planned change: neither an alarm nor a word that all is well."""
    silent = _Told((), lambda _: DriftVerdict.STABLE, {}, {}, math.inf)
    return Comparison(
        verdict=DriftVerdict.INSUFFICIENT,
        judged_by="history",
        reasons=(f"{name} was expected to be unusual: not judged, and not learned from",),
        notes=(),
        features=_features(reference, current, silent),
        false_alarms_per_year=false_alarms_per_year,
        least_effect=math.inf,
        windows=windows,
    )


def _told_by_pair(judged: PairJudgement, budget: Budget) -> _Told:
    def verdict_of(change: Change) -> DriftVerdict:
        return DriftVerdict.DRIFT if judged.p_changes[change] <= budget.drift else DriftVerdict.WATCH

    return _Told(judged.beyond(budget.watch), verdict_of, judged.p_values, {}, judged.least_effect)


def _told_by_past(
    reference: Profile,
    current: Profile,
    history: Mapping[str, Profile],
    name: str,
    budget: Budget,
    quiet: Collection[str],
) -> tuple[_Told | None, str | None]:
    """What the past says, or why it says nothing."""
    past = past_of(history, current, name=name, quiet=quiet)
    windows = [window for window in history if window not in quiet]
    if not windows:
        return None, "has no past but windows that were expected to be unusual"
    found = changes(usual_of(history, past), current)
    judged = judge_by_past(past, found, budget=budget)
    judgement = judged.judgement
    if judgement.lacking:
        return None, judgement.lacking
    whole = DriftVerdict.DRIFT if judgement.drift else DriftVerdict.WATCH if judgement.watch else DriftVerdict.STABLE
    # A new level is what neither the reference nor any window held, not only the recent ones.
    seen = merge([reference, *(history[window] for window in windows)])
    fresh = new_levels(seen, current)
    new = [
        one.model_copy(update={"unmistakable": True})
        for feature in fresh
        for one in column_changes(feature, seen.columns[feature], current.columns[feature])
        if one.kind is ChangeKind.NEW_LEVELS
    ]
    beyond = beyond_all_seen([history[window] for window in windows], current)
    plain = [
        one.model_copy(update={"unmistakable": True, "about": _BEYOND}) if _lies_beyond(one, beyond) else one
        for one in found
        if (one.unmistakable and one.kind is not ChangeKind.NEW_LEVELS) or _lies_beyond(one, beyond)
    ]
    said = {(one.feature, one.kind, one.before) for one in plain}
    moved = [
        one
        for one in judged.changes
        if (one.feature, one.kind, one.before) not in said and not (one.kind is ChangeKind.NEW_LEVELS and new)
    ]
    told = (*plain, *new, *moved)
    return (
        _Told(
            changes=told,
            verdict_of=lambda change: DriftVerdict.DRIFT if change.unmistakable else whole,
            p_values={one.feature: 0.0 if one.unmistakable else judgement.probability for one in reversed(told)},
            since=_names_of(beyond, windows) | judged.since,
            least_effect=judged.least_effect,
            nameless=judged.nameless,
            verdict=whole,
            lasting=judgement.lasting or any(len(windows) - place >= _LASTING - 1 for place in beyond.values()),
        ),
        None,
    )


def _lies_beyond(change: Change, beyond: Mapping[str, int]) -> bool:
    return change.kind is ChangeKind.MEAN and change.feature in beyond


def _names_of(beyond: Mapping[str, int], windows: Sequence[str]) -> dict[str, str]:
    return {feature: windows[place] for feature, place in beyond.items() if place < len(windows)}


def _features(reference: Profile, current: Profile, told: _Told) -> tuple[FeatureComparison, ...]:
    features = []
    for name, column in reference.columns.items():
        own = tuple(one for one in told.changes if one.feature == name)
        verdicts = [told.verdict_of(one) for one in own]
        features.append(
            FeatureComparison(
                feature=name,
                verdict=min(verdicts, key=_SEVERITY.__getitem__, default=DriftVerdict.STABLE),
                p_value=told.p_values.get(name),
                distances=distances_of(column, current.columns.get(name)),
                changes=own,
                words="; ".join(explain(own, since=told.since)),
                since=told.since.get(name),
            )
        )
    return tuple(sorted(features, key=lambda one: (1.0 if one.p_value is None else one.p_value, one.feature)))


def _far_from_reference(far: Sequence[Change], told: _Told) -> list[str]:
    """What is no news, but far from the reference: outside of the verdict, for it would be an alarm every night."""
    news = {one.feature for one in told.changes}
    return [
        f"as usual, but far from the reference: {words}"
        for words in explain(one for one in far if one.feature not in news)
    ]


def distances_of(reference: Numbers | Levels, current: Numbers | Levels | None) -> dict[str, float]:
    """Every distance of one column that both sides have a value for.

    Examples
    --------
    >>> before, now = Levels(counts={"A": 3, "B": 1}, nulls=0), Levels(counts={"A": 2, "C": 2}, nulls=0)
    >>> distances_of(before, now)["total_variation"]
    0.5
    """
    if current is None or not reference.rows or not current.rows:
        return {}
    found = {"null_rate_difference": null_rate_difference(reference, current)}
    if not reference.present or not current.present or reference.kind != current.kind:
        return found
    found["psi"] = population_stability_index(reference, current)
    found["jensen_shannon"] = jensen_shannon_distance(reference, current)
    if isinstance(reference, Numbers) and isinstance(current, Numbers):
        gap = kolmogorov_smirnov_distance(reference, current)
        away = wasserstein_distance(reference, current)
        return found | {
            "ks": gap.low,
            "ks_at_most": gap.high,
            "wasserstein": away,
            "wasserstein_sd": away / scale_of(reference),
            "mean_shift_sd": (current.mean - reference.mean) / scale_of(reference),
        }
    if isinstance(reference, Levels) and isinstance(current, Levels):
        found["total_variation"] = total_variation_distance(reference, current)
    return found | {
        "chi_square": chi_square(reference, current).statistic,
        "g": g_statistic(reference, current).statistic,
    }


def _nothing_found(least_effect: float, verdict: DriftVerdict) -> str:
    if verdict is DriftVerdict.INSUFFICIENT:
        seen = f"a shift of {least_effect:.2g} sd" if math.isfinite(least_effect) else "nothing"
        return f"too few rows: only {seen} or more would be seen; take more rows, or more nights at once"
    return f"nothing unusual; a mean that moves by {least_effect:.2g} sd would mostly be seen"
