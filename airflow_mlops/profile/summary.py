"""What is kept of a column, what is kept of a table, and how parts become a whole."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field

from airflow_mlops.errors import DataError
from airflow_mlops.records import Value

__all__ = ["Levels", "Numbers", "Profile", "merge"]


class Numbers(Value):
    """A numeric column: counts and sums in bins whose edges the baseline fixed.

    Bin ``i`` holds ``edges[i - 1] <= x < edges[i]``; the first and the last bin are open (underflow, overflow).
    ``nulls`` counts whatever is no finite number, ``deviation`` is the sum of squared deviations from the mean.
    """

    kind: Literal["numbers"] = "numbers"
    edges: tuple[float, ...] = Field(min_length=1)
    counts: tuple[int, ...]
    sums: tuple[float, ...]
    deviation: float
    low: float | None
    high: float | None
    nulls: int

    @property
    def present(self) -> int:
        """Rows with a finite number."""
        return sum(self.counts)

    @property
    def rows(self) -> int:
        """Rows, nulls among them."""
        return self.present + self.nulls

    @property
    def mean(self) -> float:
        """Mean of the numbers; NaN without any."""
        return math.fsum(self.sums) / self.present if self.present else math.nan

    @property
    def sd(self) -> float:
        """Standard deviation, in the column's unit; NaN without numbers."""
        return math.sqrt(self.deviation / self.present) if self.present else math.nan


class Levels(Value):
    """A categorical column: how often each level was seen."""

    kind: Literal["levels"] = "levels"
    counts: dict[str, int]
    nulls: int

    @property
    def present(self) -> int:
        """Rows with a level."""
        return sum(self.counts.values())

    @property
    def rows(self) -> int:
        """Rows, nulls among them."""
        return self.present + self.nulls


class Profile(Value):
    """A table boiled down; ``parts`` counts the tables (nights) that were merged into it."""

    rows: int
    parts: int = 1
    columns: dict[str, Annotated[Numbers | Levels, Field(discriminator="kind")]]

    @property
    def edges(self) -> dict[str, tuple[float, ...]]:
        """The bins that another table must be profiled with to be compared; no edges: levels."""
        return {name: column.edges if isinstance(column, Numbers) else () for name, column in self.columns.items()}

    @property
    def blank(self) -> Self:
        """The same columns without rows: merged with any profile it changes nothing but fills in lacking columns."""
        columns = {
            name: Levels(counts={}, nulls=0)
            if isinstance(column, Levels)
            else Numbers(
                edges=column.edges,
                counts=(0,) * len(column.counts),
                sums=(0.0,) * len(column.sums),
                deviation=0.0,
                low=None,
                high=None,
                nulls=0,
            )
            for name, column in self.columns.items()
        }
        return type(self)(rows=0, parts=0, columns=columns)

    def to_json(self) -> dict[str, Any]:
        """Plain values that ``json`` can write."""
        return self.model_dump(mode="json")

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Read what ``to_json`` gave."""
        return cls.model_validate(data)


def merge(profiles: Iterable[Profile]) -> Profile:
    """Profile of all the rows that several profiles saw, in whatever order they come.

    A column that a part lacks counts as null there.

    Raises
    ------
    DataError
        If there is none, or two were made with other edges.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from airflow_mlops.profile import edges_of, profile_table
    >>> table = pa.table({"temp": [1.0, 2.0, 3.0, None]})
    >>> edges = edges_of(table)
    >>> merge([profile_table(table[:1], edges), profile_table(table[1:], edges)]).columns["temp"].mean
    2.0
    """
    parts = list(profiles)
    if not parts:
        raise DataError(
            "expected at least one profile to merge, got none. Hand over the profiles of a window of nights."
        )
    rows = sum(part.rows for part in parts)
    names = dict.fromkeys(name for part in parts for name in part.columns)
    return Profile(
        rows=rows,
        parts=sum(part.parts for part in parts),
        columns={name: _merged(name, parts, rows) for name in names},
    )


def _merged(name: str, parts: Sequence[Profile], rows: int) -> Numbers | Levels:
    columns = [part.columns[name] for part in parts if name in part.columns]
    nulls = rows - sum(column.present for column in columns)
    numbers = [column for column in columns if isinstance(column, Numbers)]
    levels = [column for column in columns if isinstance(column, Levels)]
    if len({column.edges for column in numbers}) + bool(levels) > 1:
        raise DataError(
            f"column {name!r}: expected profiles with the same edges, got {len(columns)} that differ. "
            "Profile every part with the edges of the reference."
        )
    if levels:
        return Levels(counts=dict(sum((Counter(column.counts) for column in levels), Counter())), nulls=nulls)
    filled = [column for column in numbers if column.present]
    present = sum(column.present for column in filled)
    mean = math.fsum(total for column in filled for total in column.sums) / present if present else 0.0
    return Numbers(
        edges=numbers[0].edges,
        counts=tuple(np.sum([column.counts for column in numbers], axis=0).tolist()),
        # fsum is exact: the order in which nights arrive cannot show in the result.
        sums=tuple(math.fsum(bin_sums) for bin_sums in zip(*(column.sums for column in numbers), strict=True)),
        # The variance of a whole is that within its parts and that between their means (Chan, Golub & LeVeque 1983).
        deviation=math.fsum(column.deviation + column.present * (column.mean - mean) ** 2 for column in filled),
        low=min((column.low for column in filled if column.low is not None), default=None),
        high=max((column.high for column in filled if column.high is not None), default=None),
        nulls=nulls,
    )
