"""What never was: counts that have always been zero, extremes that no night ever reached, levels that nobody knows.

A thing that n nights in a row did not do comes with a probability of about 1 / (n + 1) in the next one (Laplace 1814),
and in many of its rows at once more rarely yet: that of v rows or more is taken to fall as 1 / v. Many such things are
looked at, and some tables break with their habits more easily than others: so a night counts as news only as far as
fewer of the table's own nights brought as much news, each measured by the nights before it.

References
----------
Laplace, P. S. (1814). Essai philosophique sur les probabilites (the rule of succession).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airflow_mlops.quality.monitors.past import LEAST_NIGHTS, Nights

__all__ = ["Look", "counted_looks", "extreme_looks", "probabilities"]

Floats = NDArray[np.float64]
# What is counted of a column: the monitor that says so, and how it is said of rows.
_COUNTED = {
    "nulls": ("nulls", "null"),
    "infinite": ("range", "not finite"),
    "negative": ("range", "negative"),
    "zero": ("range", "zero"),
    "fraction": ("range", "not whole"),
    "whole": ("range", "whole numbers"),
    "blank": ("text", "blank"),
    "padded": ("text", "with blanks around"),
    "accented": ("text", "with letters beyond ASCII"),
    "damaged": ("text", "with damaged letters"),
    "upper": ("text", "in upper case"),
    "digits": ("text", "of digits"),
    "new": ("distinct", "of a new value"),
    "mixed": ("distinct", "of another value than the rest"),
    "repeated": ("uniqueness", "with a value that is there again"),
}
# All that is asked of a column that has one value a night, as a date has: which one, the calendar says.
_OF_ANY_NIGHT = ("nulls", "infinite", "blank", "padded", "damaged", "mixed")
# How far beyond all an extreme lies is measured by how far extremes differ, and at least by so much of the whole range.
_LEAST_SPREAD = 0.05
_TINY = 1e-300
# The logarithm of a tenth more: by less, the least of a night is as it was.
_LEAST_RATIO = 0.1


@dataclass(frozen=True)
class Look:
    """One thing that is looked at each night.

    Attributes
    ----------
    monitor, column, kind : str
        Whose it is, and what: a key of the facts.
    words : str
        How it is said of rows.
    values : ndarray of shape (n_nights,)
        Night by night, the last one tonight's: rows, or the extreme.
    news : ndarray of shape (n_nights,)
        Logarithm of how much rarer it is than a thing that has never been; -inf where it is none.
    known : ndarray of shape (n_nights,)
        Nights before each in which it could be seen.
    limit : float
        The most (or least) that was, before tonight.
    levels : tuple of str
        New values of tonight.
    """

    monitor: str
    column: str | None
    kind: str
    words: str
    values: Floats
    news: Floats
    known: NDArray[np.int64]
    limit: float
    levels: tuple[str, ...] = field(default=())

    @property
    def rows_counted(self) -> bool:
        """Whether the values are rows, not extremes."""
        return self.kind not in ("min", "max", "shortest", "longest", "least")

    def holds(self, facts: dict[str, Any]) -> bool:
        """Whether the same can be seen in the facts of another night."""
        if self.column is None:
            return bool(facts.get(self.kind))
        column = facts["columns"].get(self.column, {})
        if self.kind == "new":
            return any(level in self.levels for level in column.get("levels", ()))
        value = column.get(self.kind)
        if value is None or self.rows_counted:
            return bool(value)
        if self.kind == "least":
            return bool(np.log(value) < self.limit)
        return bool(value > self.limit if self.kind in ("max", "longest") else value < self.limit)

    @property
    def scores(self) -> Floats:
        """-log of the probability of each night's news, of this thing alone; 0 where there is none."""
        scores = np.where(np.isfinite(self.news), self.news + np.log1p(self.known), 0.0)
        scores[self.known < LEAST_NIGHTS] = 0.0
        return scores


def counted_looks(nights: Nights) -> Iterator[Look]:
    """Rows that something never was true of, in all columns and of the table."""
    for column in nights.tonight["columns"]:
        flat = nights.is_level_of_the_night(column)
        for kind, (monitor, words) in _COUNTED.items():
            if kind in _OF_ANY_NIGHT if flat else kind != "mixed":
                counts, levels = _rows_that(nights, column, kind)
                if np.nanmax(counts, initial=0.0) > 0:
                    yield _counted(monitor, column, kind, words, counts, levels=levels)
    for kind, monitor, words in (
        ("repeats", "uniqueness", "that are there again, all columns alike"),
        ("outside", "range", "at a time outside of the night"),
    ):
        counts = nights.of_table(kind)
        if np.nanmax(counts, initial=0.0) > 0:
            yield _counted(monitor, None, kind, words, counts)


