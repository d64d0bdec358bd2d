"""What changed between two profiles, each change in one unit: the standard deviation of a row.

An effect in that unit has, from sampling alone, a standard error of about ``sqrt(1 / n_reference + 1 / n_current)``,
whether it is a mean, a spread, a share or a correlation. So changes of all kinds can be ordered, and judged alike.

References
----------
Good, I. J. (1953). The population frequencies of species and the estimation of population parameters. Biometrika
40(3-4), 237-264, equation 9.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from enum import StrEnum

import numpy as np

from airflow_mlops.drift.distance import (
    cohen_h,
    correlation_differences,
    correlation_scatter,
    kolmogorov_smirnov_distance,
    scale_of,
)
from airflow_mlops.drift.unit import unit_change
from airflow_mlops.profile import Gram, Levels, Numbers, Profile
from airflow_mlops.records import Value

__all__ = ["Change", "ChangeKind", "changes", "column_changes"]

# A share of rows below this is not looked at level by level.
_LEAST_SHARE = 0.02
# The gap of two distribution functions that is as improbable as one standard deviation: 2 exp(-2 x^2) against the tail
# of a normal distribution where limits lie (4 to 5 standard deviations).
_KS_TO_SD = 1.75
# Of many columns most pairs say nothing; an explanation needs those that turned farthest.
_MOST_PAIRS = 20
# The log of a standard deviation scatters by sqrt((kurtosis - 1) / 4 n); the least kurtosis, of a coin, is 1.
_LEAST_KURTOSIS = 1.2
# A kurtosis of n is that of one wild value: a spread that fewer rows than this make says nothing of the column.
_FEW_ROWS = 5
_SHOWN_LEVELS = 5
# A new level that has this share of the rows, and at least so many of them, is no chance.
_NEW_SHARE, _NEW_ROWS = 0.05, 5


class ChangeKind(StrEnum):
    """What about a feature changed."""

    VANISHED = "vanished"
    EMPTIED = "emptied"
    UNIT = "unit"
    MEAN = "mean"
    SPREAD = "spread"
    SHAPE = "shape"
    NULLS = "nulls"
    LEVEL = "level"
    NEW_LEVELS = "new levels"
    GONE_LEVEL = "gone level"
    CORRELATION = "correlation"


class Change(Value):
    """One thing that changed about one feature.

    ``before`` and ``after`` are in the feature's own terms: a mean, a standard deviation, a share, a correlation.
    ``size`` is in standard deviations of a row and has a sign, ``error`` is its standard error from sampling alone.
    ``about`` names the level, the new levels, the formula of a unit, or the other column of a correlation. What is
    ``unmistakable`` needs no past to be judged by.
    """

    feature: str
    kind: ChangeKind
    before: float = math.nan
    after: float = math.nan
    size: float = math.inf
    error: float = 0.0
    about: str | None = None
    unmistakable: bool = False


def changes(reference: Profile, current: Profile) -> tuple[Change, ...]:
    """Everything that differs, largest first: what is unmistakable, then by size.

    Parameters
    ----------
    reference, current : Profile
        Both in the bins of the reference. Columns that the reference lacks are not looked at.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from airflow_mlops.profile import edges_of, profile_table
    >>> tables = pa.table({"temp": [1.0, 2.0, 3.0, 4.0]}), pa.table({"temp": [5.0, 6.0, 7.0, 8.0]})
    >>> edges = edges_of(tables[0])
    >>> found = changes(*(profile_table(table, edges) for table in tables))
    >>> [(one.kind.value, one.before, one.after, round(one.size, 2)) for one in found]
    [('mean', 2.5, 6.5, 3.58), ('shape', 2.5, 6.5, 1.75)]
    """
    found = [
        change
        for name, column in reference.columns.items()
        for change in column_changes(name, column, current.columns.get(name))
    ]
    if reference.gram is not None and current.gram is not None:
        found += _correlations(reference.gram, current.gram)
    return tuple(sorted(found, key=lambda one: (not one.unmistakable, -abs(one.size), one.feature)))


def column_changes(name: str, reference: Numbers | Levels, current: Numbers | Levels | None) -> list[Change]:
    """What changed about one column; None: the current table lacks it."""
    if current is None:
        return [Change(feature=name, kind=ChangeKind.VANISHED, unmistakable=True)]
    if not reference.present or not current.rows:
        return []
    if not current.present:
        return [Change(feature=name, kind=ChangeKind.EMPTIED, unmistakable=True)]
    found = _nulls(name, reference, current)
    if isinstance(reference, Numbers) and isinstance(current, Numbers):
        found += _numbers(name, reference, current)
    elif isinstance(reference, Levels) and isinstance(current, Levels):
        found += _levels(name, reference, current)
    return [one for one in found if one.size]


def _error(reference: int, current: int) -> float:
    return math.sqrt(1 / reference + 1 / current)


def _nulls(name: str, reference: Numbers | Levels, current: Numbers | Levels) -> list[Change]:
    before, after = (1 - column.present / column.rows for column in (reference, current))
    error = _error(reference.rows, current.rows)
    size = cohen_h(reference, current)
    return [Change(feature=name, kind=ChangeKind.NULLS, before=before, after=after, size=size, error=error)]


def _numbers(name: str, reference: Numbers, current: Numbers) -> Iterator[Change]:
    scale = scale_of(reference)
    formula = unit_change(reference, current)
    if formula:
        yield Change(
            feature=name, kind=ChangeKind.UNIT, before=reference.mean, after=current.mean, about=formula,
            unmistakable=True,
        )  # fmt: skip
    yield Change(
        feature=name,
        kind=ChangeKind.MEAN,
        before=reference.mean,
        after=current.mean,
        size=(current.mean - reference.mean) / scale,
        # A single wild value widens the standard deviation as much as it moves the mean.
        error=math.hypot(reference.sd / math.sqrt(reference.present), current.sd / math.sqrt(current.present)) / scale,
    )
    tails = [_kurtosis(column) for column in (reference, current) if column.sd]
    held = [column.present > _FEW_ROWS * tail for column, tail in zip((reference, current), tails, strict=False)]
    if held == [True, True]:
        unit = math.sqrt(max(*tails, _LEAST_KURTOSIS) - 1) / 2
        yield Change(
            feature=name,
            kind=ChangeKind.SPREAD,
            before=reference.sd,
            after=current.sd,
            size=math.log(current.sd / reference.sd) / unit,
            error=_error(reference.present, current.present),
        )
    yield Change(
        feature=name,
        kind=ChangeKind.SHAPE,
        before=reference.mean,
        after=current.mean,
        size=_KS_TO_SD * kolmogorov_smirnov_distance(reference, current).low,
        error=_error(reference.present, current.present),
    )


def _kurtosis(column: Numbers) -> float:
    """Fourth moment over the squared second, from the bins' means and the outermost values; rather too small."""
    counts, sums = np.array(column.counts, dtype=np.float64), np.array(column.sums)
    held = counts > 0
    places = [*(sums[held] / counts[held]), column.low, column.high]
    weights = [*counts[held], 1.0, 1.0]
    fourth = float(np.average((np.array(places, dtype=np.float64) - column.mean) ** 4, weights=weights))
    return fourth / column.sd**4


