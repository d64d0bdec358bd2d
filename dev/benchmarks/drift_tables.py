"""Tables as nights have them, written piece by piece: numbers, heavy tails, integers, text, nulls.

Run as a program it writes one: ``drift_tables.py FILE ROWS COLUMNS SEED SHIFT``. Whoever measures stays small then.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

__all__ = ["columns_of", "write_table"]

# What Polars itself writes by default (512 * 512).
_ROWS_OF_A_GROUP = 1 << 18
_LEVELS = (3, 12, 50, 200)
_NULLS = 0.02
# Of ten columns six are normal, one is skewed, two are counts, one is text; the first and the text have nulls.
_KINDS = ("normal",) * 6 + ("lognormal", "counts", "counts", "text")


def columns_of(count: int) -> list[str]:
    """Names of the columns, by their kind."""
    return [f"{_KINDS[place % len(_KINDS)]}_{place}" for place in range(count)]


def write_table(path: Path, *, rows: int, columns: int, seed: int, shift: float = 0.0) -> None:
    """Write a table in row groups; its first three columns are shifted by so many standard deviations."""
    rng = np.random.default_rng(seed)
    writer = None
    for start in range(0, rows, _ROWS_OF_A_GROUP):
        group = _group(min(_ROWS_OF_A_GROUP, rows - start), columns, rng, shift)
        writer = writer or pq.ParquetWriter(path, group.schema)
        writer.write_table(group)
    if writer:
        writer.close()


def _group(rows: int, columns: int, rng: np.random.Generator, shift: float) -> pa.Table:
    # What all columns share makes them correlated.
    shared = rng.normal(size=rows)
    return pa.table(
        {
            name: _column(name.split("_")[0], place, shared, rng, shift if place < 3 else 0.0)  # noqa: PLR2004 - as said
            for place, name in enumerate(columns_of(columns))
        }
    )


def _column(kind: str, place: int, shared: npt.NDArray[np.float64], rng: np.random.Generator, shift: float) -> pa.Array:
    rows = len(shared)
    missing = rng.random(rows) < _NULLS if place % len(_KINDS) in (0, len(_KINDS) - 1) else None
    if kind == "normal":
        scale = 1.0 + place
        return pa.array(scale * (0.3 * shared + rng.normal(size=rows) + shift), mask=missing)
    if kind == "lognormal":
        return pa.array(np.exp(1.5 * rng.normal(size=rows)))
    if kind == "counts":
        return pa.array(rng.poisson(3.0 * (1 + place % 7), size=rows))
    levels = pa.array([f"level {number:03d}" for number in range(_LEVELS[place // len(_KINDS) % len(_LEVELS)])])
    indices = pa.array(rng.integers(0, len(levels), size=rows, dtype=np.int32), mask=missing)
    return pa.DictionaryArray.from_arrays(indices, levels).cast(pa.string())


if __name__ == "__main__":
    file, rows, columns, seed, shift = sys.argv[1:]
    write_table(Path(file), rows=int(rows), columns=int(columns), seed=int(seed), shift=float(shift))
