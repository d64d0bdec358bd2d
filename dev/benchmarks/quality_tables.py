"""A hundred tables in one nightly run: `dags/nightly_quality.py` as it is, in a real Airflow on this machine.

Each table has sixty nights behind it. The first run finds no record of them and checks them all; the second is an
ordinary night. Of each run: how long it took from its start to its end, and what each table's check took in its task.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from demonstration.airflow_api import AirflowApi, Run
from demonstration.services import Ports, Services, airflow_environment
from rich.console import Console
from rich.table import Table

__all__ = ["main"]

_ROOT = Path(__file__).resolve().parents[2]
_DAG = "nightly_quality"
_FIRST = dt.date(2026, 1, 5)
_PATIENCE_SECONDS = 7200.0
_COLUMNS = 120
_CONTRACT = """\
dataset: files/table
columns:
  - name: at
    checks: [{missing: null}]
  - name: id
    checks: [{missing: null}, {duplicate: null}]
  - name: x0
    checks: [{missing: null}, {invalid: {valid_min: -50, valid_max: 50}}]
  - name: x1
    checks: [{aggregate: {function: avg, threshold: {must_be_between: {greater_than: -5, less_than: 5}}}}]
  - name: city
    checks: [{invalid: {valid_values: [Aachen, Bonn, Celle, Dresden]}}]
checks:
  - row_count: null
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a table; 1 if a check did not end as it should."""
    parser = argparse.ArgumentParser(prog="dev/bench quality tables", description=__doc__)
    parser.add_argument("--tables", type=int, default=100)
    parser.add_argument("--rows", type=int, default=1000, help="of each night (default 1000), in 12 columns")
    parser.add_argument("--history", type=int, default=60, help="nights before the first run (default 60)")
    parser.add_argument("--parallel", type=int, default=2, help="tasks at once (default 2)")
    parser.add_argument("--port", type=int, default=8099, help="of Airflow's server, on 127.0.0.1")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there, too")
    asked = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="bench-quality-") as folder:
        report = _measured(Path(folder), asked)
    if asked.json:
        asked.json.write_text(json.dumps(report, indent=1) + "\n")
    shown = Table(title=f"{asked.tables} tables, {asked.rows} rows a night, {asked.parallel} tasks at once")
    for heading in ("run", "seconds", "good", "a check, seconds: median", "95th percentile", "longest"):
        shown.add_column(heading, justify="right")
    for run in report["runs"]:
        shown.add_row(run["name"], *(f"{run[key]:.1f}" for key in ("seconds",)), f"{run['good']}", *run["shown"])
    Console(width=None if sys.stdout.isatty() else _COLUMNS).print(shown)
    return 0 if all(run["good"] == asked.tables for run in report["runs"]) else 1


def _measured(home: Path, asked: argparse.Namespace) -> dict[str, Any]:
    nights = [_FIRST + dt.timedelta(days=day) for day in range(asked.history + 2)]
    _lay(home, asked, nights[:-1])
    ports = Ports(airflow=asked.port, mlflow=0, model=0)
    store = {"conn_type": "mlops_store", "extra": {"uri": str(home / "store")}}
    environment = airflow_environment(
        home / "airflow", ports, dags=home / "dags", extra={"AIRFLOW_CONN_MLOPS_STORE": json.dumps(store)}
    )
    environment |= {
        "AIRFLOW__CORE__PARALLELISM": str(asked.parallel),
        "AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG": str(asked.parallel),
    }
    services = Services(home / "logs", environment)
    try:
        api = _started(services, ports)
        runs = [_run(api, services, nights[-2], "the first, with all nights before it")]
        _write(home, asked, nights[-1:])
        runs.append(_run(api, services, nights[-1], "an ordinary night"))
    finally:
        services.stop()
    return {"tables": asked.tables, "rows": asked.rows, "history": asked.history, "runs": runs}


def _lay(home: Path, asked: argparse.Namespace, nights: Sequence[dt.date]) -> None:
    dags = home / "dags"
    (dags / "tables").mkdir(parents=True)
    shutil.copy(_ROOT / "dags" / f"{_DAG}.py", dags)
    (dags / "tables" / "contract.yml").write_text(_CONTRACT)
    tables = [
        {
            "name": f"table_{number:03d}",
            "path": f"{home}/data/{number:03d}/night={{night}}.parquet",
            "time_column": "at",
            "quality": {"contract": "contract.yml"},
        }
        for number in range(asked.tables)
    ]
    (dags / "tables" / "tables.yml").write_text(json.dumps({"tables": tables}))
    _write(home, asked, nights)


def _write(home: Path, asked: argparse.Namespace, nights: Sequence[dt.date]) -> None:
    for number in range(asked.tables):
        folder = home / "data" / f"{number:03d}"
        folder.mkdir(parents=True, exist_ok=True)
        for night in nights:
            rng = np.random.default_rng([number, night.toordinal()])
            at = np.datetime64(night, "us") + np.sort(rng.integers(0, 86_400_000_000, asked.rows)).astype("m8[us]")
            columns: dict[str, Any] = {"at": at, "id": np.arange(asked.rows) + asked.rows * night.toordinal()}
            columns |= {f"x{place}": rng.normal(size=asked.rows) for place in range(8)}
            columns["city"] = rng.choice(["Aachen", "Bonn", "Celle", "Dresden"], asked.rows)
            columns["count"] = rng.poisson(3.0, asked.rows)
            pq.write_table(pa.table(columns), folder / f"night={night}.parquet")


def _started(services: Services, ports: Ports) -> AirflowApi:
    services.call("airflow-db", ["airflow", "db", "migrate"])
    for name in ("api-server", "scheduler", "dag-processor", "triggerer"):
        options = ["--skip-serve-logs"] if name in ("scheduler", "triggerer") else []
        services.start(name, ["airflow", name, *options])
    api = AirflowApi(f"http://127.0.0.1:{ports.airflow}")
    services.wait("api-server", api.healthy, timeout_seconds=180)
    services.wait("dag-processor", lambda: api.has_dag(_DAG), timeout_seconds=180)
    api.unpause(_DAG)
    return api


def _run(api: AirflowApi, services: Services, night: dt.date, name: str) -> dict[str, Any]:
    run_id = api.trigger(_DAG, night=night.isoformat())

    def ended() -> Run | None:
        # Each look costs the server more than a task does: not too often.
        time.sleep(3.0)
        run = api.run(_DAG, run_id)
        return run if run.over else None

    run = api.until(ended, what=f"the end of {name}", timeout_seconds=_PATIENCE_SECONDS, tick=services.check)
    checks = api.instances(run, "one_table.check_quality")
    seconds = sorted(float(check["duration"] or 0.0) for check in checks)
    figures = (statistics.median(seconds), seconds[int(0.95 * (len(seconds) - 1))], seconds[-1])
    return {
        "name": name,
        "seconds": (run.ended - run.started).total_seconds() if run.ended and run.started else float("nan"),
        "good": sum(check["state"] == "success" for check in checks),
        "check_seconds": seconds,
        "shown": [f"{figure:.1f}" for figure in figures],
    }


if __name__ == "__main__":
    sys.exit(main())
