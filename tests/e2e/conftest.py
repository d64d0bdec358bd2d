"""One real Airflow and one real MLflow for a whole module, and a model whose training can be held to be disturbed."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from airflow_mlops.golden import freeze_golden, select_every
from airflow_mlops.ledger import Ledger
from airflow_mlops.project import Project, load_project
from airflow_mlops.store import open_store

ROOT = Path(__file__).parents[2]
# dev/ is a folder of commands, and this one of tests: neither is a package.
sys.path[:0] = [str(ROOT / "dev"), str(Path(__file__).parent)]

from demo import start_services  # noqa: E402 - found by the line above
from demonstration.services import Ports, Services, airflow_environment  # noqa: E402 - likewise
from stand import FIRST, HISTORY_NIGHTS, Stand  # noqa: E402 - likewise
from stream import generated_hours, nights_of, write_night  # noqa: E402 - likewise

# Gate and limits are lenient: what they decide has tests of its own, here a challenger has to come through.
MODEL = """
name = "{name}"
task = "regression"
target = "cnt"
features = ["hr", "weekday", "workingday", "temp", "hum", "windspeed", "weathersit"]
time_column = "dteday"
[data]
path = "{data}/night={{night}}.parquet"
[quality.policy]
# What is planted here moves whole columns out of all that was seen, and stands for a world that has changed.
monitor = "warn"
[drift]
window_nights = 1
false_alarms_per_year = 12.0
ignore = ["hr", "weekday", "workingday", "weathersit"]
[training]
entrypoint = "held:train"
window_nights = 60
min_nights = 8
cooldown_nights = 1
[gate]
recent_nights = 2
approval_hours = 72.0
# Of a few nights next to nothing can be shown; of 24 hours it can.
cluster = "hr"
[[gate.rules]]
metric = "rmse"
kind = "absolute"
max = 5000.0
min_rows = 48
[[gate.rules]]
metric = "rmse"
kind = "non_inferior"
margin = 0.99
min_rows = 48
[serving]
port = {port}
"""

# Training says that it has begun, and goes on when it is let: so a test can end things "in the middle".
HELD = """
import os
import time
from pathlib import Path

from train import train as fit

def train(context):
    here = Path({signals!r})
    (here / "begun.tmp").write_text(str(os.getpid()))
    (here / "begun.tmp").replace(here / "begun")
    while (here / "hold").exists():
        time.sleep(0.05)
    return fit(context)
"""

# Airflow looks only into files that speak of DAGs.
LOOP = """
'''The four DAGs of a model, in a hurry.'''

from datetime import timedelta

from airflow_mlops.loop import retrain_on_drift

quick = {{"retries": 3, "retry_delay": timedelta(seconds=2)}}
retrain_on_drift({project!r}, dry_run={dry_run}, poll_seconds=1.0, default_args=quick)
"""

# What else may follow the loop: an asset that the alias in MLflow wakes, and a wait for the gate in the triggerer.
WAITING = """
from airflow.sdk import DAG, Asset, AssetWatcher

from airflow_mlops.sensors import GateVerdictSensor, ModelAliasSensor
from airflow_mlops.triggers import AliasChangedTrigger

trigger = AliasChangedTrigger("demand", poll_seconds=1.0)
with DAG("alias_changed", schedule=[Asset("alias", watchers=[AssetWatcher(name="alias", trigger=trigger)])]):
    ModelAliasSensor(task_id="read_alias", model="demand")
with DAG("verdict_awaited", schedule=None):
    GateVerdictSensor(
        task_id="await_verdict", model="demand", night="{{ dag_run.conf['night'] }}", wanted=["hold"], poll_seconds=1.0
    )
"""


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """Airflow and MLflow from nothing, a model and its dry twin on one history; nothing left of them at the end."""
    before = set(psutil.Process().children(recursive=True))
    home = tmp_path_factory.mktemp("loop")
    ports = Ports(*_free_ports(3))
    (home / "signals").mkdir()
    (home / "dags").mkdir()
    hours = generated_hours(FIRST, nights=HISTORY_NIGHTS, seed=7)
    for night in nights_of(hours):
        write_night(hours, night, home / "data")
    project = _model(home, "demand", ports.model, dry_run=False)
    _model(home, "rehearsal", _free_ports(1)[0], dry_run=True)
    (home / "dags" / "waiting.py").write_text(WAITING)
    environment = airflow_environment(
        home / "airflow",
        ports,
        dags=home / "dags",
        extra={
            # A person's time runs out in the scheduler, every 15 s by default.
            "AIRFLOW__SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL": "2",
            "AIRFLOW_MLOPS_SERVING_HOME": str(home / "serving"),
            "AIRFLOW_CONN_MLOPS_STORE": json.dumps({"conn_type": "mlops_store", "extra": {"uri": str(home / "store")}}),
            "AIRFLOW_CONN_MLFLOW": json.dumps({"conn_type": "mlflow", "host": f"http://127.0.0.1:{ports.mlflow}"}),
        },
    )
    services = Services(home / "logs", environment)
    try:
        api = start_services(services, home, ports, project)
        rehearsal = [f"rehearsal_{stage}" for stage in ("quality", "drift", "retrain", "deploy")]
        for dag_id in (*rehearsal, "alias_changed", "verdict_awaited"):
            services.wait("dag-processor", lambda dag_id=dag_id: api.has_dag(dag_id), timeout_seconds=120)
            api.unpause(dag_id)
        with closing(api):
            yield Stand(home, services, api, project, ports)
    finally:
        services.stop()
    left = set(psutil.Process().children(recursive=True)) - before
    assert not left, f"expected no process to stay behind, found {left}"
    strays = [folder.name for folder in Path("/proc").glob("[0-9]*") if str(home).encode() in _environment_of(folder)]
    assert not strays, f"expected no process of {home} to stay behind, found {strays}"


def _model(home: Path, name: str, port: int, *, dry_run: bool) -> Project:
    folder = home / "projects" / name
    shutil.copytree(ROOT / "dags" / "bike_demand", folder)
    (folder / "model.toml").write_text(MODEL.format(name=name, data=home / "data", port=port))
    (folder / "held.py").write_text(HELD.format(signals=str(home / "signals")))
    code = (folder / "train.py").read_text()
    assert "_EPOCHS = 100" in code
    (folder / "train.py").write_text(code.replace("_EPOCHS = 100", "_EPOCHS = 10"))
    (home / "dags" / f"{name}.py").write_text(LOOP.format(project=str(folder), dry_run=dry_run))
    project = load_project(folder)
    ledger, data = Ledger(open_store(str(home / "store"))), open_store(project.data_root)
    golden = select_every([FIRST + dt.timedelta(days=index) for index in range(HISTORY_NIGHTS)], 5)
    freeze_golden(ledger, data, project, golden, now=dt.datetime.now(dt.UTC))
    return project


def _free_ports(count: int) -> list[int]:
    # All open at once, so that no two are the same.
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def _environment_of(process: Path) -> bytes:
    """Raw: psutil reads up to the first gap, and BentoML's supervisor writes its title into its own environment."""
    try:
        return (process / "environ").read_bytes()
    except OSError:
        return b""
