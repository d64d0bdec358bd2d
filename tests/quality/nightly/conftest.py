"""A table of small nights in a folder, with its ledger, and what checks them."""

from __future__ import annotations

import datetime as dt
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_mlops.ledger import Ledger
from airflow_mlops.project.quality_spec import QualitySpec
from airflow_mlops.project.tables import TableSpec
from airflow_mlops.quality import NightlyChecks
from airflow_mlops.quality.sources import open_source
from airflow_mlops.records import Quality
from airflow_mlops.store import open_store

FIRST = dt.date(2026, 3, 2)
HOURS = 24
WATCHED = 30


class Nights:
    """Nights of a table below a folder, some hours of rows each."""

    def __init__(self, home: Path) -> None:
        self.home = home
        (home / "data").mkdir(exist_ok=True)
        self.ledger = Ledger(open_store(str(home / "store")))
        self.quality: dict[str, Any] = {"contract": None}
        self.runs = 0

    def night(self, place: int) -> dt.date:
        return FIRST + dt.timedelta(days=place)

    def file(self, place: int) -> Path:
        return self.home / "data" / f"night={self.night(place)}.parquet"

    def rows(self, place: int) -> dict[str, Any]:
        random, night = np.random.default_rng(place), self.night(place)
        return {
            "dteday": pa.array([dt.datetime(night.year, night.month, night.day, hour) for hour in range(HOURS)]),
            "temp": random.normal(20.0, 2.0, HOURS),
            "cnt": random.integers(50, 90, HOURS),
            "name": [("Ada", "Bo", "Cy")[hour % 3] for hour in range(HOURS)],
        }

    def write(self, place: int, rows: int = HOURS, **replaced: Any) -> Path:
        """Write a night, with some columns replaced (None: left out), arrived at three the next morning."""
        columns = {name: values for name, values in (self.rows(place) | replaced).items() if values is not None}
        table = pa.table(columns).slice(0, rows)
        pq.write_table(table, self.file(place))
        return self.arrived(place)

    def tear(self, place: int) -> Path:
        whole = self.write(place).read_bytes()
        self.file(place).write_bytes(whole[: len(whole) // 2])
        return self.arrived(place)

    def arrived(self, place: int, hours: float = 3.0) -> Path:
        moment = dt.datetime.combine(self.night(place + 1), dt.time(), dt.UTC).timestamp() + 3600 * hours
        os.utime(self.file(place), (moment, moment))
        return self.file(place)

    @property
    def spec(self) -> TableSpec:
        return TableSpec(
            name="bikes",
            folder=self.home,
            path="data/night={night}.parquet",
            time_column="dteday",
            columns=("dteday", "temp", "cnt"),
            target="cnt",
            quality=QualitySpec(**self.quality),
        )

    @property
    def source(self) -> Any:
        return open_source(self.spec)

    def stamp(self, *rests_on: Any) -> dict[str, Any]:
        return {"recorded_at": dt.datetime.now(dt.UTC), "dag_run": f"quality/{self.runs}", "rests_on": rests_on}

    def checks(self, source: Any = None) -> NightlyChecks:
        self.runs += 1
        return NightlyChecks(self.spec, source or self.source, self.ledger, self.stamp)

    def check(self, place: int) -> Quality:
        return self.checks().check(self.night(place))

    def keys(self, kind: str = "quality") -> list[str]:
        return [key.split("/", 2)[2] for key in self.ledger.store.keys(f"records/{kind}/")]


@pytest.fixture
def nights(tmp_path: Path) -> Nights:
    """No night yet, and monitors off."""
    table = Nights(tmp_path)
    table.quality["monitors"] = False
    return table


@pytest.fixture(scope="session")
def watched_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("watched")
    table = Nights(home)
    for place in range(WATCHED):
        table.write(place)
    table.check(WATCHED - 1)
    return home


@pytest.fixture
def watched(watched_home: Path, tmp_path: Path) -> Nights:
    """Thirty ordinary nights, checked with monitors on."""
    return Nights(Path(shutil.copytree(watched_home, tmp_path / "watched")))
