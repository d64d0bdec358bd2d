"""Two profiles of one column, cell beside cell: what every distance between counts starts from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from airflow_mlops.errors import DataError
from airflow_mlops.profile import Levels, Numbers

__all__ = ["Counts", "cells", "shares"]

Counts = NDArray[np.float64]


def cells(reference: Numbers | Levels, current: Numbers | Levels, *, of: str) -> tuple[Counts, Counts]:
    """Rows in each bin, or with each level, of both sides, in one order; nulls are left out.

    Parameters
    ----------
    reference, current : Numbers or Levels
        Two profiles of a column, of one kind.
    of : str
        What is reckoned from them; errors name it.

    Returns
    -------
    reference, current : ndarray of shape (n_cells,)

    Raises
    ------
    DataError
        If one side holds nothing, they are of different kinds, or were counted in different bins.

    Examples
    --------
    >>> cells(Levels(counts={"A": 3, "B": 1}, nulls=0), Levels(counts={"B": 2}, nulls=5), of="a distance")
    (array([3., 1.]), array([0., 2.]))
    """
    if reference.kind != current.kind or (
        isinstance(reference, Numbers) and isinstance(current, Numbers) and reference.edges != current.edges
    ):
        raise DataError(
            f"expected {of} between two profiles in the same bins, got one of {reference.kind} and one of "
            f"{current.kind} in others. Profile the current table with the edges of the reference."
        )
    if not reference.present or not current.present:
        side = "current" if reference.present else "reference"
        raise DataError(
            f"expected values on both sides of {of}, the {side} column holds nothing but nulls. "
            "Compare the null rates instead."
        )
    if isinstance(reference, Numbers) and isinstance(current, Numbers):
        return np.array(reference.counts, dtype=np.float64), np.array(current.counts, dtype=np.float64)
    names = list(dict.fromkeys([*_levels(reference), *_levels(current)]))
    before, now = ({**dict.fromkeys(names, 0), **_levels(side)} for side in (reference, current))
    return np.array([*before.values()], dtype=np.float64), np.array([*now.values()], dtype=np.float64)


def _levels(column: Numbers | Levels) -> dict[str | None, int]:
    """Known levels; the new ones are one cell, since the reference has none of them whatever they are called."""
    assert isinstance(column, Levels)  # noqa: S101 - numbers were seen to above
    known: dict[str | None, int] = dict(column.counts.items())
    return known | {None: column.other} if column.other else known


def shares(reference: Numbers | Levels, current: Numbers | Levels, *, of: str) -> tuple[Counts, Counts]:
    """`cells` as shares of the rows that are not null; each side sums to one."""
    before, now = cells(reference, current, of=of)
    return before / before.sum(), now / now.sum()
