from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_mlops.quality import NightTable, check_contract, sound_night
from airflow_mlops.quality.sources import open_table
from airflow_mlops.records import CheckResult

NIGHT = dt.date(2011, 3, 5)
HOURS = [dt.datetime(2011, 3, 5, hour) for hour in range(24)]
COLUMNS = ("dteday", "temp", "hum", "cnt")

CONTRACT = """\
dataset: duckdb/night
checks:
  - schema:
  - row_count:
      threshold:
        must_be_between:
          greater_than_or_equal: 20
          less_than_or_equal: 24
columns:
  - name: dteday
    data_type: timestamp
    checks:
      - duplicate:
  - name: temp
    data_type: double
    valid_min: 0
    valid_max: 1
    checks:
      - missing:
      - invalid:
  - name: hum
    data_type: double
    checks:
      - missing:
          threshold:
            level: warn
            metric: percent
            must_be_less_than: 10
  - name: cnt
    data_type: bigint
    checks:
      - missing:
"""


def sound_night_of_hours() -> dict[str, Any]:
    return {
        "dteday": pa.array(HOURS, pa.timestamp("us")),
        "temp": [hour / 50 for hour in range(24)],
        "hum": [0.5] * 24,
        "cnt": list(range(24)),
    }


Checked = Callable[..., dict[str, CheckResult]]
Opened = Callable[..., NightTable]


@pytest.fixture
def contract(tmp_path: Path) -> Path:
    file = tmp_path / "contract.yml"
    file.write_text(CONTRACT)
    return file


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    """Write a table as the Parquet file of a night, and open it."""
    with ExitStack() as nights:

        def open_night(table: pa.Table) -> NightTable:
            path = tmp_path / f"night={NIGHT}.parquet"
            pq.write_table(table, path)
            return nights.enter_context(open_table(str(path), night=NIGHT))

        yield open_night


@pytest.fixture
def checked(contract: Path, opened: Opened) -> Checked:
    """Write a night with some columns replaced (None: left out), check it, give the results by name and column."""

    def check(text: str = CONTRACT, columns: tuple[str, ...] = COLUMNS, **replaced: Any) -> dict[str, CheckResult]:
        contract.write_text(text)
        kept = {name: values for name, values in (sound_night_of_hours() | replaced).items() if values is not None}
        night = opened(pa.table(kept))
        findings = (
            *sound_night(night, time_column="dteday", target="cnt", columns=columns),
            *check_contract(night, contract),
        )
        results = [finding.result for finding in findings]
        named = {f"{result.name} {result.column}" if result.column else result.name: result for result in results}
        assert len(named) == len(results)
        return named

    return check


@pytest.fixture
def suite(tmp_path: Path) -> Callable[..., Path]:
    """Writes a Great Expectations suite."""

    def write(*written: Any) -> Path:
        file = tmp_path / "suite.json"
        file.write_text(json.dumps({"name": "hours", "expectations": written}, indent=2))
        return file

    return write
