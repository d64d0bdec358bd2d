"""The part of Airflow's REST API that playing nights needs."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import httpx

__all__ = ["AirflowApi", "Run"]

T = TypeVar("T")
_ENDED = frozenset({"success", "failed"})


class Run(NamedTuple):
    """A DAG run and the states of its tasks."""

    dag_id: str
    run_id: str
    state: str
    started: dt.datetime | None
    ended: dt.datetime | None
    tasks: dict[str, dict[str, Any]]

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.state in _ENDED

    def state_of(self, task_id: str) -> str | None:
        """State of a task."""
        return self.tasks.get(task_id, {}).get("state")

    def seconds_in_tasks(self) -> float:
        """Time in which at least one task of the run was at work, in seconds (tasks here follow one another)."""
        return sum(task["duration"] or 0.0 for task in self.tasks.values())


class AirflowApi:
    """A client of an Airflow that lets everybody in (127.0.0.1 only)."""

    def __init__(self, address: str) -> None:
        # No proxy of the environment stands between this machine and itself.
        self._http = httpx.Client(base_url=f"{address}/api/v2", timeout=30.0, trust_env=False)

    def close(self) -> None:
        """Let go of the connections."""
        self._http.close()

    def healthy(self) -> bool:
        """Whether scheduler, triggerer and DAG processor beat."""
        health = self._http.get("/monitor/health").raise_for_status().json()
        parts = ("metadatabase", "scheduler", "triggerer", "dag_processor")
        return all(health[part]["status"] == "healthy" for part in parts)

    def has_dag(self, dag_id: str) -> bool:
        """Whether the DAG was parsed."""
        return self._http.get(f"/dags/{dag_id}").status_code == httpx.codes.OK

    def import_errors(self) -> list[str]:
        """What went wrong in DAG files."""
        found = self._http.get("/importErrors").raise_for_status().json()["import_errors"]
        return [f"{error['filename']}: {error['stack_trace']}" for error in found]

    def unpause(self, dag_id: str) -> None:
        """Let a DAG run."""
        self._http.patch(f"/dags/{dag_id}", json={"is_paused": False}).raise_for_status()

    def trigger(self, dag_id: str, *, night: str | None, conf: dict[str, Any] | None = None) -> str:
        """Start a run for a night; its id."""
        body: dict[str, Any] = {"logical_date": None, "conf": conf or {}}
        if night is not None:
            body["partition_key"] = night
        answer = self._http.post(f"/dags/{dag_id}/dagRuns", json=body).raise_for_status()
        return str(answer.json()["dag_run_id"])

    def runs(self, dag_id: str, *, night: str | None = None) -> list[Run]:
        """Runs of a DAG, oldest first, of one night if it is named."""
        answer = self._http.get(f"/dags/{dag_id}/dagRuns", params={"limit": 100, "order_by": "-id"}).raise_for_status()
        found = [run for run in answer.json()["dag_runs"] if night is None or run.get("partition_key") == night]
        return [self.run(dag_id, run["dag_run_id"]) for run in reversed(found)]

    def run(self, dag_id: str, run_id: str) -> Run:
        """One run with its tasks."""
        run = self._http.get(f"/dags/{dag_id}/dagRuns/{run_id}").raise_for_status().json()
        tasks = self._http.get(f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances").raise_for_status().json()
        return Run(
            dag_id,
            run_id,
            run["state"],
            _instant(run["start_date"]),
            _instant(run["end_date"]),
            {task["task_id"]: task for task in tasks["task_instances"]},
        )

    def instances(self, run: Run, task_id: str) -> list[dict[str, Any]]:
        """All instances of a mapped task."""
        path = f"/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances"
        found: list[dict[str, Any]] = []
        while True:
            answer = self._http.get(path, params={"task_id": task_id, "limit": 100, "offset": len(found)})
            page = answer.raise_for_status().json()
            found += [one for one in page["task_instances"] if one["task_id"] == task_id]
            if len(page["task_instances"]) < 100:  # noqa: PLR2004 - a page
                return found

    def xcom(self, run: Run, task_id: str, key: str = "return_value") -> Any:
        """What a task left under a key; None if nothing."""
        path = f"/dags/{run.dag_id}/dagRuns/{run.run_id}/taskInstances/{task_id}/xcomEntries/{key}"
        answer = self._http.get(path)
        return answer.json()["value"] if answer.status_code == httpx.codes.OK else None

    def clear(self, run: Run, task_id: str) -> None:
        """Run a task again, and what follows it."""
        body = {
            "dry_run": False,
            "dag_run_id": run.run_id,
            "task_ids": [task_id],
            "only_failed": False,
            "reset_dag_runs": True,
            "include_downstream": True,
        }
        self._http.post(f"/dags/{run.dag_id}/clearTaskInstances", json=body).raise_for_status()

    def until(self, look: Callable[[], T | None], *, what: str, timeout_seconds: float, tick: Callable[[], None]) -> T:
        """Look until something is there.

        Raises
        ------
        TimeoutError
            If it does not come.
        """
        deadline = time.monotonic() + timeout_seconds
        while (found := look()) is None:
            tick()
            if time.monotonic() > deadline:
                raise TimeoutError(f"expected {what} within {timeout_seconds:.0f} s.")
            time.sleep(0.4)
        return found


def _instant(text: str | None) -> dt.datetime | None:
    return dt.datetime.fromisoformat(text) if text else None
