"""Nights in a database: the rows of one table, told apart by its time column. Nothing is written there."""

from __future__ import annotations

import contextlib
import datetime as dt
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from airflow_mlops.errors import ConfigError, DataError, require
from airflow_mlops.profile.sql.values import schema_of
from airflow_mlops.project.tables import TableSpec
from airflow_mlops.quality.night_sql import quoted
from airflow_mlops.quality.night_table import NightTable
from airflow_mlops.quality.sources.address import DatabaseAddress
from airflow_mlops.quality.sources.duck import VIEW, connected, expose, text_literal
from airflow_mlops.quality.sources.errors import database_errors
from airflow_mlops.quality.sources.postgres import postgres_connection
from airflow_mlops.records import PartitionPin, sha256_digest
from airflow_mlops.table import missing_columns

__all__ = ["DatabaseNights"]

_ATTACHED = "attached"


class Session(NamedTuple):
    """An open table.

    Attributes
    ----------
    connection : object
        Of the engine; time zone UTC.
    whole : ibis.expr.types.Table
        All nights of it.
    relation : str
        How SQL calls it.
    hashed : str
        SQL of a number of 64 bits that hangs on everything in a row, which is called ``night_row``.
    """

    connection: Any
    whole: Any
    relation: str
    hashed: str


class DatabaseNights:
    """The ``NightSource`` of a table in PostgreSQL or in a DuckDB file.

    The digest of a night is a sum over its rows of a hash of each, with the columns' names and types: it hangs on
    neither the order of the rows nor on what else is in the table. It finds what happens to data, not what somebody
    forges: a hash has 64 bits, and is no cryptographic one. A column that is added to the table changes the digest of
    every night. Rows whose time is null are of no night.

    Parameters
    ----------
    table : TableSpec
        With ``table`` and ``time_column``.
    address : DatabaseAddress
        Of the database.
    """

    def __init__(self, table: TableSpec, address: DatabaseAddress) -> None:
        self.table = table
        self.address = address
        self._pinned: dict[dt.date, PartitionPin] = {}

    @property
    def location(self) -> str:
        """The database and the table."""
        return f"{self.address}/{self.table.table}"

    def nights(self) -> list[dt.date]:
        """Nights that have rows, the oldest first: one pass over the table, from ``quality.since`` on."""
        with self._opened() as session:
            time, kind = self._time(session)
            day = f"{time} AT TIME ZONE 'UTC'" if kind == "TIMESTAMPTZ" else time
            since = self.table.quality.since
            rows = f"{time} >= {_moment(kind, since)}" if since else f"{time} IS NOT NULL"
            sql = f"SELECT DISTINCT CAST({day} AS date) AS night FROM {session.relation} WHERE {rows} ORDER BY night"  # noqa: S608
            return [night for (night,) in session.connection.execute(sql).fetchall()]

    def arrived(self, night: dt.date) -> bool:
        """Whether a night has rows."""
        with self._opened() as session:
            sql = f"SELECT 1 FROM {session.relation} WHERE {self._where(session, night)} LIMIT 1"  # noqa: S608
            return session.connection.execute(sql).fetchone() is not None

    def pin(self, night: dt.date) -> PartitionPin | None:
        """Pin a night by its rows; None if it has none (yet)."""
        with self._opened() as session:
            pin = self._pin(session, night)
        if pin is not None:
            self._pinned[night] = pin
        return pin

    @contextlib.contextmanager
    def open(self, night: dt.date) -> Iterator[NightTable]:
        """Open a night, as it is now: what others write meanwhile is not seen.

        Raises
        ------
        DataError
            If it has no rows, or was changed since it was pinned.
        ConfigError
            If the table is not there, or the login is refused.
        RemoteUnavailable
            If the database does not answer, or another process writes to the DuckDB file.
        """
        with self._opened() as session:
            pin = self._pin(session, night)
            if pin is None:
                raise DataError(f"expected the night {night} in {self.location}, it has no rows. Wait until they come.")
            if self._pinned.get(night, pin) != pin:
                raise DataError(
                    f"expected the night {night} in {self.location} to stay as it was pinned, its rows were changed "
                    "meanwhile. Run the check again."
                )
            where: str | None = self._where(session, night)
            name, rows = session.relation, _without_nan(_of_night(session.whole, str(self.table.time_column), night))
            if self.address.engine == "duckdb":
                name, rows, where = VIEW, expose(session.connection, session.relation, where=where), None
            yield NightTable(
                night=night,
                name=name,
                engine=self.address.engine,
                connection=session.connection,
                rows=rows,
                where=where,
                schema=schema_of(session.whole),
                pin=pin,
                location=self.location,
            )

    def file(self, night: dt.date, scratch: Path) -> Path | None:
        """None: a night of a database is no file."""
        del night, scratch
        return None

    def _pin(self, session: Session, night: dt.date) -> PartitionPin | None:
        sql = f"""SELECT count(*), sum({session.hashed}) FROM {session.relation} AS night_row
            WHERE {self._where(session, night)}"""  # noqa: S608 - names are quoted
        rows, total = session.connection.execute(sql).fetchone()
        columns = "\n".join(f"{name} {kind}" for name, kind in session.whole.schema().items())
        digest = sha256_digest(f"{columns}\n{rows} {total}".encode())
        return PartitionPin(night=night, digest=digest, rows=rows) if rows else None

    def _where(self, session: Session, night: dt.date) -> str:
        time, kind = self._time(session)
        return f"{time} >= {_moment(kind, night)} AND {time} < {_moment(kind, night + dt.timedelta(days=1))}"

    def _time(self, session: Session) -> tuple[str, str]:
        """The time column and its type, as SQL."""
        name, columns = str(self.table.time_column), session.whole.schema()
        if absent := missing_columns([name], columns.names):
            raise ConfigError(f"expected the time column {name!r} in {self.location}, {absent}. Correct time_column.")
        kind = columns[name]
        if not (kind.is_date() or kind.is_timestamp()):
            raise ConfigError(
                f"expected times in the column {name!r} of {self.location}, got {kind}. Name a column of type "
                "timestamp or date, or make a view with one."
            )
        return quoted(name), "DATE" if kind.is_date() else "TIMESTAMPTZ" if kind.timezone else "TIMESTAMP"

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Session]:
        ibis = require("ibis", extra="sql")
        schema, _, name = str(self.table.table).rpartition(".")
        opened = _duckdb_session if self.address.engine == "duckdb" else _postgres_session
        with database_errors(self.location), contextlib.ExitStack() as stack:
            try:
                session = stack.enter_context(opened(self.address, schema, name))
            except ibis.common.exceptions.TableNotFound as error:
                raise ConfigError(
                    f"expected a table {self.table.table} in {self.address}, there is none that this user sees. "
                    "Correct its name, or grant the user SELECT."
                ) from error
            yield session


