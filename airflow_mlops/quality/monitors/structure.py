"""Faults that are plain after few nights: no rows, other columns, a column without values, an earlier night's copy."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from airflow_mlops.quality.monitors.past import Nights

__all__ = ["LEAST_SEEN", "Break", "breaks"]

LEAST_SEEN = 3
"""Nights after which what all of them had is missed."""
LEAST_ROWS_SEEN = 7
"""Nights after which it is plain that there were never nearly as many rows, or as few."""
# As far again beyond all as those lie apart, and half as many again.
_CLEAR, _TIMES = 1.0, 1.5
# What has to be alike of a column for it to be the copy of another night's.
_PRINT = ("nulls", "distinct", "min", "max", "mean", "sd", "length", "levels")
# Fewer distinct values, or columns, may be alike by chance.
_LEAST_DISTINCT, _LEAST_ALIKE = 5, 2


class Break(NamedTuple):
    """A fault of the whole table or of a whole column."""

    monitor: str
    column: str | None
    expected: str
    actual: str

    def holds(self, tonight: dict[str, Any], other: dict[str, Any]) -> bool:
        """Whether the facts of another night show the same fault as tonight's."""
        if self.column is None:
            return self.monitor == "volume" and bool(other["rows"] == tonight["rows"])
        ours, theirs = (facts["columns"].get(self.column, {}) for facts in (tonight, other))
        if self.monitor == "nulls":
            return bool(theirs.get("nulls") == other["rows"])
        return bool(ours.get("type") == theirs.get("type"))


def breaks(nights: Nights) -> Iterator[Break]:
    """Find them; none before three nights are known."""
    if nights.before < LEAST_SEEN:
        return
    past = nights.facts[:-1]
    rows = [one["rows"] for one in past]
    if not nights.tonight["rows"]:
        if min(rows) > 0:
            yield Break("volume", None, f"rows, as in {_nights(nights.before)}", "no rows")
        yield from _schema(nights)
        return
    yield from _rows_beyond_all(nights.tonight["rows"], rows)
    yield from _schema(nights)
    for name, column in nights.tonight["columns"].items():
        held = [one for one in past if one["rows"] and name in one["columns"]]
        empty = [one for one in held if one["columns"][name]["nulls"] == one["rows"]]
        if column["nulls"] == nights.tonight["rows"] and len(held) >= LEAST_SEEN and not empty:
            yield Break("nulls", name, f"values, as in {_nights(len(held))}", f"all {column['nulls']} rows null")
    if (copied := _copied(nights)) is not None:
        night, alike, of = copied
        yield Break("uniqueness", None, "rows of its own", f"{alike} of {of} columns hold what they held on {night}")


def _rows_beyond_all(tonight: int, past: Sequence[int]) -> Iterator[Break]:
    """Far more or fewer rows than ever: seen before there are nights enough to know how far they stray."""
    low, high = min(past), max(past)
    far = _CLEAR * (high - low)
    beyond = tonight > max(high + far, _TIMES * high) or tonight < min(low - far, low / _TIMES)
    if beyond and len(past) >= LEAST_ROWS_SEEN:
        yield Break("volume", None, f"{low} to {high} rows, as in {_nights(len(past))}", f"{tonight} rows")


def _schema(nights: Nights) -> Iterator[Break]:
    past = [one["columns"] for one in nights.facts[:-1]]
    tonight = nights.tonight["columns"]
    types: dict[str, list[str]] = {}
    for columns in past:
        for name, column in columns.items():
            known = types.setdefault(name, [])
            if column["type"] not in known:
                known.append(column["type"])
    for name in past[-1]:
        first = next(place for place, columns in enumerate(past) if name in columns)
        always = all(name in columns for columns in past[first:])
        if name not in tonight and always and len(past) - first >= LEAST_SEEN:
            yield Break("schema", name, f"{name}, as in {_nights(len(past) - first)}", "no such column")
    for name, column in tonight.items():
        if name not in types:
            yield Break(
                "schema", name, f"the columns of {_nights(len(past))}", f"a new column of type {column['type']}"
            )
        elif column["type"] not in types[name]:
            yield Break("schema", name, f"{' or '.join(types[name])}, as in {_nights(len(past))}", column["type"])


def _copied(nights: Nights) -> tuple[dt.date, int, int] | None:
    """The night before that most columns are alike to, how many of them are, and of how many that could be."""
    prints = [
        {
            name: _print(column)
            for name, column in one["columns"].items()
            if column.get("distinct", 0) >= _LEAST_DISTINCT
        }
        for one in nights.facts
    ]
    tonight = prints.pop()
    telling = []
    for name in tonight:
        past = [one[name] for one in prints if name in one]
        if len(past) >= LEAST_SEEN and len(set(past)) == len(past):
            telling.append(name)
    counts = [sum(one.get(name) == tonight[name] for name in telling) for one in prints]
    alike = max(counts, default=0)
    if alike < _LEAST_ALIKE or 2 * alike < len(telling):
        return None
    return nights.nights[counts.index(alike)], alike, len(telling)


def _print(column: dict[str, Any]) -> str:
    return repr([column.get(key) for key in _PRINT])


def _nights(count: int) -> str:
    return f"{count} nights"
