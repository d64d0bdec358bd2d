"""The parent's side, with children that take a moment; test_training.py has the real ones."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_mlops.errors import RemoteJobFailed, RemoteUnavailable
from airflow_mlops.training import job
from airflow_mlops.training.child import EXIT_OUT_OF_MEMORY

Run = Callable[..., list[str]]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run some lines of Python as a child would be run; the lines that it printed."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def run_lines(code: str, on_line: Callable[[str], None] | None = None, **changes: object) -> list[str]:
        (tmp_path / "child_of_test.py").write_text(textwrap.dedent(code))
        trial = job.Job(
            what="trial",
            module="child_of_test",
            arguments=[],
            product=tmp_path / "product",
            folder=tmp_path,
            cpu=1,
            seed=7,
            timeout_seconds=20,
            memory_gib=None,
        )._replace(**changes)
        lines: list[str] = []
        job.run_job(trial, on_line or lines.append)
        return lines

    return run_lines


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition: Callable[[], bool], seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


def test_lines_come_as_they_are_printed(run: Run) -> None:
    lines = run("""
        import sys
        print("one")
        print("two", file=sys.stderr)
        print("10 %\\r20 %\\r", end="")
        print()
        sys.stdout.buffer.write(b"\\xff three")
        open("product", "w").close()
    """)
    assert lines == ["one", "two", "10 %", "20 %", "\ufffd three"]


def test_output_is_bounded(run: Run) -> None:
    lines = run("""
        print("x" * 3_000_000)
        for number in range(20_000):
            print(number)
        open("product", "w").close()
    """)
    assert len(lines) == 5_001
    assert len(lines[0]) == 2_001
    assert lines[1] == "0"
    assert "left out" in lines[-1]


def test_no_secret_of_the_worker_reaches_the_child(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "AIRFLOW__CORE__FERNET_KEY", "AIRFLOW_CONN_MLFLOW", "MLFLOW_TRACKING_TOKEN"):
        monkeypatch.setenv(name, "secret")
    lines = run("""
        import os
        print(*sorted(os.environ), sep="\\n")
        print(*[value for value in os.environ.values() if value == "secret"], sep="\\n")
        print("hash", os.environ["PYTHONHASHSEED"])
        open("product", "w").close()
    """)
    assert "PATH" in lines
    assert "hash 7" in lines
    assert not {line for line in lines if line.startswith(("AWS", "AIRFLOW", "MLFLOW", "secret"))}


def test_a_failure_brings_its_last_lines(run: Run) -> None:
    with pytest.raises(RemoteJobFailed, match=r"ended with status 1\.(?s:.*)ValueError: loss is a fish") as failed:
        run("print('before')\nraise ValueError('loss is a fish')")
    assert "before" in str(failed.value)
    assert not failed.value.retryable


def test_a_success_without_a_product_is_none(run: Run) -> None:
    with pytest.raises(RemoteJobFailed, match="without a result"):
        run("import sys; sys.exit(0)")


def test_a_crash_after_the_product_is_a_success(run: Run) -> None:
    run("import os; open('product', 'w').close(); os.abort()")


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ("os.abort()", "SIGABRT"),
        (f"sys.exit({EXIT_OUT_OF_MEMORY})", r"ran out of its memory of 0\.5 GiB"),
    ],
)
def test_how_it_died_is_said(run: Run, end: str, said: str) -> None:
    with pytest.raises(RemoteJobFailed, match=said):
        run(f"import os, signal, sys\n{end}", memory_gib=0.5)


def test_killed_from_outside_it_may_be_tried_again(run: Run) -> None:
    with pytest.raises(RemoteUnavailable, match=r"killed by SIGKILL.*memory"):
        run("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", memory_gib=0.5)


def test_a_timeout_ends_the_child_and_its_children(run: Run, tmp_path: Path) -> None:
    started = time.monotonic()
    with pytest.raises(RemoteJobFailed, match="within 2 s"):
        run(
            """
            import subprocess, sys, time, pathlib, os
            other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
            pathlib.Path("pids").write_text(f"{os.getpid()} {other.pid}")
            time.sleep(60)
            """,
            timeout_seconds=2,
        )
    assert time.monotonic() - started < 10
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert wait_until(lambda: not any(alive(pid) for pid in pids))


def test_a_child_that_talks_without_end_times_out(run: Run) -> None:
    with pytest.raises(RemoteJobFailed, match="within 1 s"):
        run("while True: print('still here')", timeout_seconds=1)


def test_what_it_leaves_behind_neither_blocks_nor_stays(run: Run, tmp_path: Path) -> None:
    started = time.monotonic()
    run("""
        import subprocess, sys, pathlib
        other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        pathlib.Path("pids").write_text(str(other.pid))
        open("product", "w").close()
    """)
    assert time.monotonic() - started < 10
    assert wait_until(lambda: not alive(int((tmp_path / "pids").read_text())))


def test_a_child_that_closes_its_output_is_waited_for(run: Run) -> None:
    run("import os, time; os.close(1); os.close(2); time.sleep(0.7); open('product', 'w').close()")


def test_an_exception_in_the_worker_ends_the_child(run: Run, tmp_path: Path) -> None:
    def refuse(line: str) -> None:
        raise KeyboardInterrupt(line)

    with pytest.raises(KeyboardInterrupt):
        run("import os, time; print(os.getpid(), file=open('pids', 'w')); print('x'); time.sleep(60)", refuse)
    assert not alive(int((tmp_path / "pids").read_text()))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_worker_takes_the_child_with_it(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "child_of_test.py").write_text(
        textwrap.dedent("""
            import os, time
            from airflow_mlops.training import child
            child.obey(child.argument_parser("").parse_args())
            with open("pids.unfinished", "w") as file:
                file.write(str(os.getpid()))
            os.rename("pids.unfinished", "pids")
            time.sleep(60)
        """)
    )
    worker = textwrap.dedent(f"""
        import pathlib
        from airflow_mlops.training import job
        folder = pathlib.Path({str(tmp_path)!r})
        job.run_job(
            job.Job("trial", "child_of_test", [], folder / "product", folder, 1, 7, 50.0, None), print
        )
    """)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(job.__file__).parents[2])])}
    with subprocess.Popen([sys.executable, "-c", worker], env=environment) as started:
        assert wait_until((tmp_path / "pids").exists, 20)
        pid = int((tmp_path / "pids").read_text())
        assert alive(pid)
        started.send_signal(number)
        started.wait(10)
    assert wait_until(lambda: not alive(pid))


def test_a_child_whose_parent_is_gone_does_not_start() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "airflow_mlops.training", "--parent-pid", "1", "order.json"],
        cwd=Path(job.__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert ended.returncode == 1
    assert "is gone" in ended.stderr
