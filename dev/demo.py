"""``dev/demo``: nights of data through Airflow, until a model that drifted has retrained and deployed itself."""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import hashlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

import httpx
from demonstration.airflow_api import AirflowApi
from demonstration.history import DATA_VARIABLE, check_place, lay_history, planned_nights, read_stream
from demonstration.play import STAGES, Player
from demonstration.services import ENDINGS, Ports, ServiceFault, Services, airflow_environment, check_ports
from demonstration.timeline import Night, faults_of, table_of
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from airflow_mlops.errors import MLOpsError
from airflow_mlops.ledger import Ledger
from airflow_mlops.project import Project, load_project
from airflow_mlops.store import open_store

ROOT = Path(__file__).resolve().parent.parent

# Which of the played nights is corrupted on purpose, counted from 1, and how.
CORRUPT_NIGHT, CORRUPT_HOW = 4, "unit"
NEEDED_BYTES = 1 << 30

# A log has no width of its own; a line a night needs this much.
console = Console() if sys.stdout.isatty() else Console(width=180)


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="dev/demo", description=__doc__)
    parser.add_argument(
        "--data", type=Path, help="hourly CSV to play (the bike sharing data); otherwise one is generated"
    )
    parser.add_argument("--project", type=Path, default=ROOT / "dags" / "bike_demand", help="model project to run")
    parser.add_argument("--nights", type=int, default=21, help="nights to play (default 21)")
    parser.add_argument("--start", type=dt.date.fromisoformat, help="first night to play")
    parser.add_argument("--exit", action="store_true", help="end when the nights are played, instead of staying up")
    parser.add_argument("--json", type=Path, help="write the timeline to this file")
    parser.add_argument(
        "--home", type=Path, default=ROOT / ".demo", help="folder that keeps everything (default .demo)"
    )
    parser.add_argument("--airflow-port", type=int, default=8080)
    parser.add_argument("--mlflow-port", type=int, default=5000)
    options = parser.parse_args(given)
    if options.nights < 1:
        parser.error(f"--nights: expected at least 1, got {options.nights}")
    return options


def main() -> int:
    """Play; the exit code is 0 when every night ended as it should and the champion is what is served."""
    options = arguments()
    # A polite end, or a terminal that closes, ends everything as Ctrl-C does; under nohup a terminal may close.
    for number in ENDINGS:
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)
    try:
        return play(options)
    except KeyboardInterrupt:
        console.print("\nStopped.")
        return 130
    except (MLOpsError, ServiceFault, TimeoutError, OSError, httpx.HTTPError) as error:
        console.print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        return 2 if isinstance(error, MLOpsError) else 3


def play(options: argparse.Namespace) -> int:
    """Start everything, play the nights, tell what happened."""
    began = time.monotonic()
    # One home a source: records of one stream say nothing about another.
    source = options.data.resolve() if options.data else Path("generated")
    hours, start = read_stream(options.data, options.start, options.nights)
    identity = f"{source} {options.project.resolve()} {start}"
    home: Path = (options.home / f"{source.stem}-{hashlib.sha256(identity.encode()).hexdigest()[:8]}").resolve()
    home.mkdir(parents=True, exist_ok=True)
    if (free := shutil.disk_usage(home).free) < NEEDED_BYTES:
        raise ServiceFault(
            f"expected 1 GiB of free disk for {home}, found {free >> 20} MiB. Free some, or name --home."
        )
    os.environ[DATA_VARIABLE] = str(home / "data")
    project = load_project(options.project)
    check_place(project, home / "data")
    ports = Ports(options.airflow_port, options.mlflow_port, project.spec.serving.port)
    check_ports(ports)
    history, nights = planned_nights(hours, start, options.nights)
    ledger = Ledger(open_store(str(home / "store")))
    lay_history(project, ledger, hours, history, say=lambda line: console.print(line, highlight=False, soft_wrap=True))
    services = Services(home / "logs", _environment(home, ports, project))
    try:
        with Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        ) as progress:
            bar = progress.add_task("starting", total=len(nights))
            with _said(progress, "MLflow and Airflow started"):
                api = start_services(services, home, ports, project)

            def tick(doing: str) -> None:
                services.check()
                progress.update(bar, description=doing)

            player = Player(api, ledger, project, hours, tick)
            faults: list[str] = []
            if player.champion() not in (None, player.served()):
                with _said(progress, "the champion of the last demo is served again"):
                    faults = player.redeploy()
            lines, peak = [], 0
            for index, night in enumerate(nights, start=1):
                corrupt = CORRUPT_HOW if index == CORRUPT_NIGHT else None
                lines.append(_line(player, night, corrupt))
                progress.console.print(_brief(lines[-1]), highlight=False)
                progress.update(bar, completed=index)
                peak = max(peak, services.memory_bytes())
        faults += faults_of(lines, champion=player.champion(), served=player.served())
        _tell(options, ports, player, lines, faults, peak, time.monotonic() - began)
        if not options.exit:
            console.print("Everything stays up until Ctrl-C.")
            while True:
                services.check()
                time.sleep(1.0)
        return 1 if faults else 0
    finally:
        services.stop()


