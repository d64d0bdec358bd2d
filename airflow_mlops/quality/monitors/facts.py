"""A night boiled down to numbers: what monitors learn from, counted where the rows lie.

They are a pure function of the night's rows, with no edges of a baseline: nights can be counted in any order. Three or
four queries count a table of few columns, whatever the number of rows; DuckDB and PostgreSQL give the same numbers.
"""

from __future__ import annotations

import datetime as dt
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from airflow_mlops.profile.kinds import kind_of
from airflow_mlops.profile.sql.answers import answer
from airflow_mlops.profile.sql.values import is_present, literal, microseconds_of, number_of
from airflow_mlops.quality.night_table import NightTable

__all__ = ["FACTS_VERSION", "PATTERNS", "facts_of"]

FACTS_VERSION = 1
"""Facts of another version are counted again."""
# To remember every value takes memory. Above so many rows, numbers of distinct values are estimated where the engine
# can (DuckDB: within a few per cent), values that are there again are counted among a part of all, repeated rows not.
_MOST_EXACT_ROWS = 200_000
_MOST_LEVELS = 24
_LONGEST_LEVEL = 32
# 190 pairs.
_MOST_PAIRED = 20
# PostgreSQL answers with at most 1,664 columns.
_COLUMNS_A_QUERY = 80
_NUMBERS = ("boolean", "integer", "number")
_VALUES = ("min", "max", "mean", "sd", "least")
_LENGTHS = ("shortest", "longest", "length")
_COMPARABLE = (*_NUMBERS, "time", "text")
# Below it a square leaves float64 on the other side, which PostgreSQL calls an error.
_SMALLEST = 1e-150
_MICROSECONDS_AN_HOUR = 3_600_000_000
_HOURS = 24
PATTERNS = {
    "blank": r"^\s*$",
    "padded": r"^\s+\S|\S\s+$",
    "accented": r"[^\x01-\x7F]",
    # U+FFFD, and UTF-8 that was read as Latin-1 or Windows-1252.
    "damaged": "\ufffd|\u00c3[\u0080-\u00bf]|\u00c2[\u0080-\u00bf]|\u00e2\u20ac",
    "digits": r"^[+-]?[0-9]+([.,][0-9]+)?$",
}
"""What is counted of texts, as regular expressions that DuckDB and PostgreSQL read alike."""


def facts_of(
    table: NightTable, *, ignore: Sequence[str] = (), time_column: str | None, sensitive: Sequence[str] = ()
) -> dict[str, Any]:
    """Count a night.

    Parameters
    ----------
    table : NightTable
        The night; may have no rows.
    ignore : sequence of str
        Columns that are left out.
    time_column : str or None
        When a row happened.
    sensitive : sequence of str
        Columns, in any case, none of whose values may be kept: of these, only counts.

    Returns
    -------
    dict
        JSON-able. ``rows``; ``repeats``, the rows that are there again (None of more than 200,000 rows);
        ``columns``, by name in the order of the table; ``pairs``, covariances of the first twenty columns of numbers;
        ``hours``, the rows of each hour of the night, and ``outside`` it, if there is a time column.

        Of each column ``type``, ``kind``, ``nulls`` and, where values can be compared, ``distinct`` and ``repeated``
        (rows less distinct values). Of numbers ``min``, ``max``, ``mean``, ``sd``, the ``least`` that is not zero
        (without its sign), and the rows that are ``negative``, ``zero``, ``fraction`` or ``infinite``; of times ``min``
        and ``max`` in hours since the night began; of texts ``shortest``, ``longest``, ``length`` (mean), and the rows
        that are ``blank``, ``padded``, ``accented`` (not ASCII), ``damaged``, ``upper`` and ``digits``. ``levels``:
        rows of each value, where no more than 24 come again.

    Raises
    ------
    RemoteUnavailable, RemoteRejected
        If the database does not answer, or refuses.
    """
    rows, backend = table.rows, table.rows.get_backend()
    kinds = {
        field.name: _kind(field.type, rows[field.name].type())
        for field in table.schema
        if field.name not in ignore and field.name in rows.columns
    }
    counted = _counted(rows, kinds, backend, table.pin.rows, table.night)
    number = next(counted)
    columns: dict[str, dict[str, Any]] = {
        name: {"type": str(table.schema.field(name).type), "kind": kinds[name]} for name in kinds
    }
    for name, stat, value in counted:
        columns[name][stat] = value
    named = {name.casefold() for name in sensitive}
    hidden = {name for name in columns if name.casefold() in named}
    for name in hidden:
        columns[name] = {key: value for key, value in columns[name].items() if key not in _VALUES}
    few = [name for name, column in columns.items() if name not in hidden and _has_levels(column, number)]
    for name, level, count in _levels(rows, few, backend):
        columns[name].setdefault("levels", {})[level] = count
    facts: dict[str, Any] = {"rows": number, "repeats": None, "columns": columns}
    compared = [name for name, kind in kinds.items() if kind != "other"]
    if compared and number <= _MOST_EXACT_ROWS:
        [(once,)] = answer(rows.select(*compared).distinct().count().name("once").as_table(), backend)
        facts["repeats"] = number - once
    paired = [name for name, kind in kinds.items() if kind in ("integer", "number") and name not in hidden][
        :_MOST_PAIRED
    ]
    facts["pairs"] = {"columns": paired, "covariances": _covariances(rows, paired, backend)}
    if time_column is not None and kinds.get(time_column) == "time":
        facts["hours"], facts["outside"] = _hours(rows, time_column, table.night, backend)
    return facts


