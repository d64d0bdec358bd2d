"""Facts as series of numbers that vary from night to night, each with the error that the sampling of rows gives it.

Shares are taken on the arcsine scale, numbers of values on that of the square root, rows and spreads on the logarithmic
one: there the error does not depend on the value. How columns hang together is told by what the others leave unsaid of
each: its variance about the linear prediction from them, learned over all nights. A column whose values were put in
other rows keeps all but that.

References
----------
Anscombe, F. J. (1948). The transformation of Poisson, binomial and negative-binomial data. Biometrika 35(3-4), 246-254.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from airflow_mlops.quality.monitors.past import Nights

__all__ = ["ONE_SIDED", "Series", "alignment", "arrivals", "distribution", "rates", "volume"]

Floats = NDArray[np.float64]
# Of the rows of a night, one in a hundred more or less is no news; nor is half an hour of its arrival.
_VOLUME_ERROR, _ARRIVAL_ERROR_HOURS, _HOUR_ERROR = 0.01, 0.5, 0.5
ONE_SIDED = ("arrival", "unsaid")
"""Kinds of series that can only be too high: no night is too early."""
_RATES = {
    "nulls": "nulls",
    "zero": "distribution",
    "negative": "distribution",
    "blank": "text",
    "padded": "text",
    "accented": "text",
    "damaged": "text",
    "upper": "text",
    "digits": "text",
}
# Levels that are rarer on all nights together say nothing by their share.
_LEAST_SHARE, _MOST_LEVELS = 0.02, 6
# A share of the variance that is added to each column, so that no matrix is singular.
_RIDGE = 1e-4
# Where others leave three tenths of a column's spread unsaid, or less, what comes and goes within them is hardly news.
_UNSAID = 0.3
_LOW_SHARE = 0.25
# Columns of which others leave no more than this share of the variance unsaid hang together.
_HANGS_TOGETHER = 0.25
_LEAST_ROWS = 3
_SECONDS_AN_HOUR = 3600.0
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Series:
    """A number night by night.

    Attributes
    ----------
    monitor, column : str
        Whose it is.
    words : str
        What it is, for people.
    values, errors : ndarray of shape (n_nights,)
        As they are judged.
    shown : ndarray of shape (n_nights,)
        As they are said.
    kind : str
        Series of one kind vary alike.
    """

    monitor: str
    column: str | None
    words: str
    values: Floats
    errors: Floats
    shown: Floats
    kind: str


def volume(nights: Nights) -> Iterator[Series]:
    """Rows, and where in the night they lie."""
    rows = np.where(nights.rows > 0, nights.rows, np.nan)
    yield Series("volume", None, "rows", np.log(rows), np.maximum(1 / rows, _VOLUME_ERROR), nights.rows, "rows")
    hours = np.array([one.get("hours") or [np.nan] * 24 for one in nights.facts], dtype=np.float64)
    held = np.where(np.isfinite(hours).all(axis=1), (hours > 0).sum(axis=1), np.nan)
    yield Series("volume", None, "hours of the night with rows", held, np.full(len(held), _HOUR_ERROR), held, "hours")


def arrivals(nights: Nights) -> Iterator[Series]:
    """Hours from the night's end to its arrival; none where nights came in one go, as after a backfill."""
    hours = np.full(len(nights), np.nan)
    before: dt.datetime | None = None
    for place, one in enumerate(nights.all):
        if one.arrived is None:
            continue
        end = dt.datetime.combine(one.night + dt.timedelta(days=1), dt.time(), dt.UTC)
        if before is None or one.arrived - before > dt.timedelta(hours=6):
            hours[place] = (one.arrived - end).total_seconds() / _SECONDS_AN_HOUR
        before = one.arrived
    yield Series(
        "freshness",
        None,
        "hours from the night's end to its arrival",
        hours,
        np.full(len(nights), _ARRIVAL_ERROR_HOURS),
        hours,
        "arrival",
    )


def rates(nights: Nights) -> Iterator[Series]:
    """Shares of rows that something is true of, and numbers of distinct values."""
    rows = np.where(nights.rows > 0, nights.rows, np.nan)
    for column in nights.tonight["columns"]:
        if nights.is_level_of_the_night(column):
            continue
        # Of a text with levels, their shares say all of this and more.
        told = nights.tonight["columns"][column]["kind"] == "text" and "levels" in nights.tonight["columns"][column]
        for kind, monitor in () if told else _RATES.items():
            counts = nights.statistic(column, kind)
            if np.nanmax(counts[:-1], initial=0.0) > 0:
                shares = counts / rows
                values = np.arcsin(np.sqrt(np.clip(shares, 0.0, 1.0)))
                yield Series(
                    monitor, column, f"share of {kind} in {column}", values, 0.5 / np.sqrt(rows), shares, "share"
                )
        distinct = nights.statistic(column, "distinct")
        known = np.where(distinct > 0, distinct, np.nan)
        if np.isfinite(known[:-1]).any():
            yield Series(
                "distinct",
                column,
                f"distinct values of {column}",
                np.sqrt(known),
                np.full(len(known), 0.5),
                distinct,
                "distinct",
            )


