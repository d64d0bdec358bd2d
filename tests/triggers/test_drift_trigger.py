"""A watcher of incidents: each is told once, when it begins."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from importlib import import_module
from typing import Any

import pytest

from airflow_mlops.errors import RemoteUnavailable
from airflow_mlops.hooks.store import StoreHook
from airflow_mlops.records import Drift, Incident
from airflow_mlops.triggers import DriftTrigger

FIRST = dt.date(2025, 3, 1)


def night(loop: Any, day: int, notice: str, model: str = "bike_demand") -> Drift:
    on = FIRST + dt.timedelta(days=day)
    return loop.ledger.write(
        Drift(
            model=model,
            night=on,
            window=(),
            baseline=None,
            verdict="stable" if notice == "ended" else "drift",
            features=(),
            wants_training=False,
            reason="temp moved",
            incident=Incident(features=("temp",), began=on, noticed=on, latest=on, followed=on),
            notice=notice,
            recorded_at=dt.datetime(2025, 4, 1, tzinfo=dt.UTC),
        )
    )


async def told(trigger: DriftTrigger, happens: Any, count: int) -> list[dict[str, Any]]:
    events = trigger.run()
    waiting = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0.3)
    happens()
    found = [(await waiting).payload]
    found += [(await anext(events)).payload for _ in range(count - 1)]
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(anext(events), 0.3)
    return found


def again(trigger: DriftTrigger) -> DriftTrigger:
    path, arguments = trigger.serialize()
    module, _, name = path.rpartition(".")
    made: DriftTrigger = getattr(import_module(module), name)(**json.loads(json.dumps(arguments)))
    return made


@pytest.mark.parametrize(("ends", "notices"), [(False, ["began"]), (True, ["began", "ended"])])
def test_an_incident_is_told_once(loop, ends, notices):
    night(loop, 0, "began")  # old news

    def happens() -> None:
        night(loop, 1, "none")
        night(loop, 2, "began")
        night(loop, 2, "began", model="another")
        night(loop, 3, "none")
        night(loop, 4, "ended")

    trigger = again(DriftTrigger("bike_demand", ends=ends, poll_seconds=0.02))
    events = asyncio.run(asyncio.wait_for(told(trigger, happens, len(notices)), 20))
    assert [event["notice"] for event in events] == notices
    assert events[0]["night"] == "2025-03-03"
    assert events[0]["features"] == ["temp"]
    assert events[0]["drift"].startswith("drift/bike_demand/2025-03-03/")


def test_a_store_that_is_away_is_waited_for(loop, monkeypatch, caplog):
    answers = [RemoteUnavailable("the disk is away")] * 3
    ledger = StoreHook.ledger

    def flaky(self: StoreHook) -> Any:
        if answers:
            raise answers.pop()
        return ledger(self)

    monkeypatch.setattr(StoreHook, "ledger", flaky)
    trigger = DriftTrigger("bike_demand", poll_seconds=0.02)
    events = asyncio.run(asyncio.wait_for(told(trigger, lambda: night(loop, 2, "began"), 1), 20))
    assert len(events) == 1
    assert answers == []
