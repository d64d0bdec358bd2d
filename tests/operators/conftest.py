"""A chain up to its verdicts, written by hand: what follows from a verdict needs no training."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_mlops.golden import read_golden
from airflow_mlops.records import (
    Artefact,
    Decision,
    Manifest,
    RecordRef,
    Registration,
    RuleResult,
    Verdict,
    sha256_digest,
)

NIGHT = dt.date(2025, 2, 18)
NOW = dt.datetime(2025, 2, 19, 6, tzinfo=dt.UTC)
RULE = RuleResult(
    rule="rmse non_inferior",
    on="golden",
    slice="weathersit=1",
    decision=Decision.HOLD,
    rows=120,
    units=5,
    method="BCa bootstrap",
    challenger=21.4,
    champion=21.0,
    estimate=0.019,
    low=-0.01,
    high=0.048,
    bound=0.02,
    p_value=0.31,
    rows_needed=3400,
    reason="the interval reaches beyond the margin",
)


class State(dict[str, Any]):
    """Stands for Airflow's store of a task's state, which a retry finds again."""

    def set(self, key: str, value: Any) -> None:
        self[key] = value


class Judged:
    """Writes manifests and verdicts as a training and the gate would, and runs operators on them."""

    def __init__(self, loop: Any) -> None:
        self.loop = loop
        self.state = State()

    @property
    def ledger(self) -> Any:
        return self.loop.ledger

    def manifest(self, name: str) -> Manifest:
        """What a training left; ``name`` makes it another one."""
        golden = read_golden(self.ledger, self.loop.project)
        files = {"weights": name.encode(), "signature.json": b'{"task": "regression", "classes": []}'}
        return self.ledger.write(
            Manifest(
                model="bike_demand",
                night=NIGHT,
                fingerprint=sha256_digest(name.encode()),
                trigger=None,
                snapshot=golden.partitions[:1],
                recent=(),
                golden=golden.ref,
                code=Artefact(files={}),
                entrypoint="train:train",
                features=("hr", "temp"),
                target="cnt",
                seed=0,
                runner="process",
                environment={"torch": "2.13.0"},
                started_at=NOW,
                finished_at=NOW,
                metrics={"rmse": 1.0},
                artefact=Artefact(files={at: self.ledger.put_blob(content) for at, content in files.items()}),
                recorded_at=NOW,
            )
        )

    def registered(self, name: str) -> Manifest:
        """A training that MLflow knows."""
        from airflow_mlops.hooks.mlflow import MlflowHook

        manifest = self.manifest(name)
        folder = self.loop.home / "artefacts" / name
        model = MlflowHook().register(manifest, self.ledger.fetch_folder(manifest.artefact, folder), tags={})
        self.ledger.write(
            Registration(
                model="bike_demand",
                manifest=manifest.ref,
                experiment_id=model.experiment_id,
                run_id=model.run_id,
                registered_model=model.name,
                registered_version=model.version,
                run_url=model.run_url,
                recorded_at=NOW,
            )
        )
        return manifest

    def verdict(
        self,
        manifest: Manifest,
        decision: Decision = Decision.PROMOTE,
        *,
        champion: RecordRef | None = None,
        reason: str = "no worse than the margin",
    ) -> str:
        """What the gate said of it; the reference."""
        return str(
            self.ledger.write(
                Verdict(
                    model="bike_demand",
                    decision=decision,
                    manifest=manifest.ref,
                    champion=champion,
                    artefact_digest=manifest.artefact.digest,
                    rules_digest=sha256_digest(f"{decision} {reason}".encode()),
                    golden=manifest.golden,
                    recent=(),
                    rules=(RULE,),
                    reasons=(reason,),
                    predictions_digest=None,
                    recorded_at=NOW,
                )
            ).ref
        )

    def run(self, operator: type[Any], **arguments: Any) -> Any:
        """Run an operator as a task would; what a retry finds is kept from one to the next."""
        return self._ran(operator, lambda task, context: task.execute(context), arguments)

    def answer(self, operator: type[Any], event: dict[str, Any], **arguments: Any) -> Any:
        """Let a task that waited go on, as the scheduler does: in a process that knows nothing of the first half."""
        return self._ran(operator, lambda task, context: task.execute_complete(context, event), arguments)

    def _ran(self, operator: type[Any], call: Any, arguments: dict[str, Any]) -> Any:
        loop, state = self.loop, self.state

        class Prepared(operator):  # type: ignore[misc] # the class is an argument
            """The operator with a context of a real task's shape."""

            def execute(self, context: Any) -> Any:
                context |= {"task_state_store": state, "task_instance": SimpleNamespace(id="0191", task_id="t")}
                return call(super(), context)

        return loop.run(Prepared, **arguments)


@pytest.fixture
def judged(loop: Any) -> Judged:
    """A project with a golden set, and nothing trained."""
    return Judged(loop)


@pytest.fixture(scope="session")
def registered_home(tmp_path_factory: pytest.TempPathFactory, loop_kind: Any) -> Path:
    """A project whose MLflow knows three trainings, made once."""
    home = tmp_path_factory.mktemp("registered") / "loop"
    home.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        loop_kind(home).enter(patch)
        judged = Judged(loop_kind.make(home))
        for name in ("one", "two", "three"):
            judged.registered(name)
    return home


@pytest.fixture
def registered(registered_home: Path, loop_kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Judged:
    """A copy of its own."""
    loop = loop_kind(Path(shutil.copytree(registered_home, tmp_path / "loop")))
    loop.enter(monkeypatch)
    return Judged(loop)
