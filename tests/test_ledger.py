"""The chain over a folder and over S3: written once, moved by one, found out when edited, whole after every kill."""

from __future__ import annotations

import datetime as dt
import multiprocessing
import os
import random
import signal
import time
from itertools import count
from pathlib import Path

import pytest

from airflow_mlops.errors import Conflict, LedgerError, TamperedRecord
from airflow_mlops.ledger import Ledger, digest_of_file
from airflow_mlops.records import (
    Artefact,
    CheckOutcome,
    CheckResult,
    Deployment,
    PartitionPin,
    Quality,
    RecordRef,
    sha256_digest,
)
from airflow_mlops.store import Store

NOW = dt.datetime(2011, 3, 5, 6, 0, tzinfo=dt.UTC)
RACERS = 16


def quality(night: int = 1, *, actual: str = "24", at: dt.datetime = NOW) -> Quality:
    day = dt.date(2011, 1, 1) + dt.timedelta(days=night)
    return Quality(
        model="demand",
        recorded_at=at,
        night=day,
        location=f"night={night}.parquet",
        partition=PartitionPin(night=day, digest=sha256_digest(b"night"), rows=24),
        rules_digest=sha256_digest(b"contract"),
        checks=(CheckResult(name="rows", outcome=CheckOutcome.PASSED, expected="24", actual=actual),),
    )


def ref(name: str) -> RecordRef:
    return RecordRef(kind="manifest", key=f"demand/{name}", digest=sha256_digest(name.encode()))


@pytest.fixture
def ledger(store: Store) -> Ledger:
    return Ledger(store)


@pytest.fixture
def in_folder(folder_address) -> Ledger:
    """Where a test lays hands on the files."""
    return Ledger(folder_address.open())


# ── records ──────────────────────────────────────────────────────────────────────────────────────


def test_the_first_record_of_a_key_stands(ledger: Ledger) -> None:
    first, second = quality(), quality(at=NOW + dt.timedelta(hours=1))
    assert first.key == second.key
    assert ledger.write(first) is first
    assert ledger.write(second) == first
    assert ledger.read(Quality, first.ref) == first
    assert ledger.find(Quality, "demand/none") is None


def test_all_gives_the_records_of_a_prefix_in_order(ledger: Ledger) -> None:
    written = [ledger.write(quality(night)) for night in (3, 1, 2)]
    assert [record.night.day for record in ledger.all(Quality, "demand/")] == [2, 3, 4]
    assert list(ledger.all(Quality, f"demand/{written[0].night}/")) == [written[0]]
    assert list(ledger.all(Quality, "another/")) == []


def test_a_reference_names_one_content(ledger: Ledger) -> None:
    stands = ledger.write(quality())
    with pytest.raises(TamperedRecord, match="replaced"):
        ledger.read(Quality, quality(actual="23").ref)
    with pytest.raises(LedgerError, match="there is none"):
        ledger.read(Quality, quality(night=9).ref)
    with pytest.raises(LedgerError, match="expected a reference to a deployment"):
        ledger.read(Deployment, stands.ref)


