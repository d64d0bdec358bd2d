"""Counting a table: one batch of rows at a time, so that memory does not grow with its length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from airflow_mlops.profile.columns import Levels, Numbers
from airflow_mlops.profile.counting import Counted, Grid, count, count_integers, grid_of, joined_deviation
from airflow_mlops.profile.frequent import level_counts
from airflow_mlops.profile.gram import Gram
from airflow_mlops.profile.kinds import LARGEST, floats, numpy_of, texts
from airflow_mlops.profile.novelty import lowest_ranks

__all__ = ["MOST_CORRELATED", "Plan", "Tally", "plan_of", "tally"]

MOST_CORRELATED = 100
"""Columns of the Gram matrix: the work for it grows with their square."""
# Multiplications up to which OpenBLAS 0.3 stays in the calling thread.
_ONE_THREAD = 1 << 18


class Plan(NamedTuple):
    """What is counted: k columns of numbers, each with its edges, and columns of levels, each with those known."""

    numbers: tuple[str, ...]
    edges: tuple[NDArray[np.float64], ...]
    grids: tuple[Grid | None, ...]
    centres: NDArray[np.float64]
    levels: Mapping[str, Mapping[str, int]]

    @property
    def correlated(self) -> int:
        """How many of the numeric columns, the first ones, the Gram matrix covers."""
        return min(len(self.numbers), MOST_CORRELATED)


def plan_of(edges: Mapping[str, Sequence[float] | Sequence[str]], numeric: Sequence[str]) -> Plan:
    """Plan to count in these edges; ``numeric`` names the columns whose edges are numbers."""
    bins = [np.array(edges[name], dtype=np.float64) for name in numeric]
    return Plan(
        numbers=tuple(numeric),
        edges=tuple(bins),
        grids=tuple(grid_of(column.tolist()) for column in bins),
        centres=np.array([column[len(column) // 2] for column in bins]),
        levels={
            name: {str(level): place for place, level in enumerate(known)}
            for name, known in edges.items()
            if name not in set(numeric)
        },
    )


@dataclass
class LevelTally:
    """Rows of each known level, of all others, and of a sample of those."""

    counts: NDArray[np.int64]
    other: int = 0
    nulls: int = 0
    novel: dict[str, int] = field(default_factory=dict)

    def add(self, more: LevelTally) -> None:
        """Count another batch in."""
        self.counts += more.counts
        self.other += more.other
        self.nulls += more.nulls
        if more.novel:
            novel = {level: self.novel.get(level, 0) + count for level, count in more.novel.items()}
            novel = {**self.novel, **novel}
            self.novel = {level: novel[level] for level in lowest_ranks(novel)}


@dataclass
class Tally:
    """What was counted so far: k numeric columns side by side, levels by name."""

    rows: int
    counts: NDArray[np.int64]
    sums: NDArray[np.float64]
    deviation: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    nulls: NDArray[np.int64]
    correlated: int
    shifts: NDArray[np.float64]
    products: NDArray[np.float64]
    absent: NDArray[np.int64]
    levels: dict[str, LevelTally]

    @classmethod
    def empty(cls, plan: Plan, rows: int = 0) -> Tally:
        """Nothing counted yet."""
        k, bins, g = len(plan.numbers), max(map(len, plan.edges), default=0) + 1, plan.correlated
        return cls(
            rows=rows,
            counts=np.zeros((k, bins), dtype=np.int64),
            sums=np.zeros((k, bins)),
            deviation=np.zeros(k),
            low=np.full(k, np.inf),
            high=np.full(k, -np.inf),
            nulls=np.zeros(k, dtype=np.int64),
            correlated=0,
            shifts=np.zeros(g),
            products=np.zeros((g, g)),
            absent=np.zeros((g, g), dtype=np.int64),
            levels={name: LevelTally(np.zeros(len(known), dtype=np.int64)) for name, known in plan.levels.items()},
        )

    def add(self, more: Tally) -> None:
        """Count another batch in."""
        self.deviation += more.deviation + joined_deviation(
            self.counts.sum(axis=1), self.sums.sum(axis=1), more.counts.sum(axis=1), more.sums.sum(axis=1)
        )
        self.rows += more.rows
        self.correlated += more.correlated
        self.shifts += more.shifts
        self.counts += more.counts
        self.sums += more.sums
        self.nulls += more.nulls
        self.products += more.products
        self.absent += more.absent
        np.minimum(self.low, more.low, out=self.low)
        np.maximum(self.high, more.high, out=self.high)
        for name, level in self.levels.items():
            level.add(more.levels[name])

    def columns(self, plan: Plan) -> dict[str, Numbers | Levels]:
        """Each column as it is kept."""
        numbers = {name: self._numbers(place, plan) for place, name in enumerate(plan.numbers)}
        levels = {name: self._levels(known, self.levels[name]) for name, known in plan.levels.items()}
        return {**numbers, **levels}

    def gram(self, plan: Plan) -> Gram:
        """How the numeric columns move together."""
        g = plan.correlated
        upper = np.triu_indices(g)
        absent = self.absent[upper].tolist()
        return Gram(
            columns=plan.numbers[:g],
            rows=self.correlated,
            centres=tuple(plan.centres[:g].tolist()),
            sums=tuple(self.shifts.tolist()),
            products=tuple(self.products[upper].tolist()),
            absent=tuple(absent) if any(absent) else (),
        )

    def _numbers(self, place: int, plan: Plan) -> Numbers:
        edges = plan.edges[place]
        bins = len(edges) + 1
        present, nulls = int(self.counts[place].sum()), int(self.nulls[place])
        return Numbers(
            edges=tuple(edges.tolist()),
            counts=tuple(self.counts[place, :bins].tolist()),
            sums=tuple(self.sums[place, :bins].tolist()),
            deviation=float(self.deviation[place]),
            low=float(self.low[place]) if present else None,
            high=float(self.high[place]) if present else None,
            nulls=nulls,
            not_finite=self.rows - present - nulls,
        )

    @staticmethod
    def _levels(known: Mapping[str, int], level: LevelTally) -> Levels:
        return Levels(
            counts=dict(zip(known, level.counts.tolist(), strict=True)),
            nulls=level.nulls,
            other=level.other,
            novel=level.novel,
        )


def tally(batch: pa.RecordBatch, plan: Plan, *, correlate: bool = True) -> Tally:
    """Count one batch; ``correlate`` leaves its rows out of the Gram matrix if False."""
    found = Tally.empty(plan, batch.num_rows)
    for place, name in enumerate(plan.numbers):
        column = batch.column(name)
        found.nulls[place] = column.null_count
        counted = _count_numbers(column, plan.edges[place], plan.grids[place])
        bins = len(counted.counts)
        found.counts[place, :bins], found.sums[place, :bins] = counted.counts, counted.sums
        found.deviation[place], found.low[place], found.high[place] = counted[2:]
    if correlate and plan.correlated:
        _correlate(batch, plan, found)
    for name, known in plan.levels.items():
        found.levels[name] = _count_levels(texts(batch.column(name), name), known)
    return found


def _count_numbers(column: pa.Array, edges: NDArray[np.float64], grid: Grid | None) -> Counted:
    if column.null_count:
        column = column.drop_null()
    counted = count_integers(numpy_of(column), edges) if pa.types.is_integer(column.type) else None
    return counted or count(floats(column), edges, grid)


def _correlate(batch: pa.RecordBatch, plan: Plan, found: Tally) -> None:
    g, n = plan.correlated, batch.num_rows
    centred = np.empty((g, n))
    missing: dict[int, NDArray[np.bool_]] = {}
    for place, row in enumerate(centred):
        values = floats(batch.column(plan.numbers[place]))
        np.subtract(values, plan.centres[place], out=row)
        if found.counts[place].sum() < n:
            missing[place] = ~(np.abs(values) < LARGEST)
            row[missing[place]] = 0.0
    found.correlated = n
    found.shifts += centred.sum(axis=1)
    found.products += _products(centred)
    if missing:
        holes = list(missing)
        both = np.zeros((g, g), dtype=np.int64)
        both[np.ix_(holes, holes)] = _products(np.array(list(missing.values()), dtype=np.float64))
        # Rows in which at least one is missing: those of the one, of the other, less those of both.
        found.absent += both.diagonal()[:, None] + both.diagonal() - both


def _products(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Product of each row with each, in pieces: for a large matrix OpenBLAS makes threads, which fight with ours."""
    k, n = rows.shape
    piece = max(_ONE_THREAD // k**2, 8)
    whole = n - n % piece
    pieces = rows[:, :whole].reshape(k, -1, piece).swapaxes(0, 1)
    rest = rows[:, whole:]
    products: NDArray[np.float64] = np.matmul(pieces, pieces.swapaxes(1, 2)).sum(axis=0) + rest @ rest.T
    return products


def _count_levels(column: pa.DictionaryArray, known: Mapping[str, int]) -> LevelTally:
    found = LevelTally(np.zeros(len(known), dtype=np.int64), nulls=column.indices.null_count)
    novel = level_counts(column)
    for level in [level for level in novel if level in known]:
        found.counts[known[level]] = novel.pop(level)
    found.other = sum(novel.values())
    found.novel = {level: novel[level] for level in lowest_ranks(novel)}
    return found
