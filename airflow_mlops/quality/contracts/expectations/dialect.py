"""Great Expectations asks through SQLAlchemy; this hands it the connection that a night was opened with.

So it needs neither an address nor a password, reads the very snapshot that the other checks read, and DuckDB, which it
does not know, answers where the data lies: PostgreSQL's SQL is DuckDB's too, less its regular expressions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

from sqlalchemy.dialects.postgresql.base import PGCompiler, PGDialect, PGIdentifierPreparer
from sqlalchemy.pool import StaticPool
from sqlalchemy.types import UserDefinedType

from airflow_mlops.errors import MLOpsError
from airflow_mlops.quality.night_sql import Answer, named_rows, run
from airflow_mlops.quality.night_table import NightTable

__all__ = ["NIGHT", "DuckDBNight", "Loan", "PostgresNight"]

# What the table is called in every query that Great Expectations writes.
NIGHT = "night"


class Loan:
    """A night's connection in the shape of DB-API, which cannot commit, roll back or close what is not its own.

    Parameters
    ----------
    table : NightTable
        An open night.

    Attributes
    ----------
    lost : MLOpsError or None
        What the database did instead of answering: Great Expectations turns every error into a text.
    """

    def __init__(self, table: NightTable) -> None:
        self.table = table
        self.lost: MLOpsError | None = None

    @property
    def engine_arguments(self) -> dict[str, Any]:
        """What SQLAlchemy needs to make an engine that borrows this connection."""
        return {"creator": lambda: self, "poolclass": StaticPool}

    def cursor(self) -> LoanCursor:
        """Make a cursor."""
        return LoanCursor(self)

    def commit(self) -> None:
        """Do nothing: a night is read-only."""

    def rollback(self) -> None:
        """Do nothing: a query that fails is undone where it is run."""

    def close(self) -> None:
        """Do nothing: who opened the night closes it."""

    def query(self, sql: str, parameters: Sequence[Any]) -> Answer:
        """Run what Great Expectations wrote, on the rows of this night alone."""
        try:
            if self.table.engine == "duckdb":
                return run(self.table, named_rows(self.table, NIGHT, sql), list(parameters))
            from psycopg import ClientCursor

            # Values as a person writes them: PostgreSQL tells their types by what they are held against.
            written = ClientCursor(self.table.connection).mogrify(sql, parameters)
            return run(self.table, named_rows(self.table, NIGHT, written))
        except MLOpsError as error:
            self.lost = error
            raise

    def columns(self) -> Iterator[dict[str, Any]]:
        """Columns of the night with their types in SQL's words."""
        if self.table.engine == "duckdb":
            described = run(self.table, f"DESCRIBE {self.table.name}").rows
            yield from (_column(name, kind) for name, kind, *_ in described)
            return
        relation = self.table.name.replace("'", "''")
        declared = run(
            self.table,
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute "  # noqa: S608 - a literal, quoted
            f"WHERE attrelid = '{relation}'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
        )
        for name, kind in declared.rows:
            # As SQLAlchemy, and so every suite written elsewhere, calls it.
            yield _column(name, kind.upper().replace("CHARACTER VARYING", "VARCHAR"))


class LoanCursor:
    """A cursor that has its rows at once: both kinds of connection run one query at a time."""

    arraysize = 1

    def __init__(self, loan: Loan) -> None:
        self._loan = loan
        self._rows: list[Any] = []
        self.description: Sequence[Any] | None = None
        self.rowcount = -1

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """Run a query."""
        self.description, self._rows = self._loan.query(sql, parameters)
        self.rowcount = len(self._rows)

    def fetchone(self) -> Any:
        """Give the next row."""
        return self._rows.pop(0) if self._rows else None

    def fetchmany(self, size: int = arraysize) -> list[Any]:
        """Give the next rows."""
        given, self._rows = self._rows[:size], self._rows[size:]
        return given

    def fetchall(self) -> list[Any]:
        """Give all rows that are left."""
        return self.fetchmany(len(self._rows))

    def close(self) -> None:
        """Forget the rows."""
        self._rows = []


class _Declared(UserDefinedType[Any]):
    """A type by the name that the database gives it."""

    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **_: Any) -> str:
        """Give the name."""
        return self.name


def _column(name: str, kind: str) -> dict[str, Any]:
    return {"name": name, "type": _Declared(kind), "nullable": True, "default": None}


class _NightDialect(PGDialect):
    """PostgreSQL's SQL on a borrowed connection; the name stays PostgreSQL's, by which Great Expectations knows it."""

    def initialize(self, _: Any) -> None:
        """Ask the server nothing: what is asked of it here any of its versions can do."""
        self.server_version_info = (14, 0)

    def on_connect(self) -> None:
        """Leave the connection as it is."""

    def get_columns(self, *asked: Any, **_: Any) -> Any:
        """Columns of the night."""
        loan: Loan = asked[0].connection.dbapi_connection
        return list(loan.columns())

    def get_pk_constraint(self, *_: Any, **__: Any) -> Any:
        """Say that there is no primary key: what has to be unique a contract says."""
        return {"constrained_columns": [], "name": None}


class PostgresNight(_NightDialect):
    """A night in PostgreSQL."""

    driver = "postgres"
    supports_statement_cache = True
    default_paramstyle = "format"

    @classmethod
    def import_dbapi(cls) -> ModuleType:
        """Import what SQLAlchemy knows errors by."""
        import psycopg

        return psycopg


class _DuckDBCompiler(PGCompiler):
    """In DuckDB ``~`` wants the whole text to match, in PostgreSQL a part of it."""

    def visit_custom_op_binary(self, element: Any, operator: Any, **kw: Any) -> str:
        """Write a regular expression as a search."""
        if operator.opstring not in ("~", "!~"):
            return str(super().visit_custom_op_binary(element, operator, **kw))  # type: ignore[no-untyped-call]
        found = f"regexp_matches({self.process(element.left, **kw)}, {self.process(element.right, **kw)})"
        return found if operator.opstring == "~" else f"NOT {found}"


class _QuotedNames(PGIdentifierPreparer):
    """DuckDB has words of its own that cannot be a bare name, such as ``at``."""

    def _requires_quotes(self, value: str) -> bool:  # noqa: ARG002 - as SQLAlchemy calls it
        return True


class DuckDBNight(_NightDialect):
    """A night in DuckDB."""

    driver = "duckdb"
    supports_statement_cache = True
    default_paramstyle = "qmark"
    statement_compiler = _DuckDBCompiler
    preparer = _QuotedNames

    @classmethod
    def import_dbapi(cls) -> ModuleType:
        """Import what SQLAlchemy knows errors by."""
        import duckdb

        module: ModuleType = duckdb
        return module
