"""Nightly profiles as series of numbers, each with the error that the sampling of rows alone gives it.

Of a numeric column its mean, the logarithm of its standard deviation, and the shares of rows below three fixed values;
of another one the shares of its levels; of both the share of nulls; of each pair of numeric columns the correlation.
Shares are taken on the arcsine scale and correlations on Fisher's, where the error is the same whatever the value.
Quantiles are not among them: those of integers sit still, and then jump by one.

References
----------
Anscombe, F. J. (1948). The transformation of Poisson, binomial and negative-binomial data. Biometrika 35(3-4), 246-254.

Fisher, R. A. (1921). On the probable error of a coefficient of correlation deduced from a small sample. Metron 1, 3-32.

Kenney, J. F. & Keeping, E. S. (1951). Mathematics of Statistics, part 2, section 7.12 (error of a variance).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from airflow_mlops.calibrate import Layout
from airflow_mlops.errors import DataError
from airflow_mlops.profile import Levels, Numbers, Profile, merge

__all__ = ["NightlySeries", "new_levels", "nightly_series"]

Floats = NDArray[np.float64]
# Shares of rows that the three fixed values have below them, as near as the bins allow.
_BELOW = (0.1, 0.5, 0.9)
# Levels (and shares below a value) that are rarer are looked at together.
_LEAST_SHARE = 0.02
# Where more of the variance than this lies within bins, a few far values make it, and moments are those of chance:
# a normal distribution has 3 % of it within 32 bins, an exponential one 4 %, a lognormal one (sigma 1) 40 %.
_HEAVY = 0.15
# Where more rows than this lie beyond all that the reference held, it is no few far values that do.
_OUTGROWN = 0.05
# Kurtosis of a coin is 1, and the error of its standard deviation nothing.
_LEAST_KURTOSIS = 1.2
# Of few rows, a correlation is that of the far values among them: for each unit of excess kurtosis 500 are needed.
_ROWS_OF_EXCESS = 500
# 780 pairs: more of them would be looked for longer than said anything.
_MOST_CORRELATED = 40
_MOST_CORRELATION = 0.9999
# A constant column has no error; a change of a millionth is still none.
_ROUNDING = 1e-6
_NEW_ROWS, _NEW_SHARE = 5, 0.002


@dataclass(frozen=True)
class NightlySeries:
    """What `airflow_mlops.calibrate.judge` asks for.

    Attributes
    ----------
    values, errors : ndarray of shape (n_nights, n_series)
        NaN where a night has nothing to say.
    layout : Layout
        What the series are of.
    rows : ndarray of shape (n_nights,)
        Rows of each night.
    """

    values: Floats
    errors: Floats
    layout: Layout
    rows: NDArray[np.int64]

    def shifts(self, effects: Floats) -> dict[str, float]:
        """Of each numeric feature how far a mean moves by the effects, in standard deviations of a row.

        Parameters
        ----------
        effects : ndarray of shape (n_series,)
            Of the last night, such as ``NightJudgement.least_effects``.
        """
        unit = self.errors[-1] * math.sqrt(max(int(self.rows[-1]), 1))
        return {
            feature: float(effects[place] / unit[place])
            for place, (feature, kind) in enumerate(zip(self.layout.features, self.layout.kinds, strict=True))
            if feature is not None and kind == "mean"
        }


@dataclass(frozen=True)
class _Column:
    """Values and errors of one series, night by night."""

    name: str
    feature: str | None
    kind: str
    values: Sequence[float] | Floats
    errors: Sequence[float] | Floats


def nightly_series(nights: Sequence[Profile | None]) -> NightlySeries:
    """Lay nights out as series.

    Parameters
    ----------
    nights : sequence of Profile or None
        In order, one for each place of the `Rhythm` that they come in, all with the same edges; None is one that is
        missing.

    Raises
    ------
    DataError
        If no night has rows, or they have other edges.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from airflow_mlops.profile import edges_of, profile_table
    >>> tables = [pa.table({"temp": [1.0, 2.0, 3.0, 4.0 + night]}) for night in range(3)]
    >>> edges = edges_of(pa.concat_tables(tables))
    >>> series = nightly_series([profile_table(table, edges) for table in tables])
    >>> series.layout.names[:2], series.values[:, 0].tolist()
    (('mean of temp', 'spread of temp'), [2.5, 2.75, 3.0])
    """
    filled = [night for night in nights if night is not None and night.rows]
    if not filled:
        raise DataError("expected at least one night with rows, got none. Take nights that hold data.")
    whole = merge(filled)
    rows = np.array([0 if night is None else night.rows for night in nights], dtype=np.int64)
    columns: list[_Column] = []
    light: list[str] = []
    for name, column in whole.columns.items():
        if not column.present:
            continue
        parts = [night.columns.get(name) if night is not None and night.rows else None for night in nights]
        if isinstance(column, Numbers):
            numbers = [part if isinstance(part, Numbers) and part.present else None for part in parts]
            heavy = _within_bins(column) > _HEAVY and _beyond(column) < _OUTGROWN
            columns += _bounded_moments(name, column, numbers) if heavy else _moments(name, column, numbers)
            columns += _shares_below(name, column, numbers)
            excess = _kurtosis(column) - 3
            light += [] if heavy or excess * _ROWS_OF_EXCESS > whole.rows / len(filled) else [name]
        else:
            columns += _level_shares(name, column, [part if isinstance(part, Levels) else None for part in parts])
        columns.append(_share(f"nulls of {name}", name, "nulls", *_missing(parts, rows)))
    columns += _correlations(whole, nights, light)
    return NightlySeries(
        values=np.array([one.values for one in columns], dtype=np.float64).T,
        errors=np.array([one.errors for one in columns], dtype=np.float64).T,
        layout=Layout(
            names=tuple(one.name for one in columns),
            features=tuple(one.feature for one in columns),
            kinds=tuple(one.kind for one in columns),
        ),
        rows=rows,
    )


def _share(name: str, feature: str, kind: str, counts: Sequence[float], rows: Sequence[float]) -> _Column:
    """On the arcsine scale (Anscombe 1948), where the standard error is 1 / (2 sqrt(n))."""
    known = [total or math.nan for total in rows]
    values = np.arcsin(np.sqrt(np.array(counts, dtype=np.float64) / known))
    return _Column(name, feature, kind, values, 0.5 / np.sqrt(known))


def _missing(parts: Sequence[Numbers | Levels | None], rows: NDArray[np.int64]) -> tuple[list[float], list[float]]:
    """Rows without a value, of all rows; a column that a night lacks is missing in all of them."""
    missing = [
        float(total) if part is None else float(part.rows - part.present)
        for part, total in zip(parts, rows, strict=True)
    ]
    return missing, [float(total) for total in rows]


def _beyond(column: Numbers) -> float:
    """Share of rows beyond the outermost edges, which are the reference's extremes: a table may outgrow its bins."""
    above = column.counts[-1] if column.high is not None and column.high > column.edges[-1] else 0
    return (column.counts[0] + above) / column.present