def _levels(name: str, reference: Levels, current: Levels) -> Iterator[Change]:
    error = _error(reference.present, current.present)

    def share(kind: ChangeKind, before: float, after: float, about: str, *, unmistakable: bool = False) -> Change:
        size = 2 * (math.asin(math.sqrt(after)) - math.asin(math.sqrt(before)))
        return Change(
            feature=name, kind=kind, before=before, after=after, size=size, error=error, about=about,
            unmistakable=unmistakable,
        )  # fmt: skip

    for level in {**reference.counts, **current.counts}:
        before = reference.counts.get(level, 0) / reference.present
        after = current.counts.get(level, 0) / current.present
        if before and max(before, after) > _LEAST_SHARE:
            yield share(ChangeKind.LEVEL if after else ChangeKind.GONE_LEVEL, before, after, level)
    if sum(reference.novel.values()) < reference.other:
        # More levels than were counted one by one: what is new among them nobody can tell.
        before = min(reference.other / reference.present + _unseen(reference), 1.0)
        yield share(ChangeKind.LEVEL, before, current.other / current.present, "(others)")
        return
    new = {
        level: count
        for level, count in {**current.counts, **current.novel}.items()
        if count and not reference.counts.get(level) and level not in reference.novel
    }
    nameless = current.other - sum(current.novel.values())
    if new:
        named = sorted(new.items(), key=lambda item: (-item[1], item[0]))
        text = ", ".join(f"{level!r}" for level, _ in named[:_SHOWN_LEVELS])
        more = len(new) - len(named[:_SHOWN_LEVELS]) + current.other_levels - len(current.novel)
        yield share(
            ChangeKind.NEW_LEVELS,
            _unseen(reference),
            (sum(new.values()) + nameless) / current.present,
            f"{text} and {more:,} more" if more > 0 else text,
            unmistakable=named[0][1] >= max(_NEW_ROWS, _NEW_SHARE * current.present),
        )


def _unseen(reference: Levels) -> float:
    """Share of rows that would have a level not seen so far, were nothing changed (Good 1953): that of ids is all."""
    return sum(count == 1 for count in reference.counts.values()) / reference.present


def _correlations(reference: Gram, current: Gram) -> Iterator[Change]:
    """The pairs that turned farthest, of the columns that both have."""
    shared = [name for name in reference.columns if name in current.columns]
    if not shared or not reference.rows or not current.rows:
        return
    reference, current = (
        gram if gram.columns == tuple(shared) else gram.among(shared) for gram in (reference, current)
    )
    differences = np.triu(correlation_differences(reference, current), 1)
    before, after, errors = reference.correlation(), current.correlation(), correlation_scatter(reference, current)
    for place in np.argsort(-np.abs(differences), axis=None)[:_MOST_PAIRS]:
        one, other = (int(index) for index in np.unravel_index(place, differences.shape))
        if differences[one, other] and np.isfinite(errors[one, other]):
            yield Change(
                feature=shared[one],
                kind=ChangeKind.CORRELATION,
                before=float(before[one, other]),
                after=float(after[one, other]),
                size=float(differences[one, other]),
                error=float(errors[one, other]),
                about=shared[other],
            )
