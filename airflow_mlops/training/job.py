"""The parent's side of a child process: start it, follow it, end it in every case."""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import signal
import subprocess
import sys
import sysconfig
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import airflow_mlops
from airflow_mlops.errors import RemoteError, RemoteJobFailed, RemoteUnavailable
from airflow_mlops.training.child import EXIT_OUT_OF_MEMORY

__all__ = ["Job", "run_job", "source_root"]

# A library that prints a line a batch must not fill the worker's disk, nor a line without end its memory.
_LINE_BYTES = 2_000
_LINES_SHOWN = 5_000
_LINES_IN_ERROR = 20
_POLL_SECONDS = 0.2

# All that the child gets of the worker's environment: no connection, no key, no AIRFLOW_* reaches the project's code.
_PASSED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "PYTHONHOME")


class Job(NamedTuple):
    """One child: what it is for, and the file whose presence proves that it did it.

    Attributes
    ----------
    what : str
        In words, for its errors.
    module : str
        Run with ``-m``; it takes the options of ``child.argument_parser``.
    arguments : sequence of str
        Of the module.
    product : Path
        Appears whole, and last.
    folder : Path
        That the child runs in, and may litter.
    cpu, seed : int
        Threads, and the seed of Python's hashing.
    timeout_seconds : float
        Longest run.
    memory_gib : float or None
        Largest private memory in GiB.
    python : Path
        Interpreter, by default the one that runs this (see ``environment``).
    variables : mapping of str to str
        What the child gets besides the few that every child gets.
    """

    what: str
    module: str
    arguments: Sequence[str]
    product: Path
    folder: Path
    cpu: int
    seed: int
    timeout_seconds: float
    memory_gib: float | None = None
    python: Path = Path(sys.executable)
    variables: Mapping[str, str] = MappingProxyType({})


def run_job(job: Job, on_line: Callable[[str], None]) -> None:
    """Run a child to its end; whatever ends this call ends the child and all that it started.

    Raises
    ------
    RemoteJobFailed
        If it failed or took too long, with its last lines.
    RemoteUnavailable
        If it was killed from outside.
    """
    output = _Output(on_line)
    with _child(job) as process:
        ended = _follow(process, output, deadline=time.monotonic() + job.timeout_seconds)
    output.close()
    if not ended:
        raise RemoteJobFailed(
            f"expected the {job.what} to end within {job.timeout_seconds:.0f} s, it was ended unfinished. Raise "
            f"timeout_minutes in [training.resources], or give it less to do.{output.last_words()}"
        )
    # The product appears whole and last: with it in hand, a library that crashes while the process ends is no matter.
    if not job.product.exists():
        raise _failure(process)(f"expected the {job.what} to succeed, {_ending(process, job)}{output.last_words()}")


@contextlib.contextmanager
def _child(job: Job) -> Iterator[subprocess.Popen[bytes]]:
    options = ["--parent-pid", str(os.getpid())]
    if job.memory_gib is not None:
        options += ["--memory-bytes", str(int(job.memory_gib * 2**30))]
    process = subprocess.Popen(
        # -P: the working folder is no place to import from.
        [str(job.python), "-P", "-m", job.module, *options, *job.arguments],
        cwd=job.folder,
        env=_environment(job),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        # Before it is waited for: until then its id, and so the group's, cannot be given to somebody else.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _follow(process: subprocess.Popen[bytes], output: _Output, *, deadline: float) -> bool:
    """Pass its output on until it has ended (True) or its time is up (False)."""
    if process.stdout is None:
        return True
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            if selector.select(min(left, _POLL_SECONDS)):
                if chunk := os.read(process.stdout.fileno(), 1 << 16):
                    output.feed(chunk)
                    continue
                selector.unregister(process.stdout)
            # Asked without reaping it, and not by the pipe's end: what it started may hold that open.
            if os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                return True
    return False


class _Output:
    """Output in lines, bounded in length and number; the last ones are remembered."""

    def __init__(self, on_line: Callable[[str], None]) -> None:
        self._on_line = on_line
        self._rest = b""
        self._shown = 0
        self._last: deque[str] = deque(maxlen=_LINES_IN_ERROR)

    def feed(self, chunk: bytes) -> None:
        # A progress bar's carriage return ends a line, too.
        *lines, rest = re.split(rb"[\r\n]+", self._rest + chunk)
        # One byte more than is shown, so that a cut line is known to be cut.
        self._rest = rest[: _LINE_BYTES + 1]
        for line in lines:
            self._show(line)

    def close(self) -> None:
        self._show(self._rest)

    def last_words(self) -> str:
        return "".join(["\nIts last lines:", *(f"\n  {line}" for line in self._last)]) if self._last else ""

    def _show(self, raw: bytes) -> None:
        if not raw.strip():
            return
        line = raw[:_LINE_BYTES].decode(errors="replace") + ("…" if len(raw) > _LINE_BYTES else "")
        self._last.append(line)
        self._shown += 1
        if self._shown <= _LINES_SHOWN:
            self._on_line(line)
        elif self._shown == _LINES_SHOWN + 1:
            self._on_line(f"… more than {_LINES_SHOWN} lines; the rest is left out of this log")


def _failure(process: subprocess.Popen[bytes]) -> type[RemoteError]:
    # Its own limit ends it otherwise: SIGKILL comes from outside, where another try can find more room.
    return RemoteUnavailable if process.returncode == -signal.SIGKILL else RemoteJobFailed


def _ending(process: subprocess.Popen[bytes], job: Job) -> str:
    limit = "" if job.memory_gib is None else f" of {job.memory_gib:g} GiB"
    if process.returncode == EXIT_OUT_OF_MEMORY:
        return f"it ran out of its memory{limit}. Raise memory_gib in [training.resources], or give it less to do."
    if process.returncode == -signal.SIGKILL:
        return (
            "it was killed by SIGKILL; when nobody did that, the kernel did, for want of memory. Give the worker more "
            f"memory than the limit{limit}, or lower memory_gib in [training.resources] to have the place named."
        )
    if process.returncode < 0:
        return f"it was ended by {signal.Signals(-process.returncode).name}. Look for a crash in a compiled library."
    if process.returncode == 0:
        return "it ended with status 0 and without a result: something in it called sys.exit(). Let it return instead."
    return f"it ended with status {process.returncode}. Correct what its last lines name, then clear the task."


def source_root() -> Path | None:
    """Where this package lies if that is no place that Python looks at by itself: a source tree."""
    root = Path(airflow_mlops.__file__).parents[1]
    return None if str(root) == sysconfig.get_path("purelib") else root


def _environment(job: Job) -> dict[str, str]:
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    if job.python != Path(sys.executable):
        # An environment of its own knows the way here by itself: named here, ours would hide its packages.
        environment.pop("PYTHONHOME", None)
    else:
        # Run from a source tree, this package is found by path; installed, adding site-packages there would let it
        # hide modules of Python's own.
        paths = [str(Path(path).absolute()) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
        if root := source_root():
            paths.append(str(root))
        if paths:
            environment["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    return {
        **environment,
        **job.variables,
        "PYTHONHASHSEED": str(job.seed),
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",
        "OMP_NUM_THREADS": str(job.cpu),
        "MKL_NUM_THREADS": str(job.cpu),
        "TMPDIR": str(job.folder),
    }