def _kind(declared: pa.DataType, held: Any) -> str:
    """One word for a column; ``other`` is only counted, as JSON and bytes are, whatever Arrow holds them as."""
    kind = kind_of(declared)
    if kind not in _COMPARABLE or (kind == "text" and not (held.is_string() or held.is_uuid())):
        return "other"
    return "uuid" if held.is_uuid() else kind


def _counted(rows: Any, kinds: dict[str, str], backend: Any, size: int, night: dt.date) -> Iterator[Any]:
    """First the number of rows, then name, statistic and value of each column."""
    names = list(kinds)
    total: int | None = None
    for start in range(0, max(len(names), 1), _COLUMNS_A_QUERY):
        part = names[start : start + _COLUMNS_A_QUERY]
        wanted = {
            (name, stat): expression
            for name in part
            for stat, expression in _statistics(rows[name], kinds[name], backend.name, night, size)
        }
        named = {f"s{place}": expression for place, expression in enumerate(wanted.values())}
        [(found, *values)] = answer(rows.aggregate(rows=rows.count(), **named), backend)
        if total is None:
            total = int(found)
            yield total
        for (name, stat), value in zip(wanted, values, strict=True):
            # A sum over no rows is null in SQL; of a count that is zero.
            yield name, stat, 0 if value is None and stat not in (*_VALUES, *_LENGTHS) else _plain(value)


def _statistics(column: Any, kind: str, engine: str, night: dt.date, size: int) -> Iterator[tuple[str, Any]]:
    yield "nulls", column.isnull().sum()
    if kind == "other":
        return
    yield from _distinct(column, engine, size)
    if kind == "uuid":
        return
    if kind == "time":
        hours = (microseconds_of(column, engine) - _start(night)).cast("float64") / float(_MICROSECONDS_AN_HOUR)
        yield from {"min": hours.min(), "max": hours.max()}.items()
    elif kind == "text":
        yield from _of_text(column.cast("string"))
    else:
        yield from _of_numbers(column, kind, engine)


def _distinct(column: Any, engine: str, size: int) -> Iterator[tuple[str, Any]]:
    import ibis

    if size <= _MOST_EXACT_ROWS:
        yield "distinct", column.nunique()
        yield "repeated", column.count() - column.nunique()
        return
    yield "distinct", column.approx_nunique()
    # One value in so many, by its hash: all rows of a value are looked at, or none.
    parts = 1 << math.ceil(math.log2(size / _MOST_EXACT_ROWS))
    hashed = (column if engine == "duckdb" else column.cast("string")).hash()
    part = ((hashed & (parts - 1)) == 0).ifelse(column, ibis.null(column.type()))
    yield "repeated", (part.count() - part.nunique()) * parts


