"""Waiting for what the drift check says of a night."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, TaskDeferred

from airflow_mlops.errors import ConfigError
from airflow_mlops.records import Drift, sha256_digest
from airflow_mlops.sensors import DriftSensor
from airflow_mlops.triggers import DriftVerdictTrigger

NIGHT = dt.date(2025, 2, 18)


def checked(loop: Any, verdict: str, *, night: dt.date = NIGHT, hours: float = 0.0) -> str:
    drift = Drift(
        model="bike_demand",
        night=night,
        window=(),
        baseline=None,
        verdict=verdict,
        features=(),
        wants_training=False,
        reason="as it is",
        past=sha256_digest(f"{hours}".encode()),
        recorded_at=dt.datetime(2025, 2, 19, tzinfo=dt.UTC) + dt.timedelta(hours=hours),
    )
    return str(loop.ledger.write(drift).ref)


def sensor(**arguments: Any) -> DriftSensor:
    return DriftSensor(task_id="await_drift", model="bike_demand", **{"night": str(NIGHT), **arguments})


def test_the_newest_record_of_the_night(loop):
    checked(loop, "drift", night=NIGHT - dt.timedelta(days=1))
    with pytest.raises(TaskDeferred) as deferred:
        sensor().execute({})
    assert isinstance(deferred.value.trigger, DriftVerdictTrigger)
    assert deferred.value.trigger.look() is None
    checked(loop, "stable")
    newest = checked(loop, "drift", hours=1)
    assert sensor().execute({}) == newest
    assert sensor(wanted=["drift", "watch"]).execute({}) == newest
    assert deferred.value.trigger.look() == {"drift": newest, "verdict": "drift"}


def test_what_is_not_wanted_ends_the_wait(loop):
    checked(loop, "stable")
    with pytest.raises(AirflowFailException, match="expected a night of drift, got stable"):
        sensor(wanted=["drift"]).execute({})
    with pytest.raises(AirflowSkipException, match="got stable"):
        sensor(wanted=["drift"], soft_fail=True).execute({})


def test_what_does_not_come_in_time(loop):
    started = time.monotonic()
    with pytest.raises(AirflowFailException, match=r"drift check of bike_demand of 2025-02-18"):
        sensor(deferrable=False, timeout_seconds=0.1, poll_seconds=0.02).execute({})
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("wanted", [["promote"], "drift", ["drift", "soon"]])
def test_what_is_no_verdict(wanted):
    with pytest.raises(ConfigError, match="expected verdicts among drift, insufficient, stable, watch"):
        sensor(wanted=wanted)
