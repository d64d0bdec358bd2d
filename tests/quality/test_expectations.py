from __future__ import annotations

import datetime as dt
import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml
from postgres import PASSWORD, PostgreSQL

from airflow_mlops.errors import ConfigError, MissingExtra, RemoteUnavailable
from airflow_mlops.project.tables import TableSpec
from airflow_mlops.quality.contracts import check_contract, contract_faults
from airflow_mlops.quality.contracts.expectations.dialect import Loan
from airflow_mlops.quality.night_table import Finding, NightTable
from airflow_mlops.quality.sources import DatabaseAddress, open_source, open_table
from airflow_mlops.records import CheckOutcome

PASSED, WARNED, FAILED, ERROR = CheckOutcome.PASSED, CheckOutcome.WARNED, CheckOutcome.FAILED, CheckOutcome.ERROR
NIGHT = dt.date(2011, 3, 5)
HOURS = pa.table(
    {
        "hour": list(range(6)),
        "temp": [0.1, None, 0.3, 36.6, 0.5, -1.0],
        "kind": ["a", "b", "c", "a", "%", "a'b"],
    }
)


def expects(kind: str, severity: str | None = None, **kwargs: Any) -> dict[str, Any]:
    return {"type": kind, "kwargs": kwargs, **({"severity": severity} if severity else {})}


NOT_NULL = expects("expect_column_values_to_not_be_null", column="temp")
RANGE = expects("expect_column_values_to_be_between", column="temp", min_value=0, max_value=1)


@pytest.fixture
def night() -> Iterator[NightTable]:
    with open_table(HOURS, night=NIGHT) as table:
        yield table


def told(findings: tuple[Finding, ...]) -> list[tuple[str, str | None, CheckOutcome, str, str, int | None]]:
    return [
        (result.name, result.column, result.outcome, result.expected, result.actual, result.failing_rows)
        for result, _ in findings
    ]


def rows(finding: Finding, most: int = 100) -> list[int]:
    assert finding.failing is not None
    found = finding.failing(most)
    assert found.column_names == ["row", *HOURS.column_names]
    numbers: list[int] = found["row"].to_pylist()
    return numbers


def test_what_is_told_of_a_night(night: NightTable, suite: Callable[..., Path]) -> None:
    findings = check_contract(night, suite(NOT_NULL, RANGE, expects("expect_table_row_count_to_equal", value=24)))
    assert told(findings) == [
        ("missing", "temp", FAILED, "missing values in temp: 0", "1 of 6 rows (16.7 %)", 1),
        ("invalid", "temp", FAILED, "invalid values in temp: 0 (valid_min 0, valid_max 1)", "2 of 6 rows (33.3 %)", 2),
        ("row_count", None, FAILED, "rows: 24", "6 rows", None),
    ]
    assert (rows(findings[0]), rows(findings[1]), rows(findings[1], 1)) == ([2], [4, 6], [4])
    assert findings[2].failing is None


@pytest.mark.parametrize(
    ("severity", "outcome"), [(None, FAILED), ("critical", FAILED), ("warning", WARNED), ("info", WARNED)]
)
def test_severities(night: NightTable, suite: Callable[..., Path], severity: str, outcome: CheckOutcome) -> None:
    file = suite(expects("expect_column_values_to_not_be_null", severity, column="temp"))
    assert check_contract(night, file)[0].result.outcome is outcome


def test_a_suite_that_great_expectations_saved_itself(night: NightTable, tmp_path: Path) -> None:
    import great_expectations as gx

    kept = gx.ExpectationSuite(
        name="hours",
        expectations=[
            gx.expectations.ExpectColumnValuesToNotBeNull(column="temp", severity="warning", notes="a sensor fails"),
            gx.expectations.ExpectColumnValuesToBeBetween(column="temp", min_value=0, max_value=1, meta={"by": "me"}),
        ],
    )
    file, readable = tmp_path / "saved.json", tmp_path / "suite.yml"
    file.write_text(json.dumps(kept.to_json_dict(), indent="\t"))
    readable.write_text(yaml.safe_dump(kept.to_json_dict()))
    assert contract_faults(file) == contract_faults(readable) == []
    assert told(check_contract(night, file)) == told(check_contract(night, readable))
    assert [finding.result.outcome for finding in check_contract(night, file)] == [WARNED, FAILED]


