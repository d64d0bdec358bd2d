"""`dags/nightly_quality.py`, run by Airflow: a bad table stops no other one, and a password stays a secret."""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from postgres import PASSWORD
from stream import generated_hours, write_night

from airflow_mlops.ledger import Ledger
from airflow_mlops.records import Quality
from airflow_mlops.store import open_store

ROOT = Path(__file__).parents[2]
FIRST = dt.date(2025, 2, 1)
NIGHTS = 4
LAST = FIRST + dt.timedelta(days=NIGHTS - 1)
TABLES = """
tables:
  - name: steady
    path: steady/night={night}.parquet
    time_column: dteday
  - name: torn
    path: torn/night={night}.parquet
  - name: good
    path: good/{night}.parquet
    time_column: dteday
    quality: {contract: good.yml}
"""
DATABASE = """
tables:
  - name: orders
    connection: shop
    table: public.orders
    time_column: ordered_at
"""

_RUN = """
import datetime as dt, json, sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(sys.argv[1])
assert not bag.import_errors, bag.import_errors
dag = bag.dags["nightly_quality"]
# Airflow 3.3.2 looks for a deadline as the scheduler keeps it, also where dag.test() has the DAG file's own.
dag.deadline = None
dag.test(logical_date=dt.datetime.fromisoformat(sys.argv[2]))
from airflow.models.asset import AssetEvent
from airflow.models.renderedtifields import RenderedTaskInstanceFields
from airflow.models.taskinstance import TaskInstance
from airflow.utils.session import create_session
with create_session() as session:
    tasks = {f"{ti.task_id}[{ti.rendered_map_index}]": ti.state for ti in session.query(TaskInstance)}
    events = {event.asset.uri: event.extra["story"] for event in session.query(AssetEvent)}
    rendered = [one.rendered_fields for one in session.query(RenderedTaskInstanceFields)]
print("ANSWER", json.dumps({"tasks": tasks, "events": events, "rendered": rendered}, default=str))
"""


class Airflow:
    """An Airflow of its own, with a copy of the DAG and tables of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.dags = home / "dags"
        (self.dags / "tables").mkdir(parents=True)
        shutil.copy(ROOT / "dags" / "nightly_quality.py", self.dags)
        shutil.copy(ROOT / "dags" / "tables" / "bike_hours.yml", self.dags / "tables" / "good.yml")
        self.said = ""
        store = {"conn_type": "mlops_store", "extra": {"uri": str(home / "store")}}
        transport = {"type": "file", "log_file_path": str(home / "lineage.json"), "append": True}
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")} | {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps(transport),
            "AIRFLOW_CONN_MLOPS_STORE": json.dumps(store),
        }

    def tables(self, text: str) -> None:
        (self.dags / "tables" / "tables.yml").write_text(text)

    def python(self, *arguments: str) -> str:
        ended = subprocess.run(
            [sys.executable, *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        self.said += ended.stdout
        assert ended.returncode == 0, ended.stdout
        return ended.stdout

    def play(self, night: dt.date) -> dict[str, Any]:
        """A run of the night, task by task, without a scheduler."""
        told = self.python("-c", _RUN, str(self.dags), f"{night}T00:00:00+00:00")
        answer = next(line for line in told.splitlines() if line.startswith("ANSWER"))
        found: dict[str, Any] = json.loads(answer.removeprefix("ANSWER"))
        return found

    def qualities(self, table: str) -> list[Quality]:
        return list(Ledger(open_store(str(self.home / "store"))).all(Quality, f"{table}/"))

    def lineage(self) -> list[dict[str, Any]]:
        """What OpenLineage was told of the checks."""
        events = [json.loads(line) for line in (self.home / "lineage.json").read_text().splitlines()]
        return [event for event in events if event.get("inputs")]

    def files_with(self, word: str) -> list[Path]:
        """Files that hold a word: logs, Airflow's database (rendered fields, XComs, DAGs), records."""
        return [path for path in self.home.rglob("*") if path.is_file() and word.encode() in path.read_bytes()]


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Airflow:
    airflow = Airflow(tmp_path_factory.mktemp("airflow"))
    airflow.python("-m", "airflow", "db", "migrate")
    return airflow


