"""One battery over every trigger that looks out, and the watcher of an alias."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from airflow.triggers.base import TriggerEvent

from airflow_mlops import triggers
from airflow_mlops.errors import RemoteRejected, RemoteUnavailable
from airflow_mlops.hooks.mlflow import MlflowHook
from airflow_mlops.project.tables import TableSpec
from airflow_mlops.triggers import AliasChangedTrigger, EndpointTrigger, LookoutTrigger, PartitionTrigger

SOON = {"poll_seconds": 0.02}
TABLE = '{"name": "orders", "folder": "/srv", "path": "data/night={night}.parquet"}'
KINDS = [
    (triggers.PartitionTrigger, {"table": TABLE, "night": "2011-03-05", "store_conn_id": "mlops_store"}),
    (triggers.QualityTrigger, {"table": "orders", "night": "2011-03-05", "store_conn_id": "mlops_store"}),
    (triggers.ModelAliasTrigger, {"model": "m", "alias": "champion", "unlike": "1", "mlflow_conn_id": "mlflow"}),
    (
        triggers.GateVerdictTrigger,
        {"model": "m", "manifest": None, "night": "2011-03-05", "store_conn_id": "mlops_store"},
    ),
    (triggers.DriftVerdictTrigger, {"model": "m", "night": "2011-03-05", "store_conn_id": "mlops_store"}),
    (triggers.EndpointTrigger, {"url": "http://127.0.0.1:9", "version": "ab12"}),
]


def events_of(trigger: Any, *, seconds: float = 10.0) -> list[TriggerEvent]:
    async def all_events() -> list[TriggerEvent]:
        return [event async for event in trigger.run()]

    return asyncio.run(asyncio.wait_for(all_events(), seconds))


def again(trigger: Any) -> Any:
    """What Airflow makes of it in the triggerer: through JSON."""
    path, arguments = trigger.serialize()
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)(**json.loads(json.dumps(arguments)))


def test_every_lookout_is_in_the_battery():
    named = {getattr(triggers, name) for name in triggers.__all__}
    assert {kind for kind, _ in KINDS} == {one for one in named if issubclass(one, LookoutTrigger)} - {LookoutTrigger}


@pytest.mark.parametrize(("kind", "arguments"), KINDS)
def test_it_is_made_again_as_it_was(kind, arguments):
    trigger = kind(deadline=1e9, poll_seconds=2.5, **arguments)
    made = again(trigger)
    assert type(made) is kind
    assert made.serialize() == trigger.serialize()
    assert made.waiting_for == trigger.waiting_for
    assert all(getattr(made, name) == value for name, value in arguments.items())


@pytest.mark.parametrize(("kind", "arguments"), KINDS)
def test_it_gives_one_event_whatever_happens(kind, arguments, monkeypatch):
    looks: list[Any] = [None, RemoteUnavailable("away"), None, "found"]

    def look(_: Any) -> Any:
        seen = looks.pop(0)
        if isinstance(seen, Exception):
            raise seen
        return seen

    monkeypatch.setattr(kind, "look", look)
    (event,) = events_of(kind(deadline=time.time() + 60, **SOON, **arguments))
    assert event.payload == {"found": "found", "error": None, "late": False}
    assert not looks

    looks[:] = [RemoteRejected("no")]
    (event,) = events_of(kind(deadline=time.time() + 60, **SOON, **arguments))
    assert event.payload["error"] == "RemoteRejected: no"

    looks[:] = [None] * 100
    (event,) = events_of(kind(deadline=time.time() + 0.1, **SOON, **arguments))
    assert event.payload["late"]


def test_a_blocking_look_does_not_hold_up_the_others(monkeypatch):
    monkeypatch.setattr(PartitionTrigger, "look", lambda _: time.sleep(0.3) or "found")
    waiting = [PartitionTrigger(deadline=time.time() + 60, **SOON, **KINDS[0][1]) for _ in range(4)]
    began = time.monotonic()

    async def together() -> list[Any]:
        async def first(trigger: Any) -> Any:
            return [event async for event in trigger.run()]

        return await asyncio.gather(*(first(trigger) for trigger in waiting))

    assert [len(events) for events in asyncio.run(together())] == [1, 1, 1, 1]
    assert time.monotonic() - began < 1.0


def arriving(path: str, folder: Path) -> PartitionTrigger:
    table = TableSpec(name="orders", folder=folder, path=path)
    return PartitionTrigger(
        table=table.model_dump_json(),
        night="2011-03-05",
        store_conn_id="mlops_store",
        deadline=time.time() + 20,
        **SOON,
    )


def test_a_night_that_arrives(tmp_path):
    trigger = arriving("./night={night}.parquet", tmp_path)
    (tmp_path / "night=2011-03-05.parquet.part").write_bytes(b"unfinished")
    assert trigger.look() is None
    threading.Timer(0.2, (tmp_path / "night=2011-03-05.parquet").write_bytes, [b"x"]).start()
    (event,) = events_of(trigger)
    assert event.payload["found"] == f"file://{tmp_path}/night=2011-03-05.parquet"


def test_a_night_in_s3(s3_options, monkeypatch, tmp_path):
    extra = {"uri": "s3://chain/records", "endpoint_url": s3_options.endpoint_url, "region": s3_options.region}
    login = {"login": s3_options.access_key_id, "password": s3_options.secret_access_key}
    monkeypatch.setenv("AIRFLOW_CONN_MLOPS_STORE", json.dumps({"conn_type": "mlops_store", "extra": extra, **login}))
    trigger = arriving("s3://chain/nights/night={night}.parquet", tmp_path)
    assert trigger.look() is None
    from airflow_mlops.store import open_store

    open_store("s3://chain/nights", s3_options).put_if_absent("night=2011-03-05.parquet", b"x")
    assert trigger.look() == "s3://chain/nights/night=2011-03-05.parquet"
    assert login["password"] not in str(trigger.serialize())


class Model(BaseHTTPRequestHandler):
    status = 200
    version: str | None = "ab12"

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/readyz" else 404)
        if self.version:
            self.send_header("x-model-version", self.version)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def endpoint() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Model) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("status", "served", "wanted", "found"),
    [
        (200, "ab12", None, "ab12"),
        (200, "ab12", "ab12", "ab12"),
        (200, "ab12", "cd34", None),
        (503, "ab12", "ab12", None),
        (200, None, None, None),
    ],
)
def test_an_endpoint_is_believed_by_the_version_in_its_answer(endpoint, monkeypatch, status, served, wanted, found):
    monkeypatch.setattr(Model, "status", status)
    monkeypatch.setattr(Model, "version", served)
    assert EndpointTrigger(url=endpoint, version=wanted, deadline=0.0, **SOON).look() == found


def test_an_endpoint_that_is_down_may_come():
    with pytest.raises(RemoteUnavailable, match=r"expected http://127\.0\.0\.1:9 to answer"):
        EndpointTrigger(url="http://127.0.0.1:9", version=None, deadline=0.0, **SOON).look()


Looks = Callable[[list[Any]], None]


@pytest.fixture
def aliases(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the alias names at each look; the last one for ever."""
    seen: list[Any] = []

    def alias(_: Any, model: str, alias: str) -> Any:
        found = seen.pop(0) if len(seen) > 1 else seen[0]
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr(MlflowHook, "alias", alias)
    return seen


