from __future__ import annotations

import datetime as dt
import json
import logging
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from airflow_mlops.errors import ConfigError, MissingExtra
from airflow_mlops.quality import NightTable, check_contract, contract_faults
from airflow_mlops.quality.sources import open_table
from airflow_mlops.records import CheckOutcome, CheckResult

Checked = Callable[..., dict[str, CheckResult]]

NIGHT = dt.date(2011, 3, 5)
PASSED, WARNED, FAILED, ERROR = CheckOutcome.PASSED, CheckOutcome.WARNED, CheckOutcome.FAILED, CheckOutcome.ERROR
HEADER = "dataset: duckdb/night\n"
TEMPS = [hour / 50 for hour in range(24)]


def faults(results: dict[str, CheckResult]) -> dict[str, tuple[CheckOutcome, str, str]]:
    return {
        name: (result.outcome, result.expected, result.actual)
        for name, result in results.items()
        if result.outcome is not PASSED
    }


def test_a_sound_night_passes_every_check(checked: Checked) -> None:
    results = checked()
    assert faults(results) == {}
    assert list(results) == [
        *("rows", "columns", "target cnt", "time dteday"),
        *("schema", "row_count", "duplicate dteday", "missing temp", "invalid temp", "missing hum", "missing cnt"),
    ]


def test_missing_and_invalid_values(checked: Checked) -> None:
    results = faults(checked(temp=[None] * 7 + [36.6] * 2 + TEMPS[9:]))
    assert results == {
        "missing temp": (FAILED, "missing values in temp: 0", "7 of 24 rows (29.2 %)"),
        "invalid temp": (FAILED, "invalid values in temp: 0 (valid_min 0, valid_max 1)", "2 of 24 rows (8.33 %)"),
    }


def test_nan_is_a_missing_value(checked: Checked) -> None:
    # Not so in DuckDB's own reading of Parquet: by the column's statistics, which leave NaN out, there is none.
    results = faults(checked(temp=pa.array([float("nan"), *TEMPS[1:]], from_pandas=False)))
    assert results == {"missing temp": (FAILED, "missing values in temp: 0", "1 of 24 rows (4.17 %)")}


def test_half_precision(checked: Checked) -> None:
    half = pa.array([None, float("nan"), *TEMPS[2:]], pa.float32(), from_pandas=False).cast(pa.float16())
    assert checked(temp=half)["missing temp"].actual == "2 of 24 rows (8.33 %)"


def test_scopes_that_only_soda_s_extension_runs_are_no_pass(checked: Checked) -> None:
    text = HEADER + "scopes:\n  late: {name: Late}\nchecks:\n  - row_count: {scope: late}\ncolumns: []\n"
    assert checked(text)["row_count"].outcome is ERROR


def test_warn_severity_is_no_failure(checked: Checked) -> None:
    results = faults(checked(hum=[None] * 3 + [0.5] * 21))
    assert results == {"missing hum": (WARNED, "missing values in hum: less than 10 %", "3 of 24 rows (12.5 %)")}


