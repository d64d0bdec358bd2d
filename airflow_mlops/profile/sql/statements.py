"""The queries: what is counted, as expressions of ibis that no engine has seen yet.

Each column is grouped by its bin, and the groups of all columns are one ``UNION ALL``: a single statement, which sees
one state of the table and gives a few dozen rows a column. Two thousand sums over ``CASE WHEN``, one for every bin of
thirty columns, are refused by PostgreSQL (1,664 columns) and take longer everywhere.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, NamedTuple

from airflow_mlops.profile.sql.values import bin_of, is_known, is_present, level_of, literal, microseconds_of, number_of
from airflow_mlops.profile.tally import Plan

__all__ = ["KNOWN", "NOT_FINITE", "NOVEL", "NULL", "Group", "gram_statements", "groups", "novel_levels"]

NULL, NOT_FINITE = -2, -1
KNOWN, NOVEL = 0, 1
# Columns of one answer: PostgreSQL takes no more than 1,664.
_MOST_SUMS = 1500
# Below it a square leaves float64 on the other side, which PostgreSQL calls an error.
_SMALLEST = 1e-150


class Group(NamedTuple):
    """Rows of a column (by its place in the plan) that share a bin or a level."""

    place: int
    bin: int
    rows: int
    total: float | None
    variance: float | None
    low: float | None
    high: float | None
    level: str | None


def groups(table: Any, plan: Plan, time_column: str | None, engine: str) -> list[Any]:
    """A query for each column: numbers, then levels, then the time column in microseconds."""
    numbers = [
        _bins(table, number_of(table[name], engine), place, edges.tolist())
        for place, (name, edges) in enumerate(zip(plan.numbers, plan.edges, strict=True))
    ]
    levels = [
        _levels(table, name, place, known) for place, (name, known) in enumerate(plan.levels.items(), len(numbers))
    ]
    if time_column is None:
        return [*numbers, *levels]
    time = microseconds_of(table[time_column], engine).cast("float64")
    return [*numbers, *levels, _bins(table, time, len(numbers) + len(levels), ())]


def novel_levels(table: Any, place: int, name: str, known: Collection[str]) -> Any:
    """The new levels of a column, each with its rows."""
    import ibis

    found = table.select(level=level_of(table[name]))
    found = found.filter(found.level.notnull() & ~is_known(found.level, known))
    counted = found.group_by("level").aggregate(rows=found.count())
    return counted.select(place=ibis.literal(place, "int32"), level=counted.level, rows=counted.rows)


def gram_statements(
    table: Any, plan: Plan, holes: Collection[int], engine: str
) -> Iterator[tuple[list[tuple[str, int, int]], Any]]:
    """Queries of one row: how many rows there are, then the sums that the list names.

    ``("sum", i, i)`` of column i less its centre; ``("product", i, j)`` of two of them; ``("both", i, j)`` rows that
    have both, asked only where both have ``holes``.
    """
    names = plan.numbers[: plan.correlated]
    numbers = [number_of(table[name], engine) for name in names]
    centred = table.select(
        **{f"c{place}": _centred(number, plan.centres[place]) for place, number in enumerate(numbers)}
    )
    wanted: list[tuple[str, int, int]] = [("sum", place, place) for place in range(len(names))]
    for one in range(len(names)):
        for other in range(one, len(names)):
            wanted.append(("product", one, other))
            if one != other and one in holes and other in holes:
                wanted.append(("both", one, other))
    for start in range(0, len(wanted), _MOST_SUMS):
        part = wanted[start : start + _MOST_SUMS]
        sums = {f"s{place}": _sum(centred, *key) for place, key in enumerate(part)}
        yield part, centred.aggregate(rows=centred.count(), **sums)


def _bins(table: Any, number: Any, place: int, edges: Sequence[float]) -> Any:
    import ibis

    present = is_present(number)
    binned = table.select(
        bin=ibis.cases(
            (present, bin_of(number, edges)),
            # Of the number itself, Spark's compiler would count NaN as null.
            (present.isnull(), ibis.literal(NULL, "int32")),
            else_=ibis.literal(NOT_FINITE, "int32"),
        ),
        number=present.ifelse(number, ibis.null("float64")),
    )
    counted = binned.group_by("bin").aggregate(
        rows=binned.count(),
        total=binned.number.sum(),
        variance=binned.number.var(how="pop"),
        low=binned.number.min(),
        high=binned.number.max(),
    )
    return _group(counted, place, level=ibis.null("string"))


def _levels(table: Any, name: str, place: int, known: Collection[str]) -> Any:
    import ibis

    level = level_of(table[name])
    found = is_known(level, known)
    told = table.select(
        bin=ibis.cases(
            (level.isnull(), ibis.literal(NULL, "int32")),
            (found, ibis.literal(KNOWN, "int32")),
            else_=ibis.literal(NOVEL, "int32"),
        ),
        level=found.ifelse(level, ibis.null("string")),
    )
    counted = told.group_by("bin", "level").aggregate(rows=told.count())
    nothing = dict.fromkeys(("total", "variance", "low", "high"), ibis.null("float64"))
    return _group(counted, place, **nothing)


def _group(counted: Any, place: int, **more: Any) -> Any:
    import ibis

    columns = {name: counted[name] for name in counted.columns} | more
    return counted.select(place=ibis.literal(place, "int32"), **{name: columns[name] for name in Group._fields[1:]})


def _centred(number: Any, centre: float) -> Any:
    import ibis

    shifted = number - literal(centre)
    small = shifted.abs() < literal(_SMALLEST)
    return is_present(number).ifelse(small.ifelse(literal(0.0), shifted), ibis.null("float64"))


def _sum(centred: Any, kind: str, one: int, other: int) -> Any:
    if kind == "sum":
        return centred[f"c{one}"].sum()
    product = centred[f"c{one}"] * centred[f"c{other}"]
    return product.sum() if kind == "product" else product.count()
