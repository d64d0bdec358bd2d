"""Nights as real tables, through profiles: what no drawn statistic has (skewed counts, far values, rows alike).

Fourteen numeric and six categorical columns. Tables are profiled in the bins of the first four weeks, as in service.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from airflow_mlops.profile import Edges, Profile, edges_of, profile_table
from benchmarks.alerts_drawn import CATEGORICAL, HISTORY, LEVELS, NUMERIC, night_effects

__all__ = ["CHANGES", "KINDS", "Changed", "World"]

Floats = npt.NDArray[np.float64]
Kind = Literal["season", "integers", "heavy tails", "clusters", "holiday column"]
KINDS: tuple[Kind, ...] = ("season", "integers", "heavy tails", "clusters", "holiday column")
Changed = Literal[
    "0.5 sd", "0.25 sd", "new level", "nulls 2 to 6 %", "variance x 1.5", "unit", "correlation flips", "vanished"
]
CHANGES: tuple[Changed, ...] = (
    "0.5 sd", "0.25 sd", "new level", "nulls 2 to 6 %", "variance x 1.5", "unit", "correlation flips", "vanished"
)  # fmt: skip
_CLUSTERS, _ALIKE, _NULLS = 40, 0.2, 0.02
_REFERENCE = 28
_NAMES = np.array([f"level {i}" for i in range(LEVELS + 1)])
_NEW, _NEW_SHARE = LEVELS, 0.01


class World:
    """A table's nights, drawn one after another."""

    def __init__(self, kind: Kind, rows: int, nights: int, rng: np.random.Generator) -> None:
        self.kind, self.rows, self._rng = kind, rows, rng
        self._effects = night_effects("season" if kind == "season" else "iid", nights, NUMERIC + CATEGORICAL, rng)
        self._loading = rng.uniform(0.3, 0.7, NUMERIC)
        self._shares = rng.dirichlet(np.full(LEVELS, 5.0), CATEGORICAL)
        self._holidays = rng.random(nights) < 10 / 365

    def table(self, night: int, change: Changed | None = None) -> pa.Table:
        """Rows of a night."""
        values = self._numbers(night, change)
        columns: dict[str, object] = {}
        for i in range(NUMERIC):
            column = values[:, i]
            if change == "unit" and i == 0:
                column = 10.0 * column + 3.0
            share = 0.06 if change == "nulls 2 to 6 %" and i == 0 else _NULLS if i == 0 else 0.0
            columns[f"x{i}"] = pa.array(column, mask=self._rng.random(self.rows) < share) if share else column
        for i in range(CATEGORICAL):
            logits = np.log(self._shares[i]) + self._effects[night, NUMERIC + i] * np.linspace(-1, 1, LEVELS)
            shares = np.exp(logits) / np.exp(logits).sum()
            places = np.minimum(np.searchsorted(np.cumsum(shares), self._rng.random(self.rows)), LEVELS - 1)
            if change == "new level" and i == 0:
                places[self._rng.random(self.rows) < _NEW_SHARE] = _NEW
            columns[f"c{i}"] = pa.DictionaryArray.from_arrays(places.astype(np.int32), pa.array(_NAMES)).cast(
                pa.string()
            )
        if self.kind == "holiday column":
            columns["holiday"] = np.full(self.rows, int(self._holidays[night]))
        table = pa.table(columns)
        return table.drop_columns(["x1"]) if change == "vanished" else table

    def _numbers(self, night: int, change: Changed | None) -> Floats:
        rng, rows = self._rng, self.rows
        common = rng.normal(size=(rows, 1))
        loading = self._loading.copy()
        if change == "correlation flips":
            loading[0] *= -1
        values: Floats = loading * common + np.sqrt(1 - loading**2) * rng.normal(size=(rows, NUMERIC))
        if self.kind == "clusters":
            of_row = rng.integers(0, _CLUSTERS, rows)
            values = np.sqrt(_ALIKE) * rng.normal(size=(_CLUSTERS, NUMERIC))[of_row] + np.sqrt(1 - _ALIKE) * values
        if change == "variance x 1.5":
            values[:, 0] *= np.sqrt(1.5)
        values += self._effects[night, :NUMERIC]
        if change in ("0.5 sd", "0.25 sd"):
            values[:, :3] += float(change.split()[0])
        return _SHAPES.get(self.kind, _as_it_is)(values)

    def profiles(self, nights: int) -> tuple[list[Profile], Edges]:
        """Of the first nights, in the bins of the first four weeks."""
        reference = [self.table(night) for night in range(_REFERENCE)]
        edges = edges_of(pa.concat_tables(reference))
        rest = (self.table(night) for night in range(_REFERENCE, nights))
        return [profile_table(table, edges) for table in (*reference, *rest)], edges

    def changed(self, change: Changed, nights: int, edges: Edges) -> list[Profile]:
        """The nights after the history with a change."""
        return [profile_table(self.table(HISTORY + night, change), edges) for night in range(nights)]


def _as_it_is(values: Floats) -> Floats:
    return values


def _counts(values: Floats) -> Floats:
    """Small counts, half of them very small."""
    scales = np.where(np.arange(NUMERIC) % 2, 3.0, 0.7)
    return np.asarray(np.floor(np.exp(0.6 * values) * scales))


def _far(values: Floats) -> Floats:
    """Half lognormal, half with the tails of Student's t with three degrees of freedom."""
    far = np.sign(values) * (np.exp(np.abs(values) ** 1.5 / 1.5) - 1)
    return np.where(np.arange(NUMERIC) % 2, np.exp(values), far)


_SHAPES: dict[str, Callable[[Floats], Floats]] = {"integers": _counts, "heavy tails": _far}
