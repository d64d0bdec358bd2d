"""Waiting for what the gate says: found by manifest or by night, and only what is wanted goes on."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, TaskDeferred

from airflow_mlops.errors import ConfigError
from airflow_mlops.golden import read_golden
from airflow_mlops.records import Artefact, Decision, Manifest, Verdict, sha256_digest
from airflow_mlops.sensors import GateVerdictSensor
from airflow_mlops.triggers import GateVerdictTrigger

NIGHT = dt.date(2025, 2, 18)
NOW = dt.datetime(2025, 2, 19, tzinfo=dt.UTC)


def trained(loop: Any, night: dt.date = NIGHT) -> Manifest:
    manifest = Manifest(
        model="bike_demand",
        night=night,
        fingerprint=sha256_digest(str(night).encode()),
        trigger=None,
        snapshot=(),
        recent=(),
        golden=read_golden(loop.ledger, loop.project).ref,
        code=Artefact(files={}),
        entrypoint="train:train",
        features=("hr",),
        target="cnt",
        seed=0,
        runner="process",
        environment={},
        started_at=NOW,
        finished_at=NOW,
        metrics={},
        artefact=Artefact(files={}),
        recorded_at=NOW,
    )
    return loop.ledger.write(manifest)


def judged(loop: Any, manifest: Manifest, decision: Decision, *, hours: float = 0.0) -> str:
    verdict = Verdict(
        model="bike_demand",
        decision=decision,
        manifest=manifest.ref,
        champion=None,
        artefact_digest=manifest.artefact.digest,
        rules_digest=sha256_digest(f"{decision} {hours}".encode()),
        golden=manifest.golden,
        recent=(),
        rules=(),
        reasons=("as it is",),
        predictions_digest=None,
        recorded_at=NOW + dt.timedelta(hours=hours),
    )
    return str(loop.ledger.write(verdict).ref)


def sensor(**arguments: Any) -> GateVerdictSensor:
    return GateVerdictSensor(task_id="await_verdict", model="bike_demand", **{"night": str(NIGHT), **arguments})


def test_by_night_and_by_manifest(loop):
    manifest, other = trained(loop), trained(loop, NIGHT - dt.timedelta(days=1))
    judged(loop, other, Decision.REJECT)
    for which in ({}, {"manifest": str(manifest.ref)}):
        with pytest.raises(TaskDeferred) as deferred:
            sensor(**which).execute({})
        assert isinstance(deferred.value.trigger, GateVerdictTrigger)
    verdict = judged(loop, manifest, Decision.HOLD)
    # The night of a run is of no account where a manifest is named.
    for which in ({}, {"manifest": str(manifest.ref), "night": ""}):
        assert sensor(**which).execute({}) == verdict


def test_the_newest_verdict_counts(loop):
    manifest = trained(loop)
    judged(loop, manifest, Decision.REJECT, hours=1.0)
    newest = judged(loop, manifest, Decision.PROMOTE, hours=3.0)
    judged(loop, manifest, Decision.HOLD, hours=2.0)
    assert sensor(wanted=["promote"]).execute({}) == newest


@pytest.mark.parametrize(("soft_fail", "ends"), [(False, AirflowFailException), (True, AirflowSkipException)])
def test_a_verdict_that_is_not_wanted_ends_the_wait(loop, soft_fail, ends):
    verdict = judged(loop, trained(loop), Decision.HOLD)
    wanting = sensor(wanted=["promote", "reject"], soft_fail=soft_fail)
    with pytest.raises(ends, match=r"expected a verdict of promote or reject, got hold: verdict/bike_demand/"):
        wanting.execute({})
    event = {"found": {"verdict": verdict, "decision": "hold"}, "error": None, "late": False}
    with pytest.raises(ends):
        wanting.resume({}, event)
    assert sensor(wanted=["hold"]).resume({}, event) == verdict


def test_one_that_does_not_come(loop):
    with pytest.raises(AirflowFailException, match=r"expected the verdict on the model of bike_demand of 2025-02-18"):
        sensor(timeout_seconds=0.0).execute({})
    with pytest.raises(AirflowFailException, match="expected a night as YYYY-MM-DD"):
        sensor(night="soon").execute({})


@pytest.mark.parametrize("wanted", [["promoted"], ["promote", "PROMOTE"], "promote"])
def test_what_is_no_decision_is_refused_where_the_dag_is_read(wanted):
    with pytest.raises(ConfigError, match="expected decisions among hold, promote, reject in `wanted`"):
        sensor(wanted=wanted)


def test_an_edited_verdict_ends_the_wait(loop):
    judged(loop, trained(loop), Decision.PROMOTE)
    (path,) = (loop.home / "store" / "records" / "verdict").rglob("*.json")
    path.write_text(path.read_text().replace('"promote"', '"hold"'))
    began = time.monotonic()
    with pytest.raises(AirflowFailException, match="TamperedRecord"):
        sensor().execute({})
    assert time.monotonic() - began < 5