def _environment(home: Path, ports: Ports, project: Project) -> dict[str, str]:
    dags = ROOT / "dags"
    if project.folder.parent != dags:
        dags = home / "dags"
        dags.mkdir(exist_ok=True)
        (dags / "loop.py").write_text(
            # Airflow reads only files in which both words stand: airflow, and DAG.
            f'"""The DAGs of {project.name}."""\n\n'
            f"from airflow_mlops.loop import retrain_on_drift\n\nretrain_on_drift({str(project.folder)!r})\n"
        )
    return airflow_environment(
        home / "airflow",
        ports,
        dags=dags,
        extra={
            DATA_VARIABLE: os.environ[DATA_VARIABLE],
            "AIRFLOW_MLOPS_SERVING_HOME": str(home / "serving"),
            "AIRFLOW_MLOPS_STORE": str(home / "store"),
            "AIRFLOW_CONN_MLOPS_STORE": json.dumps({"conn_type": "mlops_store", "extra": {"uri": str(home / "store")}}),
            "AIRFLOW_CONN_MLFLOW": json.dumps({"conn_type": "mlflow", "host": f"http://127.0.0.1:{ports.mlflow}"}),
        },
    )


def start_services(services: Services, home: Path, ports: Ports, project: Project) -> AirflowApi:
    """Start MLflow and Airflow, let the model's DAGs run, and return when all are ready."""
    # Everything that can start at once does: the waits overlap.
    services.start("mlflow", [
        "mlflow", "server", "--host", "127.0.0.1", "--port", str(ports.mlflow), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{home / 'mlflow.db'}", "--artifacts-destination", str(home / "artifacts"),
    ])  # fmt: skip
    services.call("airflow-db", ["airflow", "db", "migrate"])
    services.start("api-server", ["airflow", "api-server"])
    services.start("scheduler", ["airflow", "scheduler", "--skip-serve-logs"])
    services.start("dag-processor", ["airflow", "dag-processor"])
    services.start("triggerer", ["airflow", "triggerer", "--skip-serve-logs"])
    api = AirflowApi(f"http://127.0.0.1:{ports.airflow}")
    services.wait("api-server", api.healthy, timeout_seconds=180)
    dags = [f"{project.name}_{stage}" for stage in STAGES]

    def parsed() -> bool:
        if errors := api.import_errors():
            raise ServiceFault("expected the DAG files to be parsed:\n" + "\n".join(errors))
        return all(api.has_dag(dag_id) for dag_id in dags)

    services.wait("dag-processor", parsed, timeout_seconds=180)
    for dag_id in dags:
        api.unpause(dag_id)
    mlflow = f"http://127.0.0.1:{ports.mlflow}/health"
    services.wait("mlflow", lambda: httpx.get(mlflow, timeout=5.0, trust_env=False).is_success, timeout_seconds=180)
    return api


def _line(player: Player, night: dt.date, corrupt: str | None) -> Night:
    played = player.complete(Night(night, corrupted=corrupt))
    # A second demo uses what is there: a night that was judged is not played again.
    return played if played.quality == "quarantined" or played.drift else player.play(night, corrupt=corrupt)


def _tell(
    options: argparse.Namespace,
    ports: Ports,
    player: Player,
    lines: list[Night],
    faults: list[str],
    peak: int,
    seconds: float,
) -> None:
    console.print(table_of(lines, title=f"{player.project.name}: {len(lines)} nights in {seconds:.0f} s"))
    champion, served = player.champion(), player.served()
    splits = [f"{line.night}: {line.split}" for line in lines if line.split]
    if splits:
        console.print("From the drift event to the new version served:")
        for split in splits:
            console.print(f"  {split}", highlight=False)
    console.print(f"Peak memory {peak / 2**30:.1f} GiB. Champion {champion}, served {served}.", highlight=False)
    if options.json:
        summary = {
            "model": player.project.name,
            "source": str(options.data) if options.data else "generated",
            "nights": [line.to_json() for line in lines],
            "champion": champion,
            "served": served,
            "faults": faults,
            "seconds": round(seconds, 1),
            "peak_memory_bytes": peak,
        }
        options.json.write_text(json.dumps(summary, indent=2) + "\n")
    body = json.dumps({"rows": [player.a_row()]})
    console.print(
        f"\nAirflow  http://127.0.0.1:{ports.airflow}\nMLflow   http://127.0.0.1:{ports.mlflow}\n"
        f"Chain    http://127.0.0.1:{ports.airflow}/mlops/\n"
        f"Predict  curl -s {player.address}/predict -H 'content-type: application/json' -d '{body}'\n",
        highlight=False,
        soft_wrap=True,
    )
    for fault in faults:
        console.print(f"[bold red]not as it should be:[/] {escape(fault)}", highlight=False, soft_wrap=True)


def _brief(line: Night) -> str:
    parts = [line.quality, line.drift, line.training, line.verdict]
    told = " | ".join(part for part in parts if part)
    return f"{line.night:%a %Y-%m-%d}  {told}  [dim]{line.seconds:.0f} s, serves {line.served or 'nothing yet'}[/]"


@contextlib.contextmanager
def _said(progress: Progress, what: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    progress.console.print(f"{what} [dim]{time.monotonic() - began:.0f} s[/]", highlight=False)


def _interrupt(number: int, frame: FrameType | None) -> None:
    del number, frame
    # Once is enough: a second one would disturb the ending that this one begins.
    for ending in ENDINGS:
        signal.signal(ending, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