def _within_bins(column: Numbers) -> float:
    """Share of the variance that lies within bins."""
    counts, sums = np.array(column.counts, dtype=np.float64), np.array(column.sums)
    held = counts > 0
    between = float((counts[held] * np.square(sums[held] / counts[held] - column.mean)).sum())
    return 1 - between / column.deviation if column.deviation > 0 else 0.0


def _moments(name: str, whole: Numbers, nights: Sequence[Numbers | None]) -> Iterator[_Column]:
    # Rows of one night may be alike to the last; what rows vary by over all nights says what a night's mean may do.
    spread = max(whole.sd, _ROUNDING * (abs(whole.mean) or 1.0))
    present = [night.present if night else math.nan for night in nights]
    yield _Column(
        f"mean of {name}",
        name,
        "mean",
        [night.mean if night else math.nan for night in nights],
        [max(night.sd, spread) / math.sqrt(night.present) if night else math.nan for night in nights],
    )
    if whole.sd > 0:
        error = np.sqrt((max(_kurtosis(whole), _LEAST_KURTOSIS) - 1) / 4 / np.array(present))
        spreads = [math.log(night.sd) if night and night.sd > 0 else math.nan for night in nights]
        yield _Column(f"spread of {name}", name, "spread", spreads, error)


def _kurtosis(column: Numbers) -> float:
    """From the bins' means; a little too small, and errors with it, which are only the least a series may vary by."""
    counts, sums = np.array(column.counts, dtype=np.float64), np.array(column.sums)
    held = counts > 0
    departures = sums[held] / counts[held] - column.mean
    second = float(np.average(departures**2, weights=counts[held]))
    return float(np.average(departures**4, weights=counts[held])) / second**2 if second > 0 else _LEAST_KURTOSIS


def _bounded_moments(name: str, whole: Numbers, nights: Sequence[Numbers | None]) -> Iterator[_Column]:
    """Mean and spread with the outermost bins moved to their inner edges: no single value says much."""
    means: list[float] = []
    spreads: list[float] = []
    present: list[float] = []
    for night in (whole, *nights):
        if night is None:
            for of_nights in (means, spreads, present):
                of_nights.append(math.nan)
            continue
        counts, sums = np.array(night.counts, dtype=np.float64), np.array(night.sums)
        places = np.divide(sums, counts, out=np.zeros_like(sums), where=counts > 0)
        places = np.clip(places, *_inner_edges(whole))
        mean = float(np.average(places, weights=counts))
        means.append(mean)
        spreads.append(math.sqrt(float(np.average(np.square(places - mean), weights=counts))))
        present.append(float(night.present))
    size, thinness = spreads[0] or abs(means[0]) or 1.0, np.sqrt(np.array(present[1:]))
    yield _Column(f"mean of {name}", name, "mean", means[1:], size / thinness)
    logs = [math.log(spread) if spread > 0 else math.nan for spread in spreads[1:]]
    yield _Column(f"spread of {name}", name, "spread", logs, math.sqrt((3 - 1) / 4) / thinness)