def test_duplicates(checked: Checked) -> None:
    twice = [dt.datetime(2011, 3, 5, hour // 2) for hour in range(24)]
    results = faults(checked(dteday=pa.array(twice, pa.timestamp("us"))))
    assert results == {"duplicate dteday": (FAILED, "rows that repeat dteday: 0", "12 of 24 rows (50 %)")}


def test_too_few_rows(checked: Checked) -> None:
    times = pa.array([dt.datetime(2011, 3, 5, hour) for hour in range(3)], pa.timestamp("us"))
    results = faults(checked(dteday=times, temp=[0.1] * 3, hum=[0.1] * 3, cnt=[1] * 3))
    assert results == {"row_count": (FAILED, "rows: at least 20 and at most 24", "3 rows")}


def test_an_empty_night(checked: Checked) -> None:
    empty = {"dteday": pa.array([], pa.timestamp("us")), "cnt": pa.array([], pa.int64())}
    results = checked(**empty, temp=pa.array([], pa.float64()), hum=pa.array([], pa.float64()))
    assert results["rows"].outcome is FAILED
    assert results["row_count"].outcome is FAILED


def test_a_text_where_a_number_was_promised(checked: Checked) -> None:
    results = checked(cnt=[str(value) for value in range(24)])
    assert results["target cnt"].outcome is FAILED
    assert results["schema"].outcome is FAILED
    assert results["schema"].actual == "cnt is varchar, not bigint"


def test_a_text_that_sql_cannot_compare_keeps_the_other_checks_from_passing(checked: Checked) -> None:
    results = checked(temp=["mild"] * 24)
    assert results["schema"].actual == "temp is varchar, not double"
    assert results["invalid temp"].outcome is ERROR
    assert '"temp" < 0' in results["invalid temp"].actual
    assert results["missing cnt"].outcome is ERROR


def test_a_renamed_column_leaves_the_other_checks_alone(checked: Checked) -> None:
    results = faults(checked(temp=None, temperature=TEMPS, hum=pa.nulls(24, pa.float64())))
    lacks = "got no column 'temp' (did you mean 'temperature'?)"
    assert results == {
        "columns": (FAILED, "dteday, temp, hum, cnt, each once", lacks),
        "missing temp": (ERROR, "missing of temp", lacks),
        "invalid temp": (ERROR, "invalid of temp", lacks),
        "schema": (
            FAILED,
            "columns dteday timestamp, temp double, hum double, cnt bigint",
            f"{lacks}; got temperature, of which the contract does not speak",
        ),
        "missing hum": (WARNED, "missing values in hum: less than 10 %", "24 of 24 rows (100 %)"),
    }


def test_a_night_of_quite_another_schema(checked: Checked) -> None:
    results = checked(dteday=None, temp=None, hum=None, cnt=None, x=["a"], y=["b"])
    contract_s = [result for result in results.values() if result.name != "rows"]
    assert {result.outcome for result in contract_s} == {FAILED, ERROR}


def test_each_kind_of_check_fails_with_figures(checked: Checked) -> None:
    text = HEADER + textwrap.dedent("""\
        columns:
          - name: temp
            checks:
              - aggregate:
                  function: avg
                  threshold: {must_be_less_than: 0.1}
              - invalid:
                  qualifier: cold
                  valid_min: 0.1
                  threshold: {must_be_less_than: 4, additional: {level: warn, must_be: 0}}
              - invalid:
                  qualifier: hot
                  valid_max: 0.3
                  threshold: {must_be: 0, level: warn, additional: {level: fail, must_be_less_than: 50}}
          - name: weekday
            checks:
              - invalid: {valid_values: [Mon, Tue]}
              - missing: {missing_values: [n/a]}
        checks:
          - duplicate: {columns: [weekday, hum]}
          - failed_rows:
              name: temp below hum
              expression: temp > hum - 0.1
          - failed_rows:
              name: no night hours
              qualifier: hours
              query: SELECT * FROM night WHERE hour(dteday) < 2
          - metric:
              name: mean demand
              query: SELECT avg(cnt) FROM night
              threshold: {must_be_between: {greater_than: 100, less_than: 200}}
          - metric:
              name: demand a degree
              qualifier: degree
              expression: sum(cnt) / sum(temp)
              threshold: {must_be_not_between: {greater_than: 100, less_than: 0}}
          - freshness:
              column: dteday
              threshold: {must_be_less_than: 30, unit: minute}
        """)
    results = checked(text, weekday=["Mon"] * 22 + ["n/a", "Sat"])
    found = {name: (result.outcome.value, result.expected, result.actual) for name, result in results.items()}
    assert list(found.values())[4:] == [
        ("failed", "avg of temp: less than 0.1", "0.23"),
        ("failed", "invalid values in temp: less than 4 (warn unless 0) (valid_min 0.1)", "5 of 24 rows (20.8 %)"),
        ("warned", "invalid values in temp: 0 (fail unless less than 50) (valid_max 0.3)", "8 of 24 rows (33.3 %)"),
        ("failed", "invalid values in weekday: 0 (valid_values Mon, Tue)", "2 of 24 rows (8.33 %)"),
        ("failed", "missing values in weekday: 0 (missing_values n/a)", "1 of 24 rows (4.17 %)"),
        ("failed", "rows that repeat weekday, hum: 0", "21 of 24 rows (87.5 %)"),
        ("failed", "temp below hum: 0", "3 of 24 rows (12.5 %)"),
        ("failed", "no night hours: 0", "2"),
        ("failed", "mean demand: more than 100 and less than 200", "11.5"),
        ("failed", "demand a degree: more than 100 or less than 0", "50"),
        ("failed", "age of the newest dteday at the night's end: less than 30 minutes", "60 minutes"),
    ]


def test_freshness_counts_from_the_end_of_the_night_and_not_from_now(checked: Checked) -> None:
    text = (
        HEADER + "checks:\n  - freshness:\n      column: dteday\n      threshold: {must_be_less_than: 2}\ncolumns: []\n"
    )
    assert checked(text)["freshness"].actual == "1 hours"
    utc = [dt.datetime(2011, 3, 5, hour, tzinfo=dt.UTC) for hour in range(24)]
    assert checked(text, dteday=pa.array(utc, pa.timestamp("us", "UTC")))["freshness"].actual == "1 hours"


def test_sql_that_does_not_run_is_an_error_and_not_a_pass(checked: Checked) -> None:
    text = HEADER + "checks:\n  - failed_rows:\n      name: sums\n      expression: tmp > 3\ncolumns: []\n"
    result = checked(text)["sums"]
    assert result.outcome is ERROR
    assert "tmp" in result.actual
    assert "\n" not in result.actual


def test_a_metric_without_a_value_is_no_pass(checked: Checked) -> None:
    text = HEADER + textwrap.dedent("""\
        checks:
          - metric:
              name: hottest
              query: SELECT max(temp) FROM night WHERE temp > 99
              threshold: {must_be_less_than: 99}
        columns: []
        """)
    assert checked(text)["hottest"].outcome in (FAILED, ERROR)


def test_types_that_pandas_writes(checked: Checked) -> None:
    # Nanoseconds and categories: in SQL a timestamp and a text, as the contract calls them.
    text = HEADER + textwrap.dedent("""\
        checks:
          - schema: {allow_extra_columns: true}
        columns:
          - {name: dteday, data_type: timestamp}
          - {name: kind, data_type: varchar}
        """)
    times = pa.array([dt.datetime(2011, 3, 5, hour) for hour in range(24)], pa.timestamp("ns"))
    assert faults(checked(text, dteday=times, kind=pa.array(["a", "b"] * 12).dictionary_encode())) == {}


@pytest.mark.parametrize("header", ["duckdb/night", "duckdb/main/night", "postgres/bikes/public/night", "x/night"])
def test_a_contract_written_for_any_source_is_held_against_the_night(checked: Checked, header: str) -> None:
    text = HEADER.replace("duckdb/night", header) + textwrap.dedent("""\
        checks:
          - schema: {allow_extra_columns: true}
          - metric:
              name: hours
              query: SELECT count(*) FROM night
              threshold: {must_be: 24}
        columns:
          - {name: cnt, data_type: bigint}
        """)
    results = checked(text)
    assert (results["schema"].outcome, results["hours"].outcome) == (PASSED, PASSED)


def test_a_contract_with_a_fault_stops_the_check_and_is_no_verdict_on_the_night(checked: Checked) -> None:
    with pytest.raises(ConfigError, match=r"contract\.yml:4: unknown key 'chekcs'; did you mean 'checks'\?"):
        checked(HEADER + "columns:\n  - name: temp\n    chekcs:\n      - missing:\n")
    assert faults(checked()) == {}


def test_twice_and_in_threads(checked: Checked, contract: Path, tmp_path: Path) -> None:
    first = checked(temp=[None] * 24)
    assert first == checked(temp=[None] * 24)

    def check(_: int) -> tuple[CheckResult, ...]:
        with open_table(str(tmp_path / f"night={NIGHT}.parquet"), night=NIGHT) as night:
            return tuple(finding.result for finding in check_contract(night, contract))

    with ThreadPoolExecutor(4) as pool:
        assert {tuple(first.values())[4:]} == set(pool.map(check, range(8)))


@pytest.fixture
def soda_logger() -> Iterator[logging.Logger]:
    logger = logging.getLogger("soda")
    before = logger.level
    yield logger
    logger.disabled = False
    logger.setLevel(before)
    logging.disable(logging.NOTSET)


def test_an_error_is_not_lost_when_logging_is_turned_down(checked: Checked, soda_logger: logging.Logger) -> None:
    text = HEADER + "checks:\n  - failed_rows:\n      name: sums\n      expression: tmp > 3\ncolumns: []\n"
    checked()
    soda_logger.disabled = True
    soda_logger.setLevel(logging.CRITICAL)
    assert "tmp" in checked(text)["sums"].actual
    logging.disable(logging.CRITICAL)
    with pytest.raises(ConfigError, match=r"logging\.disable"):
        checked(text)


def test_soda_s_own_report_stays_out_of_the_log(checked: Checked, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        checked(temp=pa.nulls(24, pa.float64()))
    assert [record for record in caplog.records if record.name.startswith("soda")] == []


def test_without_soda_the_error_names_the_extra(
    contract: Path, opened: Callable[[pa.Table], NightTable], monkeypatch: pytest.MonkeyPatch
) -> None:
    night = opened(pa.table({"cnt": [1]}))
    monkeypatch.setitem(sys.modules, "soda_core", None)
    # Unlike any contract before: faults are remembered by the text.
    contract.write_text(contract.read_text() + "# without Soda\n")
    with pytest.raises(MissingExtra, match=r"airflow-provider-mlops\[soda\]"):
        contract_faults(contract)
    with pytest.raises(MissingExtra, match=r"airflow-provider-mlops\[soda\]"):
        check_contract(night, contract)


_SILENT = """
import datetime as dt, json, os, sys
from pathlib import Path
os.environ["SODA_CORE_TELEMETRY_ENABLED"] = "true"
sockets = []
# urllib3, when imported, binds a socket to find out whether there is IPv6: that speaks to nobody.
reaching_out = ("connect", "sendto", "sendmsg", "getaddrinfo", "gethostbyname")
sys.addaudithook(lambda event, _: sockets.append(event) if event.partition("socket.")[2] in reaching_out else None)
folder = Path(sys.argv[1])
from airflow_mlops.quality import check_contract
from airflow_mlops.quality.sources import open_table
imported = [name for name in ("soda_core", "duckdb", "airflow", "pandas") if name in sys.modules]
with open_table(str(folder / "n.parquet"), night=dt.date(2011, 3, 5)) as night:
    results = [finding.result for finding in check_contract(night, folder / "c.yml")]
from opentelemetry import trace
import threading
print(json.dumps({
    "imported": imported,
    "outcomes": [result.outcome for result in results],
    "sockets": sockets,
    "provider": type(trace.get_tracer_provider()).__name__,
    "airflow": "airflow" in sys.modules,
    "threads": [thread.name for thread in threading.enumerate()],
}))
"""


def test_no_telemetry_no_socket_and_nothing_imported_early(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"cnt": list(range(24))}), tmp_path / "n.parquet")
    (tmp_path / "c.yml").write_text(HEADER + "columns:\n  - name: cnt\n    checks:\n      - missing:\n")
    soda_s = "ignore:Not fully supported for all datasources yet:DeprecationWarning"
    ibis_s = "ignore:fetch_arrow_table:DeprecationWarning"
    command = [sys.executable, "-W", "error", "-W", soda_s, "-W", ibis_s, "-c", _SILENT, str(tmp_path)]
    child = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert (child.returncode, child.stderr) == (0, "")
    said: dict[str, Any] = json.loads(child.stdout)
    assert said == {
        "imported": [],
        "outcomes": ["passed"],
        "sockets": [],
        "provider": "ProxyTracerProvider",
        "airflow": False,
        "threads": ["MainThread"],
    }