@contextlib.contextmanager
def _duckdb_session(address: DatabaseAddress, schema: str, name: str) -> Iterator[Session]:
    import ibis

    schema = schema or "main"
    if not Path(address.database).is_file():
        raise ConfigError(f"expected a DuckDB file at {address.database}, there is none. Correct the connection.")
    with tempfile.TemporaryDirectory(prefix="night-") as scratch, connected(Path(scratch)) as connection:
        connection.execute(f"ATTACH {text_literal(address.database)} AS {_ATTACHED} (READ_ONLY)")
        whole = ibis.duckdb.from_connection(connection).table(name, database=(_ATTACHED, schema))
        # As text, a struct quotes what could be mistaken for another.
        row = f"ROW({', '.join(f'night_row.{quoted(column)}' for column in whole.columns)})"
        relation = f"{_ATTACHED}.{quoted(schema)}.{quoted(name)}"
        yield Session(connection, whole, relation, f"md5_number_lower({row}::VARCHAR)")


@contextlib.contextmanager
def _postgres_session(address: DatabaseAddress, schema: str, name: str) -> Iterator[Session]:
    import ibis

    schema = schema or "public"
    with postgres_connection(address) as connection:
        whole = ibis.postgres.from_connection(connection).table(name, database=schema)
        # In the order of the bytes, whatever the language of the database is.
        hashed = 'hashtextextended(ROW(night_row.*)::text COLLATE "C", 0)'
        yield Session(connection, whole, f"{quoted(schema)}.{quoted(name)}", hashed)


def _moment(kind: str, night: dt.date) -> str:
    return f"{kind} '{night}'" if kind != "TIMESTAMPTZ" else f"{kind} '{night} 00:00:00+00'"


def _of_night(whole: Any, column: str, night: dt.date) -> Any:
    import ibis

    time, following = whole[column], night + dt.timedelta(days=1)

    def moment(day: dt.date) -> Any:
        return (
            ibis.literal(day.isoformat()).cast(time.type())
            if time.type().is_date()
            else ibis.timestamp(f"{day} 00:00:00", timezone=time.type().timezone)
        )

    return whole.filter(time >= moment(night), time < moment(following))


def _without_nan(rows: Any) -> Any:
    floats = [name for name, kind in rows.schema().items() if kind.is_floating()]
    return rows.mutate(**{name: rows[name].nullif(float("nan")) for name in floats}) if floats else rows
