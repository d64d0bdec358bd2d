"""One battery over every backend: what the ledger relies on."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from airflow_mlops.errors import ConfigError
from airflow_mlops.store import Store, open_store

RACERS = 16
ROUNDS = 4
# Large enough that a write is not one system call or one packet.
SIZE = 300_000


def test_a_key_that_was_never_written_is_none(store: Store, tmp_path: Path) -> None:
    assert store.get("records/none.json") is None
    assert store.local_path("records/none.json", tmp_path) is None
    assert list(store.keys("records/")) == []
    assert not store.replace("records/none.json", b"x", etag='"0"')


def test_put_if_absent_keeps_the_first(store: Store) -> None:
    assert store.put_if_absent("a/b.json", b"first")
    assert not store.put_if_absent("a/b.json", b"second")
    found = store.get("a/b.json")
    assert found is not None
    assert found.data == b"first"


def test_replace_only_what_was_seen(store: Store) -> None:
    store.put_if_absent("a", b"one")
    seen = store.get("a")
    assert seen is not None
    assert store.replace("a", b"two", etag=seen.etag)
    assert not store.replace("a", b"three", etag=seen.etag)
    found = store.get("a")
    assert found is not None
    assert found.data == b"two"


def test_a_file_goes_in_and_comes_out(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(bytes(range(256)) * 1000)
    store.put_file("blobs/ab", source)
    store.put_file("blobs/ab", source)
    fetched = store.local_path("blobs/ab", tmp_path)
    assert fetched is not None
    assert fetched.read_bytes() == source.read_bytes()


def test_a_file_of_several_parts(store: Store, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"0123456789abcdef" * (20 << 16))
    store.put_file("blobs/large", source)
    fetched = store.local_path("blobs/large", tmp_path)
    assert fetched is not None
    assert fetched.read_bytes() == source.read_bytes()


def test_keys_are_those_below_the_prefix_in_order(store: Store) -> None:
    names = ["r/b/2.json", "r/b/10.json", "r/a.json", "r/bb.json", "other/c"]
    for name in names:
        store.put_if_absent(name, b"")
    # A lock is taken by replace; it is no key.
    seen = store.get("r/a.json")
    assert seen is not None
    store.replace("r/a.json", b"x", etag=seen.etag)
    assert list(store.keys("r/b")) == ["r/b/10.json", "r/b/2.json", "r/bb.json"]
    assert list(store.keys("r/b/")) == ["r/b/10.json", "r/b/2.json"]
    assert list(store.keys("")) == sorted(names)


@pytest.mark.parametrize("key", ["../outside", "a/../../outside", "/etc/outside"])
def test_a_key_that_leaves_the_store_is_refused(store: Store, key: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x")
    for attempt in (
        lambda: store.get(key),
        lambda: store.put_if_absent(key, b"x"),
        lambda: store.replace(key, b"x", etag=""),
        lambda: store.put_file(key, source),
        lambda: store.local_path(key, tmp_path),
        lambda: list(store.keys(f"{key}/")),
    ):
        with pytest.raises(ConfigError, match="inside the store"):
            attempt()
    assert not (tmp_path / "outside").exists()


def test_the_address_opens_the_same_store(store: Store, address) -> None:
    store.put_if_absent("a", b"x")
    again = open_store(store.uri, address.options)
    assert again.get("a") == store.get("a")
    assert "not-a-secret" not in f"{store.uri} {store!r} {address.options!r}"


def _race(address, barrier, results, number: int) -> None:
    store = address.open()
    store.get("warm-up")
    for turn in range(ROUNDS):
        # Never what stood there before: over the same bytes again, both of two writers rightly win.
        mine = bytes([turn * RACERS + number]) * SIZE
        barrier.wait()
        results.put(("put", turn, number, store.put_if_absent(f"put-{turn}", mine)))
        seen = store.get("swap")
        barrier.wait()
        results.put(("swap", turn, number, store.replace("swap", mine, etag=seen.etag)))
        # Nobody looks at the next round's bytes before this round is over.
        barrier.wait()


@pytest.mark.slow
def test_sixteen_processes_leave_one_winner_and_no_torn_bytes(address) -> None:
    store = address.open()
    store.put_if_absent("swap", b"start")
    fork = multiprocessing.get_context("fork")
    barrier, results = fork.Barrier(RACERS, timeout=60), fork.Queue()
    racers = [fork.Process(target=_race, args=(address, barrier, results, number)) for number in range(RACERS)]
    for racer in racers:
        racer.start()
    outcomes = [results.get(timeout=60) for _ in range(2 * ROUNDS * RACERS)]
    for racer in racers:
        racer.join(30)
        assert racer.exitcode == 0
    for turn in range(ROUNDS):
        (winner,) = [number for kind, at, number, won in outcomes if (kind, at, won) == ("put", turn, True)]
        found = store.get(f"put-{turn}")
        assert found is not None
        assert found.data == bytes([turn * RACERS + winner]) * SIZE
        (last,) = [number for kind, at, number, won in outcomes if (kind, at, won) == ("swap", turn, True)]
    found = store.get("swap")
    assert found is not None
    assert found.data == bytes([turn * RACERS + last]) * SIZE
    assert list(store.keys("")) == [*(f"put-{turn}" for turn in range(ROUNDS)), "swap"]
