"""The most frequent levels of a column, in bounded memory, however many it has.

References
----------
Misra, J. & Gries, D. (1982). Finding repeated elements. Science of Computer Programming 2, 143-152. Agarwal, P. K. et
al. (2012). Mergeable summaries. PODS 2012, section 2 (many numbers at once).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from airflow_mlops.profile.kinds import numpy_of, places_of
from airflow_mlops.profile.novelty import shortened

__all__ = ["MostFrequent", "level_counts"]

_KEPT = 1 << 16


def level_counts(column: pa.DictionaryArray) -> dict[str, int]:
    """Rows of each level that occurs.

    Examples
    --------
    >>> level_counts(pa.array(["B", "A", "B", None]).dictionary_encode())
    {'B': 2, 'A': 1}
    """
    counts = np.bincount(numpy_of(column.indices.drop_null()), minlength=len(column.dictionary))
    seen = np.flatnonzero(counts)
    # Cut before Python sees them: essays are long.
    levels = shortened(column.dictionary.take(places_of(seen))).to_pylist()
    found = dict(zip(levels, counts[seen].tolist(), strict=True))
    if len(found) < len(levels):
        found = dict.fromkeys(found, 0)
        for level, rows in zip(levels, counts[seen].tolist(), strict=True):
            found[level] += rows
    return found


class MostFrequent:
    """Counts of levels: exact up to 65,536 of them; of more, any with more than one row in 65,536 is sure to stay."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def add(self, more: Mapping[str, int]) -> None:
        """Count another batch in."""
        counts = self._counts
        for level, rows in more.items():
            counts[level] = counts.get(level, 0) + rows
        if len(counts) > _KEPT:
            # Each row that is taken away takes one away from each of so many others: few levels can lose much.
            numbers = np.fromiter(counts.values(), dtype=np.int64, count=len(counts))
            least = int(np.partition(numbers, -_KEPT - 1)[-_KEPT - 1])
            self._counts = {level: rows - least for level, rows in counts.items() if rows > least}

    def first(self, most: int) -> tuple[str, ...]:
        """Up to so many levels, the most frequent first; of equally frequent ones in the order of their text."""
        return tuple(sorted(self._counts, key=lambda level: (-self._counts[level], level))[:most])
