"""The same failing night through a Soda contract and through a Great Expectations suite: the same results."""

from __future__ import annotations

import datetime as dt
import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from postgres import PASSWORD, PostgreSQL

from airflow_mlops.project.tables import TableSpec
from airflow_mlops.quality.contracts import check_contract, contract_faults
from airflow_mlops.quality.night_table import Finding, NightTable
from airflow_mlops.quality.sources import DatabaseAddress, open_source
from airflow_mlops.records import CheckOutcome

PASSED, WARNED, FAILED, ERROR = CheckOutcome.PASSED, CheckOutcome.WARNED, CheckOutcome.FAILED, CheckOutcome.ERROR
HOURS = pa.array([dt.datetime(2011, 3, 5, hour) for hour in range(10)], pa.timestamp("us"))
SOUND: dict[str, Any] = {
    "dteday": HOURS,
    "id": list(range(10)),
    "temp": [hour / 20 for hour in range(10)],
    "kind": ["ab", "cd"] * 5,
    "zone": [1, 2, 3, 4, 5] * 2,
}

Result = tuple[str, str | None, CheckOutcome, int | None]


class Case(NamedTuple):
    """A night that differs from a sound one in some columns (None: left out), and what both languages say of it."""

    soda: str
    suite: list[dict[str, Any]]
    results: list[Result]
    night: dict[str, Any]


def expects(kind: str, severity: str = "critical", **kwargs: Any) -> dict[str, Any]:
    return {"type": f"expect_{kind}", "kwargs": kwargs, "severity": severity}


def column(name: str, checks: str, settings: str = "") -> str:
    return f"columns:\n  - name: {name}\n{settings}    checks:\n{checks}"


def invalid(name: str, settings: str, threshold: str = "") -> str:
    return column(name, f"      - invalid:\n{threshold}", "".join(f"    {line}\n" for line in settings.splitlines()))


def aggregate(name: str, function: str, bound: str) -> str:
    return column(name, f"      - aggregate:\n          function: {function}\n          threshold: {{{bound}}}\n")


def table_check(check: str, columns: str = "columns: []\n") -> str:
    return f"checks:\n  - {check}\n{columns}"


WARN = "          threshold: {level: warn, must_be: 0}\n"
SCHEMA = table_check("schema:", "columns:\n" + "".join(f"  - name: {name}\n" for name in SOUND))
TYPED = table_check("schema: {allow_extra_columns: true}", "columns:\n  - {name: id, data_type: bigint}\n")
COLUMNS = expects("table_columns_to_match_set", column_set=[*SOUND])
MISSING = column("temp", "      - missing:\n")
NOT_NULL = expects("column_values_to_not_be_null", column="temp")
DEGREES = [None, float("nan"), *SOUND["temp"][2:]]
PAIR = "duplicate: {columns: [kind, zone]}"