def test_expectations_that_soda_has_no_word_for(night: NightTable, suite: Callable[..., Path]) -> None:
    file = suite(
        expects("expect_column_pair_values_a_to_be_greater_than_b", column_A="hour", column_B="temp"),
        expects("expect_column_distinct_values_to_be_in_set", column="kind", value_set=["a", "b"]),
        expects("expect_column_unique_value_count_to_be_between", column="kind", max_value=2),
        expects("expect_column_median_to_be_between", column="hour", min_value=3),
        expects("unexpected_rows_expectation", unexpected_rows_query="SELECT * FROM {batch} WHERE hour > 3"),
    )
    findings = check_contract(night, file)
    assert told(findings) == [
        (
            "expect_column_pair_values_a_to_be_greater_than_b",
            None,
            FAILED,
            "column pair values a to be greater than b: column_A hour, column_B temp",
            "2 of 6 rows (33.3 %)",
            2,
        ),
        (
            "expect_column_distinct_values_to_be_in_set",
            "kind",
            FAILED,
            "column distinct values to be in set: column kind, value_set a, b",
            "3 values",
            None,
        ),
        (
            "expect_column_unique_value_count_to_be_between",
            "kind",
            FAILED,
            "column unique value count to be between: column kind, max_value 2",
            "5",
            None,
        ),
        ("aggregate", "hour", FAILED, "median of hour: at least 3", "2.5", None),
        ("failed_rows", None, FAILED, "SELECT * FROM {batch} WHERE hour > 3: 0", "2 rows", 2),
    ]
    # The columns of a query are the suite's own, and may show what is sensitive under another name.
    assert [finding.failing for finding in findings] == [None] * 5


def test_only_some_rows_are_looked_at(night: NightTable, suite: Callable[..., Path]) -> None:
    condition = {"row_condition": 'col("hour") < 5', "condition_parser": "great_expectations"}
    file = suite(
        expects("expect_column_values_to_be_between", column="temp", min_value=0, max_value=1, **condition),
        expects("expect_column_values_to_be_unique", column="kind", **condition),
    )
    findings = check_contract(night, file)
    assert [finding.result.actual for finding in findings] == ["1 of 5 rows (20 %)", "2 of 5 rows (40 %)"]
    assert [finding.failing for finding in findings] == [None, None]


def test_values_that_sql_reads_as_its_own(night: NightTable, suite: Callable[..., Path]) -> None:
    file = suite(
        expects("expect_column_values_to_be_in_set", column="kind", value_set=["a'b", "%", "\\", ":x", "?"]),
        expects("expect_column_values_to_match_regex", column="kind", regex="[%']"),
    )
    assert [rows(finding) for finding in check_contract(night, file)] == [[1, 2, 3, 4], [1, 2, 3, 4]]


@pytest.mark.parametrize("name", ["at", "order", "Temp", "hourly rides", "naïve", "1st", "per%cent", "a:b"])
def test_names_of_columns_that_sql_reads_as_its_own(suite: Callable[..., Path], name: str) -> None:
    file = suite(
        expects("expect_column_values_to_not_be_null", column=name),
        expects("expect_column_values_to_be_between", column=name, max_value=1),
        expects("expect_column_values_to_be_unique", column=name),
        expects("expect_column_max_to_be_between", column=name, max_value=1),
    )
    with open_table(pa.table({name: [1, 2, 2, None]}), night=NIGHT) as table:
        findings = check_contract(table, file)
        assert [finding.result.actual for finding in findings[:3]] == [
            "1 of 4 rows (25 %)",
            "2 of 4 rows (50 %)",
            "1 of 4 rows (25 %)",
        ]
        assert findings[3].result.actual == "2"
        assert [finding.failing(9)["row"].to_pylist() for finding in findings if finding.failing] == [
            [4],
            [2, 3],
            [2, 3],
        ]


def test_one_that_no_database_can_run_leaves_the_others_alone(night: NightTable, suite: Callable[..., Path]) -> None:
    file = suite(
        NOT_NULL,
        expects("expect_column_values_to_match_regex", column="kind", regex="("),
        expects("expect_column_values_to_not_be_null", column="gone"),
        RANGE,
    )
    findings = check_contract(night, file)
    assert [finding.result.outcome for finding in findings] == [FAILED, ERROR, ERROR, FAILED]
    assert findings[1].result.actual.startswith("not evaluated: ")
    assert "\n" not in findings[1].result.actual
    assert findings[2].result.actual == "got no column 'gone'"


def test_nothing_of_a_query_is_a_pass(night: NightTable, suite: Callable[..., Path]) -> None:
    file = suite(expects("unexpected_rows_expectation", unexpected_rows_query="SELECT * FROM {batch} WHERE tmp > 3"))
    (finding,) = check_contract(night, file)
    assert finding.result.outcome is ERROR
    assert "tmp" in finding.result.actual


def test_a_suite_with_a_fault_stops_the_check(night: NightTable, suite: Callable[..., Path]) -> None:
    with pytest.raises(ConfigError, match="unknown expectation"):
        check_contract(night, suite(expects("expect_nothing")))


