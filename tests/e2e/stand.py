"""What a scenario does to the running loop, and how it sees what came of it."""

from __future__ import annotations

import datetime as dt
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import httpx
import psutil
import pyarrow as pa
import pyarrow.compute as pc
from demonstration.airflow_api import AirflowApi, Run
from demonstration.services import Ports, Services
from stream import generated_hours, nights_of, write_night

from airflow_mlops.hooks.mlflow import REF_TAG
from airflow_mlops.ledger import Ledger
from airflow_mlops.project import Project
from airflow_mlops.records import Deployment, Manifest, Record, Registration, Verdict, short
from airflow_mlops.serving.process import marked
from airflow_mlops.store import open_store

# Of which every fifth is golden, two are recent, and ten are left to train the first model on.
HISTORY_NIGHTS = 16
PLAYED_NIGHTS = 9
FIRST = dt.date(2025, 2, 1)
# The machine may be busy with other work; nothing waits as long as this unless it is stuck.
PATIENCE_SECONDS = 240.0
QUIET_SECONDS = 5.0

R = TypeVar("R", bound=Record)
T = TypeVar("T")


class Chain(NamedTuple):
    """What one retraining left: exactly one of each."""

    manifest: Manifest
    registration: Registration
    verdict: Verdict
    deployment: Deployment


