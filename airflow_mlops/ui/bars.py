"""Where the marks of a drawn bar stand, in percent of its width; templates draw them."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from airflow_mlops.records import Drift, FeatureDrift, RuleResult

__all__ = ["DistanceBar", "IntervalBar", "bound_of", "distance_bar", "farthest", "interval_bar", "nearness"]

# Every feature's limit stands at the same place, so that the eye compares across features of different scale.
_LIMIT_AT = 60.0
_MARGIN = 0.08

_BOUND = re.compile(
    r"margin (?P<percent>[\d.e+-]+) %|at most (?P<value>[\d.e+-]+) accepted|(?P<zero>superiority) wanted"
)


class DistanceBar(NamedTuple):
    """A feature's distance beside its limits."""

    length: float
    watch: float
    limit: float
    beyond: bool


class IntervalBar(NamedTuple):
    """A rule's estimate inside its interval, and the bound that it is held against (None: not known)."""

    low: float
    high: float
    estimate: float
    bound: float | None
    zero: float | None

    @property
    def width(self) -> float:
        """Length of the interval; a sliver where both ends are one."""
        return max(self.high - self.low, 0.6)


def nearness(feature: FeatureDrift) -> float:
    """A feature's distance as a share of what would be drift; infinite where it cannot be said.

    Examples
    --------
    >>> from airflow_mlops.records import DriftLimit
    >>> limit = DriftLimit(median=0.1, watch=0.4, drift=0.5)
    >>> nearness(FeatureDrift(feature="temp", distance=1.0, limit=limit, verdict="drift", reference_mean=0.5,
    ...                       current_mean=0.9))
    2.0
    """
    if math.isfinite(feature.distance) and feature.limit.drift > 0:
        return feature.distance / feature.limit.drift
    return math.inf


def farthest(drift: Drift) -> float | None:
    """How near the farthest feature of a night is to its limit; None where nothing was compared."""
    return max(map(nearness, drift.features), default=None)


def distance_bar(feature: FeatureDrift) -> DistanceBar:
    """Draw a feature's distance, cut off where the bar ends."""
    near = nearness(feature)
    watch = feature.limit.watch / feature.limit.drift if feature.limit.drift > 0 else 0.0
    return DistanceBar(
        length=min(near * _LIMIT_AT, 100.0), watch=watch * _LIMIT_AT, limit=_LIMIT_AT, beyond=near * _LIMIT_AT > 100.0
    )


def bound_of(rule: RuleResult) -> float | None:
    """Bound that a rule was held against; the record says it in its reason only.

    Examples
    --------
    >>> rule = RuleResult(rule="rmse non_inferior", on="golden", decision="promote", rows=480, challenger=37.1,
    ...     champion=45.1, estimate=-0.178, low=-0.24, high=-0.114, reason="rmse on golden: ..., margin 10 %: promote")
    >>> bound_of(rule)
    0.1
    """
    said = _BOUND.search(rule.reason)
    if said is None:
        return None
    if said["zero"]:
        return 0.0
    return float(said["value"]) if said["value"] else float(said["percent"]) / 100


def interval_bar(rule: RuleResult) -> IntervalBar | None:
    """Draw a rule's interval; None where a figure of it is not finite."""
    bound = bound_of(rule)
    zero = None if rule.champion is None else 0.0
    places = [rule.low, rule.high, rule.estimate, *(place for place in (bound, zero) if place is not None)]
    if not all(map(math.isfinite, places)):
        return None
    span = (max(places) - min(places)) or 1.0
    start, length = min(places) - _MARGIN * span, (1 + 2 * _MARGIN) * span

    def at(place: float) -> float:
        return 100 * (place - start) / length

    return IntervalBar(
        low=at(rule.low),
        high=at(rule.high),
        estimate=at(rule.estimate),
        bound=None if bound is None else at(bound),
        zero=None if zero is None else at(zero),
    )
