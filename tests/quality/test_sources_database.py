"""Nights in DuckDB and PostgreSQL: read-only, of one state, and a named error for whatever breaks."""

from __future__ import annotations

import datetime as dt
import logging
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from postgres import PASSWORD, PostgreSQL

from airflow_mlops.errors import ConfigError, DataError, RemoteUnavailable
from airflow_mlops.project.tables import TableSpec
from airflow_mlops.quality.night_table import NightSource
from airflow_mlops.quality.sources import DatabaseAddress, database_errors, open_source

NIGHT = dt.date(2011, 3, 5)
NIGHTS = [NIGHT - dt.timedelta(days=1), NIGHT, NIGHT + dt.timedelta(days=1)]

# Three nights of 24 rows each, and a row without a time.
MAKE = """
CREATE TABLE {table} AS
SELECT CAST(TIMESTAMP '2011-03-04' + hour * INTERVAL '1 hour' AS {kind}) AS {column}, hour AS id,
    CASE WHEN hour % 6 = 0 THEN CAST('NaN' AS double precision) ELSE hour / 50.0 END AS temp, 'Zürich' AS city
FROM (SELECT * FROM {series}) AS hours(hour) UNION ALL SELECT NULL, -1, 0.5, NULL
"""


class Database:
    """Two engines that hold the same."""

    def __init__(self, address: DatabaseAddress, execute: Callable[[str], Any], series: str) -> None:
        self.address, self.execute, self.series = address, execute, series

    def nights(self, kind: str = "timestamp", column: str = '"at"', **more: Any) -> NightSource:
        """A table of this kind of times."""
        name = f"Rides {uuid.uuid4().hex}"
        self.execute(MAKE.format(table=f'"{name}"', kind=kind, column=column, series=self.series))
        return self.source(name, column.strip('"'), **more)

    def source(self, table: str, column: str = "at", **more: Any) -> NightSource:
        spec = TableSpec(name="rides", folder=Path(), connection="db", table=table, time_column=column, **more)
        return open_source(spec, database=self.address)