def extreme_looks(nights: Nights) -> Iterator[Look]:
    """Numbers, times and lengths farther out than on any night before."""
    for column, facts in nights.tonight["columns"].items():
        text = facts["kind"] == "text"
        low, high = ("shortest", "longest") if text else ("min", "max")
        if facts["kind"] in ("boolean", "other") or facts.get(low) is None:
            continue
        if nights.is_level_of_the_night(column):
            continue
        lows, highs = nights.statistic(column, low), nights.statistic(column, high)
        whole = np.nanmax(highs[:-1], initial=-np.inf) - np.nanmin(lows[:-1], initial=np.inf)
        least = max(_LEAST_SPREAD * whole, _TINY) if np.isfinite(whole) else np.inf
        monitor = "text" if text else "range"
        yield _extreme(monitor, column, low, lows, -1.0, least)
        yield _extreme(monitor, column, high, highs, 1.0, least)
        if facts.get("least"):
            logs = np.log(nights.statistic(column, "least"))
            yield _extreme(monitor, column, "least", logs, -1.0, _LEAST_RATIO)


def probabilities(looks: Sequence[Look]) -> Floats:
    """Of each look: how often a night of this table brings as much news of anything looked at; 1 where there is none.

    Returns
    -------
    ndarray of shape (n_looks,)
    """
    if not looks:
        return np.empty(0)
    scores = np.stack([look.scores for look in looks])
    past = scores[:, LEAST_NIGHTS:-1].max(axis=0)
    tonight = scores[:, -1]
    as_much = (past[None, :] >= tonight[:, None]).sum(axis=1) / (len(past) + 1)
    return np.where(tonight > 0, np.minimum(np.exp(-tonight) + as_much, 1.0), 1.0)


def _counted(
    monitor: str,
    column: str | None,
    kind: str,
    words: str,
    counts: Floats,
    *,
    levels: tuple[str, ...] = (),
) -> Look:
    seen, broken = np.isfinite(counts), np.nan_to_num(counts) > 0
    known, before = _so_far(seen), _so_far(broken)
    if kind == "new":
        # A column that goes on bringing new values does so; those of the first nights are no news.
        before = _so_far(broken & (known >= LEAST_NIGHTS))
        news = np.where(broken, -np.log1p(before), -np.inf)
    else:
        # What has been before, and how often, is for series to say.
        news = np.where(broken & (before == 0), 0.0, -np.inf)
    news = news + np.log(np.where(broken, counts, 1.0))
    return Look(monitor, column, kind, words, counts, news, known, 0.0, levels)


def _extreme(monitor: str, column: str, kind: str, values: Floats, sign: float, least: float) -> Look:
    out = sign * values
    finite = np.isfinite(out)
    known = _so_far(finite)
    most = np.concatenate([[-np.inf], np.maximum.accumulate(np.where(finite, out, -np.inf))[:-1]])
    seen = out[:-1][finite[:-1]]
    usual = float(np.median(seen)) if seen.size else np.nan
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = np.fmax(most - usual, least)
        news = np.where(out > most, 2 * np.log1p((out - most) / spread), -np.inf)
    return Look(monitor, column, kind, kind, values, news, known, float(sign * most[-1]))


def _rows_that(nights: Nights, column: str, kind: str) -> tuple[Floats, tuple[str, ...]]:
    """Rows of each night that something is true of; and of new values which they are."""
    if kind == "new":
        return _new_levels(nights, column)
    if kind == "mixed":
        return _beside_the_foremost(nights, column), ()
    if kind == "whole":
        present, fraction = nights.rows - nights.statistic(column, "nulls"), nights.statistic(column, "fraction")
        # A number may happen to be whole; that all of them are is news.
        return np.where(fraction > 0, 0.0, present + 0 * fraction), ()
    return nights.statistic(column, kind), ()


def _so_far(held: NDArray[np.bool_]) -> NDArray[np.int64]:
    """On how many of the nights before each something held."""
    return np.concatenate([[0], np.cumsum(held)[:-1]]).astype(np.int64)


def _new_levels(nights: Nights, column: str) -> tuple[Floats, tuple[str, ...]]:
    """Rows of values that no night before had; NaN for a night that has no levels."""
    known: set[str] = set()
    counts, new = [], []
    for facts in nights.facts:
        levels = facts["columns"].get(column, {}).get("levels")
        new = [level for level in levels or {} if level not in known]
        counts.append(np.nan if levels is None else float(sum(levels[level] for level in new)))
        known.update(new)
    return np.array(counts, dtype=np.float64), tuple(new)


def _beside_the_foremost(nights: Nights, column: str) -> Floats:
    """Rows that have another value than most have; NaN for a night that has no levels."""
    told = (facts["columns"].get(column, {}).get("levels") for facts in nights.facts)
    return np.array([np.nan if not levels else float(sum(levels.values()) - max(levels.values())) for levels in told])
