"""The last night among its past: unusual or not, within a budget, and what about it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from airflow_mlops.calibrate.budget import Budget
from airflow_mlops.calibrate.replay import LEAST_NIGHTS, Layout, Replay, past_needed, replay

__all__ = ["Contribution", "NightJudgement", "judge"]

Floats = NDArray[np.float64]
# A series is named if chance alone would make one of as many stand out as far on fewer than one of twenty nights.
_NAMED = 0.05
# It has leaned to a side since it lies at least one standard deviation there.
_LEANS = 1.0


@dataclass(frozen=True)
class Contribution:
    """A series that made a night unusual.

    Attributes
    ----------
    series : str
        Its name.
    feature : str or None
        What it tells of.
    deviation : float
        Distance from the forecast, in its standard deviations; of a run the least of the three.
    since : int
        Index of the night since which it has been to that side.
    lasting : bool
        Whether it is the last three nights that stand out, rather than the last.
    """

    series: str
    feature: str | None
    deviation: float
    since: int
    lasting: bool


@dataclass(frozen=True)
class NightJudgement:
    """How unusual the last night is.

    Attributes
    ----------
    probability : float
        Of a night at least as unusual when nothing happened; NaN if nothing could be said.
    watch, drift : bool
        Whether it is within the budget of each.
    lasting : bool
        Whether the last three nights would be drift, whatever the last one by itself is: no odd night, but a change.
    contributions : tuple of Contribution
        The most improbable first, one for each feature (and pair) that stands out; none on an ordinary night.
    least_effects : ndarray of shape (n_series,)
        Change of each series alone that would have been found in four of five cases, in its own unit; NaN where none.
    lacking : str or None
        Why nothing could be said.
    """

    probability: float
    watch: bool
    drift: bool
    lasting: bool
    contributions: tuple[Contribution, ...]
    least_effects: Floats
    lacking: str | None = None


def judge(
    values: Floats,
    errors: Floats,
    layout: Layout,
    *,
    budget: Budget | None = None,
    season: int = 7,
    quiet: NDArray[np.bool_] | None = None,
) -> NightJudgement:
    """Judge the last night by the nights before it.

    Parameters
    ----------
    values : ndarray of shape (n_nights, n_series)
        Nights in order without gaps, the last of them tonight; NaN where a night or a value is missing. More than the
        last 173 make no difference.
    errors : ndarray of shape (n_nights, n_series)
        Standard error of each value from the sampling of rows alone, positive.
    layout : Layout
        What the series are of.
    budget : Budget, optional
        Shares of nights that may be called watch and drift in vain; one in 100 and one in 500 by default.
    season : int
        Nights after which levels come again, from 1 (no season) to 14.
    quiet : ndarray of shape (n_nights,), optional
        Nights that were expected to be unusual, or accepted afterwards: not judged, and not learned from.

    Raises
    ------
    ConfigError
        If shapes or season do not fit, or an error is not positive.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> nights = rng.normal(20.0, 0.1, size=(60, 6))
    >>> nights[58:, 2] += 1
    >>> layout = Layout(names=tuple("abcdef"), features=tuple("abcdef"), kinds=("mean",) * 6)
    >>> found = judge(nights, np.full_like(nights, 0.1), layout)
    >>> found.drift, [(one.series, one.since) for one in found.contributions]
    (True, [('c', 58)])
    >>> judge(nights[:12], np.full_like(nights[:12], 0.1), layout).lacking
    'has 11 nights before it, at least 14 are needed'
    """
    budget = budget or Budget()
    nights = len(values)
    replayed = replay(values, errors, layout, season=season, quiet=quiet, first=past_needed(nights), alpha=budget.watch)
    probability, effects = float(replayed.probability[-1]), replayed.least_effects[-1]
    lacking = None
    least = max(LEAST_NIGHTS, 2 * season)
    if nights <= least:
        lacking = f"has {max(nights - 1, 0)} nights before it, at least {least} are needed"
    elif quiet is not None and quiet[-1]:
        lacking = "was expected to be unusual"
    elif np.isnan(probability):
        lacking = "holds nothing that was seen in at least two seasons before it"
    if lacking is not None:
        return NightJudgement(
            float("nan"),
            watch=False,
            drift=False,
            lasting=False,
            contributions=(),
            least_effects=effects,
            lacking=lacking,
        )
    watch = probability <= budget.watch
    return NightJudgement(
        probability,
        watch=watch,
        drift=probability <= budget.drift,
        lasting=bool(replayed.run_probability[-1] <= budget.drift),
        contributions=_contributions(replayed, layout) if watch else (),
        least_effects=effects,
    )


def _contributions(replayed: Replay, layout: Layout) -> tuple[Contribution, ...]:
    """The series that stand out, foremost first, one for each feature; always the foremost of all."""
    logs = np.nan_to_num(replayed.log_probability[:, -1])
    lasting = logs[1] < logs[0]
    least = logs.min(axis=0)
    found: dict[str, Contribution] = {}
    for place in np.argsort(least, kind="stable").tolist():
        if found and least[place] > np.log(_NAMED / len(least)):
            break
        distances = (replayed.runs if lasting[place] else replayed.deviations)[-1]
        deviation = float(distances[place])
        feature = layout.features[place]
        found.setdefault(
            layout.names[place] if feature is None else feature,
            Contribution(
                series=layout.names[place],
                feature=feature,
                deviation=deviation,
                since=_since(np.sign(deviation) * replayed.deviations[:, place], lasting=bool(lasting[place])),
                lasting=bool(lasting[place]),
            ),
        )
    return tuple(found.values())


def _since(leaning: Floats, *, lasting: bool) -> int:
    """First night of those up to the last one that lie to its side."""
    since = len(leaning) - (3 if lasting else 1)
    while since > 0 and leaning[since - 1] >= _LEANS:
        since -= 1
    return since
