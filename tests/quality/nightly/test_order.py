"""Whatever the order in which nights are asked for, whatever dies in between: the records of a serial run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from airflow_mlops.errors import RemoteUnavailable
from airflow_mlops.ledger import Ledger
from airflow_mlops.store import open_store

NIGHTS = 22
CONTRACT = """\
dataset: duckdb/bikes
columns:
  - name: temp
    checks:
      - missing:
"""
_CHILD = """
import datetime as dt, json, sys
from airflow_mlops.ledger import Ledger
from airflow_mlops.project.tables import TableSpec
from airflow_mlops.quality import NightlyChecks
from airflow_mlops.quality.sources import open_source
from airflow_mlops.store import open_store

spec, store, run, nights = TableSpec.model_validate_json(sys.argv[1]), *sys.argv[2:4], sys.argv[4:]

def stamp(*rests_on):
    return {"recorded_at": dt.datetime.now(dt.UTC), "dag_run": run, "rests_on": rests_on}

print("ready", flush=True)
sys.stdin.readline()
for night in nights:
    NightlyChecks(spec, open_source(spec), Ledger(open_store(store)), stamp).check(dt.date.fromisoformat(night))
"""


@pytest.fixture
def history(nights: Any) -> Any:
    """Nights with a torn one, one that fails its contract, one that came twice, and incidents that begin and end."""
    nights.quality = {"contract": "contract.yml", "sensitive": ("name",)}
    (nights.home / "contract.yml").write_text(CONTRACT)
    for place in range(NIGHTS):
        nights.write(place)
    nights.tear(4)
    nights.write(10, temp=[None] * 5 + [20.0] * 19)
    nights.file(16).write_bytes(nights.file(15).read_bytes())
    nights.arrived(16)
    nights.write(20, name=None)
    return nights


def records(store: Path) -> dict[str, Any]:
    """All records, less when they were written, by which run."""
    found = {}
    for path in sorted((store / "records").rglob("*.json")):
        # What a record rests on is named by its digest, too, which covers when it was written.
        body = json.dumps(json.loads(path.read_bytes())["record"])
        record = json.loads(re.sub(r'"digest": "sha256:[0-9a-f]{64}"', '"digest": ""', body))
        pin = json.loads(body).get("partition")
        found[str(path.relative_to(store))] = record | {"recorded_at": "", "dag_run": "", "partition": pin}
    return found


def run(history: Any, store: Path, run_id: str, places: list[int]) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "ignore", "-c", _CHILD, history.spec.model_dump_json(), str(store), run_id]
    return subprocess.Popen(
        [*command, *(str(history.night(place)) for place in places)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def go(children: list[subprocess.Popen[str]]) -> list[int]:
    """Let all of them begin at once."""
    for child in children:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.close()
    for child in children:
        child.wait()
        assert child.stdout is not None
        child.stdout.close()
    return [child.returncode for child in children]


@pytest.mark.slow
def test_a_parallel_backfill_gives_the_records_of_a_serial_run(history: Any) -> None:
    for place in range(NIGHTS):
        history.check(place)
    places = np.random.default_rng(7).permutation(NIGHTS).tolist()
    store = history.home / "parallel"
    children = [run(history, store, f"run {share}", places[share::8]) for share in range(8)]
    assert go(children) == [0] * 8
    serial, parallel = records(history.home / "store"), records(store)
    assert list(parallel) == list(serial)
    assert [key for key in serial if parallel[key] != serial[key]] == []
    assert len([key for key in serial if key.startswith("records/quality")]) == NIGHTS
    bad = {key.split("/")[3] for key, record in serial.items() if record.get("kept")}
    assert bad == {str(history.night(place)) for place in (4, 10, 16, 20)}


class Mortal:
    """Hands every call on, until there were so many of all who share the count; then it answers no more."""

    def __init__(self, inner: Any, left: list[int]) -> None:
        self._inner, self._left = inner, left

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if not callable(value):
            return value

        def call(*arguments: Any, **keywords: Any) -> Any:
            if self._left[0] == 0:
                raise RemoteUnavailable(f"expected an answer to {name}, got none.")
            self._left[0] -= 1
            return value(*arguments, **keywords)

        return call


@pytest.mark.slow
def test_what_dies_at_any_step_leaves_no_half_record_and_the_next_try_makes_it_up(history: Any) -> None:
    history.check(9)
    history.write(11)
    undisturbed, disturbed = history.home / "undisturbed", history.home / "store"
    for key in open_store(str(disturbed)).keys(""):
        (undisturbed / key).parent.mkdir(parents=True, exist_ok=True)
        (undisturbed / key).write_bytes((disturbed / key).read_bytes())
    before = set(history.keys())
    died = 0
    while True:
        # The store and the source share the count, so that each call of either is once the first that fails.
        left = [died]
        store = open_store(str(disturbed))
        history.ledger = Ledger(Mortal(store, left))
        source = Mortal(history.source, left)
        try:
            history.checks(source).check(history.night(11))
        except RemoteUnavailable:
            history.ledger = Ledger(store)
            for key in set(history.keys()) - before:
                # Night 10 comes first; whatever is written is whole.
                assert str(history.night(10)) in key
            died += 1
        else:
            break
    assert died > 20
    history.ledger = Ledger(open_store(str(undisturbed)))
    history.check(11)
    assert records(disturbed) == records(undisturbed)
