"""The two places that the chain can lie in: a folder, and S3 (moto's server on loopback, in a process of its own).

And a loop to run operators in: a model project with its nights, a store, MLflow on sqlite, and a trained chain.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from airflow_mlops.golden import freeze_golden
from airflow_mlops.ledger import Ledger
from airflow_mlops.nights import quality_by_night
from airflow_mlops.project import Project, load_project
from airflow_mlops.records import CheckOutcome, CheckResult, Quality, sha256_digest
from airflow_mlops.store import Store, StoreOptions, open_store
from airflow_mlops.table import pin_of

ROOT = Path(__file__).parents[1]
# dev/ is a folder of commands, no package; nor is this one.
sys.path[:0] = [str(ROOT / "dev"), str(ROOT / "tests")]

from postgres import mortal_postgres, postgres  # noqa: E402, F401 - found by the line above; fixtures for all tests
from stream import generated_hours, write_night  # noqa: E402 - likewise

# Airflow makes its home where it is first imported, which must not be anybody's own.
os.environ["AIRFLOW_HOME"] = tempfile.mkdtemp(prefix="airflow-home-of-tests-")
os.environ["AIRFLOW__CORE__LOAD_EXAMPLES"] = "False"

BUCKET = "chain"

# One request at a time: moto 5.2.5 looks and then writes without a lock, so that of 16 racing writers two now and
# then win under its own threaded server (seen with sys.setswitchinterval(1e-6)). S3 itself promises one.
_SERVER = """
import logging
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
app = DomainDispatcherApplication(create_backend_app)
server = make_server("127.0.0.1", 0, app, threaded=False, request_handler=MotoRequestHandler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


def pytest_configure(config: pytest.Config) -> None:
    """Leave no Airflow home behind."""
    config.add_cleanup(lambda: shutil.rmtree(os.environ["AIRFLOW_HOME"], ignore_errors=True))


class StoreAddress(NamedTuple):
    """How to open a store again, in another process too."""

    uri: str
    options: StoreOptions | None = None

    def open(self) -> Store:
        return open_store(self.uri, self.options)


@pytest.fixture(scope="session")
def s3_options() -> Iterator[StoreOptions]:
    """A running S3 with an empty bucket."""
    with subprocess.Popen([sys.executable, "-c", _SERVER], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            endpoint = f"http://127.0.0.1:{int(server.stdout.readline())}"
            options = StoreOptions(endpoint, "loopback", "not-a-secret", "us-east-1")
            import boto3

            boto3.client(
                "s3",
                endpoint_url=endpoint,
                aws_access_key_id=options.access_key_id,
                aws_secret_access_key=options.secret_access_key,
                region_name=options.region,
            ).create_bucket(Bucket=BUCKET)
            yield options
        finally:
            server.kill()


@pytest.fixture
def s3_address(s3_options: StoreOptions) -> StoreAddress:
    """A prefix of its own for each test."""
    return StoreAddress(f"s3://{BUCKET}/{uuid.uuid4().hex}", s3_options)


@pytest.fixture
def folder_address(tmp_path: Path) -> StoreAddress:
    return StoreAddress(str(tmp_path / "chain"))


@pytest.fixture(params=["folder", "s3"])
def address(request: pytest.FixtureRequest) -> StoreAddress:
    """Each of the two: a test that asks for it runs on both."""
    found: StoreAddress = request.getfixturevalue(f"{request.param}_address")
    return found


@pytest.fixture
def store(address: StoreAddress) -> Store:
    return address.open()


# ── the loop ─────────────────────────────────────────────────────────────────────────────────────

FIRST = dt.date(2025, 2, 1)
HISTORY = tuple(FIRST + dt.timedelta(days=index) for index in range(18))
GOLDEN = HISTORY[2::4]
HOURS = generated_hours(FIRST, nights=24, seed=7)

# Gate and limits are lenient: what they decide has tests of its own, here a challenger has to come through.
_MODEL = """
name = "bike_demand"
task = "regression"
target = "cnt"
features = ["hr", "weekday", "workingday", "temp", "hum", "windspeed", "weathersit"]
time_column = "dteday"
[data]
path = "${{BIKE_DEMAND_DATA}}/night={{night}}.parquet"
[drift]
window_nights = 2
ignore = ["hr", "weekday", "workingday", "weathersit"]
[training]
entrypoint = "train:train"
window_nights = 60
min_nights = 8
cooldown_nights = 3
[gate]
recent_nights = 3
# Of a few nights next to nothing can be shown; of 24 hours it can.
cluster = "hr"
rules = [
  {{ metric = "rmse", kind = "absolute", on = "golden", max = 5000.0, min_rows = 24 }},
  {{ metric = "rmse", kind = "non_inferior", on = "golden", margin = 0.99, min_rows = 24 }},
]
[serving]
port = {port}
"""


class TaskRecord:
    """Stands for the running task: keeps what is pushed."""

    def __init__(self) -> None:
        self.xcoms: dict[str, Any] = {}

    def xcom_push(self, key: str, value: Any) -> None:
        self.xcoms[key] = value


class Event(NamedTuple):
    """An asset event, as a consumer sees it."""

    timestamp: dt.datetime
    extra: dict[str, Any]


class Loop:
    """A model project below a folder, and its operators, run without a scheduler."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.data = home / "data"
        self.folder = home / "project"
        self.store = str(home / "store")
        self.context: dict[str, Any] = {}

    @classmethod
    def make(cls, home: Path) -> Loop:
        """A project with its history of good nights and a golden set; call ``enter`` first."""
        loop = cls(home)
        shutil.copytree(ROOT / "dags" / "bike_demand", loop.folder)
        train = loop.folder / "train.py"
        train.write_text(train.read_text().replace("_EPOCHS = 100", "_EPOCHS = 5"))
        loop.configure(port=3210)
        for night in HISTORY:
            write_night(HOURS, night, loop.data)
            loop.approve(night)
        freeze_golden(loop.ledger, open_store(str(loop.data)), loop.project, GOLDEN, now=dt.datetime.now(dt.UTC))
        return loop

    def enter(self, patch: pytest.MonkeyPatch) -> None:
        """Let connections and variables lead to this loop."""
        connections = {
            "MLOPS_STORE": {"conn_type": "mlops_store", "extra": {"uri": self.store}},
            "MLFLOW": {"conn_type": "mlflow", "host": f"sqlite:///{self.home}/mlflow.db"},
        }
        for name, connection in connections.items():
            patch.setenv(f"AIRFLOW_CONN_{name}", json.dumps(connection))
        patch.setenv("BIKE_DEMAND_DATA", str(self.data))
        patch.setenv("AIRFLOW_MLOPS_SERVING_HOME", str(self.home / "serving"))
        # MLflow lays the artefacts of an address without a server below the working folder.
        patch.chdir(self.home)

    def configure(self, **changes: Any) -> None:
        """Write model.toml; ``port``, and any text of it to another."""
        text = _MODEL.format(port=changes.pop("port", 3210))
        for old, new in changes.pop("replace", {}).items():
            assert old in text
            text = text.replace(old, new)
        (self.folder / "model.toml").write_text(text)

    @property
    def project(self) -> Project:
        return load_project(self.folder)

    @property
    def ledger(self) -> Ledger:
        return Ledger(open_store(self.store))

    def file(self, night: dt.date) -> Path:
        return self.data / f"night={night}.parquet"

    def approve(self, night: dt.date, outcome: CheckOutcome = CheckOutcome.PASSED) -> Quality:
        """A quality record of the night's file, as the check would leave it."""
        return self.ledger.write(
            Quality(
                model="bike_demand",
                night=night,
                location=str(self.file(night)),
                partition=pin_of(self.file(night), night),
                rules_digest=sha256_digest(b"contract"),
                checks=(CheckResult(name="rows", outcome=outcome, expected="rows", actual="rows"),),
                recorded_at=dt.datetime.now(dt.UTC),
                dag_run="history/1",
            )
        )

    def arrive(self, night: dt.date, **shift: float) -> Quality:
        """A good night more; ``shift`` adds to whole columns."""
        import pyarrow.compute as pc

        hours = HOURS
        for name, step in shift.items():
            hours = hours.set_column(hours.column_names.index(name), name, pc.add(hours[name], step))
        write_night(hours, night, self.data)
        return self.approve(night)

    def run(
        self, operator: type[Any], *, run_id: str = "run", events: Sequence[dict[str, Any]] = (), **arguments: Any
    ) -> Any:
        """Execute an operator in a context that records; ``events`` are extras of asset events, oldest first."""
        from airflow.sdk.execution_time.context import OutletEventAccessors

        start = dt.datetime(2025, 3, 1, tzinfo=dt.UTC)
        self.context = {
            "dag_run": SimpleNamespace(dag_id="dag", run_id=run_id, partition_key=None),
            "ti": TaskRecord(),
            "outlet_events": OutletEventAccessors(),
            "triggering_asset_events": {
                "asset": [Event(start + dt.timedelta(hours=hour), extra) for hour, extra in enumerate(events)]
            },
        }
        task = operator(task_id=operator.__name__, **{"project": str(self.folder), **arguments})
        self.context["task"] = task
        return task.execute(self.context)

    @property
    def xcoms(self) -> dict[str, Any]:
        """What the last task pushed."""
        found: dict[str, Any] = self.context["ti"].xcoms
        return found

    @property
    def story(self) -> str:
        """What the last task told."""
        return str(self.xcoms["story"])

    def records(self) -> dict[str, int]:
        """How many records there are of each kind."""
        counts: dict[str, int] = defaultdict(int)
        for key in open_store(self.store).keys("records/"):
            counts[key.split("/")[1]] += 1
        return dict(counts)

    def qualities(self) -> dict[dt.date, Quality]:
        return quality_by_night(self.ledger, "bike_demand")

    def alias(self) -> str | None:
        """Version that MLflow's alias champion names."""
        from airflow_mlops.hooks.mlflow import MlflowHook

        return MlflowHook().alias("bike_demand", "champion")


@pytest.fixture(scope="session")
def loop_kind() -> type[Loop]:
    """For fixtures that make loops of their own."""
    return Loop


@pytest.fixture
def loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Loop:
    """Good nights and a golden set; nothing was trained yet."""
    Loop(tmp_path).enter(monkeypatch)
    return Loop.make(tmp_path)


@pytest.fixture(scope="session")
def trained_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A loop up to its first verdict, made once."""
    from airflow_mlops.operators.gate import EvaluateGateOperator
    from airflow_mlops.operators.training import TrainModelOperator

    home = tmp_path_factory.mktemp("trained") / "loop"
    home.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        Loop(home).enter(patch)
        loop = Loop.make(home)
        manifest = loop.run(TrainModelOperator, run_id="first")
        verdict = loop.run(EvaluateGateOperator, run_id="first", manifest=manifest)
    (home / "references.json").write_text(json.dumps({"manifest": manifest, "verdict": verdict}))
    return home


class Trained(Loop):
    """A loop with a manifest, registered in MLflow, and a verdict that promotes it."""

    @property
    def manifest(self) -> str:
        return str(json.loads((self.home / "references.json").read_text())["manifest"])

    @property
    def verdict(self) -> str:
        return str(json.loads((self.home / "references.json").read_text())["verdict"])


@pytest.fixture
def trained(trained_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trained:
    """A copy of its own of the trained loop."""
    loop = Trained(Path(shutil.copytree(trained_home, tmp_path / "loop")))
    loop.enter(monkeypatch)
    return loop