def test_in_threads(suite: Callable[..., Path]) -> None:
    file = suite(NOT_NULL, RANGE)

    def check(most: int) -> list[Any]:
        with open_table(HOURS.slice(0, most), night=NIGHT) as table:
            return told(check_contract(table, file))

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(check, [6, 5, 6, 5, 6, 5]))
    assert found == [check(6), check(5)] * 3


def test_without_great_expectations_the_error_names_the_extra(
    suite: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "great_expectations", None)
    # Unlike any suite before: faults are remembered by the text.
    file = suite(expects("expect_column_values_to_not_be_null", column="unheard of"))
    with pytest.raises(MissingExtra, match=r"airflow-provider-mlops\[gx\]"):
        contract_faults(file)


_SILENT = """
import json, os, sys
from pathlib import Path
os.environ["GX_ANALYTICS_ENABLED"] = "true"
sockets, written = [], []
reaching_out = ("connect", "sendto", "sendmsg", "getaddrinfo", "gethostbyname")
def hook(event, arguments):
    if event.partition("socket.")[2] in reaching_out:
        sockets.append(event)
    if event == "open" and isinstance(arguments[0], str) and set(str(arguments[1])) & set("wax+"):
        written.append(arguments[0])
sys.dont_write_bytecode = True
sys.addaudithook(hook)
import datetime as dt
import pyarrow as pa
from airflow_mlops.quality.contracts import check_contract
from airflow_mlops.quality.sources import open_table
imported = [name for name in ("great_expectations", "sqlalchemy", "pandas", "airflow") if name in sys.modules]
with open_table(pa.table({"cnt": [1, None]}), night=dt.date(2011, 3, 5)) as night:
    outcomes = [finding.result.outcome for finding in check_contract(night, Path(sys.argv[1]))]
print(json.dumps({"imported": imported, "outcomes": outcomes, "sockets": sockets, "written": written,
                  "airflow": "airflow" in sys.modules}))
"""


def test_no_telemetry_no_socket_no_file_no_noise(tmp_path: Path, suite: Callable[..., Path]) -> None:
    file = suite(expects("expect_column_values_to_not_be_null", column="cnt"))
    home = tmp_path / "home"
    home.mkdir()
    child = subprocess.run(
        [sys.executable, "-c", _SILENT, str(file)],
        capture_output=True,
        text=True,
        check=False,
        cwd=home,
        env={"HOME": str(home), "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert (child.returncode, child.stderr) == (0, "")
    said = json.loads(child.stdout)
    assert said == {"imported": [], "outcomes": ["failed"], "sockets": [], "written": [], "airflow": False}
    assert list(home.iterdir()) == []


@pytest.fixture
def in_postgres(tmp_path: Path) -> Iterator[Callable[[PostgreSQL], NightTable]]:
    with ExitStack() as nights:

        def open_night(server: PostgreSQL) -> NightTable:
            with server.connected() as admin:
                admin.execute("CREATE TABLE IF NOT EXISTS hours AS SELECT timestamp '2011-03-05' AS at, 'x' AS kind")
            spec = TableSpec(name="hours", folder=tmp_path, connection="pg", table="hours", time_column="at")
            address = DatabaseAddress(
                "postgres", "postgres", host="127.0.0.1", port=server.port, user="checker", password=PASSWORD
            )
            return nights.enter_context(open_source(spec, database=address).open(NIGHT))

        yield open_night


def test_a_database_s_secret_stays_there(
    in_postgres: Callable[[PostgreSQL], NightTable],
    postgres: PostgreSQL,
    suite: Callable[..., Path],
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    file = suite(
        expects("expect_column_values_to_be_in_set", column="kind", value_set=["y"]),
        expects("expect_column_values_to_be_between", column="kind", min_value=3),
        expects("expect_column_values_to_be_of_type", column="at", type_="TIMESTAMP WITHOUT TIME ZONE"),
    )
    with caplog.at_level(logging.DEBUG):
        findings = check_contract(in_postgres(postgres), file)
    assert [finding.result.outcome for finding in findings] == [FAILED, ERROR, PASSED]
    assert PASSWORD not in f"{told(findings)} {caplog.text} {capfd.readouterr()}"
    assert [record for record in caplog.records if record.name.startswith("great_expectations")] == []


def test_a_database_that_dies_in_the_middle_is_no_verdict(
    in_postgres: Callable[[PostgreSQL], NightTable],
    mortal_postgres: PostgreSQL,
    suite: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    night = in_postgres(mortal_postgres)
    query, queries = Loan.query, []

    def die_at_the_third(loan: Loan, sql: str, parameters: Any) -> Any:
        queries.append(sql)
        if len(queries) == 3:
            mortal_postgres.kill()
        return query(loan, sql, parameters)

    monkeypatch.setattr(Loan, "query", die_at_the_third)
    with pytest.raises(RemoteUnavailable):
        check_contract(night, suite(expects("expect_column_values_to_not_be_null", column="kind")))
    assert len(queries) >= 3
