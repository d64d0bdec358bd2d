"""From the answers of a database to the tally that the streaming engine would have made."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from airflow_mlops.errors import DataError
from airflow_mlops.profile.kinds import kind_of
from airflow_mlops.profile.novelty import lowest_ranks
from airflow_mlops.profile.sql.answers import answer, batches
from airflow_mlops.profile.sql.statements import (
    KNOWN,
    NOVEL,
    NULL,
    Group,
    gram_statements,
    groups,
    novel_levels,
)
from airflow_mlops.profile.sql.values import schema_of
from airflow_mlops.profile.tally import LevelTally, Plan, Tally

__all__ = ["tally_of"]

# Columns of one statement: an engine plans a few dozen at once, and few tables have more.
_MOST_COLUMNS = 60
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def tally_of(
    table: Any, plan: Plan, time_column: str | None, backend: Any
) -> tuple[Tally, tuple[dt.datetime, dt.datetime] | None]:
    """Count a table where it lies; with the first and the last time of a column, if one is named.

    Two statements: what is in each bin and of each level, and the products of the Gram matrix, of all rows. A third
    one asks for the new levels if there are any.

    Raises
    ------
    DataError
        If a column holds what cannot be counted, or rows came or went between two statements.
    RemoteUnavailable, RemoteRejected
        If the database does not answer, or refuses.
    """
    import ibis

    if time_column is not None and (kind := kind_of(schema_of(table).field(time_column).type)) != "time":
        raise DataError(
            f"expected times in the column {time_column!r}, got {kind}. Name a column of times, or cast it in the "
            "expression."
        )
    queries = groups(table, plan, time_column, backend.name)
    found: list[list[Group]] = [[] for _ in queries]
    for start in range(0, len(queries), _MOST_COLUMNS):
        for row in answer(ibis.union(*queries[start : start + _MOST_COLUMNS]), backend):
            group = Group(*row)
            found[group.place].append(group)
    rows = [sum(group.rows for group in column) for column in found]
    if not rows:
        [(whole,)] = answer(table.aggregate(rows=table.count()), backend)
        rows = [whole]
    total = Tally.empty(plan, rows[0])
    for count in rows:
        _same(total.rows, count)
    numbers = len(plan.numbers)
    for place in range(numbers):
        _add_numbers(total, place, found[place])
    for column, (name, known) in zip(found[numbers:], plan.levels.items(), strict=False):
        total.levels[name] = _levels(column, known)
    _add_novel(total, table, plan, backend)
    _add_gram(total, table, plan, backend)
    return total, None if time_column is None else _span(found[-1])


def _same(expected: int, got: int) -> None:
    if got != expected:
        raise DataError(
            f"expected a table that stands still while it is counted, got {expected:,} rows and then {got:,}. "
            "Profile what is complete: filter by a past date."
        )


def _add_numbers(total: Tally, place: int, column: Sequence[Group]) -> None:
    filled = [group for group in column if group.bin >= 0]
    for group in filled:
        total.counts[place, group.bin] = group.rows
        total.sums[place, group.bin] = group.total
    total.nulls[place] = sum(group.rows for group in column if group.bin == NULL)
    if not filled:
        return
    total.low[place] = min(group.low for group in filled if group.low is not None)
    total.high[place] = max(group.high for group in filled if group.high is not None)
    if total.low[place] < total.high[place]:
        mean = total.sums[place].sum() / total.counts[place].sum()
        # Within the bins, where an engine's variance loses no digits, and between them (Chan et al. 1983).
        total.deviation[place] = math.fsum(
            group.rows * ((group.variance or 0.0) + ((group.total or 0.0) / group.rows - mean) ** 2) for group in filled
        )


def _levels(column: Sequence[Group], known: Any) -> LevelTally:
    tally = LevelTally(np.zeros(len(known), dtype=np.int64))
    for group in column:
        if group.bin == KNOWN:
            tally.counts[known[group.level]] = group.rows
    tally.other = sum(group.rows for group in column if group.bin == NOVEL)
    tally.nulls = sum(group.rows for group in column if group.bin == NULL)
    return tally


def _add_novel(total: Tally, table: Any, plan: Plan, backend: Any) -> None:
    import ibis

    names = [name for name, level in total.levels.items() if level.other]
    if not names:
        return
    query = ibis.union(*(novel_levels(table, place, name, plan.levels[name]) for place, name in enumerate(names)))
    seen = dict.fromkeys(names, 0)
    for batch in batches(query, backend):
        for place, level, rows in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            seen[names[place]] += rows
            total.levels[names[place]].novel[level] = rows
        for name in names:
            novel = total.levels[name].novel
            total.levels[name].novel = {level: novel[level] for level in lowest_ranks(novel)}
    for name in names:
        _same(total.levels[name].other, seen[name])


def _add_gram(total: Tally, table: Any, plan: Plan, backend: Any) -> None:
    g = plan.correlated
    if not g or not total.rows:
        return
    missing = total.rows - total.counts[:g].sum(axis=1)
    total.correlated = total.rows
    # Rows that lack one of two: where the other lacks none, those of the one.
    total.absent[:] = np.maximum.outer(missing, missing)
    for wanted, query in gram_statements(table, plan, np.flatnonzero(missing).tolist(), backend.name):
        [(rows, *sums)] = answer(query, backend)
        _same(total.rows, rows)
        for (kind, one, other), value in zip(wanted, sums, strict=True):
            for i, j in ((one, other), (other, one)):
                if kind == "both":
                    total.absent[i, j] = rows - value
                elif kind == "product":
                    total.products[i, j] = value or 0.0
                else:
                    total.shifts[i] = value or 0.0


def _span(column: Sequence[Group]) -> tuple[dt.datetime, dt.datetime] | None:
    for group in column:
        if group.low is not None and group.high is not None:
            return _EPOCH + dt.timedelta(microseconds=group.low), _EPOCH + dt.timedelta(microseconds=group.high)
    return None
