"""What a change of features weighs: one that the champion hardly leans on is worth a look, not an alarm."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from airflow_mlops.drift.change import Change, ChangeKind
from airflow_mlops.records import DriftVerdict

__all__ = ["LEAST_SHARE", "leaned_on", "weighed"]

LEAST_SHARE = 0.01
"""Changed features that together have less of the champion's importance than this are at most ``watch``."""
# A model that is asked without a column does not answer at all, whatever it leaned on.
_BREAKS = (ChangeKind.VANISHED, ChangeKind.EMPTIED)


def leaned_on(features: Iterable[str], importance: Mapping[str, float]) -> float:
    """Share of the champion's importance that features have together, in [0, 1]; 1 if that is not known of one of them.

    Examples
    --------
    >>> leaned_on(["wind"], {"temp": 9.0, "wind": 1.0})
    0.1
    """
    weights = {name: max(weight, 0.0) for name, weight in importance.items()}
    total = sum(weights.values())
    named = set(features)
    if total <= 0 or not named <= set(weights):
        return 1.0
    return sum(weights[name] for name in named) / total


def weighed(
    verdict: DriftVerdict, changes: Iterable[Change], importance: Mapping[str, float] | None = None
) -> DriftVerdict:
    """The verdict, softened to watch if nothing changed that the champion leans on.

    Parameters
    ----------
    verdict : DriftVerdict
        Of the features.
    changes : iterable of Change
        What made it.
    importance : mapping of str to float, optional
        From `permutation_importance`; without it, or without changes that are named, the verdict stays.

    Examples
    --------
    >>> windier = Change(feature="wind", kind="mean", before=3.0, after=9.0, size=2.0)
    >>> weighed(DriftVerdict.DRIFT, [windier], {"temp": 1.0, "wind": 0.001}).value
    'watch'
    """
    changes = list(changes)
    if verdict is not DriftVerdict.DRIFT or not importance or not changes:
        return verdict
    if any(one.kind in _BREAKS for one in changes):
        return verdict
    named = {one.feature for one in changes}
    named |= {one.about for one in changes if one.kind is ChangeKind.CORRELATION and one.about}
    return DriftVerdict.WATCH if leaned_on(named, importance) < LEAST_SHARE else verdict
