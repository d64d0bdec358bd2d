"""Stable, watch, drift or insufficient: one decision, in words too."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from airflow_mlops.drift.distance import column_distance, scale_of
from airflow_mlops.drift.learn import LEAST_WINDOWS
from airflow_mlops.profile import Levels, Numbers, Profile
from airflow_mlops.records import DriftLimit, DriftVerdict, FeatureDrift

__all__ = ["Detection", "detect"]

# The limits hold for windows of the usual size; chance alone scatters half as many rows 1.4 times as far.
_LEAST_SHARE_OF_ROWS = 0.5


@dataclass(frozen=True)
class Detection:
    """A verdict, what it rests on (farthest beyond its limit first), and its reason in words."""

    verdict: DriftVerdict
    features: tuple[FeatureDrift, ...]
    reason: str


def detect(reference: Profile, current: Profile, limits: Mapping[str, DriftLimit], *, window_nights: int) -> Detection:
    """Judge the window of the last nights.

    Drift if any feature lies beyond its limit (the limits share the budget already). A feature that vanished, or holds
    nothing any more, is drift whatever the limits say.

    Parameters
    ----------
    reference : Profile
        The champion's training window, merged from its nights.
    current : Profile
        The last nights, merged, profiled with ``reference.edges``.
    limits : mapping of str to DriftLimit
        From `learn_limits` over the reference's nights.
    window_nights : int
        What the limits were learned for.
    """
    lacking = _lacking(reference, current, limits, window_nights)
    if lacking:
        return Detection(DriftVerdict.INSUFFICIENT, (), lacking)
    features = tuple(
        sorted(
            (
                _judged(name, reference.columns[name], current.columns.get(name), limit)
                for name, limit in limits.items()
            ),
            key=lambda feature: (-feature.distance / feature.limit.drift, feature.feature),
        )
    )
    for verdict in (DriftVerdict.DRIFT, DriftVerdict.WATCH):
        found = [feature for feature in features if feature.verdict is verdict]
        if found:
            words = (_in_words(f, reference.columns[f.feature], current.columns.get(f.feature)) for f in found)
            return Detection(verdict, features, "; ".join(words))
    farthest = features[0]
    return Detection(
        DriftVerdict.STABLE,
        features,
        f"nothing unusual; farthest is {farthest.feature} with {farthest.distance:.2f} "
        f"of the {farthest.limit.drift:.2f} that would be drift",
    )


def _lacking(reference: Profile, current: Profile, limits: Mapping[str, DriftLimit], window_nights: int) -> str | None:
    if not limits:
        return (
            f"the champion's training window has {reference.parts} nights, too few to know what is usual in "
            f"{window_nights} of them. Train on at least {LEAST_WINDOWS * window_nights}, or make window_nights smaller"
        )
    if current.parts < window_nights:
        return (
            f"the window holds {current.parts} of {window_nights} nights. "
            "Wait for more nights, or fill it with earlier ones"
        )
    usual = reference.rows / reference.parts * window_nights
    if current.rows < _LEAST_SHARE_OF_ROWS * usual:
        return (
            f"the window has {current.rows} rows, the limits were learned on windows of about {usual:.0f}. "
            "Find out where the rows are, or learn the limits anew"
        )
    return None


def _judged(
    name: str, reference: Numbers | Levels, current: Numbers | Levels | None, limit: DriftLimit
) -> FeatureDrift:
    gone = current is None or not current.present
    distance = math.inf if current is None or gone else column_distance(reference, current, scale=scale_of(reference))
    # Asked this way round a distance that is NaN is drift, never stable.
    if distance <= limit.watch:
        verdict = DriftVerdict.STABLE
    elif distance <= limit.drift:
        verdict = DriftVerdict.WATCH
    else:
        verdict = DriftVerdict.DRIFT
    return FeatureDrift(
        feature=name,
        distance=distance,
        limit=limit,
        verdict=verdict,
        reference_mean=_mean(reference),
        current_mean=_mean(current),
    )


def _mean(column: Numbers | Levels | None) -> float:
    return column.mean if isinstance(column, Numbers) else math.nan


def _in_words(feature: FeatureDrift, reference: Numbers | Levels, current: Numbers | Levels | None) -> str:
    name, distance = feature.feature, feature.distance
    if current is None:
        return f"{name} vanished"
    if not current.present:
        return f"{name} holds no usable value any more"
    bound = feature.limit.drift if feature.verdict is DriftVerdict.DRIFT else feature.limit.watch
    if isinstance(reference, Levels):
        return f"{name}: {distance:.0%} of rows changed level (limit {bound:.0%}){_new_levels(reference, current)}"
    unit = "sd" if reference.sd else "times its value"
    limited = f"by {distance:.1f} {unit} (limit {bound:.1f})"
    nulls_before, nulls_now = reference.nulls / reference.rows, current.nulls / current.rows
    if abs(nulls_now - nulls_before) > distance / 2:
        return f"{name} changed {limited}: nulls {nulls_before:.0%} -> {nulls_now:.0%}"
    shift = feature.current_mean - feature.reference_mean
    if abs(shift) / scale_of(reference) < distance / 2:
        return f"{name} changed shape {limited}, with its mean at {feature.current_mean:.3g}"
    way = "up" if shift > 0 else "down"
    return f"{name} moved {way} {limited}: {feature.reference_mean:.3g} -> {feature.current_mean:.3g}"


def _new_levels(reference: Levels, current: Numbers | Levels) -> str:
    new = sorted(set(current.novel) - set(reference.novel)) if isinstance(current, Levels) else []
    return f", never seen before: {', '.join(new[:5])}" if new else ""
