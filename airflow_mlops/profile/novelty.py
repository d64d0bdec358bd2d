"""New levels in bounded memory: a sample of them that merges, and how many there are.

Each level has a rank in [0, 1), a hash of its text. The 64 of the lowest ranks are kept: whichever parts a table is
read in, the lowest of the whole are among the lowest of each part that they occur in, so their counts stay exact; and
how low the 64th lies tells how many there are.

References
----------
Bar-Yossef, Z., Jayram, T. S., Kumar, R., Sivakumar, D. & Trevisan, L. (2002). Counting distinct elements in a data
stream. RANDOM 2002, algorithm 2. Beyer, K. et al. (2007). On synopses for distinct-value estimation under multiset
operations. SIGMOD 2007, section 3 (the unbiased ``(k - 1) / U(k)``).
"""

from __future__ import annotations

import zlib
from collections.abc import Collection

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

__all__ = ["MOST_NOVEL", "distinct_levels", "lowest_ranks", "ranks", "shortened"]

MOST_NOVEL = 64
_LONGEST = 120


def shortened(levels: pa.Array) -> pa.Array:
    """What levels are told apart by: their first 120 characters, so that a column of essays stays small."""
    return pc.utf8_slice_codeunits(levels, 0, _LONGEST)


def ranks(levels: Collection[str]) -> NDArray[np.float64]:
    """A number in [0, 1) for each text, always the same; texts that differ little lie anywhere.

    Examples
    --------
    >>> ranks(["A", "B"]).round(3)
    array([0.238, 0.555])
    """
    crc32 = zlib.crc32
    hashed = np.fromiter((crc32(level.encode()) for level in levels), dtype=np.uint64, count=len(levels))
    # A checksum alone is linear: neighbouring ids would have neighbouring ranks. This mixes (Steele, Lea & Flood 2014).
    hashed += np.uint64(0x9E3779B97F4A7C15)
    hashed = (hashed ^ (hashed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    hashed = (hashed ^ (hashed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    hashed ^= hashed >> np.uint64(31)
    return (hashed >> np.uint64(11)).astype(np.float64) / (1 << 53)


def lowest_ranks(levels: Collection[str]) -> list[str]:
    """The levels to keep, lowest rank first; of equal ranks in the order of their text."""
    found = ranks(levels)
    if len(found) > MOST_NOVEL:
        highest = np.partition(found, MOST_NOVEL)[MOST_NOVEL]
        low = np.flatnonzero(found <= highest).tolist()
        texts = list(levels)
        return [level for _, level in sorted((found[place], texts[place]) for place in low)[:MOST_NOVEL]]
    return [level for _, level in sorted(zip(found.tolist(), levels, strict=True))]


def distinct_levels(kept: Collection[str]) -> int:
    """How many levels there are of which these have the lowest ranks.

    Examples
    --------
    >>> distinct_levels(["A", "B"])
    2
    >>> distinct_levels(lowest_ranks([f"user {i}" for i in range(100_000)]))
    90545
    """
    if len(kept) < MOST_NOVEL:
        return len(kept)
    return round((MOST_NOVEL - 1) / float(ranks(kept).max()))
