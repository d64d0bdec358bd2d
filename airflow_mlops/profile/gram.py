"""How numeric columns move together: what merges into correlations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import NDArray

from airflow_mlops.profile.arrays import Floats, PackedCounts, PackedFloats
from airflow_mlops.records import Value

__all__ = ["Gram"]


class Gram(Value):
    """Sums and products of numeric columns, each less a centre that the reference fixed: parts merge by addition.

    Triangles are upper ones, row by row: ``(0, 0), (0, 1), ..., (1, 1), ...``. A missing number counts as its centre
    in ``products``, and ``absent`` says in how many rows at least one of the two is missing (empty: in none).
    """

    columns: tuple[str, ...]
    rows: int
    centres: Floats
    sums: PackedFloats
    products: PackedFloats
    absent: PackedCounts = ()

    def pairs(self) -> NDArray[np.int64]:
        """Rows in which both columns have a number, shape (k, k)."""
        k = len(self.columns)
        return self.rows - (_square(self.absent, k) if self.absent else np.zeros((k, k))).astype(np.int64)

    def correlation(self) -> NDArray[np.float64]:
        """Pearson's correlation of each pair, shape (k, k), over the rows that have both.

        Means and variances are those of all rows that have the one (available-case analysis). NaN for a constant
        column, or fewer than two rows.

        References
        ----------
        Little, R. J. A. & Rubin, D. B. (2020). Statistical Analysis with Missing Data, section 3.4 (equation 3.15).

        Examples
        --------
        >>> gram = Gram(columns=("x", "y"), rows=3, centres=(2, 2), sums=(0, 1), products=(2, 1, 3))
        >>> gram.correlation().round(3)
        array([[1.   , 0.433],
               [0.433, 1.   ]])
        """
        k = len(self.columns)
        pairs = self.pairs()
        with np.errstate(invalid="ignore", divide="ignore"):
            means = np.asarray(self.sums) / pairs.diagonal()
            covariance = _square(self.products, k) / pairs - np.outer(means, means)
            variance = covariance.diagonal().copy()
            # Below what float64 can tell from a constant.
            variance[variance <= 1e-14 * np.square(means)] = np.nan
            correlation: NDArray[np.float64] = covariance / np.sqrt(np.outer(variance, variance))
        correlation[pairs < 2] = np.nan  # noqa: PLR2004 - two points make a line
        return np.clip(correlation, -1.0, 1.0)

    @property
    def blank(self) -> Self:
        """The same columns without rows."""
        k = len(self.columns)
        return type(self)(
            columns=self.columns,
            rows=0,
            centres=self.centres,
            sums=(0.0,) * k,
            products=(0.0,) * (k * (k + 1) // 2),
        )

    def among(self, columns: Sequence[str]) -> Self:
        """The same of fewer columns, in the order given."""
        places = [self.columns.index(name) for name in columns]
        upper = np.triu_indices(len(places))
        k = len(self.columns)

        def cut(triangle: Sequence[float]) -> list[float]:
            return list(_square(triangle, k)[np.ix_(places, places)][upper].tolist())

        return type(self)(
            columns=tuple(columns),
            rows=self.rows,
            centres=tuple(self.centres[place] for place in places),
            sums=tuple(self.sums[place] for place in places),
            products=tuple(cut(self.products)),
            absent=tuple(int(count) for count in cut(self.absent)) if self.absent else (),
        )

    @classmethod
    def merged(cls, parts: Sequence[Self]) -> Self:
        """Matrix of all parts, over the columns that all of them have."""
        first = parts[0]
        shared = [name for name in first.columns if all(name in part.columns for part in parts)]
        cut = [part if part.columns == tuple(shared) else part.among(shared) for part in parts]
        absent = [part.absent for part in cut if part.absent]
        return cls(
            columns=tuple(shared),
            rows=sum(part.rows for part in cut),
            centres=cut[0].centres,
            sums=tuple(math.fsum(values) for values in zip(*(part.sums for part in cut), strict=True)),
            products=tuple(math.fsum(values) for values in zip(*(part.products for part in cut), strict=True)),
            absent=tuple(np.sum(absent, axis=0).tolist()) if absent else (),
        )


def _square(triangle: Sequence[float], k: int) -> NDArray[np.float64]:
    square = np.zeros((k, k))
    square[np.triu_indices(k)] = triangle
    return square + np.triu(square, 1).T
