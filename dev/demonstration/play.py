"""Plays nights through the scheduler: writes a night's file, triggers the night, waits until the loop has settled."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pyarrow as pa
from stream import write_night

from airflow_mlops.ledger import Ledger
from airflow_mlops.nights import quality_by_night
from airflow_mlops.project import Project
from airflow_mlops.records import Drift, DriftVerdict, Manifest, Verdict, short
from demonstration.airflow_api import AirflowApi, Run
from demonstration.timeline import Night, Split

__all__ = ["STAGES", "Player"]

STAGES = ("quality", "drift", "retrain", "deploy")

_RUN_SECONDS = 600.0
# A task that ended in one of these lets the asset event go out that wakes the next DAG.
_SUCCESS = "success"


class Player:
    """Plays nights, and reads from the ledger what came of them.

    Parameters
    ----------
    api : AirflowApi
        The running Airflow.
    ledger : Ledger
        The store that the loop writes to.
    project : Project
        The model.
    hours : pyarrow.Table
        The stream that the nights are cut from.
    tick : callable
        Called while waiting; may raise to stop.
    """

    def __init__(
        self, api: AirflowApi, ledger: Ledger, project: Project, hours: pa.Table, tick: Callable[[str], None]
    ) -> None:
        self.api = api
        self.ledger = ledger
        self.project = project
        self.hours = hours
        self.tick = tick

    def play(self, night: dt.date, *, corrupt: str | None) -> Night:
        """Play one night to its end."""
        began = time.monotonic()
        write_night(self.hours, night, Path(self.project.data_root), corrupt)
        run_id = self.api.trigger(f"{self.project.name}_quality", night=night.isoformat())
        quality = self._ended("quality", lambda: self.api.run(f"{self.project.name}_quality", run_id), night)
        line = Night(night, corrupted=corrupt)
        if quality.state_of("check_quality") == _SUCCESS:
            drift = self._follow("drift", night)
            if drift.state_of("request_training") == _SUCCESS:
                retrain = self._follow("retrain", night)
                if retrain.state_of("promote_model") == _SUCCESS:
                    deploy = self._follow("deploy", night)
                    if deploy.state_of("make_live") == _SUCCESS:
                        line.split = _split(drift, retrain, deploy)
                self._tell_training(line, retrain)
        self.complete(line)
        line.seconds = time.monotonic() - began
        return line

    def redeploy(self) -> list[str]:
        """Serve the champion again: the servers of an earlier demo ended with it, its records did not.

        Returns
        -------
        list of str
            What was not as it should be.
        """
        dag_id = f"{self.project.name}_deploy"
        run_id = self.api.trigger(dag_id, night=None)
        run = self._ended("deploy", lambda: self.api.run(dag_id, run_id), "champion")
        return [] if run.state == _SUCCESS else [_failure(run)]

    def complete(self, line: Night) -> Night:
        """Fill a line from the records: what they do not say did not happen. What runs went wrong, Airflow says."""
        runs = {stage: self._newest(stage, line.night) for stage in STAGES}
        record = quality_by_night(self.ledger, self.project.name).get(line.night)
        if record is not None:
            line.quality = "quarantined" if record.quarantined else "passed"
            line.quality_reason = "; ".join(f"{check.name}: {check.actual}" for check in record.faults)
        drifts = list(self.ledger.all(Drift, f"{self.project.name}/{line.night}/"))
        if drifts:
            told = drifts[-1]
            # Data that is far from the champion's training is learned from also where it is no news.
            is_far = told.far is DriftVerdict.DRIFT and told.verdict is not DriftVerdict.DRIFT
            line.drift, line.drift_reason = "far" if is_far else told.verdict.value, told.reason
        for manifest in self.ledger.all(Manifest, f"{self.project.name}/"):
            if manifest.night == line.night:
                line.training = f"{len(manifest.snapshot)} nights, {manifest.key.rpartition('/')[2]}"
                for verdict in self.ledger.all(Verdict, f"{self.project.name}/"):
                    if verdict.manifest == manifest.ref:
                        line.verdict, line.verdict_reason = verdict.decision.value, "; ".join(verdict.reasons)
        if line.quality == "quarantined":
            # To fail is what the run of a bad night should do.
            del runs["quality"]
        line.faults = [_failure(run) for run in runs.values() if run and run.state != _SUCCESS]
        line.champion = self.champion()
        line.served = self.served()
        return line

    def champion(self) -> str | None:
        """Version of the champion, as the ledger says."""
        pointer = self.ledger.pointer(self.project.name, "champion")
        return short(self.ledger.read(Verdict, pointer.to).artefact_digest) if pointer else None

    def served(self) -> str | None:
        """Version that answers, as its answer says."""
        try:
            answer = httpx.post(f"{self.address}/predict", json={"rows": [self.a_row()]}, timeout=10.0, trust_env=False)
        except httpx.TransportError:
            return None
        return answer.headers.get("x-model-version") if answer.is_success else None

    @property
    def address(self) -> str:
        """Where users ask."""
        return f"http://127.0.0.1:{self.project.spec.serving.port}"

    def a_row(self) -> dict[str, float]:
        """Features of one real hour: ten o'clock of the stream's last night."""
        row: dict[str, float] = (
            self.hours.select(list(self.project.spec.features)).slice(self.hours.num_rows - 14, 1).to_pylist()[0]
        )
        return row

    def _follow(self, stage: str, night: dt.date) -> Run:
        return self.api.until(
            lambda: self._newest(stage, night),
            what=f"a run of {self.project.name}_{stage} for {night}",
            timeout_seconds=120.0,
            tick=lambda: self.tick(f"{night} {stage}"),
        )

    def _newest(self, stage: str, night: dt.date) -> Run | None:
        """Newest run of a night, at its end: one that an earlier demo left in the middle goes on in this one."""
        dag_id = f"{self.project.name}_{stage}"
        runs = self.api.runs(dag_id, night=night.isoformat())
        return self._ended(stage, lambda: self.api.run(dag_id, runs[-1].run_id), night) if runs else None

    def _ended(self, stage: str, look: Callable[[], Run], night: dt.date | str) -> Run:
        def over() -> Run | None:
            run = look()
            return run if run.over else None

        return self.api.until(
            over, what=f"{stage} of {night}", timeout_seconds=_RUN_SECONDS, tick=lambda: self.tick(f"{night} {stage}")
        )

    def _tell_training(self, line: Night, retrain: Run) -> None:
        story = self.api.xcom(retrain, "train_model", "story")
        line.training = str(story).partition(" ")[2] if story else retrain.state


def _failure(run: Run) -> str:
    failed = ", ".join(name for name in run.tasks if run.state_of(name) == "failed")
    return f"expected {run.dag_id} to succeed, its run {run.run_id} ended {run.state}{failed and f' in {failed}'}"


def _split(drift: Run, retrain: Run, deploy: Run) -> Split:
    """From the end of the task that told of the drift to the end of the one that made the new version live."""
    told = dt.datetime.fromisoformat(drift.tasks["request_training"]["end_date"])
    live = deploy.tasks["make_live"]["end_date"]
    ended = dt.datetime.fromisoformat(live) if live else deploy.ended or told
    tasks = {
        name: float(task["duration"] or 0.0)
        for run in (retrain, deploy)
        for name, task in run.tasks.items()
        if task["state"] == _SUCCESS
    }
    ordered = dict(sorted(tasks.items(), key=lambda item: _begin(item[0], retrain, deploy)))
    work = sum(ordered.values())
    return Split(work, (ended - told).total_seconds() - work, ordered)


def _begin(task_id: str, *runs: Run) -> str:
    return next(str(run.tasks[task_id]["start_date"]) for run in runs if task_id in run.tasks)
