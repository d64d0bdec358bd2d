"""Found at once, deferred and resumed, waited for in the worker, or not come in time."""

from __future__ import annotations

import datetime as dt
import threading
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException, TaskDeferred
from stream import generated_hours, write_night

from airflow_mlops.errors import ConfigError
from airflow_mlops.sensors import DeploymentReadySensor, ModelAliasSensor, PartitionSensor
from airflow_mlops.triggers import EndpointTrigger, ModelAliasTrigger, PartitionTrigger

NIGHT = dt.date(2025, 2, 20)
HOURS = generated_hours(dt.date(2025, 2, 1), nights=24, seed=7)


def sensor(loop: Any, **arguments: Any) -> PartitionSensor:
    return PartitionSensor(task_id="await_night", project=loop.folder, night=str(NIGHT), **arguments)


def test_a_night_that_is_there_is_found_at_once(loop):
    write_night(HOURS, NIGHT, loop.data)
    assert sensor(loop).execute({}) == f"file://{loop.data}/night=2025-02-20.parquet"


def test_a_night_that_is_not_there_is_waited_for_without_a_slot(loop):
    waiting = sensor(loop, timeout_seconds=60.0)
    with pytest.raises(TaskDeferred) as deferred:
        waiting.execute({})
    trigger = deferred.value.trigger
    assert isinstance(trigger, PartitionTrigger)
    assert trigger.night == "2025-02-20"
    assert trigger.waiting_for == f"the night 2025-02-20 of bike_demand ({loop.data}/night={{night}}.parquet)"
    # The trigger's own deadline comes first; Airflow's is there for a triggerer that is gone.
    assert deferred.value.timeout > dt.timedelta(seconds=60)
    assert deferred.value.method_name == "resume"
    assert waiting.resume({}, {"found": "x", "error": None, "late": False}) == "x"


def test_in_the_worker_it_waits_until_the_night_comes(loop):
    threading.Timer(0.3, write_night, [HOURS, NIGHT, loop.data]).start()
    assert sensor(loop, deferrable=False, poll_seconds=0.05, timeout_seconds=30.0).execute({})


@pytest.mark.parametrize("deferrable", [True, False])
def test_a_night_that_does_not_come_in_time(loop, deferrable):
    late = {"deferrable": deferrable, "poll_seconds": 0.05, "timeout_seconds": 0.0}
    # No retry: the wait was as long as it was meant to be.
    with pytest.raises(AirflowFailException, match="before the deadline, it did not come"):
        sensor(loop, **late).execute({})
    with pytest.raises(AirflowSkipException):
        sensor(loop, soft_fail=True, **late).execute({})


def test_what_will_not_change_is_a_failure_also_for_a_soft_one(loop):
    with pytest.raises(AirflowFailException, match="ConfigError: expected a night as YYYY-MM-DD"):
        PartitionSensor(task_id="x", project=loop.folder, night="soon", soft_fail=True).execute({})
    with pytest.raises(AirflowFailException, match="is missing"):
        PartitionSensor(task_id="x", project=loop.home / "deadline", night=str(NIGHT), soft_fail=True).execute({})
    lasting = {"found": None, "error": "RemoteRejected: /deadline/x", "late": False}
    with pytest.raises(AirflowFailException):
        sensor(loop, soft_fail=True).resume({}, lasting)


@pytest.mark.parametrize("poll_seconds", [0, -1.0])
def test_a_pause_that_is_none_is_refused(loop, poll_seconds):
    with pytest.raises(ConfigError, match="poll_seconds above 0"):
        sensor(loop, poll_seconds=poll_seconds)


def test_the_others_hand_their_arguments_to_their_triggers():
    when = {"deadline": 1.0, "poll_seconds": 2.0}
    alias = ModelAliasSensor(task_id="a", model="m", unlike="3", mlflow_conn_id="c").lookout(**when)
    assert isinstance(alias, ModelAliasTrigger)
    assert alias.serialize()[1] == {
        **when, "model": "m", "alias": "champion", "unlike": "3", "mlflow_conn_id": "c"
    }  # fmt: skip
    ready = DeploymentReadySensor(task_id="d", url="http://127.0.0.1:9", version="").lookout(**when)
    assert isinstance(ready, EndpointTrigger)
    assert ready.serialize()[1] == {**when, "url": "http://127.0.0.1:9", "version": None}
