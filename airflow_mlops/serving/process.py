"""Child processes: one that is waited for, and ones that outlive the task that started them.

A process that outlives its task is known by a mark in its environment, which its own children inherit and the kernel
keeps (``/proc/PID/environ``). So it is found again after the task, the scheduler or the file with its number is gone,
orphaned workers included, and another process that got its number later is never taken for it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from airflow_mlops.errors import RemoteJobFailed, RemoteUnavailable

__all__ = ["clean_environment", "last_lines", "marked", "run_to_end", "spawn", "stop"]

_MARK = "AIRFLOW_MLOPS_PROCESS"
_PROC = Path("/proc")
# What a child needs of the task's environment. No AIRFLOW_*, no AWS_*: it serves a model, it has no business there.
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH")
_LINES_IN_ERROR = 20
_POLL_SECONDS = 0.05
_KILL_SECONDS = 30.0


def clean_environment(**extra: str) -> dict[str, str]:
    """Environment of a child process: a short list of the parent's, nothing secret, and ``extra``."""
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    # A file in the current folder must not stand in for a library.
    return {**inherited, "PYTHONSAFEPATH": "1", "PYTHONUNBUFFERED": "1", **extra}


def run_to_end(
    code: str, *, stdin: str, env: dict[str, str], doing: str, on_line: Callable[[str], None], timeout_seconds: float
) -> None:
    """Run code in a fresh Python process and hand on its output line by line.

    Parameters
    ----------
    code : str
        Python source.
    stdin : str
        What it reads.
    env : dict
        Its whole environment.
    doing : str
        What it does, for the error, such as ``"build the Bento demand:ab12"``.
    on_line : callable
        Gets each line of its output.
    timeout_seconds : float
        It is killed after that.

    Raises
    ------
    RemoteJobFailed
        If it exits with another code than 0, or has to be killed.
    """
    tail: deque[str] = deque(maxlen=_LINES_IN_ERROR)
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=env,
        text=True,
        errors="replace",
    )
    watchdog = threading.Timer(timeout_seconds, process.kill)
    watchdog.start()
    try:
        with process:
            if process.stdin and process.stdout:
                # It may die before it reads: its own last words say more than a broken pipe.
                with contextlib.suppress(BrokenPipeError), process.stdin as pipe:
                    pipe.write(stdin)
                for line in process.stdout:
                    tail.append(line.rstrip())
                    on_line(line.rstrip())
    finally:
        process.kill()
        watchdog.cancel()
    if process.returncode:
        why = f"exit code {process.returncode}" if process.returncode > 0 else f"signal {-process.returncode}"
        said = "\n".join(tail) or "(it said nothing)"
        raise RemoteJobFailed(
            f"expected to {doing} within {timeout_seconds:.0f} s, the process ended with {why}:\n{said}"
        )


def spawn(arguments: Sequence[str], *, mark: str, env: dict[str, str], log: Path) -> int:
    """Start a process that outlives this one, in a session of its own, its output appended to a file.

    Parameters
    ----------
    arguments : sequence of str
        What follows the interpreter on the command line.
    mark : str
        What it is found by.
    env : dict
        Its environment, to which the mark is added.
    log : Path
        Where its output goes.

    Returns
    -------
    int
        Its number. It is not this process' to wait for.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    return os.posix_spawn(
        sys.executable,
        [sys.executable, *arguments],
        {**env, _MARK: mark},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), append, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )


def marked(mark: str, *, below: bool = False) -> dict[int, str]:
    """Live processes with a mark; with ``below``, also those whose mark only starts so.

    Returns
    -------
    dict of int to str
        Process number to mark.
    """
    wanted = f"{_MARK}={mark}".encode()
    found = {}
    for folder in _PROC.iterdir():
        if not folder.name.isdigit():
            continue
        # Gone meanwhile, another user's, or ended and not waited for: none of them is ours and alive.
        with contextlib.suppress(OSError):
            for entry in (folder / "environ").read_bytes().split(b"\0"):
                if entry == wanted or (below and entry.startswith(wanted)):
                    found[int(folder.name)] = entry.decode(errors="replace").partition("=")[2]
    return found


def stop(mark: str, *, first: int | None = None, grace_seconds: float = 10.0, below: bool = False) -> None:
    """End every process with a mark: ask, wait, then kill.

    Parameters
    ----------
    mark : str
        What they are found by.
    first : int, optional
        Ask this one alone, if it is among them: a supervisor that ends its workers in its own good order.
    grace_seconds : float
        How long they may take to finish what they are answering.
    below : bool
        Also those whose mark only starts so.

    Raises
    ------
    RemoteUnavailable
        If the kernel does not get rid of one.
    """
    alive = marked(mark, below=below)
    seen = set(alive)
    _signal([first] if first in alive else alive, signal.SIGTERM)
    deadline = time.monotonic() + grace_seconds
    # A supervisor may start one more between the looking and the killing: look until there is none.
    while alive:
        time.sleep(_POLL_SECONDS)
        alive = marked(mark, below=below)
        seen |= set(alive)
        if time.monotonic() > deadline:
            _signal(alive, signal.SIGKILL)
        if time.monotonic() > deadline + _KILL_SECONDS:
            raise RemoteUnavailable(
                f"expected the processes {sorted(alive)} to end, they still run {_KILL_SECONDS:.0f} s after SIGKILL. "
                "They hang in the kernel, often on a disk or network share; see to that, then run the task again."
            )
    for pid in seen:
        # Only the process that started it can wait for it, and only that one has to.
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)


def last_lines(log: Path, count: int = _LINES_IN_ERROR) -> str:
    """Last lines of a log file, of which only the end is read."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 16_384))
            text = file.read().decode(errors="replace")
    except FileNotFoundError:
        return "(there is no log)"
    return "\n".join(text.splitlines()[-count:]) or "(the log is empty)"


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