def _inner_edges(column: Numbers) -> tuple[float, float]:
    """Between which all but a bin's worth of rows at either end lie; the outermost are the reference's extremes."""
    edges = column.edges
    return (edges[1], edges[-2]) if len(edges) > 3 else (edges[0], edges[-1])  # noqa: PLR2004 - a bin on either side


def _shares_below(name: str, whole: Numbers, nights: Sequence[Numbers | None]) -> Iterator[_Column]:
    below = np.cumsum(whole.counts)[:-1] / whole.present
    places = dict.fromkeys(int(np.argmin(np.abs(below - share))) for share in _BELOW)
    for place in places:
        if _LEAST_SHARE < below[place] < 1 - _LEAST_SHARE:
            counts = [float(sum(night.counts[: place + 1])) if night else math.nan for night in nights]
            present = [float(night.present) if night else 0.0 for night in nights]
            yield _share(f"share of {name} below {whole.edges[place]:.6g}", name, "shape", counts, present)


def _level_shares(name: str, whole: Levels, nights: Sequence[Levels | None]) -> Iterator[_Column]:
    present = [float(night.present) if night else 0.0 for night in nights]
    common = [level for level, count in whole.counts.items() if count > _LEAST_SHARE * whole.present]
    for level in common:
        counts = [float(night.counts.get(level, 0)) if night else math.nan for night in nights]
        yield _share(f"share of {name} {level!r}", name, "level", counts, present)
    rest = [
        max(total - sum(night.counts.get(level, 0) for level in common), 0.0) if night else math.nan
        for night, total in zip(nights, present, strict=True)
    ]
    yield _share(f"share of rarer levels of {name}", name, "level", rest, present)


def _correlations(whole: Profile, nights: Sequence[Profile | None], light: Sequence[str]) -> Iterator[_Column]:
    """Of the columns whose moments are not those of a few far values."""
    if whole.gram is None:
        return
    chosen = [name for name in whole.gram.columns if name in light and whole.columns[name].rows][:_MOST_CORRELATED]
    if len(chosen) < 2:  # noqa: PLR2004 - a pair
        return
    upper = np.triu_indices(len(chosen), 1)
    values, errors = np.full((2, len(nights), upper[0].size), np.nan)
    for place, night in enumerate(nights):
        if night is not None and night.gram is not None and set(chosen) <= set(night.gram.columns):
            gram = night.gram.among(chosen)
            values[place] = np.arctanh(np.clip(gram.correlation()[upper], -_MOST_CORRELATION, _MOST_CORRELATION))
            errors[place] = 1 / np.sqrt(np.maximum(gram.pairs()[upper] - 3, 1))
    for place, (one, other) in enumerate(zip(*upper, strict=True)):
        name = f"correlation of {chosen[one]} and {chosen[other]}"
        yield _Column(name, None, "correlation", values[:, place], errors[:, place])


def new_levels(past: Profile, tonight: Profile) -> dict[str, dict[str, int]]:
    """Levels that tonight holds at least ``max(5, 0.002 n)`` times and no night held before, with their counts.

    A column that has had so many new levels that not all of them were kept (an identifier) has none that say anything.

    Parameters
    ----------
    past : Profile
        All nights before, merged.
    tonight : Profile
        With the same edges.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from airflow_mlops.profile import profile_table
    >>> edges = {"city": ("A", "B")}
    >>> past, tonight = (pa.table({"city": cities}) for cities in (["A", "B"] * 5, ["A", "B", "C", "C", "C", "C", "C"]))
    >>> new_levels(profile_table(past, edges), profile_table(tonight, edges))
    {'city': {'C': 5}}
    """
    found: dict[str, dict[str, int]] = {}
    for name, column in tonight.columns.items():
        before = past.columns.get(name)
        if (
            not isinstance(column, Levels)
            or not isinstance(before, Levels)
            or sum(before.novel.values()) < before.other
        ):
            continue
        least = max(_NEW_ROWS, _NEW_SHARE * column.present)
        seen = {level for level, count in before.counts.items() if count} | set(before.novel)
        held = {**column.counts, **column.novel}
        fresh = {level: count for level, count in held.items() if count >= least and level not in seen}
        if fresh:
            found[name] = dict(sorted(fresh.items(), key=lambda item: (-item[1], item[0])))
    return found