class Stand:
    """The running services, the data that nights are cut from, and the model's own view of what happened."""

    def __init__(self, home: Path, services: Services, api: AirflowApi, project: Project, ports: Ports) -> None:
        self.home = home
        self.services = services
        self.api = api
        self.project = project
        self.ports = ports
        self.ledger = Ledger(open_store(str(home / "store")))
        self.hours = generated_hours(FIRST, nights=HISTORY_NIGHTS + PLAYED_NIGHTS, seed=7)
        self._commands: dict[str, list[str]] = {}
        self._nights = iter(nights_of(self.hours)[HISTORY_NIGHTS:])

    def next_night(self) -> dt.date:
        """The night after the last one that was played."""
        return next(self._nights)

    def write(self, night: dt.date, corrupt: str | None = None, **shift: float) -> None:
        """Let a night's file arrive; ``shift`` adds to whole columns."""
        hours = self.hours
        for name, step in shift.items():
            hours = hours.set_column(hours.column_names.index(name), name, pc.add(hours[name], pa.scalar(step)))
        write_night(hours, night, self.home / "data", corrupt)

    # ── Airflow ──────────────────────────────────────────────────────────────────────────────────

    def trigger(self, stage: str, night: dt.date | None, *, model: str | None = None, **conf: Any) -> Run:
        """Start a run by hand."""
        dag_id = f"{model or self.project.name}_{stage}"
        run_id = self.api.trigger(dag_id, night=night.isoformat() if night else None, conf=conf)
        return self.api.run(dag_id, run_id)

    def trigger_dag(self, dag_id: str, **conf: Any) -> Run:
        """Start a run of a DAG that is none of the loop's."""
        return self.api.run(dag_id, self.api.trigger(dag_id, night=None, conf=conf))

    def runs(self, stage: str, night: dt.date | None = None) -> list[Run]:
        """Runs of a stage, oldest first; of one night, if it is named."""
        return self.api.runs(f"{self.project.name}_{stage}", night=night.isoformat() if night else None)

    def over(self, run: Run) -> Run:
        """Wait for a run's end."""

        def ended() -> Run | None:
            now = self.api.run(run.dag_id, run.run_id)
            return now if now.over else None

        return self.wait(ended, f"the end of {run.dag_id} {run.run_id}")

    def follow(self, stage: str, night: dt.date | None, *, runs: int = 1, model: str | None = None) -> Run:
        """Wait until assets have started so many runs (of a night), and for the end of them all; the newest."""
        dag_id = f"{model or self.project.name}_{stage}"

        def started() -> list[Run] | None:
            found = self.api.runs(dag_id, night=night.isoformat() if night else None)
            return found if len(found) >= runs else None

        return [self.over(run) for run in self.wait(started, f"{runs} runs of {dag_id} for {night}")][-1]

    def in_state(self, run: Run, task_id: str, *states: str) -> dict[str, Any]:
        """Wait until a task of a run is in one of some states; the task instance."""

        def there() -> dict[str, Any] | None:
            task = self.api.run(run.dag_id, run.run_id).tasks.get(task_id, {})
            return task if task.get("state") in states else None

        return self.wait(there, f"{task_id} of {run.run_id} to be {' or '.join(states)}")

    def links(self, run: Run, task_id: str) -> dict[str, str | None]:
        """The buttons of a task in the UI."""
        path = f"/api/v2/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/{task_id}/links"
        answer = httpx.get(f"http://127.0.0.1:{self.ports.airflow}{path}", timeout=30).raise_for_status()
        found: dict[str, str | None] = answer.json()["extra_links"]
        return found

    def request(self, run: Run) -> dict[str, Any]:
        """What a person is shown who has to decide."""
        answer = httpx.get(self._request_url(run), timeout=30).raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def answer(self, run: Run, option: str, reason: str) -> None:
        """Decide, as the buttons of the UI do, and no faster than a person can.

        Airflow 3.3.2 takes a task that is answered within a second of asking for one that was killed: it tries it
        again, and the answer is gone.
        """
        time.sleep(3)
        body = {"chosen_options": [option], "params_input": {"reason": reason}}
        httpx.patch(self._request_url(run), json=body, timeout=30).raise_for_status()

    def _request_url(self, run: Run) -> str:
        path = f"/api/v2/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/request_approval/-1/hitlDetails"
        return f"http://127.0.0.1:{self.ports.airflow}{path}"

    def rewrite(self, old: str, new: str) -> None:
        """Edit the model's project, as a person does."""
        file = self.project.folder / "model.toml"
        text = file.read_text()
        assert text.count(old) == 1, old
        file.write_text(text.replace(old, new))

    def note(self, run: Run) -> str:
        """What the grid tells of a run."""
        path = f"/api/v2/dags/{run.dag_id}/dagRuns/{run.run_id}"
        answer = httpx.get(f"http://127.0.0.1:{self.ports.airflow}{path}", timeout=30).raise_for_status()
        return str(answer.json()["note"])

    def settled(self) -> None:
        """Wait until nothing runs, nor has for a while: an asset's event takes a moment to start the next run."""
        quiet_since = time.monotonic()

        def quiet() -> bool | None:
            nonlocal quiet_since
            if self._under_way():
                quiet_since = time.monotonic()
            return True if time.monotonic() - quiet_since > QUIET_SECONDS else None

        self.wait(quiet, "every run to end")

    def _under_way(self) -> int:
        url = f"http://127.0.0.1:{self.ports.airflow}/api/v2/dags/~/dagRuns"
        answer = httpx.get(url, params={"state": ["running", "queued"]}, timeout=30).raise_for_status()
        return int(answer.json()["total_entries"])

    # ── disturbing ───────────────────────────────────────────────────────────────────────────────

    def hold(self) -> None:
        """Let the next trainings wait for `release`."""
        (self.home / "signals" / "begun").unlink(missing_ok=True)
        (self.home / "signals" / "hold").touch()

    def release(self) -> None:
        """Let trainings go on."""
        (self.home / "signals" / "hold").unlink(missing_ok=True)

    def training(self) -> int:
        """Wait until a training has begun; its process. A second call waits for the next one."""
        begun = self.home / "signals" / "begun"
        pid = int(self.wait(lambda: begun.read_text() if begun.exists() else None, "a training to begin"))
        begun.unlink()
        return pid

    def kill(self, pid: int) -> None:
        """End a process as the kernel does for want of memory."""
        os.kill(pid, signal.SIGKILL)
        self.gone(pid)

    def gone(self, pid: int) -> None:
        """Wait for a process' end. (An orphan comes to us as a zombie.)"""
        self.wait(lambda: _has_ended(pid) or None, f"the end of the process {pid}")

    def kill_service(self, name: str, *, with_children: bool) -> None:
        """End a server without a word."""
        process = self.services.running.pop(name)
        (os.killpg if with_children else os.kill)(process.pid, signal.SIGKILL)
        process.wait(30)
        assert isinstance(process.args, list)
        self._commands[name] = process.args

    def start_again(self, name: str) -> None:
        """Start a server that was killed."""
        self.services.start(name, self._commands.pop(name))

    # ── what happened ────────────────────────────────────────────────────────────────────────────

    def all(self, kind: type[R]) -> list[R]:
        """Every record of a kind."""
        return list(self.ledger.all(kind, f"{self.project.name}/"))

    def chain(self, night: dt.date) -> Chain:
        """The records of the one retraining of a night, proved to be one each and to be what is served."""
        manifest = _only([found for found in self.all(Manifest) if found.night == night])
        registration = _only([found for found in self.all(Registration) if found.manifest == manifest.ref])
        verdict = _only([found for found in self.all(Verdict) if found.manifest == manifest.ref])
        deployment = _only([found for found in self.all(Deployment) if found.verdict == verdict.ref])
        champion, live = (self.ledger.pointer(self.project.name, name) for name in ("champion", "live"))
        assert champion is not None
        assert live is not None
        assert (champion.to, live.to) == (verdict.ref, deployment.ref)
        assert self.alias() == registration.registered_version
        assert len(self.registered(manifest)) == 1
        assert self.served() == deployment.served_version == short(verdict.artefact_digest)
        return Chain(manifest, registration, verdict, deployment)

    def records(self) -> dict[str, bytes]:
        """Every record of every model, as it lies there."""
        folder = self.home / "store" / "records"
        return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.json"))}

    def serving(self, model: str) -> dict[int, str]:
        """Processes that serve a model, or lead to one."""
        return marked(f"{(self.home / 'serving').resolve() / model}/", below=True)

    def served(self) -> str | None:
        """Version that users' answers name."""
        row = self.hours.select(list(self.project.spec.features)).slice(0, 1).to_pylist()
        port = self.project.spec.serving.port
        answer = httpx.post(f"http://127.0.0.1:{port}/predict", json={"rows": row}, timeout=30).raise_for_status()
        return answer.headers.get("x-model-version")

    def alias(self, model: str | None = None) -> str | None:
        """Version that MLflow's alias champion names."""
        name = model or self.project.name
        answer = self._mlflow("registered-models/alias", name=name, alias="champion")
        return answer["model_version"]["version"] if answer else None

    def registered(self, manifest: Manifest) -> list[dict[str, Any]]:
        """Versions that MLflow has of one training."""
        found = self._mlflow("model-versions/search", filter=f"name = '{manifest.model}'") or {}
        named = {"key": REF_TAG, "value": str(manifest.ref)}
        return [version for version in found.get("model_versions", []) if named in version["tags"]]

    def _mlflow(self, path: str, **params: str) -> dict[str, Any] | None:
        url = f"http://127.0.0.1:{self.ports.mlflow}/api/2.0/mlflow/{path}"
        answer = httpx.get(url, params=params, timeout=30)
        return answer.json() if answer.is_success else None

    # ── waiting ──────────────────────────────────────────────────────────────────────────────────

    def wait(self, look: Callable[[], T | None], what: str) -> T:
        """Look until something is there; if it does not come, say what the logs say."""
        try:
            return self.api.until(look, what=what, timeout_seconds=PATIENCE_SECONDS, tick=self.services.check)
        except TimeoutError as error:
            tasks = sorted(
                (self.home / "airflow" / "logs").rglob("attempt=*.log"), key=lambda path: path.stat().st_mtime
            )
            logs = [self.services.logs / "scheduler.log", *tasks[-2:]]
            raise AssertionError("\n".join([str(error), *(f"{log}:\n{_tail(log)}" for log in logs)])) from None


def _only(found: list[T]) -> T:
    assert len(found) == 1, f"expected one, found {len(found)}: {found}"
    return found[0]


def _has_ended(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _tail(path: Path, lines: int = 25) -> str:
    if not path.exists():
        return "  (there is none)"
    return "\n".join(f"  {line[:400]}" for line in path.read_text(errors="replace").splitlines()[-lines:])
