"""The circuit breaker: a good night goes on, a bad one ends the wait at once, one that nobody checked is waited for."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, TaskDeferred

from airflow_mlops.records import CheckOutcome, CheckResult, Quality
from airflow_mlops.sensors import PartitionSensor, QualityGateSensor
from airflow_mlops.triggers import QualityTrigger

NIGHT = dt.date(2025, 2, 18)
NEXT = NIGHT + dt.timedelta(days=1)


def sensor(**arguments: Any) -> QualityGateSensor:
    return QualityGateSensor(task_id="gate", **{"table": "bike_demand", "night": str(NIGHT), **arguments})


def checked(loop: Any, night: dt.date, outcome: str, **fields: Any) -> Quality:
    good = loop.qualities()[NIGHT]
    check = CheckResult(name="volume", column=None, outcome=CheckOutcome(outcome), expected="24", actual="3")
    pin = good.partition.model_copy(update={"night": night})
    return loop.ledger.write(good.model_copy(update={"night": night, "partition": pin, "checks": (check,), **fields}))


def test_a_good_night_goes_on(loop):
    reference = str(loop.qualities()[NIGHT].ref)
    assert sensor().execute({}) == reference
    assert sensor(table="/srv/tables.yml#bike_demand").execute({}) == reference
    assert sensor(table=None, project=loop.folder).execute({}) == reference


def test_a_night_that_nobody_checked_is_waited_for(loop):
    with pytest.raises(TaskDeferred) as deferred:
        sensor(night=str(NEXT)).execute({})
    trigger = deferred.value.trigger
    assert isinstance(trigger, QualityTrigger)
    assert trigger.look() is None
    record = checked(loop, NEXT, "warned")
    found = trigger.look()
    assert found == {"quality": str(record.ref), "quarantined": False, "faults": ["volume"]}
    assert sensor().resume({}, {"found": found, "error": None, "late": False}) == str(record.ref)


def test_a_bad_night_ends_the_wait_at_once(loop):
    bad = checked(loop, NEXT, "failed")
    with pytest.raises(AirflowFailException, match=r"expected a good night, it is quarantined \(volume\): quality/"):
        sensor(night=str(NEXT)).execute({})
    with pytest.raises(AirflowSkipException, match="quarantined"):
        sensor(night=str(NEXT), soft_fail=True).execute({})
    corrected = checked(loop, NEXT, "passed", replaces=bad.ref)
    assert sensor(night=str(NEXT)).execute({}) == str(corrected.ref)


def test_one_that_nobody_checks_in_time(loop):
    late = {"night": str(NEXT), "timeout_seconds": 0.0}
    with pytest.raises(AirflowFailException, match="expected the quality check of bike_demand of 2025-02-19 before"):
        sensor(**late).execute({})
    with pytest.raises(AirflowSkipException):
        sensor(soft_fail=True, **late).execute({})


def test_an_edited_record_ends_the_wait(loop):
    (path,) = (loop.home / "store" / "records" / "quality" / "bike_demand" / str(NIGHT)).glob("*.json")
    path.write_text(path.read_text().replace('"passed"', '"warned"'))
    began = time.monotonic()
    with pytest.raises(AirflowFailException, match="TamperedRecord"):
        sensor().execute({})
    assert time.monotonic() - began < 5


def test_neither_project_nor_table():
    with pytest.raises(AirflowFailException, match="expected either a project or a table, got neither"):
        sensor(table=None).execute({})


@pytest.mark.parametrize(("nights", "told"), [(5, True), (4, False)])
def test_of_a_late_night_it_is_said_when_it_usually_comes(loop, nights, told):
    for back in range(nights):
        night = NIGHT - dt.timedelta(days=back)
        arrived = dt.datetime.combine(night, dt.time(), dt.UTC) + dt.timedelta(days=1, hours=2, minutes=10 * back)
        checked(loop, night, "passed", replaces=loop.qualities()[night].ref, arrived=arrived)
    event = {"found": None, "error": "expected the night.", "late": True}
    with pytest.raises(AirflowFailException) as late:
        PartitionSensor(task_id="await_night", table="bike_demand", night=str(NEXT)).resume({}, event)
    usual = " Of the last 5 nights, half had come 2:20 h after midnight UTC."
    assert str(late.value) == f"expected the night.{usual if told else ''}"
