"""What is kept of a column: numbers in bins that the reference fixed, or the levels that it knew."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
from pydantic import Field

from airflow_mlops.profile.arrays import Counts, Floats, PackedFloats, PackedLevels
from airflow_mlops.profile.novelty import MOST_NOVEL, distinct_levels, lowest_ranks
from airflow_mlops.records import Value

__all__ = ["Levels", "Numbers"]


class Numbers(Value):
    """A numeric column: counts and sums in bins whose edges the baseline fixed.

    Bin ``i`` holds ``edges[i - 1] <= x < edges[i]``; the first and the last bin are open (underflow, overflow).
    ``not_finite`` counts NaN, infinities and what is too large to square; ``deviation`` is the sum of squared
    deviations from the mean.
    """

    kind: Literal["numbers"] = "numbers"
    edges: Floats = Field(min_length=1)
    counts: Counts
    sums: PackedFloats
    deviation: float
    low: float | None
    high: float | None
    nulls: int
    not_finite: int = 0

    @property
    def present(self) -> int:
        """Rows with a finite number."""
        return sum(self.counts)

    @property
    def rows(self) -> int:
        """Rows, those without a number among them."""
        return self.present + self.nulls + self.not_finite

    @property
    def mean(self) -> float:
        """Mean of the numbers; NaN without any."""
        return math.fsum(self.sums) / self.present if self.present else math.nan

    @property
    def sd(self) -> float:
        """Standard deviation, in the column's unit; NaN without numbers."""
        return math.sqrt(self.deviation / self.present) if self.present else math.nan

    @property
    def blank(self) -> Self:
        """The same bins without rows."""
        bins = len(self.edges) + 1
        return type(self)(
            edges=self.edges, counts=(0,) * bins, sums=(0.0,) * bins, deviation=0.0, low=None, high=None, nulls=0
        )

    @classmethod
    def merged(cls, parts: Sequence[Self], *, rows: int) -> Self:
        """Column of all parts, which have the same edges; what is lacking to ``rows`` counts as null."""
        filled = [part for part in parts if part.present]
        present = sum(part.present for part in filled)
        mean = math.fsum(total for part in filled for total in part.sums) / present if present else 0.0
        not_finite = sum(part.not_finite for part in parts)
        return cls(
            edges=parts[0].edges,
            counts=tuple(np.sum([part.counts for part in parts], axis=0).tolist()),
            # fsum is exact: the order in which nights arrive cannot show in the result.
            sums=tuple(math.fsum(bin_sums) for bin_sums in zip(*(part.sums for part in parts), strict=True)),
            # The variance of a whole is that within its parts and that between their means (Chan et al. 1983).
            deviation=math.fsum(part.deviation + part.present * (part.mean - mean) ** 2 for part in filled),
            low=min((part.low for part in filled if part.low is not None), default=None),
            high=max((part.high for part in filled if part.high is not None), default=None),
            nulls=rows - present - not_finite,
            not_finite=not_finite,
        )


class Levels(Value):
    """A categorical column: how often each level was seen that the reference knew, and what came new.

    ``novel`` are up to 64 of the new levels with their exact counts, drawn by a hash of their text (so that merging
    draws the same ones in any order); ``other`` counts the rows of all new levels, those not in ``novel`` too.
    """

    kind: Literal["levels"] = "levels"
    counts: dict[str, int]
    nulls: int
    other: int = 0
    novel: PackedLevels = Field(default_factory=dict, max_length=MOST_NOVEL)

    @property
    def present(self) -> int:
        """Rows with a level, known or new."""
        return sum(self.counts.values()) + self.other

    @property
    def rows(self) -> int:
        """Rows, nulls among them."""
        return self.present + self.nulls

    @property
    def other_levels(self) -> int:
        """How many new levels there are: exact below 64, an estimate above (standard error 13 %)."""
        return distinct_levels(self.novel)

    @property
    def edges(self) -> tuple[str, ...]:
        """The levels that are known."""
        return tuple(self.counts)

    @property
    def blank(self) -> Self:
        """The same levels without rows."""
        return type(self)(counts=dict.fromkeys(self.counts, 0), nulls=0)

    @classmethod
    def merged(cls, parts: Sequence[Self], *, rows: int) -> Self:
        """Column of all parts, which know the same levels; what is lacking to ``rows`` counts as null."""
        novel: dict[str, int] = {}
        for part in parts:
            for level, count in part.novel.items():
                novel[level] = novel.get(level, 0) + count
        return cls(
            counts={level: sum(part.counts[level] for part in parts) for level in parts[0].counts},
            nulls=rows - sum(part.present for part in parts),
            other=sum(part.other for part in parts),
            novel={level: novel[level] for level in lowest_ranks(novel)},
        )
