from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from airflow_mlops.errors import ConfigError, RemoteUnavailable
from airflow_mlops.store import open_store

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount the small disk that gets full")


def run(command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = shutil.which(command)
    assert program is not None
    return subprocess.run([program, *arguments], check=False, capture_output=True, text=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = run("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk))
    if mounted.returncode:
        pytest.skip(f"this machine does not let root mount a small disk: {mounted.stderr.strip()}")
    yield disk
    assert run("umount", "--lazy", str(disk)).returncode == 0


def test_an_address_with_a_space_opens_again(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "my chain"))
    store.put_if_absent("a", b"x")
    assert open_store(store.uri).get("a") == store.get("a")


@pytest.mark.parametrize("uri", ["gs://bucket/x", "http://127.0.0.1/x", "s3://", "s3:///prefix"])
def test_an_address_of_another_kind_is_refused(uri: str) -> None:
    with pytest.raises(ConfigError, match="expected"):
        open_store(uri)


def test_what_a_killed_writer_left_is_no_key(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    store.put_if_absent("a/b", b"x")
    (tmp_path / "a" / ".unfinished-dead").write_bytes(b"half")
    assert list(store.keys("")) == ["a/b"]


@as_root
def test_a_full_disk_can_be_retried_and_leaves_nothing_half_written(small_disk: Path, tmp_path: Path) -> None:
    store = open_store(str(small_disk / "chain"))
    assert store.put_if_absent("pointer", b"old")
    seen = store.get("pointer")
    assert seen is not None
    large = tmp_path / "large"
    large.write_bytes(bytes(100_000))
    for attempt in (
        lambda: store.put_if_absent("record", bytes(100_000)),
        lambda: store.replace("pointer", bytes(100_000), etag=seen.etag),
        lambda: store.put_file("blob", large),
    ):
        with pytest.raises(RemoteUnavailable, match="full") as caught:
            attempt()
        assert caught.value.retryable
        assert caught.value.__cause__.errno == 28
    assert store.get("pointer") == seen
    assert list(store.keys("")) == ["pointer"]
    assert not list(small_disk.rglob(".unfinished-*"))
    # What did not fit gave its room back.
    assert store.put_if_absent("record", bytes(30_000))


@as_root
def test_a_read_only_disk_is_a_fault_of_the_set_up(small_disk: Path, tmp_path: Path) -> None:
    store = open_store(str(small_disk))
    store.put_if_absent("a", b"x")
    assert run("mount", "-o", "remount,ro", str(small_disk)).returncode == 0
    seen = store.get("a")
    assert seen is not None
    source = tmp_path / "source"
    source.write_bytes(b"x")
    for attempt in (
        lambda: store.put_if_absent("b", b"x"),
        lambda: store.replace("a", b"y", etag=seen.etag),
        lambda: store.put_file("c", source),
    ):
        with pytest.raises(ConfigError, match="read and write"):
            attempt()


def test_a_folder_of_another_user_is_a_fault_of_the_set_up(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "chain"))
    store.put_if_absent("a", b"x")
    (tmp_path / "chain").chmod(0)
    # Root may do everything: a child that gave that up does the asking.
    child = os.fork()
    if child == 0:
        refused = 0
        if os.geteuid() == 0:
            os.setgroups([])
            os.setuid(65534)
        for attempt in (lambda: store.get("a"), lambda: store.put_if_absent("b", b"x")):
            try:
                attempt()
            except ConfigError:
                refused += 1
        os._exit(refused)
    _, status = os.waitpid(child, 0)
    (tmp_path / "chain").chmod(0o755)
    assert os.waitstatus_to_exitcode(status) == 2


def _killed_at_line(number: int, write: Callable[[], object]) -> bool:
    """Run a write in a child that is killed when it comes to its so manyth line of Python; False if it got through."""
    child = os.fork()
    if child == 0:
        lines = 0

        def trace(frame: FrameType, event: str, argument: object) -> Any:
            nonlocal lines
            lines += event == "line"
            if lines == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return trace

        sys.settrace(trace)
        write()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, -signal.SIGKILL)
    return code != 0


@pytest.mark.slow
@pytest.mark.parametrize("how", ["put_if_absent", "replace", "put_file"])
def test_a_writer_that_is_killed_at_any_line_leaves_all_or_nothing(how: str, tmp_path: Path) -> None:
    """Every line, those of pathlib and tempfile included: kills at random moments miss the short gaps between them."""
    source = tmp_path / "source"
    source.write_bytes(b"new")
    before = b"old" if how == "replace" else None
    left: list[bytes | None] = []
    for number in range(1, 2000):
        root = tmp_path / f"{number}"
        store = open_store(str(root))
        # The child finds folders and lock in place or not, by turns.
        if number % 2 or before:
            store.put_if_absent("a/neighbour", b"there")
        if before:
            store.put_if_absent("a/b", before)
        seen = store.get("a/b")
        write = {
            "put_if_absent": lambda store=store: store.put_if_absent("a/b", b"new"),
            "replace": lambda store=store, seen=seen: store.replace("a/b", b"new", etag=seen.etag),
            "put_file": lambda store=store: store.put_file("a/b", source),
        }[how]
        killed = _killed_at_line(number, write)
        found = store.get("a/b")
        left.append(None if found is None else found.data)
        assert left[-1] in (before, b"new"), f"killed at line {number}: {left[-1]!r}"
        # Whoever comes next finds no lock held and finishes the work.
        write()
        assert list(store.keys("a/b")) == ["a/b"]
        after = store.get("a/b")
        assert after is not None
        assert after.data == b"new"
        shutil.rmtree(root)
        if not killed:
            break
    assert left[-1] == b"new"
    assert left.count(before) > 20