@pytest.fixture
def airflow(migrated: Airflow, tmp_path: Path) -> Airflow:
    """A copy with an empty database; three tables, of one of which the last night is torn."""
    airflow = Airflow(tmp_path / "airflow")
    shutil.copy(migrated.home / "airflow.db", airflow.home)
    hours = generated_hours(FIRST, nights=NIGHTS, seed=7)
    for table in ("steady", "torn", "good"):
        for day in range(NIGHTS):
            night = FIRST + dt.timedelta(days=day)
            path = write_night(hours, night, airflow.dags / "tables" / table)
            if table == "torn" and night == LAST:
                path.write_bytes(path.read_bytes()[:-9])
            if table == "good":
                path.rename(path.with_name(f"{night}.parquet"))
    airflow.tables(TABLES)
    return airflow


@pytest.mark.slow
def test_a_bad_table_is_red_and_the_others_are_green(airflow):
    answer = airflow.play(LAST)
    assert answer["tasks"] == {
        f"one_table.{task}[{table}]": "failed" if (task, table) == ("check_quality", "torn") else "success"
        for task in ("await_night", "check_quality")
        for table in ("steady", "torn", "good")
    }
    # An event for each good night, so that other DAGs are scheduled by a table.
    assert set(answer["events"]) == {"mlops://steady/data", "mlops://good/data"}
    assert answer["events"]["mlops://good/data"].startswith(f"{LAST} passed")
    # The nights before it were checked on the way.
    assert {table: len(airflow.qualities(table)) for table in ("steady", "torn", "good")} == dict.fromkeys(
        ("steady", "torn", "good"), NIGHTS
    )
    assert [record.night for record in airflow.qualities("torn") if record.quarantined] == [LAST]
    assert {rendered["night"] for rendered in answer["rendered"]} == {str(LAST)}

    told = {event["inputs"][0]["name"]: event for event in airflow.lineage()}
    assert {name: event["eventType"] for name, event in told.items()} == {
        f"{airflow.dags}/tables/steady": "COMPLETE",
        f"{airflow.dags}/tables/torn": "FAIL",
        f"{airflow.dags}/tables/good/{{night}}.parquet": "COMPLETE",
    }
    facets, torn = (told[f"{airflow.dags}/tables/{table}"]["inputs"][0]["inputFacets"] for table in ("steady", "torn"))
    assert facets["dataQualityMetrics"]["rowCount"] == 24
    assert facets["dataQualityMetrics"]["columnMetrics"]["temp"]["nullCount"] == 0
    assert {one["assertion"] for one in facets["dataQualityAssertions"]["assertions"]} >= {"readable", "volume"}
    (fault,) = [one for one in torn["dataQualityAssertions"]["assertions"] if not one["success"]]
    assert fault["assertion"] == "readable"


@pytest.mark.slow
@pytest.mark.parametrize("way", ["there", "away", "locked"])
def test_a_password_is_in_no_log_no_record_and_no_rendered_field(airflow, postgres, way):
    """Of a database that answers, of one that is not there, and of one that wants another password."""
    with postgres.connected() as admin:
        admin.execute("DROP TABLE IF EXISTS orders")
        admin.execute(
            "CREATE TABLE orders AS SELECT timestamptz '2025-02-01Z' + hour * interval '1 hour' AS ordered_at, "
            "hour AS id FROM generate_series(0, 95) AS hours(hour)"
        )
    password = {"locked": f"{PASSWORD} not"}.get(way, PASSWORD)
    shop = {"conn_type": "postgres", "host": "127.0.0.1", "login": "checker", "password": password}
    shop |= {"port": 9 if way == "away" else postgres.port, "schema": "postgres"}
    airflow.environment["AIRFLOW_CONN_SHOP"] = json.dumps(shop)
    airflow.tables(DATABASE)
    # Nobody waits for a database that is away: of this run, no longer than a moment.
    dag = airflow.dags / "nightly_quality.py"
    dag.write_text(dag.read_text().replace("dt.timedelta(hours=3)", "dt.timedelta(seconds=0)"))
    answer = airflow.play(LAST)
    assert answer["tasks"]["one_table.await_night[orders]"] == ("success" if way == "there" else "failed")
    told = {"there": f"{LAST} passed", "away": "the last look failed", "locked": "ConfigError"}[way]
    assert told in airflow.said
    assert {record.night for record in airflow.qualities("orders")} == (
        {FIRST + dt.timedelta(days=day) for day in range(NIGHTS)} if way == "there" else set()
    )
    # Part of it, for what escapes the other part.
    part = PASSWORD.partition("-")[0]
    assert part not in airflow.said
    assert airflow.files_with(part) == []
    assert airflow.files_with("tables.yml#orders") != []