def distribution(nights: Nights) -> Iterator[Series]:
    """Means, spreads, shares of levels and lengths of texts."""
    for column, facts in nights.tonight["columns"].items():
        if nights.is_level_of_the_night(column):
            continue
        present = nights.rows - nights.statistic(column, "nulls")
        present = np.where(present > 0, present, np.nan)
        if facts.get("mean") is not None:
            yield from _moments(nights, column, present)
        if facts.get("length") is not None:
            length = nights.statistic(column, "length")
            usual = np.nanstd(length[:-1]) if np.isfinite(length[:-1]).any() else 0.0
            error = np.maximum(usual, 1.0) / np.sqrt(present)
            yield Series("text", column, f"mean length of {column}", length, error, length, "length")
        yield from _level_shares(nights, column, present)


def _moments(nights: Nights, column: str, present: Floats) -> Iterator[Series]:
    mean, spread = nights.statistic(column, "mean"), nights.statistic(column, "sd")
    known = spread[:-1][np.isfinite(spread[:-1])]
    usual = float(np.median(known)) if known.size else 0.0
    least = max(usual, _ROUNDING * float(np.nanmax(np.abs(mean), initial=0.0)), _ROUNDING**2)
    yield Series(
        "distribution", column, f"mean of {column}", mean, np.fmax(spread, least) / np.sqrt(present), mean, "mean"
    )
    logs = np.log(np.where(spread > 0, spread, np.nan))
    yield Series(
        "distribution", column, f"standard deviation of {column}", logs, np.sqrt(0.5 / present), spread, "spread"
    )


def _level_shares(nights: Nights, column: str, present: Floats) -> Iterator[Series]:
    told = [one["columns"].get(column, {}).get("levels") for one in nights.facts]
    total: dict[str, float] = {}
    for levels in told[:-1]:
        for level, count in (levels or {}).items():
            total[level] = total.get(level, 0.0) + count
    whole = sum(total.values())
    foremost = sorted(total, key=lambda level: (-total[level], level))[:_MOST_LEVELS]
    for level in foremost:
        if total[level] < _LEAST_SHARE * whole:
            continue
        counts = np.array([np.nan if levels is None else levels.get(level, 0) for levels in told], dtype=np.float64)
        shares = counts / present
        values = np.arcsin(np.sqrt(np.clip(shares, 0.0, 1.0)))
        words = f"share of {level!r} in {column}"
        yield Series("distribution", column, words, values, 0.5 / np.sqrt(present), shares, "level")


def alignment(nights: Nights) -> Iterator[Series]:
    """Of each numeric column the variance about what the others predict, over what it usually is."""
    columns = [
        name
        for name in nights.tonight.get("pairs", {}).get("columns", ())
        if not nights.is_level_of_the_night(name) and np.nanmax(nights.statistic(name, "sd")[:-1], initial=0.0) > 0
    ]
    if len(columns) < 2:  # noqa: PLR2004 - a pair
        return
    matrices = _matrices(nights, columns)
    usual = np.array(
        [
            np.nan if not (known := one[np.isfinite(one)]).size else np.median(known)
            for one in (nights.statistic(name, "sd")[:-1] for name in columns)
        ]
    )
    scale = np.where(usual > 0, usual, 1.0)
    matrices = matrices / np.outer(scale, scale)
    whole = np.isfinite(matrices).all(axis=(1, 2))
    rows = np.where(whole & (nights.rows >= _LEAST_ROWS), nights.rows, np.nan)
    learned = whole[:-1] & np.isfinite(rows[:-1])
    if not learned.any():
        return
    pooled = np.average(matrices[:-1][learned], axis=0, weights=rows[:-1][learned])
    precision = np.linalg.inv(pooled + _RIDGE * np.diag(np.diag(pooled) + _RIDGE))
    for place, name in enumerate(columns):
        weights = precision[place] / precision[place, place]
        # What others do not say anyway, rows in the wrong order cannot take away.
        if float(weights @ pooled @ weights) > _HANGS_TOGETHER * float(pooled[place, place]):
            continue
        left = np.einsum("i,nij,j->n", weights, matrices, weights)
        unsaid = np.where(np.isfinite(rows), np.sqrt(np.maximum(left, 0.0)), np.nan)
        values = np.log(unsaid + _UNSAID)
        # That others say more of it than usual, as of a column that hardly moved, is no news and must not look like it.
        values = np.maximum(values, np.nanquantile(values[:-1], _LOW_SHARE))
        yield Series(
            "relation",
            name,
            f"scatter of {name} about what the other columns say of it",
            values,
            np.sqrt(0.5 / rows),
            unsaid,
            "unsaid",
        )


def _matrices(nights: Nights, columns: list[str]) -> Floats:
    """Covariances of each night, of shape (n_nights, n_columns, n_columns); NaN where a night has them not."""
    places = {name: place for place, name in enumerate(columns)}
    matrices = np.full((len(nights), len(columns), len(columns)), np.nan)
    for night, facts in enumerate(nights.facts):
        pairs = facts.get("pairs") or {"columns": [], "covariances": []}
        for (one, other), value in zip(itertools.combinations(pairs["columns"], 2), pairs["covariances"], strict=True):
            if one in places and other in places and value is not None:
                matrices[night, places[one], places[other]] = matrices[night, places[other], places[one]] = value
    for name, place in places.items():
        matrices[:, place, place] = np.square(nights.statistic(name, "sd"))
    return matrices
