"""Whether the golden set was learned by heart: rows that training saw judge nobody.

Each row becomes a number of 64 bits. Of 10 million training and 100,000 golden rows that have nothing in common, two
share a number with a chance of 1e7 * 1e5 / 2**64, one in eighteen million.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from airflow_mlops.errors import DataError
from airflow_mlops.records import Decision, RuleResult
from airflow_mlops.table import missing_columns

__all__ = ["Leakage", "leakage_result", "leaked_rows", "row_hashes"]

Hashes = npt.NDArray[np.uint64]

# Rows hashed at once: few enough that a column of them stays in the processor's cache.
_BATCH_ROWS = 32_768
_EXAMPLES = 3

# Multipliers of splitmix64; the first, 2**64 over the golden ratio, also tells columns apart.
_GOLDEN_RATIO, _MIX_1, _MIX_2 = (
    np.uint64(number) for number in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB)
)
_S30, _S27, _S31 = np.uint64(30), np.uint64(27), np.uint64(31)
_MISSING = np.uint64(0x6D697373696E6721)  # "missing!"

_NUMBERS = (
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_boolean,
    pa.types.is_decimal,
    pa.types.is_null,
)


@dataclass(frozen=True)
class Leakage:
    """Golden rows that stand in the training snapshot.

    Attributes
    ----------
    rows : int
        Golden rows found there.
    golden_rows, training_rows : int
        Rows that were compared.
    examples : tuple of str
        The first of them, such as ``2011-03-05 row 7 = 2011-03-04 row 12``; rows count from 0.
    """

    rows: int
    golden_rows: int
    training_rows: int
    examples: tuple[str, ...] = ()


def row_hashes(table: pa.Table | pa.RecordBatch, columns: Sequence[str]) -> Hashes:
    """A number for each row that depends on its values alone.

    The same value gives the same number whatever its type: 7 and 7.0, a time in nanoseconds or microseconds, a text
    and a dictionary of texts, null and NaN. Numbers count to the 32 bits that a model sees.

    Parameters
    ----------
    table : pyarrow.Table or pyarrow.RecordBatch
        Shape (n_rows, n_columns).
    columns : sequence of str
        Columns that make the row, in the order that is hashed.

    Returns
    -------
    numpy.ndarray of uint64, shape (n_rows,)

    References
    ----------
    Steele, G. L., Lea, D., Flood, C. H. (2014). Fast splittable pseudorandom number generators. OOPSLA, 453-472,
    figure 16: the mixing function, in its variant 13.

    Examples
    --------
    >>> whole = row_hashes(pa.table({"hr": [7, 8], "temp": [0.5, None]}), ["hr", "temp"])
    >>> real = row_hashes(pa.table({"temp": [0.5, float("nan")], "hr": [7.0, 8.0]}), ["hr", "temp"])
    >>> (whole == real).tolist(), len(set(whole.tolist()))
    ([True, True], 2)
    """
    hashes = np.full(table.num_rows, _GOLDEN_RATIO, dtype=np.uint64)
    for name in columns:
        hashes ^= _value_bits(table.column(name))
        hashes += _GOLDEN_RATIO
        _mix(hashes)
    return hashes


def leaked_rows(
    golden: Iterable[tuple[str, Path]], training: Iterable[tuple[str, Path]], columns: Sequence[str]
) -> Leakage:
    """Look for golden rows among those that were trained on.

    Memory is bounded by the numbers of the golden rows; training nights are read one batch after the other, and a
    night's file may be gone when the next one is asked for.

    Parameters
    ----------
    golden, training : iterable of (str, Path)
        Nights and their Parquet files.
    columns : sequence of str
        Columns that make a row: its time, features and target.

    Raises
    ------
    DataError
        If a file cannot be read or lacks a column.
    """
    places: list[tuple[str, int]] = []
    parts: list[Hashes] = []
    for night, _, hashes in _hashed(golden, columns):
        places += [(night, len(hashes))]
        parts.append(hashes)
    every = np.concatenate(parts) if parts else np.empty(0, np.uint64)
    known, inverse = np.unique(every, return_inverse=True)
    found = np.zeros(len(known), dtype=np.bool_)
    seen: dict[int, str] = {}
    training_rows = 0
    for night, first, hashes in _hashed(training, columns):
        training_rows += len(hashes)
        at = _positions(known, hashes)
        for row in np.flatnonzero(at >= 0)[: _EXAMPLES if len(seen) < _EXAMPLES else 0]:
            seen.setdefault(int(at[row]), f"{night} row {first + row}")
        found[at[at >= 0]] = True
    leaked = found[inverse]
    examples = tuple(f"{_place(places, row)} = {there}" for row, there in _examples(inverse, seen))
    return Leakage(int(leaked.sum()), len(every), training_rows, examples)


def leakage_result(leakage: Leakage | None, *, fault: str = "") -> RuleResult:
    """Reject a challenger that is judged by what it knows by heart.

    Parameters
    ----------
    leakage : Leakage or None
        What ``leaked_rows`` found; None if it could not look, which holds: nothing is shown.
    fault : str
        Why it could not.
    """
    if leakage is None:
        decision, count = Decision.HOLD, float("nan")
        why = f"the training rows could not be compared with the golden ones: {fault}"
    else:
        count = float(leakage.rows)
        compared = f"of {leakage.golden_rows} golden rows among {leakage.training_rows} training rows"
        if not leakage.golden_rows or not leakage.training_rows:
            decision, why = Decision.HOLD, f"there is nothing to compare ({compared})"
        elif leakage.rows:
            decision = Decision.REJECT
            why = (
                f"{leakage.rows} {compared} ({'; '.join(leakage.examples)}): it is judged by what it knows by heart. "
                "Keep golden rows out of the training nights, or freeze another golden set"
            )
        else:
            decision, why = Decision.PROMOTE, f"none {compared}"
    return RuleResult(
        rule="leakage",
        on="golden",
        decision=decision,
        rows=leakage.golden_rows if leakage else 0,
        method="64-bit row hashes",
        scale="value",
        challenger=count,
        champion=None,
        estimate=count,
        low=count,
        high=count,
        bound=0.0,
        reason=f"leakage: {why}: {decision}",
    )


def _hashed(files: Iterable[tuple[str, Path]], columns: Sequence[str]) -> Iterator[tuple[str, int, Hashes]]:
    """Night, number of the first row, hashes: batch after batch."""
    for night, path in files:
        try:
            with pq.ParquetFile(path) as file:
                if absent := missing_columns(columns, file.schema_arrow.names):
                    raise DataError(
                        f"{path}: expected the columns {', '.join(columns)}, {absent}. Write the night with them."
                    )
                first = 0
                for batch in file.iter_batches(_BATCH_ROWS, columns=list(columns), use_threads=False):
                    yield night, first, row_hashes(batch, columns)
                    first += batch.num_rows
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{path}: expected a complete Parquet file: {error}. Fetch the night again.") from error


def _positions(known: Hashes, hashes: Hashes) -> npt.NDArray[np.int64]:
    """Where each hash stands among the known ones, which are sorted; -1 if it does not."""
    if not len(known):
        return np.full(len(hashes), -1, dtype=np.int64)
    at = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
    return np.where(known[at] == hashes, at, -1)


def _examples(inverse: npt.NDArray[np.int64], seen: dict[int, str]) -> list[tuple[int, str]]:
    found = [(int(np.flatnonzero(inverse == at)[0]), there) for at, there in seen.items()]
    return sorted(found)[:_EXAMPLES]


def _place(places: Sequence[tuple[str, int]], row: int) -> str:
    before, night = 0, ""
    for name, rows in places:
        # Batches of one night follow each other: rows count from the night's first.
        before, night = (before, night) if name == night else (0, name)
        if row < rows:
            return f"{night} row {before + row}"
        before, row = before + rows, row - rows
    raise IndexError(row)


def _mix(hashes: Hashes) -> None:
    """Spread every bit over all others, in place."""
    hashes ^= hashes >> _S30
    hashes *= _MIX_1
    hashes ^= hashes >> _S27
    hashes *= _MIX_2
    hashes ^= hashes >> _S31


def _value_bits(column: pa.ChunkedArray | pa.Array) -> Hashes:
    """64 bits for each value, the same for the same value of any type."""
    if isinstance(column, pa.ChunkedArray):
        return np.concatenate([np.empty(0, np.uint64), *(_value_bits(chunk) for chunk in column.chunks)])
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if any(is_kind(kind) for is_kind in _NUMBERS):
        return _number_bits(column)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        # Unsafe: what is finer than a microsecond is cut off.
        times = column.cast(pa.timestamp("us", getattr(kind, "tz", None)), safe=False).cast(pa.int64())
        bits: Hashes = times.fill_null(0).to_numpy(zero_copy_only=False).view(np.uint64)
    else:
        bits = _text_bits(column)
    if not column.null_count:
        return bits
    return np.where(column.is_null().to_numpy(zero_copy_only=False), _MISSING, bits)


def _number_bits(column: pa.Array) -> Hashes:
    # By way of 64 bits: a large integer would be rounded once as an integer, but twice where it was written as a float.
    values = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    with np.errstate(over="ignore"):
        # Adding zero turns -0.0 into 0.0.
        numbers = values.astype(np.float32) + np.float32(0)
    numbers[np.isnan(numbers)] = np.nan
    bits: Hashes = numbers.view(np.uint32).astype(np.uint64)
    return bits


def _text_bits(column: pa.Array) -> Hashes:
    if pa.types.is_nested(column.type):
        distinct, at = column.to_pylist(), np.arange(len(column))
    else:
        encoded = column.dictionary_encode()
        distinct, at = encoded.dictionary.to_pylist(), encoded.indices.fill_null(0).to_numpy(zero_copy_only=False)
    # One more than there are texts: a column of nulls alone has none, but is asked for the first.
    bits = np.array([*map(_digest, distinct), 0], dtype=np.uint64)
    return bits.take(at)


def _digest(value: object) -> int:
    data = value if isinstance(value, bytes) else str(value).encode()
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")
