"""One contract, wherever the night lies: the same results, and no password anywhere."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from postgres import PASSWORD, PostgreSQL

from airflow_mlops.errors import RemoteUnavailable
from airflow_mlops.project.tables import TableSpec
from airflow_mlops.quality import Finding, NightTable, check_contract, sound_night
from airflow_mlops.quality.sources import DatabaseAddress, open_source, open_table
from airflow_mlops.records import CheckOutcome

NIGHT = dt.date(2011, 3, 5)
SOURCES = ["parquet", "csv", "arrow", "duckdb", "postgres"]
CHECKS = """\
checks:
  - row_count: {threshold: {must_be: 24}}
  - freshness: {column: dteday, threshold: {must_be_less_than: 2}}
  - duplicate: {columns: [kind, hum]}
  - metric: {name: by its name, query: "WITH all_of_it AS (SELECT * FROM hours) SELECT count(*) FROM all_of_it -- :-)"}
  - failed_rows: {name: low, expression: cnt < 3, threshold: {level: warn}}
  - failed_rows: {name: low again, qualifier: query, query: SELECT * FROM hours WHERE cnt < 3;}
columns:
  - name: dteday
    checks: [duplicate: ]
  - name: temp
    valid_max: 0.4
    checks: [missing: , invalid: ]
  - name: kind
    checks:
      - duplicate:
      - invalid: {valid_values: [a]}
      - invalid: {qualifier: form, valid_format: {name: one letter, regex: "^b$"}}
      - invalid: {qualifier: length, valid_max_length: 0}
  - name: cnt
    checks:
      - aggregate: {function: avg, threshold: {must_be: 11.5}}
      - missing: {filter: hum IS NULL, missing_values: [4]}