@pytest.mark.parametrize(
    ("edit", "error", "says"),
    [
        (lambda text: text.replace('"rows": 24', '"rows": 25'), TamperedRecord, "expected content with digest"),
        (lambda text: text.replace('"passed"', '"failed"'), TamperedRecord, "expected content with digest"),
        (lambda text: text.replace('"rows": 24', '"rows": NaN'), TamperedRecord, "expected content with digest"),
        (lambda text: text.replace("quality/1", "quality/2"), TamperedRecord, "expected content with digest"),
        (lambda text: text[: len(text) // 2], LedgerError, "expected a record"),
        (lambda text: "", LedgerError, "expected a record"),
        (lambda text: "[]", LedgerError, "expected a record"),
        (lambda text: "null", LedgerError, "expected a record"),
        (lambda text: '{"schema": "x"}', LedgerError, "expected a record"),
    ],
)
def test_an_edited_record_is_found_out_and_named(in_folder: Ledger, tmp_path: Path, edit, error, says: str) -> None:
    record = in_folder.write(quality())
    (file,) = (tmp_path / "chain").rglob("*.json")
    file.write_text(edit(file.read_text()))
    for read in (
        lambda: in_folder.find(Quality, record.key),
        lambda: in_folder.read(Quality, record.ref),
        lambda: list(in_folder.all(Quality, "demand/")),
        lambda: in_folder.write(record),
    ):
        with pytest.raises(error, match=says) as caught:
            read()
        assert str(caught.value).startswith(f"records/quality/{record.key}.json: ")


def test_a_record_that_is_no_text_is_named(in_folder: Ledger, tmp_path: Path) -> None:
    record = in_folder.write(quality())
    (file,) = (tmp_path / "chain").rglob("*.json")
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(LedgerError, match=record.key):
        in_folder.find(Quality, record.key)


def test_a_record_under_another_name_is_found_out(in_folder: Ledger, tmp_path: Path) -> None:
    good, bad = in_folder.write(quality(1)), in_folder.write(quality(2, actual="0"))
    records = tmp_path / "chain" / "records" / "quality"
    (records / f"{bad.key}.json").write_bytes((records / f"{good.key}.json").read_bytes())
    with pytest.raises(
        TamperedRecord, match=f"{bad.key}.json: expected the record of this name, got quality/{good.key}"
    ):
        in_folder.find(Quality, bad.key)


# ── pointers ─────────────────────────────────────────────────────────────────────────────────────


def test_a_pointer_moves_from_where_it_was_seen(ledger: Ledger) -> None:
    assert ledger.pointer("demand", "champion") is None
    first = ledger.move("demand", "champion", ref("a"), seen=None, reason="first", now=NOW)
    second = ledger.move("demand", "champion", ref("b"), seen=first, reason="better", now=NOW)
    assert (second.moves, second.history, second.reason) == (2, (ref("a"),), "better")
    assert ledger.pointer("demand", "champion") == second
    for seen in (None, first):
        with pytest.raises(Conflict, match="was moved meanwhile"):
            ledger.move("demand", "champion", ref("c"), seen=seen, reason="late", now=NOW)
    assert ledger.move("demand", "champion", ref("b"), seen=second, reason="again", now=NOW) == second


def test_a_pointer_that_vanished_is_a_conflict(in_folder: Ledger, tmp_path: Path) -> None:
    seen = in_folder.move("demand", "champion", ref("a"), seen=None, reason="first", now=NOW)
    (tmp_path / "chain" / "pointers" / "demand" / "champion.json").unlink()
    with pytest.raises(Conflict):
        in_folder.move("demand", "champion", ref("b"), seen=seen, reason="late", now=NOW)


def test_stepping_back_twice_goes_back_two_steps(ledger: Ledger) -> None:
    at = None
    for name in "abc":
        at = ledger.move("demand", "live", ref(name), seen=at, reason="newer", now=NOW)
    back = ledger.step_back(at, reason="broken", now=NOW)
    assert (back.to, back.history) == (ref("b"), (ref("a"),))
    with pytest.raises(Conflict):
        ledger.step_back(at, reason="a second operator", now=NOW)
    first = ledger.step_back(back, reason="broken too", now=NOW)
    assert (first.to, first.history, first.moves) == (ref("a"), (), 5)
    with pytest.raises(LedgerError, match="is the first"):
        ledger.step_back(first, reason="and now?", now=NOW)


def test_a_history_is_bounded(in_folder: Ledger) -> None:
    at = None
    for number in range(60):
        at = in_folder.move("demand", "live", ref(f"{number}"), seen=at, reason="newer", now=NOW)
    assert at is not None
    assert (len(at.history), at.moves) == (52, 60)
    assert (at.history[0], at.history[-1]) == (ref("58"), ref("7"))


# ── artefacts ────────────────────────────────────────────────────────────────────────────────────


def test_a_folder_goes_in_and_comes_out(ledger: Ledger, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "model.pt2").write_bytes(os.urandom(70_000))
    (source / "deep" / "empty").write_bytes(b"")
    artefact = ledger.put_folder(source)
    assert set(artefact.files) == {"model.pt2", "deep/empty"}
    assert ledger.put_folder(source).digest == artefact.digest
    target = ledger.fetch_folder(artefact, tmp_path / "target")
    for name, digest in artefact.files.items():
        assert (target / name).read_bytes() == (source / name).read_bytes()
        assert digest_of_file(target / name) == digest
    # Over what is there, and without a trace of how.
    ledger.fetch_folder(artefact, target)
    assert {path.name for path in target.rglob("*")} == {"model.pt2", "deep", "empty"}


def test_a_blob_that_is_not_there_is_said(ledger: Ledger, tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="there is none"):
        ledger.fetch_blob(sha256_digest(b"nobody put this"), tmp_path / "target")
    assert ledger.put_blob(b"x") == ledger.put_blob(b"x") == sha256_digest(b"x")


def test_a_damaged_blob_is_found_out_and_not_laid_down(in_folder: Ledger, tmp_path: Path) -> None:
    digest = in_folder.put_blob(b"weights")
    (file,) = (tmp_path / "chain" / "blobs" / "sha256").iterdir()
    file.write_bytes(b"Weights")
    target = tmp_path / "target"
    target.write_bytes(b"what was here before")
    with pytest.raises(TamperedRecord, match=f"blobs/sha256/{digest[7:]}: expected digest {digest}"):
        in_folder.fetch_blob(digest, target)
    assert target.read_bytes() == b"what was here before"


def test_an_artefact_stays_in_its_folder(in_folder: Ledger, tmp_path: Path) -> None:
    digest = in_folder.put_blob(b"x")
    with pytest.raises(ValueError, match="inside"):
        in_folder.fetch_folder(Artefact(files={"../escaped": digest}), tmp_path / "target")
    assert not (tmp_path / "escaped").exists()


# ── races and kills ──────────────────────────────────────────────────────────────────────────────


def _race(address, barrier, results, number: int) -> None:
    ledger = Ledger(address.open())
    mine = quality(actual="x" * 50_000, at=NOW + dt.timedelta(seconds=number))
    seen = ledger.pointer("demand", "live")
    barrier.wait()
    stands = ledger.write(mine)
    results.put(("record", number, stands == mine, stands.ref.digest))
    for name, before in (("champion", None), ("live", seen)):
        barrier.wait()
        try:
            ledger.move("demand", name, ref(f"{number}"), seen=before, reason="race", now=NOW)
            results.put((name, number, True, ""))
        except Conflict:
            results.put((name, number, False, ""))


@pytest.mark.slow
def test_sixteen_processes_leave_one_record_and_one_move(address) -> None:
    ledger = Ledger(address.open())
    ledger.move("demand", "live", ref("start"), seen=None, reason="first", now=NOW)
    fork = multiprocessing.get_context("fork")
    barrier, results = fork.Barrier(RACERS, timeout=60), fork.Queue()
    racers = [fork.Process(target=_race, args=(address, barrier, results, number)) for number in range(RACERS)]
    for racer in racers:
        racer.start()
    outcomes = [results.get(timeout=60) for _ in range(3 * RACERS)]
    for racer in racers:
        racer.join(30)
        assert racer.exitcode == 0
    winners = {what: [n for at, n, won, _ in outcomes if won and at == what] for what in ("record", "champion", "live")}
    assert {what: len(numbers) for what, numbers in winners.items()} == {"record": 1, "champion": 1, "live": 1}
    (record,) = ledger.all(Quality, "demand/")
    assert record.recorded_at == NOW + dt.timedelta(seconds=winners["record"][0])
    assert {digest for at, _, _, digest in outcomes if at == "record"} == {record.ref.digest}
    for name, moves, history in (("champion", 1, ()), ("live", 2, (ref("start"),))):
        pointer = ledger.pointer("demand", name)
        assert pointer is not None
        assert (pointer.to, pointer.moves, pointer.history) == (ref(f"{winners[name][0]}"), moves, history)


def _write_for_ever(address, first: int, started) -> None:
    ledger = Ledger(address.open())
    started.set()
    for number in count(first):
        # Half a megabyte each: most of the time a write is under way.
        ledger.write(quality(number, actual=f"{number}" * (500_000 // len(f"{number}"))))
        seen = ledger.pointer("demand", "champion")
        reason = f"{number} " * 50_000
        ledger.move("demand", "champion", ref(f"{number}"), seen=seen, reason=reason, now=NOW)


@pytest.mark.slow
def test_a_writer_that_is_killed_leaves_the_old_or_the_new(address) -> None:
    ledger = Ledger(address.open())
    fork, chance = multiprocessing.get_context("fork"), random.Random(0)  # noqa: S311  moments, not secrets
    first, grew = 0, 0
    for _ in range(10):
        started = fork.Event()
        writer = fork.Process(target=_write_for_ever, args=(address, first, started))
        writer.start()
        assert started.wait(30)
        time.sleep(chance.uniform(0.02, 0.35))
        assert writer.pid is not None
        os.kill(writer.pid, signal.SIGKILL)
        writer.join(30)
        assert writer.exitcode == -signal.SIGKILL
        # Reading proves the digest of each; the pointer is at most one step behind the records.
        nights = [(record.night - dt.date(2011, 1, 1)).days for record in ledger.all(Quality, "demand/")]
        assert nights == list(range(len(nights)))
        pointer = ledger.pointer("demand", "champion")
        stands = -1 if pointer is None else int(pointer.to.key.rpartition("/")[2])
        assert stands in (len(nights) - 1, len(nights) - 2)
        assert pointer is None or pointer.moves == stands + 1
        grew += len(nights) > first
        # The next writer does the rest, whatever the dead one held.
        first = stands + 1
        done = ledger.move("demand", "champion", ref(f"{first}"), seen=pointer, reason="next", now=NOW)
        ledger.write(quality(first, actual="next"))
        assert done.moves == first + 1
        first += 1
    assert grew >= 5
