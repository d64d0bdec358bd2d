"""Where the marks of a drawn bar stand, in percent of its width; templates draw them."""

from __future__ import annotations

import math
from typing import NamedTuple

from airflow_mlops.records import Drift, FeatureDrift, RuleResult

__all__ = ["DistanceBar", "IntervalBar", "distance_bar", "farthest", "interval_bar", "nearness"]

# Every feature's limit stands at the same place, so that the eye compares across features of different scale.
_LIMIT_AT, _END = 60.0, 100.0
_MARGIN = 0.08


class DistanceBar(NamedTuple):
    """A feature's distance beside its limits."""

    length: float
    watch: float
    limit: float


class IntervalBar(NamedTuple):
    """A rule's estimate inside its interval, and the bound that it is held against."""

    low: float
    high: float
    estimate: float
    bound: float
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
    return DistanceBar(length=min(near * _LIMIT_AT, _END), watch=watch * _LIMIT_AT, limit=_LIMIT_AT)


def interval_bar(rule: RuleResult) -> IntervalBar | None:
    """Draw a rule's interval; None where a figure of it is not finite."""
    zero = None if rule.champion is None else 0.0
    places = [rule.low, rule.high, rule.estimate, rule.bound, *([] if zero is None else [zero])]
    if not all(map(math.isfinite, places)):
        return None
    span = (max(places) - min(places)) or 1.0
    start, length = min(places) - _MARGIN * span, (1 + 2 * _MARGIN) * span

    def at(place: float) -> float:
        return _END * (place - start) / length

    return IntervalBar(
        low=at(rule.low),
        high=at(rule.high),
        estimate=at(rule.estimate),
        bound=at(rule.bound),
        zero=None if zero is None else at(zero),
    )
