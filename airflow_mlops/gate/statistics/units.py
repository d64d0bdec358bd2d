"""What is drawn: whole nights, clusters or queries where rows hang together, else rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from airflow_mlops.gate.evidence import Design
from airflow_mlops.gate.rows import PairedPredictions, Texts

__all__ = ["Units", "drawn_units", "singular", "units_of_rows"]

Numbers = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Units:
    """Which rows are drawn together, and within which strata.

    Attributes
    ----------
    of_row : numpy.ndarray of int, shape (n_rows,)
        Number of each row's unit, from 0.
    stratum : numpy.ndarray of int, shape (n_units,)
        Number of each unit's stratum, from 0; every stratum has two units at least, unless there is one unit in all.
    noun : str
        What the units are, such as ``nights``.
    """

    of_row: Numbers
    stratum: Numbers
    noun: str

    @property
    def count(self) -> int:
        """How many there are."""
        return self.stratum.size

    @property
    def degrees_of_freedom(self) -> int:
        """Units less strata: what is left after each stratum's mean is taken."""
        return self.count - int(self.stratum.max(initial=-1)) - 1

    @property
    def are_rows(self) -> bool:
        """Whether each row is drawn by itself, and all from one stratum."""
        return self.noun == "rows" and not self.stratum.any()

    def sums(self, contributions: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Add rows of shape (n_rows, n_sums) up to units of shape (n_units, n_sums)."""
        if self.count == len(contributions):
            sums = np.empty_like(contributions)
            sums[self.of_row] = contributions
            return sums
        columns = [np.bincount(self.of_row, weights=column, minlength=self.count) for column in contributions.T]
        return np.stack(columns, axis=1)


def singular(noun: str) -> str:
    """One of the units.

    Examples
    --------
    >>> singular("queries"), singular("values of city")
    ('query', 'value of city')
    """
    first, _, rest = noun.partition(" ")
    one = "query" if first == "queries" else first.removesuffix("s")
    return f"{one} {rest}".rstrip()


def drawn_units(predictions: PairedPredictions, design: Design) -> tuple[Texts | None, str] | str:
    """Find the column that says which rows are drawn together, and the noun; a sentence if it is missing.

    Hours of a night are not independent. Drawing rows where nights differ promotes a challenger that is worse by
    exactly the margin in 22 to 32 % of trials at alpha = 5 %.
    """
    columns = predictions.columns
    if design.strata is not None and design.strata not in columns:
        return f"there is no column {design.strata!r} of strata"
    if design.cluster is not None:
        if design.cluster not in columns:
            return f"there is no column {design.cluster!r} of clusters"
        return columns[design.cluster], "nights" if design.cluster == "night" else f"values of {design.cluster}"
    if "night" in columns:
        return columns["night"], "nights"
    if predictions.task == "ranking":
        if design.query is None or design.query not in columns:
            return f"there is no column {design.query!r} of queries"
        return columns[design.query], "queries"
    return None, "rows"


def units_of_rows(labels: Texts | None, strata: Texts | None, n_rows: int, noun: str) -> Units:
    """Number the units of given rows, and the strata of the units.

    A unit whose rows lie in several strata counts to that of its first row. Strata of a single unit, whose spread
    nobody can know, are merged.

    Examples
    --------
    >>> units = units_of_rows(np.array(["a", "a", "b", "c", "d"]), np.array(["x", "x", "x", "y", "z"]), 5, "nights")
    >>> units.of_row.tolist(), units.stratum.tolist(), units.degrees_of_freedom
    ([0, 0, 1, 2, 3], [0, 0, 1, 1], 2)
    """
    if labels is None:
        of_row, first = np.arange(n_rows), np.arange(n_rows)
    else:
        _, first, of_row = np.unique(labels, return_index=True, return_inverse=True)
    stratum = np.zeros(first.size, dtype=np.intp)
    if strata is not None and first.size:
        _, stratum, size = np.unique(strata[first], return_inverse=True, return_counts=True)
        alone = size == 1
        if alone.sum() == 1 and size.size > 1:
            # Nothing to merge with but the smallest of the others.
            alone |= np.arange(size.size) == np.argmin(np.where(alone, first.size + 1, size))
        stratum = np.where(alone[stratum], size.size, stratum)
        stratum = np.unique(stratum, return_inverse=True)[1]
    return Units(of_row, stratum, noun)