@pytest.fixture(params=["duckdb", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    if request.param == "duckdb":
        file = tmp_path / "rides.duckdb"

        def execute(sql: str) -> None:
            with duckdb.connect(file) as connection:
                connection.execute("SET TimeZone = 'UTC'")
                connection.execute(sql)

        return Database(DatabaseAddress(engine="duckdb", database=str(file)), execute, "range(72)")
    server = request.getfixturevalue("postgres")

    def run(sql: str) -> None:
        with server.connected(options="-c TimeZone=UTC") as connection:
            connection.execute(sql)

    return Database(address_of(server), run, "generate_series(0, 71)")


def address_of(server: PostgreSQL, **changed: Any) -> DatabaseAddress:
    values: dict[str, Any] = {"host": "127.0.0.1", "port": server.port, "user": "checker", "password": PASSWORD}
    return DatabaseAddress(engine="postgres", **{"database": "postgres"} | values | changed)


@pytest.mark.parametrize("kind", ["timestamp", "timestamp with time zone"])
def test_a_night_is_its_rows_alone(database: Database, kind: str) -> None:
    nights = database.nights(kind)
    assert nights.nights() == NIGHTS
    assert (nights.arrived(NIGHT), nights.arrived(dt.date(2011, 3, 7))) == (True, False)
    assert nights.pin(dt.date(2011, 3, 7)) is None
    assert nights.file(NIGHT, Path()) is None
    pin = nights.pin(NIGHT)
    with nights.open(NIGHT) as table:
        assert table.pin == pin
        assert (table.pin.rows, table.engine, table.arrived) == (24, database.address.engine, None)
        assert table.schema.names == ["at", "id", "temp", "city"]
        assert PASSWORD not in table.location
        where = f" WHERE {table.where}" if table.where else ""
        ids = table.connection.execute(f"SELECT id FROM {table.name}{where} ORDER BY id").fetchall()
        assert [number for (number,) in ids] == list(range(24, 48))
        counted = table.rows.aggregate(rows=table.rows.count(), temps=table.rows.temp.count(), low=table.rows.id.min())
        assert counted.to_pyarrow().to_pylist() == [{"rows": 24, "temps": 20, "low": 24}]


def test_days_are_nights_too(database: Database) -> None:
    nights = database.nights("date", quality={"contract": None, "since": NIGHT})
    assert nights.nights() == NIGHTS[1:]
    with nights.open(NIGHT) as table:
        assert table.pin.rows == table.rows.count().to_pyarrow().as_py() == 24


def test_odd_names(database: Database) -> None:
    nights = database.nights(column='"When, ""exactly""?"'.replace('""', ""))
    with nights.open(NIGHT) as table:
        assert table.rows.columns[0] == "When, exactly?"


def test_the_digest_hangs_on_the_rows_and_not_on_their_order(database: Database) -> None:
    table = f"t{uuid.uuid4().hex}"
    rows = ["(TIMESTAMP '2011-03-05', 1, 'a,b')", "(TIMESTAMP '2011-03-05', 2, NULL)"]
    database.execute(f'CREATE TABLE {table} ("at" timestamp, x integer, y varchar)')
    found = []
    for values in (
        rows,
        rows[::-1],
        [*rows, rows[0]],
        rows[:1],
        [rows[0], "(TIMESTAMP '2011-03-05', 2, 'NULL')"],
        [rows[0], "(TIMESTAMP '2011-03-05', 2, '')"],
        [*rows, "(TIMESTAMP '2011-03-06', 2, NULL)"],
    ):
        database.execute(f"DELETE FROM {table}")
        database.execute(f"INSERT INTO {table} VALUES {', '.join(values)}")
        pin = database.source(table).pin(NIGHT)
        assert pin is not None
        found.append(pin.digest)
    assert found[0] == found[1] == found[6]
    assert len(set(found)) == 5


def test_a_night_that_changes_after_it_was_pinned(database: Database) -> None:
    table = f"t{uuid.uuid4().hex}"
    database.execute(f"""CREATE TABLE {table} AS SELECT TIMESTAMP '2011-03-05' AS "at" """)
    nights = database.source(table)
    nights.pin(NIGHT)
    database.execute(f"INSERT INTO {table} VALUES (TIMESTAMP '2011-03-05')")
    with pytest.raises(DataError, match="stay as it was pinned"), nights.open(NIGHT):
        pass
    nights.pin(NIGHT)
    with nights.open(NIGHT) as opened:
        assert opened.pin.rows == 2
    with pytest.raises(DataError, match="it has no rows"), nights.open(NIGHTS[0]):
        pass


@pytest.mark.parametrize(
    ("table", "column", "message"),
    [
        ("nothing", "at", "expected a table nothing in .*, there is none"),
        ("nowhere.rides", "at", "expected a table nowhere.rides in .*, there is none"),
        (None, "att", r"got no column 'att' \(did you mean 'at'\?\)"),
        (None, "city", "expected times in the column 'city' of .*, got string"),
    ],
    ids=["table", "schema", "column", "type"],
)
def test_what_the_table_says_of_itself_is_wrong(database: Database, table: str, column: str, message: str) -> None:
    made: Any = database.nights()
    nights = database.source(table or made.table.table, column)
    with pytest.raises(ConfigError, match=message):
        nights.nights()
    with pytest.raises(ConfigError, match=message), nights.open(NIGHT):
        pass


def test_nothing_can_be_written(database: Database) -> None:
    with database.nights().open(NIGHT) as table:
        target = "attached.main.x" if table.engine == "duckdb" else "x"
        with pytest.raises(Exception, match="read-only"):
            table.connection.execute(f"CREATE TABLE {target} AS SELECT 1")


# ── PostgreSQL alone ─────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def rides(postgres: PostgreSQL) -> str:
    name = f"rides_{uuid.uuid4().hex}"
    with postgres.connected() as connection:
        connection.execute(MAKE.format(table=name, kind="timestamp", column='"at"', series="generate_series(0, 71)"))
    return name


def nights_of(address: DatabaseAddress, table: str) -> NightSource:
    spec = TableSpec(name="rides", folder=Path(), connection="db", table=table, time_column="at")
    return open_source(spec, database=address)


def test_one_state_is_seen_all_the_time(postgres: PostgreSQL, rides: str) -> None:
    with nights_of(address_of(postgres), rides).open(NIGHT) as table:
        with postgres.connected() as writer:
            writer.execute(f"DELETE FROM {rides}")
        assert table.rows.count().to_pyarrow().as_py() == 24
        with pytest.raises(Exception, match="does not exist"), table.connection.transaction():
            table.connection.execute("SELECT nothing")
        assert table.rows.count().to_pyarrow().as_py() == 24


def test_no_password_is_shown(postgres: PostgreSQL, rides: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secret = "planted-in-vain"  # noqa: S105 - so that it can be looked for
    address = address_of(postgres, password=secret)
    shown = [repr(address), str(address), repr(address_of(postgres))]
    for wrong in (
        address,
        address_of(postgres, user="nobody"),
        address_of(postgres, database="nothing"),
        address_of(postgres, password=secret, options={"sslmode": secret}),
    ):
        with pytest.raises(ConfigError, match="Correct") as caught:
            nights_of(wrong, rides).pin(NIGHT)
        shown.append(str(caught.value))
    for gone in (address_of(postgres, port=1), address_of(postgres, host="nohost.invalid")):
        with pytest.raises(RemoteUnavailable, match="expected an answer") as lost:
            nights_of(gone, rides).pin(NIGHT)
        shown += [str(lost.value), str(lost.value.__cause__)]
    with nights_of(address_of(postgres), rides).open(NIGHT) as table:
        shown += [repr(table), repr(table.connection)]
    everything = "\n".join([*shown, caplog.text])
    assert PASSWORD not in everything
    assert secret not in everything


def test_a_query_that_takes_too_long_is_given_up(postgres: PostgreSQL, rides: str) -> None:
    slow = nights_of(address_of(postgres, statement_timeout_seconds=0.05), rides)
    with pytest.raises(RemoteUnavailable, match="statement timeout"), slow.open(NIGHT) as table:
        table.connection.execute("SELECT pg_sleep(60)")


@pytest.mark.parametrize("through", ["psycopg", "ibis", "sqlalchemy"])
def test_a_server_that_dies_in_the_middle(mortal_postgres: PostgreSQL, through: str) -> None:
    server = mortal_postgres
    with server.connected() as admin:
        admin.execute("""CREATE TABLE t AS SELECT TIMESTAMP '2011-03-05' AS "at", 1 AS x""")
    nights = nights_of(address_of(server), "t")
    killer = threading.Thread(target=_kill_asleep, args=[server], daemon=True)
    with pytest.raises(RemoteUnavailable, match="connection was lost") as caught, nights.open(NIGHT) as table:
        _sleep(table, through, killer)
    killer.join()
    assert PASSWORD not in str(caught.value)
    with pytest.raises(RemoteUnavailable):
        nights.pin(NIGHT)
    server.start()
    pin = nights.pin(NIGHT)
    assert pin is not None
    assert pin.rows == 1


def _sleep(table: Any, through: str, killer: threading.Thread) -> None:
    sleep = "SELECT pg_sleep(600)"
    killer.start()
    if through == "psycopg":
        table.connection.execute(sleep)
    elif through == "ibis":
        table.rows.get_backend().sql(sleep, schema={"pg_sleep": "string"}).execute()
    else:
        sqlalchemy = pytest.importorskip("sqlalchemy")
        engine = sqlalchemy.create_engine("postgresql+psycopg://", creator=lambda: table.connection)
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text(sleep))


def _kill_asleep(server: PostgreSQL) -> None:
    with server.connected() as admin:
        asleep = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        while not admin.execute(asleep).fetchone()[0]:
            time.sleep(0.05)
    server.kill()


def test_a_duckdb_file_that_is_being_written(tmp_path: Path) -> None:
    missing = nights_of(DatabaseAddress(engine="duckdb", database=str(tmp_path / "none.duckdb")), "t")
    with pytest.raises(ConfigError, match="expected a DuckDB file at"):
        missing.nights()
    (tmp_path / "torn.duckdb").write_bytes(b"nothing of the kind" * 1000)
    with pytest.raises(DataError, match=r"torn\.duckdb"):
        nights_of(DatabaseAddress(engine="duckdb", database=str(tmp_path / "torn.duckdb")), "t").nights()


def test_errors_of_others_pass() -> None:
    with pytest.raises(KeyError), database_errors():
        raise KeyError
    with pytest.raises(duckdb.CatalogException), database_errors(), duckdb.connect() as connection:
        connection.execute("SELECT * FROM nothing")


def test_a_database_needs_an_address() -> None:
    spec = TableSpec(name="rides", folder=Path(), connection="db", table="t", time_column="at")
    with pytest.raises(ConfigError, match="the address of the connection 'db' of rides"):
        open_source(spec)
