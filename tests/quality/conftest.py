from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_mlops.quality import check_partition
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


def sound_night() -> dict[str, Any]:
    return {
        "dteday": pa.array(HOURS, pa.timestamp("us")),
        "temp": [hour / 50 for hour in range(24)],
        "hum": [0.5] * 24,
        "cnt": list(range(24)),
    }


Checked = Callable[..., dict[str, CheckResult]]


@pytest.fixture
def contract(tmp_path: Path) -> Path:
    file = tmp_path / "contract.yml"
    file.write_text(CONTRACT)
    return file


@pytest.fixture
def checked(tmp_path: Path, contract: Path) -> Checked:
    """Write a night with some columns replaced (None: left out), check it, give the results by name and column."""

    def check(text: str = CONTRACT, columns: tuple[str, ...] = COLUMNS, **replaced: Any) -> dict[str, CheckResult]:
        contract.write_text(text)
        path = tmp_path / f"night={NIGHT}.parquet"
        kept = {name: values for name, values in (sound_night() | replaced).items() if values is not None}
        pq.write_table(pa.table(kept), path)
        results = check_partition(
            path, night=NIGHT, contract=contract, time_column="dteday", target="cnt", columns=columns
        )
        named = {f"{result.name} {result.column}" if result.column else result.name: result for result in results}
        assert len(named) == len(results)
        return named

    return check