""".replace(':-)"}', ':-)", threshold: {must_be: 24}}')


def hours(day: int) -> pa.Table:
    return pa.table(
        {
            "dteday": pa.array([dt.datetime(2011, 3, day, hour) for hour in range(24)], pa.timestamp("us")),
            "temp": pa.array([float("nan") if hour == 3 else hour / 50 for hour in range(24)], from_pandas=False),
            "hum": [None if hour == 4 else 0.5 for hour in range(24)],
            "kind": ["a", "b"] * 12,
            "cnt": range(24),
        }
    )


def in_database(address: DatabaseAddress, table: str) -> Any:
    spec = TableSpec(name="hours", folder=Path(), connection="bikes", table=table, time_column="dteday")
    return open_source(spec, database=address).open(NIGHT)


def fill(server: PostgreSQL, schema: str) -> DatabaseAddress:
    with server.connected() as admin:
        admin.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE; CREATE SCHEMA {schema}")
        columns = "dteday timestamp, temp double precision, hum real, kind varchar(10), cnt bigint"
        admin.execute(f"CREATE TABLE {schema}.hours ({columns})")
        with admin.cursor() as cursor, cursor.copy(f"COPY {schema}.hours FROM STDIN") as copy:
            for day in (4, 5, 6):
                for row in hours(day).to_pylist():
                    copy.write_row(list(row.values()))
    return DatabaseAddress("postgres", "postgres", "127.0.0.1", server.port, "checker", PASSWORD)


@pytest.fixture
def night(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NightTable]:
    with ExitStack() as stack:
        match request.param:
            case "arrow":
                opened = open_table(hours(5), night=NIGHT)
            case "parquet":
                pq.write_table(hours(5), tmp_path / "n.parquet")
                opened = open_table(str(tmp_path / "n.parquet"), night=NIGHT)
            case "csv":
                pa.csv.write_csv(hours(5), tmp_path / "n.csv")
                opened = open_table(str(tmp_path / "n.csv"), night=NIGHT)
            case "duckdb":
                file = tmp_path / "bikes.duckdb"
                with duckdb.connect(str(file)) as connection:
                    for day in (4, 5, 6):
                        connection.register("day", hours(day))
                        made = "CREATE TABLE hours AS" if day == 4 else "INSERT INTO hours"
                        connection.execute(f"{made} SELECT * FROM day")
                opened = in_database(DatabaseAddress("duckdb", str(file)), "hours")
            case _:
                opened = in_database(fill(request.getfixturevalue("postgres"), "bikes"), "bikes.hours")
        yield stack.enter_context(opened)


def said(found: tuple[Finding, ...]) -> list[tuple[Any, ...]]:
    return [
        (result.name, result.column, result.outcome.value, result.actual, result.failing_rows) for result, _ in found
    ]


@pytest.mark.parametrize("night", SOURCES, indirect=True)
def test_the_same_night_gives_the_same_results(night: NightTable, contract: Path) -> None:
    contract.write_text("dataset: warehouse/bikes/hours\n" + CHECKS)
    found = check_contract(night, contract)
    assert said(found) == [
        ("row_count", None, "passed", "24 rows", None),
        ("freshness", None, "passed", "1 hours", None),
        ("duplicate", None, "failed", "21 of 24 rows (87.5 %)", 21),
        ("by its name", None, "passed", "24", None),
        ("low", None, "warned", "3 of 24 rows (12.5 %)", 3),
        ("low again", None, "failed", "3", 3),
        ("duplicate", "dteday", "passed", "0 of 24 rows (0 %)", 0),
        ("missing", "temp", "failed", "1 of 24 rows (4.17 %)", 1),
        ("invalid", "temp", "failed", "3 of 24 rows (12.5 %)", 3),
        ("duplicate", "kind", "failed", "22 of 24 rows (91.7 %)", 22),
        ("invalid", "kind", "failed", "12 of 24 rows (50 %)", 12),
        ("invalid (form)", "kind", "failed", "12 of 24 rows (50 %)", 12),
        ("invalid (length)", "kind", "failed", "24 of 24 rows (100 %)", 24),
        ("aggregate", "cnt", "passed", "11.5", None),
        ("missing", "cnt", "failed", "1 of 1 rows (100 %)", 1),
    ]
    counts = {
        result.expected: sorted(failing(30)["cnt"].to_pylist()) for result, failing in found if failing is not None
    }
    assert list(counts.values()) == [
        [*range(4), *range(5, 24)],
        [0, 1, 2],
        [3],
        [21, 22, 23],
        list(range(24)),
        list(range(1, 24, 2)),
        list(range(0, 24, 2)),
        list(range(24)),
        [4],
    ]


@pytest.mark.parametrize("night", SOURCES, indirect=True)
def test_failing_rows_have_all_columns_and_the_number_in_the_file(night: NightTable, contract: Path) -> None:
    contract.write_text("dataset: x/night\ncolumns:\n  - name: temp\n    valid_max: 0.4\n    checks: [invalid: ]\n")
    ((_, failing),) = check_contract(night, contract)
    assert failing is not None
    rows = failing(2)
    assert rows.column_names == ["row", "dteday", "temp", "hum", "kind", "cnt"]
    assert rows["row"].to_pylist() == ([None, None] if night.engine == "postgres" else [22, 23])
    assert rows["cnt"].to_pylist() == [21, 22]


@pytest.mark.parametrize("night", SOURCES, indirect=True)
def test_what_every_night_must_hold_in_each_source(night: NightTable) -> None:
    found = sound_night(night, time_column="dteday", target="temp", columns=["kind"])
    assert said(found) == [
        ("rows", None, "passed", "24 rows", None),
        ("columns", None, "passed", "all there", None),
        ("target", "temp", "failed", "1 of 24 are not: 1 null or NaN, 0 infinite", 1),
        ("time", "dteday", "passed", "all 24", 0),
    ]
    assert found[2].failing is not None
    assert found[2].failing(5)["cnt"].to_pylist() == [3]


@pytest.mark.parametrize("name", ["bikes.hours", '"bikes"."hours"', "hours", "bikes . hours AS h"])
@pytest.mark.parametrize("night", ["postgres"], indirect=True)
def test_sql_of_the_contract_sees_no_other_night(night: NightTable, contract: Path, name: str) -> None:
    query = f"SELECT count(*) FROM {name}"
    for header in ("pg/postgres/bikes/hours", "duckdb/night"):
        check = f"- metric: {{name: rows, query: '{query}', threshold: {{must_be: 24}}}}"
        contract.write_text(f"dataset: {header}\nchecks:\n  {check}\ncolumns: []\n")
        ((result, _),) = check_contract(night, contract)
        assert (result.outcome, result.actual) == (CheckOutcome.PASSED, "24")


@pytest.mark.parametrize("night", ["postgres"], indirect=True)
def test_types_of_a_database_s_own_and_an_error_that_harms_no_later_check(night: NightTable, contract: Path) -> None:
    contract.write_text(
        "dataset: pg/postgres/bikes/hours\n"
        "checks:\n  - schema:\n  - failed_rows: {name: typo, query: SELECT 1 FROM hours WHERE cntt > 1}\n"
        "  - metric: {name: rows, query: SELECT count(*) FROM hours, threshold: {must_be: 24}}\n"
        "columns:\n  - {name: dteday, data_type: timestamp}\n  - {name: temp, data_type: double precision}\n"
        "  - {name: hum, data_type: real}\n  - {name: kind, data_type: varchar, character_maximum_length: 10}\n"
        "  - {name: cnt, data_type: integer}\n"
    )
    found = {result.name: result for result, _ in check_contract(night, contract)}
    assert found["schema"].actual == "cnt is bigint, not integer"
    assert found["typo"].outcome is CheckOutcome.ERROR
    assert 'column "cntt" does not exist' in found["typo"].actual
    assert found["rows"].outcome is CheckOutcome.PASSED


@pytest.mark.parametrize("night", ["postgres"], indirect=True)
def test_no_password_in_results_or_log(night: NightTable, contract: Path, caplog: pytest.LogCaptureFixture) -> None:
    contract.write_text("dataset: pg/postgres/bikes/hours\n" + CHECKS.replace("cnt < 3, ", "cntt < 3, "))
    with caplog.at_level(logging.DEBUG):
        logging.getLogger("soda").setLevel(logging.DEBUG)
        try:
            found = check_contract(night, contract)
        finally:
            logging.getLogger("soda").setLevel(logging.ERROR)
    assert any(result.outcome is CheckOutcome.ERROR for result, _ in found)
    assert PASSWORD not in f"{[finding.result for finding in found]} {night} {caplog.text}"


def test_a_server_that_dies_in_the_middle_is_no_verdict_on_the_night(
    mortal_postgres: PostgreSQL, contract: Path
) -> None:
    address = fill(mortal_postgres, "bikes")
    contract.write_text("dataset: pg/postgres/bikes/hours\n" + CHECKS)
    with ExitStack() as stack:
        # What opened the night looks at what became of it, too, and says the same.
        stack.enter_context(pytest.raises(RemoteUnavailable, match="connection"))
        night = stack.enter_context(in_database(address, "bikes.hours"))
        assert check_contract(night, contract)
        mortal_postgres.kill()
        with pytest.raises(RemoteUnavailable, match="connection") as raised:
            check_contract(night, contract)
        raise raised.value
    assert PASSWORD not in str(raised.value)
