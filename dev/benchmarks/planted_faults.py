"""Faults that nights of real tables have had, planted into one: each kind a function of the night and the night before.

Written down before any monitor was tuned. A fault is as large as it is usual (a fifth of the rows, one column), and
its rows are drawn by a seed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["FAULTS", "Planted", "with_weather_words"]

_SHARE = 0.2
_WORDS = {1: "heiter, schön", 2: "bewölkt", 3: "leichter Regen", 4: "Unwetter, Böen"}


@dataclass(frozen=True)
class Planted:
    """A night with a fault in it.

    Attributes
    ----------
    rows : pyarrow.Table
        What lies there.
    late_hours : float
        How much later than it did it came.
    """

    rows: pa.Table
    late_hours: float = 0.0


Fault = Callable[[pa.Table, pa.Table, np.random.Generator], Planted]


def with_weather_words(table: pa.Table) -> pa.Table:
    """The table with a column of text, which the real one lacks: its weather situation in words."""
    words = [_WORDS[code] for code in table["weathersit"].to_pylist()]
    return table.append_column("weather", pa.array(words, pa.string()))


def _set(rows: pa.Table, name: str, values: pa.Array | pa.ChunkedArray | np.ndarray) -> pa.Table:
    return rows.set_column(
        rows.column_names.index(name), name, pa.array(values) if isinstance(values, np.ndarray) else values
    )


def _some(rows: pa.Table, random: np.random.Generator) -> np.ndarray:
    """A mask of a fifth of the rows, at least one."""
    mask = np.zeros(rows.num_rows, dtype=bool)
    mask[random.choice(rows.num_rows, max(round(_SHARE * rows.num_rows), 1), replace=False)] = True
    return mask


def _numbers(rows: pa.Table, name: str) -> np.ndarray:
    values: np.ndarray = rows[name].to_numpy().copy()
    return values


def _changed(name: str, change: Callable[[np.ndarray], np.ndarray], *, some: bool = False) -> Fault:
    """A numeric column changed in all rows, or in some."""

    def plant(rows: pa.Table, before: pa.Table, random: np.random.Generator) -> Planted:
        del before
        values = _numbers(rows, name)
        mask = _some(rows, random) if some else np.ones(len(values), dtype=bool)
        return Planted(_set(rows, name, np.where(mask, change(values), values)))

    return plant


def _worded(change: Callable[[str], str], *, some: bool = True) -> Fault:
    """The text column changed in some rows, or in all."""

    def plant(rows: pa.Table, before: pa.Table, random: np.random.Generator) -> Planted:
        del before
        mask = _some(rows, random) if some else np.ones(rows.num_rows, dtype=bool)
        words = [change(word) if wrong else word for word, wrong in zip(rows["weather"].to_pylist(), mask, strict=True)]
        return Planted(_set(rows, "weather", pa.array(words, pa.string())))

    return plant


def _nulls(rows: pa.Table, before: pa.Table, random: np.random.Generator) -> Planted:
    del before
    return Planted(_set(rows, "temp", pa.array(_numbers(rows, "temp"), mask=_some(rows, random))))


def _repeated(rows: pa.Table, before: pa.Table, random: np.random.Generator) -> Planted:
    del before
    return Planted(pa.concat_tables([rows, rows.filter(pa.array(_some(rows, random)))]))


def _half(rows: pa.Table, before: pa.Table, random: np.random.Generator) -> Planted:
    del before
    return Planted(rows.take(pa.array(np.sort(random.permutation(rows.num_rows)[: rows.num_rows // 2]))))


def _renamed_level(rows: pa.Table, before: pa.Table, random: np.random.Generator) -> Planted:
    del before, random
    words = rows["weather"].to_pylist()
    commonest = max(sorted(set(words)), key=words.count)
    return Planted(_set(rows, "weather", pa.array(["sonnig" if word == commonest else word for word in words])))


def _swapped(rows: pa.Table, before: pa.Table, random: np.random.Generator) -> Planted:
    del before, random
    return Planted(_set(_set(rows, "temp", rows["hum"]), "hum", rows["temp"]))


def _moved(delta: dt.timedelta, *, some: bool) -> Fault:
    def plant(rows: pa.Table, before: pa.Table, random: np.random.Generator) -> Planted:
        del before
        moved = pc.add(rows["dteday"], pa.scalar(delta))
        mask = pa.array(_some(rows, random)) if some else pa.array(np.ones(rows.num_rows, dtype=bool))
        return Planted(_set(rows, "dteday", pc.if_else(mask, moved, rows["dteday"])))

    return plant


def _stale(rows: pa.Table, before: pa.Table, random: np.random.Generator) -> Planted:
    """Yesterday's rows under tonight's date."""
    del random
    night = pc.min(rows["dteday"].cast(pa.date32())).as_py()
    yesterday = pc.min(before["dteday"].cast(pa.date32())).as_py()
    return Planted(_set(before, "dteday", pc.add(before["dteday"], pa.scalar(night - yesterday))))


def _mixed(rows: pa.Table, before: pa.Table, random: np.random.Generator) -> Planted:
    return Planted(pa.concat_tables([rows, before.filter(pa.array(_some(before, random)))]))


def _shuffled(rows: pa.Table, before: pa.Table, random: np.random.Generator) -> Planted:
    del before
    return Planted(_set(rows, "temp", random.permutation(_numbers(rows, "temp"))))


def _repeated_ids(rows: pa.Table, before: pa.Table, random: np.random.Generator) -> Planted:
    del before
    ids, mask = _numbers(rows, "instant"), _some(rows, random)
    ids[mask] = ids[~mask][0] if (~mask).any() else ids[0]
    return Planted(_set(rows, "instant", ids))


def _as_is(change: Callable[[pa.Table], pa.Table]) -> Fault:
    def plant(rows: pa.Table, before: pa.Table, random: np.random.Generator) -> Planted:
        del before, random
        return Planted(change(rows))

    return plant


FAULTS: dict[str, Fault] = {
    "nulls in a fifth of a column": _nulls,
    "a column all null": _as_is(lambda rows: _set(rows, "hum", pa.nulls(rows.num_rows, pa.float64()))),
    "a fifth of the rows twice": _repeated,
    "the whole night twice": _as_is(lambda rows: pa.concat_tables([rows, rows])),
    "half of the rows": _half,
    "truncated at noon": _as_is(lambda rows: rows.filter(pc.less(rows["hr"], 12))),
    "nine hours late": lambda rows, before, random: Planted(rows, late_hours=9.0),  # noqa: ARG005 - as every fault
    "no rows": _as_is(lambda rows: rows.slice(0, 0)),
    "another unit (Celsius to Fahrenheit)": _changed("temp", lambda share: (41 * share * 1.8 + 32) / 41),
    "a share as per cent": _changed("hum", lambda share: 100 * share),
    "decimal point moved in a fifth of the rows": _changed("atemp", lambda share: 10 * share, some=True),
    "decimal point moved in all rows": _changed("windspeed", lambda share: share / 10),
    "sign flipped": _changed("temp", lambda share: -share),
    "-999 for a fifth of the values": _changed("hum", lambda share: np.full_like(share, -999.0), some=True),
    "zeros for all values": _changed("temp", np.zeros_like),
    "a constant": _changed("registered", lambda count: np.full_like(count, count[0])),
    "rounded to integers": _changed("hum", np.round),
    "two columns swapped": _swapped,
    "a column shuffled against the others": _shuffled,
    "a new level in a fifth of the rows": _worded(lambda _: "Hagel"),
    "a level renamed": _renamed_level,
    "upper case in a fifth of the rows": _worded(str.upper),
    "blanks around a fifth of the levels": _worded(lambda word: f"{word} "),
    "UTF-8 read as Latin-1": _worded(lambda word: word.encode().decode("latin-1"), some=False),
    "a column renamed": _as_is(
        lambda rows: rows.rename_columns([{"temp": "temperature"}.get(name, name) for name in rows.column_names])
    ),
    "a column dropped": _as_is(lambda rows: rows.drop_columns(["hum"])),
    "a column more": _as_is(lambda rows: rows.append_column("source", pa.array(["b"] * rows.num_rows))),
    "integers as floats": _as_is(lambda rows: _set(rows, "cnt", rows["cnt"].cast(pa.float64()))),
    "numbers as text": _as_is(lambda rows: _set(rows, "temp", rows["temp"].cast(pa.string()))),
    "five hours of time zone": _moved(dt.timedelta(hours=5), some=False),
    "a fifth of the rows a year ahead": _moved(dt.timedelta(days=365), some=True),
    "yesterday's rows under tonight's date": _stale,
    "a fifth of yesterday's rows among tonight's": _mixed,
    "identifiers that repeat": _repeated_ids,
}
