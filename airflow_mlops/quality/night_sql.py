"""SQL on one night, the same in DuckDB and PostgreSQL: its rows under a name, and those of them that do not hold."""

# ruff: noqa: S608 - names are quoted; conditions and queries are SQL that stands in the project's own contract

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from airflow_mlops.quality.night_table import NightTable

__all__ = ["Answer", "name_parts", "named_rows", "quoted", "rows_of", "rows_repeating", "rows_where", "run"]

# No column of a night has such a name.
_NUMBER = '"row number of the night"'
_PART_OF_A_NAME = re.compile(r'"((?:[^"]|"")+)"|([^."]+)')


def quoted(name: str) -> str:
    """Quote a column or a table for SQL.

    Examples
    --------
    >>> quoted('the "cnt" now')
    '"the ""cnt"" now"'
    """
    return '"' + name.replace('"', '""') + '"'


def name_parts(name: str) -> tuple[str, str]:
    """Split ``SCHEMA.TABLE``, and take the quotes off.

    Examples
    --------
    >>> name_parts('public."hourly rides"')
    ('public', 'hourly rides')
    """
    schema, table = (quoted.replace('""', '"') or bare for quoted, bare in _PART_OF_A_NAME.findall(name))
    return schema, table


class Answer(NamedTuple):
    """What a query gave: the columns, the name of each first (DB-API), and all rows.

    They are in memory: a cursor of DuckDB's keeps its connection busy until its last row is fetched.
    """

    description: list[tuple[Any, ...]]
    rows: list[tuple[Any, ...]]


def run(table: NightTable, sql: str, parameters: Sequence[Any] = ()) -> Answer:
    """Run a query on the night's own connection.

    Parameters
    ----------
    table : NightTable
        An open night.
    sql : str
        One SELECT; its answer is held in memory.
    parameters : sequence, optional
        Values of its placeholders, which each engine writes in its own way.

    Raises
    ------
    RemoteUnavailable
        If the disk or the database does not answer.
    DataError
        If the file is torn.
    duckdb.Error, psycopg.Error
        If this is no query that the database can answer.
    """
    from airflow_mlops.quality.sources.errors import database_errors

    # A savepoint: after a query that failed, those to come still see the snapshot of those before it.
    unharmed = table.connection.transaction() if table.engine == "postgres" else contextlib.nullcontext()
    with database_errors(table.location), unharmed:
        cursor = table.connection.execute(sql, parameters) if parameters else table.connection.execute(sql)
        return Answer([tuple(column) for column in cursor.description], cursor.fetchall())


def rows_of(table: NightTable) -> str:
    """Give what to select a night's rows FROM, NaN as NULL."""
    return table.name if table.engine == "duckdb" else f"({_rows(table)}) AS night"


def named_rows(table: NightTable, name: str, sql: str) -> str:
    """Let a query that reads a table of some name read the night's rows, NaN as NULL.

    Parameters
    ----------
    table : NightTable
        The night.
    name : str
        What the query calls it. In PostgreSQL it may as well use the table's own name, with or without schema.
    sql : str
        One SELECT, written by a person.

    Returns
    -------
    str
        The query over that night alone.
    """
    sql = sql.strip().rstrip(";")
    if table.engine == "duckdb":
        # Without a detour where none is needed: this is what runs over millions of rows.
        return sql if name == table.name else f"{_with(name, f'SELECT * FROM {table.name}')}\n{_within(sql)}"
    schema, own = name_parts(table.name)
    qualified = (
        rf'(?<![\w".])("{re.escape(schema)}"|{re.escape(schema)})\s*\.\s*("{re.escape(own)}"|{re.escape(own)}\b)'
    )
    sql = re.sub(qualified, quoted(name), sql)
    aliases = "" if own == name else f", {quoted(own)} AS (SELECT * FROM {quoted(name)})"
    return f"{_with(name, _rows(table))}{aliases}\n{_within(sql)}"


def rows_where(table: NightTable, condition: str) -> Callable[[int], pa.Table]:
    """Find rows of a night.

    Parameters
    ----------
    table : NightTable
        The night; it has to be open still when the rows are asked for.
    condition : str
        SQL that holds for them.

    Returns
    -------
    callable
        Gives up to so many of them, with all columns, before them ``row``: the number in the file, from 1. Null in
        PostgreSQL, which knows no order of rows; the same rows come each time all the same.
    """

    def found(most: int) -> pa.Table:
        from airflow_mlops.quality.sources.errors import database_errors

        if table.engine == "duckdb":
            # The subquery numbers the rows before any of them is left out.
            numbered = f"SELECT row_number() OVER () AS {_NUMBER}, * FROM {table.name}"
            picked = f"SELECT * FROM ({numbered}) WHERE ({condition}) ORDER BY 1 LIMIT {most:d}"
            with database_errors(table.location):
                rows = table.connection.sql(picked).to_arrow_table()
            return rows.rename_columns(["row", *rows.column_names[1:]])
        picked = f'SELECT * FROM {rows_of(table)} WHERE ({condition}) ORDER BY night::text COLLATE "C" LIMIT {most:d}'
        return _arrow(table, run(table, picked))

    return found


def rows_repeating(
    table: NightTable, columns: Sequence[str], condition: str | None = None
) -> Callable[[int], pa.Table]:
    """Find rows of a night whose values stand in another row too.

    Parameters
    ----------
    table : NightTable
        As in ``rows_where``.
    columns : sequence of str
        SQL expressions whose values together should be unique; NULL equals NULL.
    condition : str, optional
        SQL that holds for the rows that are looked at.
    """
    values = ", ".join(f"({column}) AS v{index}" for index, column in enumerate(columns))
    names = ", ".join(f"v{index}" for index in range(len(columns)))
    looked_at = f"SELECT {values} FROM {rows_of(table)}" + (f" WHERE ({condition})" if condition else "")
    repeated = f"SELECT {names} FROM ({looked_at}) AS looked_at GROUP BY {names} HAVING count(*) > 1"
    same = " AND ".join(f"again.v{index} IS NOT DISTINCT FROM ({column})" for index, column in enumerate(columns))
    both = f"EXISTS (SELECT 1 FROM ({repeated}) AS again WHERE {same})" + (f" AND ({condition})" if condition else "")
    return rows_where(table, both)


def _rows(table: NightTable) -> str:
    import ibis

    return str(ibis.to_sql(table.rows))


def _with(name: str, sql: str) -> str:
    return f"WITH {quoted(name)} AS (\n{sql}\n)"


def _within(sql: str) -> str:
    # A subquery may have a WITH of its own; the line break ends a comment on its last line.
    return f"SELECT * FROM (\n{sql}\n) AS answer"


def _arrow(table: NightTable, answer: Answer) -> pa.Table:
    names = [column[0] for column in answer.description]
    columns = list(zip(*answer.rows, strict=True)) or [()] * len(names)
    arrays = [_array(values, _type(table.schema, name)) for name, values in zip(names, columns, strict=True)]
    numbers = pa.nulls(len(arrays[0]) if arrays else 0, pa.int64())
    return pa.Table.from_arrays([numbers, *arrays], names=["row", *names])


def _type(schema: pa.Schema, name: str) -> pa.DataType:
    return schema.field(name).type if name in schema.names else pa.string()


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    try:
        return pa.array(values, kind)
    except (pa.ArrowException, TypeError, OverflowError):
        # What PostgreSQL has and Arrow has not, such as a range, is shown as text.
        return pa.array([None if value is None else str(value) for value in values], pa.string())