def _of_numbers(column: Any, kind: str, engine: str) -> Iterator[tuple[str, Any]]:
    import ibis

    number = number_of(column, engine)
    if kind == "number":
        present = is_present(number)
        yield "infinite", (~present).sum()
        number = present.ifelse((number.abs() < literal(_SMALLEST)).ifelse(literal(0.0), number), ibis.null("float64"))
        yield "fraction", (number != _rounded_down(number)).sum()
        yield "least", (number != literal(0.0)).ifelse(number.abs(), ibis.null("float64")).min()
    yield from {"min": number.min(), "max": number.max(), "mean": number.mean(), "sd": number.std(how="pop")}.items()
    if kind != "boolean":
        yield "negative", (number < literal(0.0)).sum()
        yield "zero", (number == literal(0.0)).sum()


def _rounded_down(number: Any) -> Any:
    """The engine's own floor of a float64: that of ibis is a bigint, into which not every number fits."""
    import ibis

    floor = ibis.udf.scalar.builtin(lambda _: None, name="floor", signature=(("float64",), "float64"))
    return floor(number)


def _of_text(text: Any) -> Iterator[tuple[str, Any]]:
    length = text.length()
    yield from {"shortest": length.min(), "longest": length.max(), "length": length.cast("float64").mean()}.items()
    yield "upper", ((text == text.upper()) & (text != text.lower())).sum()
    for name, pattern in PATTERNS.items():
        yield name, text.re_search(pattern).sum()


def _has_levels(column: dict[str, Any], rows: int) -> bool:
    """Whether its values are few and come again: an identifier or a measurement has no levels."""
    few = 0 < column.get("distinct", 0) <= min(_MOST_LEVELS, max(rows // 2, 1))
    return few and column["kind"] in ("boolean", "integer", "text") and column.get("longest", 0) <= _LONGEST_LEVEL


def _levels(rows: Any, names: Sequence[str], backend: Any) -> Iterator[tuple[str, str, int]]:
    import ibis

    for start in range(0, len(names), _COLUMNS_A_QUERY):
        part = names[start : start + _COLUMNS_A_QUERY]
        counted = []
        for place, name in enumerate(part):
            level = rows.filter(rows[name].notnull()).select(level=rows[name].cast("string"))
            grouped = level.group_by("level").aggregate(rows=level.count())
            counted.append(grouped.select(place=ibis.literal(place, "int32"), level=grouped.level, rows=grouped.rows))
        expression = counted[0] if len(counted) == 1 else ibis.union(*counted)
        for place, level, count in sorted(answer(expression, backend)):
            yield part[place], level, count


def _covariances(rows: Any, names: Sequence[str], backend: Any) -> list[float | None]:
    """Of each pair of columns in the order of `itertools.combinations`, over rows that have both."""
    import ibis

    if len(names) < 2:  # noqa: PLR2004 - a pair
        return []
    numbers = {}
    for name in names:
        number = number_of(rows[name], backend.name)
        small = (number.abs() < literal(_SMALLEST)).ifelse(literal(0.0), number)
        numbers[name] = is_present(number).ifelse(small, ibis.null("float64"))
    columns = rows.select(**{f"c{place}": numbers[name] for place, name in enumerate(names)})
    pairs = itertools.combinations(range(len(names)), 2)
    [values] = answer(
        columns.aggregate(
            **{f"p{one}_{other}": columns[f"c{one}"].cov(columns[f"c{other}"], how="pop") for one, other in pairs}
        ),
        backend,
    )
    return [_plain(value) for value in values]


def _hours(rows: Any, time_column: str, night: dt.date, backend: Any) -> tuple[list[int], int]:
    since = microseconds_of(rows[time_column], backend.name) - _start(night)
    placed = rows.select(hour=(since.cast("float64") / float(_MICROSECONDS_AN_HOUR)).floor().cast("int64"))
    placed = placed.filter(placed.hour.notnull())
    inside = placed.select(hour=((placed.hour >= 0) & (placed.hour < _HOURS)).ifelse(placed.hour, -1))
    counted = dict(answer(inside.group_by("hour").aggregate(rows=inside.count()), backend))
    return [int(counted.get(hour, 0)) for hour in range(_HOURS)], int(counted.get(-1, 0))


def _start(night: dt.date) -> int:
    return (night - dt.date(1970, 1, 1)).days * _HOURS * _MICROSECONDS_AN_HOUR


def _plain(value: Any) -> int | float | None:
    """As JSON has it, floats to nine digits: what threads add up in another order is the same."""
    if value is None or isinstance(value, int):
        return value
    number = float(value)
    return float(f"{number:.9g}") if math.isfinite(number) else None