def test_a_watcher_wakes_on_every_change_and_outlives_an_mlflow_that_is_away(aliases):
    aliases += ["1", "1", RemoteUnavailable("away"), RemoteRejected("403"), "2", "2", None, "2"]
    trigger = again(AliasChangedTrigger("m", poll_seconds=0.01))

    async def three() -> list[Any]:
        events = trigger.run()
        return [(await anext(events)).payload for _ in range(3)]

    changes = asyncio.run(asyncio.wait_for(three(), 10))
    assert [(change["was"], change["version"]) for change in changes] == [("1", "2"), ("2", None), (None, "2")]


def test_a_watcher_tells_nothing_while_nothing_changes(aliases):
    aliases += [RemoteUnavailable("away"), "1"]

    async def first() -> Any:
        return await anext(AliasChangedTrigger("m", poll_seconds=0.01).run())

    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(first(), 0.3))


@pytest.mark.slow
def test_the_alias_in_a_real_registry(trained):
    arguments = {"model": "bike_demand", "alias": "champion", "mlflow_conn_id": "mlflow", "deadline": 0.0}
    assert triggers.ModelAliasTrigger(unlike=None, **arguments, **SOON).look() is None
    MlflowHook().set_alias("bike_demand", "champion", "1")
    assert triggers.ModelAliasTrigger(unlike=None, **arguments, **SOON).look() == "1"
    assert triggers.ModelAliasTrigger(unlike="1", **arguments, **SOON).look() is None
    assert Path(trained.home).exists()
