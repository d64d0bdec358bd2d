"""An asset that a new champion wakes: the DAG file is read, stored, and the triggerer makes the trigger from that."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.sdk import DAG, Asset, AssetWatcher
from airflow.sdk.module_loading import import_string
from airflow.serialization.serialized_objects import DagSerialization
from airflow.triggers.base import BaseEventTrigger

from airflow_mlops.triggers import AliasChangedTrigger

TRIGGER = AliasChangedTrigger(model="bike_demand", mlflow_conn_id="elsewhere", poll_seconds=5.0)


@pytest.fixture
def stored() -> dict[str, Any]:
    """A DAG that waits for the alias, as it lies in Airflow's database."""
    asset = Asset("champion", watchers=[AssetWatcher(name="alias", trigger=TRIGGER)])
    with DAG("woken", schedule=[asset]) as dag:
        pass
    return written(dag)


def written(dag: Any) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(json.dumps(DagSerialization.to_dict(dag)))
    return value


def trigger_of(stored: dict[str, Any]) -> dict[str, Any]:
    ((_, asset),) = DagSerialization.from_dict(stored).timetable.asset_condition.iter_assets()
    (watcher,) = asset.watchers
    assert watcher.name == "alias"
    trigger: dict[str, Any] = watcher.trigger
    return trigger


def test_a_watched_asset_comes_back_with_its_trigger(stored):
    classpath, arguments = TRIGGER.serialize()
    assert trigger_of(stored) == {"classpath": classpath, "kwargs": arguments}
    again = written(DagSerialization.from_dict(stored))
    assert again["dag"]["timetable"] == stored["dag"]["timetable"]


def test_the_triggerer_makes_the_same_trigger_from_it(stored):
    trigger = trigger_of(stored)
    kind = import_string(trigger["classpath"])
    assert kind is AliasChangedTrigger
    assert issubclass(kind, BaseEventTrigger)
    again = kind(**trigger["kwargs"])
    assert again.serialize() == TRIGGER.serialize()
    # By this Airflow knows that two DAG files mean one trigger.
    assert kind.hash(*again.serialize()) == kind.hash(trigger["classpath"], trigger["kwargs"])
