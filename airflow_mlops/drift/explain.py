"""What changed, in words that a person can act on: what, from what to what, by how much, since when."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping

from airflow_mlops.drift.change import Change, ChangeKind

__all__ = ["by_weight", "explain", "in_words"]

_FOUR_FIGURES = 10_000
_WORTH_SAYING = 0.001
# Of all that changed about a feature the most telling is said first: how its mean moved also says how its shape did.
_RANK = {kind: rank for rank, kind in enumerate(ChangeKind)}


def explain(
    changes: Iterable[Change],
    *,
    importance: Mapping[str, float] | None = None,
    since: Mapping[str, dt.date | str] | None = None,
) -> tuple[str, ...]:
    """A sentence for each feature that changed, the weightiest first.

    Parameters
    ----------
    changes : iterable of Change
        Those to speak of: of features that were judged to have changed.
    importance : mapping of str to float, optional
        How much the champion leans on each feature, in any unit; features that it lacks weigh nothing.
    since : mapping of str to date or str, optional
        The first night, or window, on which each feature was unusual.

    Examples
    --------
    >>> warmer = Change(feature="temp", kind="mean", before=20.1, after=23.4, size=0.52)
    >>> wider = Change(feature="temp", kind="spread", before=6.3, after=9.4, size=0.8)
    >>> explain([wider, warmer], since={"temp": "2011-03-05"})
    ('temp moved up by 0.52 sd: 20.1 -> 23.4; spreads 1.5 times as wide: sd 6.3 -> 9.4; since 2011-03-05',)
    """
    told: dict[str, list[Change]] = {}
    for change in by_weight(changes, importance):
        told.setdefault(change.feature, []).append(change)
    return tuple(_sentence(name, found, (since or {}).get(name)) for name, found in told.items())


def by_weight(changes: Iterable[Change], importance: Mapping[str, float] | None = None) -> list[Change]:
    """Changes in the order in which they matter: unmistakable ones, then size times importance.

    A correlation weighs as much as the weightier of its two features.
    """
    if not importance:
        return sorted(changes, key=lambda one: (not one.unmistakable, -abs(one.size), one.feature))

    def weight(change: Change) -> float:
        named = [change.feature, *([change.about] if change.kind is ChangeKind.CORRELATION and change.about else [])]
        return max(importance.get(name, 0.0) for name in named)

    return sorted(
        changes,
        # What matters nothing to the champion comes last, however large: infinity times zero is no order.
        key=lambda one: (
            not (one.unmistakable and weight(one)),
            -min(abs(one.size), 1e9) * weight(one),
            -abs(one.size),
            one.feature,
        ),
    )


def in_words(change: Change) -> str:
    """One change as a clause about its feature.

    Examples
    --------
    >>> in_words(Change(feature="city", kind="new levels", before=0.0, after=0.051, size=0.46, about="'Oslo', 'Rome'"))
    "never seen before: 'Oslo', 'Rome' (5.1 % of rows)"
    >>> in_words(Change(feature="temp", kind="correlation", before=0.62, after=-0.55, size=-1.3, about="hum"))
    'correlation with hum flipped: 0.62 -> -0.55'
    """
    return _WORDS[change.kind](change)


def _moved(change: Change) -> str:
    way = "up" if change.size > 0 else "down"
    about = f", {change.about}" if change.about else ""
    return f"moved {way} by {abs(change.size):.2g} sd{about}: {_from_to(change)}"


def _spread(change: Change) -> str:
    ratio = change.after / change.before
    how = f"{ratio:.2g} times as wide" if ratio > 1 else f"{1 / ratio:.2g} times as narrow"
    return f"spreads {how}: sd {_from_to(change)}"


def _new_levels(change: Change) -> str:
    usual = f", usual are {_share(change.before)}" if change.before > _WORTH_SAYING else ""
    return f"never seen before: {change.about} ({_share(change.after)} of rows{usual})"


def _correlation(change: Change) -> str:
    turned = "flipped" if change.before * change.after < 0 else "changed"
    return f"correlation with {change.about} {turned}: {change.before:.2f} -> {change.after:.2f}"


_WORDS: Mapping[ChangeKind, Callable[[Change], str]] = {
    ChangeKind.VANISHED: lambda _: "vanished",
    ChangeKind.EMPTIED: lambda _: "holds no value any more",
    ChangeKind.UNIT: lambda one: f"looks like another unit, {one.about}: mean {_from_to(one)}",
    ChangeKind.MEAN: _moved,
    ChangeKind.SPREAD: _spread,
    ChangeKind.SHAPE: lambda one: f"changed shape by {one.size:.2g} sd, with its mean at {_figure(one.after)}",
    ChangeKind.NULLS: lambda one: f"nulls {_share(one.before)} -> {_share(one.after)}",
    ChangeKind.LEVEL: lambda one: f"{one.about!r} {_share(one.before)} -> {_share(one.after)} of rows",
    ChangeKind.NEW_LEVELS: _new_levels,
    ChangeKind.GONE_LEVEL: lambda one: f"gone: {one.about!r} (was {_share(one.before)} of rows)",
    ChangeKind.CORRELATION: _correlation,
}


def _sentence(name: str, found: list[Change], since: dt.date | str | None) -> str:
    kinds = {one.kind for one in found}
    if ChangeKind.UNIT in kinds:
        # Mean, spread and shape are all what another unit makes of them.
        found = [one for one in found if one.kind not in (ChangeKind.MEAN, ChangeKind.SPREAD, ChangeKind.SHAPE)]
    elif kinds & {ChangeKind.MEAN, ChangeKind.SPREAD}:
        found = [one for one in found if one.kind is not ChangeKind.SHAPE]
    found = sorted(found, key=lambda one: (_RANK[one.kind], -abs(one.size)))
    clauses = [in_words(one) for one in found]
    if since is not None:
        clauses.append(f"since {since}")
    # A clause that begins with the level or with a noun stands apart from the name.
    verbs = (ChangeKind.VANISHED, ChangeKind.EMPTIED, ChangeKind.UNIT, ChangeKind.MEAN, ChangeKind.SPREAD)
    joint = " " if found[0].kind in (*verbs, ChangeKind.SHAPE) else ": "
    return f"{name}{joint}{'; '.join(clauses)}"


def _from_to(change: Change) -> str:
    return f"{_figure(change.before)} -> {_figure(change.after)}"


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= _FOUR_FIGURES else f"{value:.3g}"


def _share(value: float) -> str:
    return f"{100 * value:.2g} %" if value < 0.995 else f"{100 * value:.0f} %"  # noqa: PLR2004 - 1e+02 is no per cent