CASES = {
    "sound": Case(MISSING, [NOT_NULL], [("missing", "temp", PASSED, 0)], {}),
    "nulls": Case(MISSING, [NOT_NULL], [("missing", "temp", FAILED, 3)], {"temp": [None] * 3 + [0.1] * 7}),
    "all null": Case(MISSING, [NOT_NULL], [("missing", "temp", FAILED, 10)], {"temp": pa.nulls(10, pa.float64())}),
    "NaN": Case(MISSING, [NOT_NULL], [("missing", "temp", FAILED, 2)], {"temp": pa.array(DEGREES, from_pandas=False)}),
    "nulls within a tolerance": Case(
        column("temp", "      - missing:\n          threshold: {metric: percent, must_be_less_than_or_equal: 30}\n"),
        [expects("column_values_to_not_be_null", column="temp", mostly=0.7)],
        [("missing", "temp", PASSED, 3)],
        {"temp": [None] * 3 + [0.1] * 7},
    ),
    "nulls beyond a tolerance": Case(
        column("temp", "      - missing:\n          threshold: {metric: percent, must_be_less_than_or_equal: 20}\n"),
        [expects("column_values_to_not_be_null", column="temp", mostly=0.8)],
        [("missing", "temp", FAILED, 3)],
        {"temp": [None] * 3 + [0.1] * 7},
    ),
    "nulls warned of": Case(
        column("temp", f"      - missing:\n{WARN}"),
        [expects("column_values_to_not_be_null", "warning", column="temp")],
        [("missing", "temp", WARNED, 1)],
        {"temp": [None] + [0.1] * 9},
    ),
    "below the minimum": Case(
        invalid("temp", "valid_min: 0"),
        [expects("column_values_to_be_between", column="temp", min_value=0)],
        [("invalid", "temp", FAILED, 2)],
        {"temp": [-1.0, -0.5, None, *SOUND["temp"][3:]]},
    ),
    "above the maximum": Case(
        invalid("temp", "valid_max: 1"),
        [expects("column_values_to_be_between", column="temp", max_value=1)],
        [("invalid", "temp", FAILED, 10)],
        {"temp": [36.6] * 10},
    ),
    "out of a range": Case(
        invalid("id", "valid_min: 2\nvalid_max: 7"),
        [expects("column_values_to_be_between", column="id", min_value=2, max_value=7)],
        [("invalid", "id", FAILED, 4)],
        {},
    ),
    "warned of": Case(
        invalid("id", "valid_max: 7", WARN),
        [expects("column_values_to_be_between", "warning", column="id", max_value=7)],
        [("invalid", "id", WARNED, 2)],
        {},
    ),
    "of no known value": Case(
        invalid("kind", "valid_values: [ab, cd]"),
        [expects("column_values_to_be_in_set", column="kind", value_set=["ab", "cd"])],
        [("invalid", "kind", FAILED, 1)],
        {"kind": ["ab", "AB", None, "cd", *SOUND["kind"][4:]]},
    ),
    "of an unwanted value": Case(
        invalid("zone", "invalid_values: [2, 3]"),
        [expects("column_values_to_not_be_in_set", column="zone", value_set=[2, 3])],
        [("invalid", "zone", FAILED, 4)],
        {},
    ),
    "not in the format": Case(
        invalid("kind", "valid_format: {regex: '^[a-d]+$', name: letters}"),
        [expects("column_values_to_match_regex", column="kind", regex="^[a-d]+$")],
        [("invalid", "kind", FAILED, 3)],
        {"kind": ["ab", "a b", "", "AB", *SOUND["kind"][4:]]},
    ),
    "a part in the format": Case(
        invalid("kind", "valid_format: {regex: 'b', name: with b}"),
        [expects("column_values_to_match_regex", column="kind", regex="b")],
        [("invalid", "kind", FAILED, 5)],
        {},
    ),
    "in an unwanted format": Case(
        invalid("kind", "invalid_format: {regex: '[0-9]', name: digits}"),
        [expects("column_values_to_not_match_regex", column="kind", regex="[0-9]")],
        [("invalid", "kind", FAILED, 2)],
        {"kind": ["a1", "2", "%", None, *SOUND["kind"][4:]]},
    ),
    "too long or too short": Case(
        invalid("kind", "valid_min_length: 2\nvalid_max_length: 3"),
        [expects("column_value_lengths_to_be_between", column="kind", min_value=2, max_value=3)],
        [("invalid", "kind", FAILED, 3)],
        {"kind": ["", "a", "abcd", "äöü", None, *SOUND["kind"][5:]]},
    ),
    "of another length": Case(
        invalid("kind", "valid_length: 2"),
        [expects("column_value_lengths_to_equal", column="kind", value=2)],
        [("invalid", "kind", FAILED, 1)],
        {"kind": ["abc", *SOUND["kind"][1:]]},
    ),
    "repeated": Case(
        column("id", "      - duplicate:\n"),
        [expects("column_values_to_be_unique", column="id")],
        [("duplicate", "id", FAILED, 3)],
        {"id": [0, 0, 0, 1, 1, 2, None, None, 3, 4]},
    ),
    "repeated at times": Case(
        column("dteday", "      - duplicate:\n"),
        [expects("column_values_to_be_unique", column="dteday")],
        [("duplicate", "dteday", FAILED, 5)],
        {"dteday": pa.array([dt.datetime(2011, 3, 5, hour // 2) for hour in range(10)], pa.timestamp("us"))},
    ),
    "unique": Case(
        column("id", "      - duplicate:\n"),
        [expects("column_values_to_be_unique", column="id")],
        [("duplicate", "id", PASSED, 0)],
        {"id": [None, None, *range(8)]},
    ),
    "repeated together": Case(
        table_check(PAIR),
        [expects("compound_columns_to_be_unique", column_list=["kind", "zone"])],
        [("duplicate", None, FAILED, 2)],
        {"kind": ["ab"] * 6 + ["cd"] * 4, "zone": [1, 1, 1, 2, 3, 4, 1, 2, 3, 4]},
    ),
    "unique together": Case(
        table_check(PAIR),
        [expects("compound_columns_to_be_unique", column_list=["kind", "zone"])],
        [("duplicate", None, PASSED, 0)],
        {},
    ),
    "too few rows": Case(
        table_check("row_count: {threshold: {must_be_between: {greater_than_or_equal: 20, less_than_or_equal: 24}}}"),
        [expects("table_row_count_to_be_between", min_value=20, max_value=24)],
        [("row_count", None, FAILED, None)],
        {},
    ),
    "another number of rows": Case(
        table_check("row_count: {threshold: {must_be: 24}}"),
        [expects("table_row_count_to_equal", value=24)],
        [("row_count", None, FAILED, None)],
        {},
    ),
    "all columns": Case(SCHEMA, [COLUMNS], [("schema", None, PASSED, None)], {}),
    "a column less": Case(SCHEMA, [COLUMNS], [("schema", None, FAILED, None)], {"zone": None}),
    "a column more": Case(SCHEMA, [COLUMNS], [("schema", None, FAILED, None)], {"extra": [1] * 10}),
    "a column renamed": Case(
        SCHEMA, [COLUMNS], [("schema", None, FAILED, None)], {"temp": None, "temperature": SOUND["temp"]}
    ),
    "a column of another type": Case(
        TYPED,
        [expects("column_values_to_be_of_type", column="id", type_="BIGINT")],
        [("schema", None, FAILED, None)],
        {"id": [float(value) for value in range(10)]},
    ),
    "a typed column gone": Case(
        TYPED,
        [expects("column_values_to_be_of_type", column="id", type_="BIGINT")],
        [("schema", None, FAILED, None)],
        {"id": None},
    ),
    "a checked column gone": Case(MISSING, [NOT_NULL], [("missing", "temp", ERROR, None)], {"temp": None}),
    "texts for numbers": Case(
        invalid("temp", "valid_min: 0"),
        [expects("column_values_to_be_between", column="temp", min_value=0)],
        [("invalid", "temp", ERROR, None)],
        {"temp": ["mild"] * 10},
    ),
    "mean": Case(
        aggregate("id", "avg", "must_be_less_than_or_equal: 4"),
        [expects("column_mean_to_be_between", column="id", max_value=4)],
        [("aggregate", "id", FAILED, None)],
        {},
    ),
    "mean as it should be": Case(
        aggregate("id", "avg", "must_be_less_than_or_equal: 5"),
        [expects("column_mean_to_be_between", column="id", max_value=5)],
        [("aggregate", "id", PASSED, None)],
        {},
    ),
    "mean warned of": Case(
        aggregate("id", "avg", "level: warn, must_be_less_than_or_equal: 4"),
        [expects("column_mean_to_be_between", "info", column="id", max_value=4)],
        [("aggregate", "id", WARNED, None)],
        {},
    ),
    "minimum": Case(
        aggregate("temp", "min", "must_be_greater_than_or_equal: 0.2"),
        [expects("column_min_to_be_between", column="temp", min_value=0.2)],
        [("aggregate", "temp", FAILED, None)],
        {},
    ),
    "maximum": Case(
        aggregate("id", "max", "must_be_less_than: 9"),
        [expects("column_max_to_be_between", column="id", max_value=9, strict_max=True)],
        [("aggregate", "id", FAILED, None)],
        {},
    ),
    "sum": Case(
        aggregate("zone", "sum", "must_be_greater_than_or_equal: 31"),
        [expects("column_sum_to_be_between", column="zone", min_value=31)],
        [("aggregate", "zone", FAILED, None)],
        {},
    ),
    "mean of nothing": Case(
        aggregate("temp", "avg", "must_be_less_than_or_equal: 4"),
        [expects("column_mean_to_be_between", column="temp", max_value=4)],
        [("aggregate", "temp", ERROR, None)],
        {"temp": pa.nulls(10, pa.float64())},
    ),
    "several at once": Case(
        "checks:\n  - row_count: {threshold: {must_be: 10}}\n" + MISSING + "      - duplicate:\n" + "  - name: gone\n"
        "    checks:\n      - missing:\n",
        [
            expects("table_row_count_to_equal", value=10),
            NOT_NULL,
            expects("column_values_to_be_unique", column="temp"),
            expects("column_values_to_not_be_null", column="gone"),
        ],
        [
            ("duplicate", "temp", FAILED, 7),
            ("missing", "gone", ERROR, None),
            ("missing", "temp", FAILED, 1),
            ("row_count", None, PASSED, None),
        ],
        {"temp": [None, *[0.1] * 8, 0.2]},
    ),
}
BATTERY = pytest.mark.parametrize("case", CASES.values(), ids=CASES)

Open = Callable[[pa.Table], NightTable]
NIGHT = dt.date(2011, 3, 5)
NUMBERS = itertools.count()
SQL_TYPES = {"timestamp[us]": "timestamp", "int64": "bigint", "double": "double precision", "string": "text"}


@pytest.fixture(params=["files", "postgres"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    with ExitStack() as nights:

        def from_files(table: pa.Table) -> NightTable:
            (tmp_path / "nights").mkdir()
            pq.write_table(table, tmp_path / "nights" / f"{NIGHT}.parquet")
            spec = TableSpec(name="rides", folder=tmp_path, path="nights/{night}.parquet")
            return nights.enter_context(open_source(spec).open(NIGHT))

        def from_postgres(table: pa.Table) -> NightTable:
            server: PostgreSQL = request.getfixturevalue("postgres")
            name = f"battery_{next(NUMBERS)}"
            typed = ", ".join(f'"{field.name}" {SQL_TYPES[str(field.type)]}' for field in table.schema)
            with server.connected() as admin:
                admin.execute(f"CREATE TABLE {name} ({typed})")
                with admin.cursor().copy(f"COPY {name} FROM STDIN") as copy:
                    for row in table.to_pylist():
                        copy.write_row(list(row.values()))
                # The nights beside it, of which no check may see a row.
                with admin.cursor().copy(f"COPY {name} (dteday) FROM STDIN") as copy:
                    copy.write("2011-03-04 23:59:59\n2011-03-06 00:00\n")
            spec = TableSpec(name="rides", folder=tmp_path, connection="pg", table=name, time_column="dteday")
            address = DatabaseAddress(
                engine="postgres",
                host="127.0.0.1",
                port=server.port,
                user="checker",
                password=PASSWORD,
                database="postgres",
            )
            return nights.enter_context(open_source(spec, database=address).open(NIGHT))

        yield {"files": from_files, "postgres": from_postgres}[request.param]


def findings(opened: Open, folder: Path, case: Case) -> tuple[tuple[Finding, ...], tuple[Finding, ...]]:
    columns = {name: values for name, values in (SOUND | case.night).items() if values is not None}
    night = opened(pa.table(columns))
    soda, suite = folder / "contract.yml", folder / "suite.json"
    soda.write_text(f"dataset: any/night\n{case.soda}")
    suite.write_text(json.dumps({"name": "night", "expectations": case.suite}, indent=2))
    assert (contract_faults(soda), contract_faults(suite)) == ([], [])
    return check_contract(night, soda), check_contract(night, suite)


def results(found: tuple[Finding, ...]) -> list[Result]:
    told = [finding.result for finding in found]
    # In the order of names: of a contract's checks, Soda answers some before others.
    return sorted(
        ((result.name, result.column, result.outcome, result.failing_rows) for result in told),
        key=lambda result: (result[0], result[1] or ""),
    )


def story(found: tuple[Finding, ...]) -> list[tuple[str, str]]:
    told = [finding.result for finding in found]
    return sorted((result.name, result.actual) for result in told if result.outcome is not ERROR)


def failing(found: tuple[Finding, ...]) -> list[tuple[str, pa.Table]]:
    return [(finding.result.name, finding.failing(100)) for finding in found if finding.failing]


@BATTERY
def test_both_say_the_same(case: Case, opened: Open, tmp_path: Path) -> None:
    soda, suite = findings(opened, tmp_path, case)
    assert results(soda) == case.results
    assert results(suite) == case.results
    assert story(suite) == story(soda)
    assert failing(suite) == failing(soda)
