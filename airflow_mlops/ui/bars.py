"""Where the marks of a drawn bar stand, in percent of its width; templates draw them."""

from __future__ import annotations

import math
from typing import NamedTuple

from airflow_mlops.records import Drift, FeatureDrift

__all__ = ["DistanceBar", "distance_bar", "farthest", "nearness"]

# Every feature's limit stands at the same place, so that the eye compares across features of different scale.
_LIMIT_AT, _END = 60.0, 100.0


class DistanceBar(NamedTuple):
    """A feature's distance beside its limits."""

    length: float
    watch: float
    limit: float


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
