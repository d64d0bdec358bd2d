"""Airflow and MLflow as child processes on 127.0.0.1, and the certainty that none of them stays behind."""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

__all__ = ["ENDINGS", "Ports", "ServiceFault", "Services", "airflow_environment", "check_ports"]

# From <sys/prctl.h>: orphans of our children become our children, so that the end finds every one of them.
_PR_SET_CHILD_SUBREAPER = 36
_GRACE_SECONDS = 10.0
# What a person or a closing terminal ends the demo with.
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class ServiceFault(Exception):
    """A server did not start, or did not stay; the message ends with the last lines of its log."""


@dataclass(frozen=True)
class Ports:
    """Ports on 127.0.0.1."""

    airflow: int
    mlflow: int
    model: int


def check_ports(ports: Ports) -> None:
    """Make sure that nobody else listens.

    Raises
    ------
    ServiceFault
        Naming the port and the option that chooses another.
    """
    for option, port in (
        ("--airflow-port", ports.airflow),
        ("--mlflow-port", ports.mlflow),
        ("model.toml", ports.model),
    ):
        with contextlib.closing(socket.socket()) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                where = "set port under [serving]" if option == "model.toml" else f"choose another with {option}"
                raise ServiceFault(
                    f"expected port {port} of 127.0.0.1 to be free, it is in use ({error.strerror}). "
                    f"Stop what listens there, or {where}."
                ) from error


def airflow_environment(home: Path, ports: Ports, *, dags: Path, extra: Mapping[str, str]) -> dict[str, str]:
    """Environment of every Airflow process: local, small, quick to notice a new night or a dead task."""
    base = f"http://127.0.0.1:{ports.airflow}"
    settings = {
        "CORE__DAGS_FOLDER": str(dags),
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": "3",
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
        # Only because nothing listens on more than 127.0.0.1.
        "CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
        "CORE__TEST_CONNECTION": "Enabled",
        "CORE__FERNET_KEY": _kept_secret(home / "fernet.key", _fernet_key),
        "CORE__EXECUTION_API_SERVER_URL": f"{base}/execution/",
        "API__HOST": "127.0.0.1",
        "API__PORT": str(ports.airflow),
        "API__BASE_URL": base,
        "API__WORKERS": "1",
        "API__SECRET_KEY": _kept_secret(home / "api.key", secrets.token_hex),
        "API_AUTH__JWT_SECRET": _kept_secret(home / "jwt.key", secrets.token_hex),
        "DAG_PROCESSOR__REFRESH_INTERVAL": "30",
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "60",
        "DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
        "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "20",
        "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "15",
        "USAGE_DATA_COLLECTION__ENABLED": "False",
        "LOGGING__LOGGING_LEVEL": "INFO",
    }
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "TMPDIR", "VIRTUAL_ENV")
    return {
        **{name: os.environ[name] for name in kept if name in os.environ},
        **{f"AIRFLOW__{name}": value for name, value in settings.items()},
        "AIRFLOW_HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}",
        "PYTHONUNBUFFERED": "1",
        "PYTHONWARNINGS": "ignore",
        "DO_NOT_TRACK": "1",
        "BENTOML_DO_NOT_TRACK": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # Its nine runners of background jobs (2 GB) have nothing to do here.
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "SODA_CORE_TELEMETRY_ENABLED": "false",
        **extra,
    }


@dataclass
class Services:
    """The processes of the demo.

    Parameters
    ----------
    logs : Path
        Folder that gets a log a process.
    environment : mapping
        Of every process.
    """

    logs: Path
    environment: Mapping[str, str]
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.logs.mkdir(parents=True, exist_ok=True)
        self._before = frozenset(psutil.Process().children(recursive=True))
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)

    def call(self, name: str, command: Sequence[str]) -> None:
        """Run a command to its end.

        Raises
        ------
        ServiceFault
            If it fails.
        """
        with (self.logs / f"{name}.log").open("ab") as log:
            done = subprocess.run(
                command, env=dict(self.environment), stdout=log, stderr=log, stdin=subprocess.DEVNULL, check=False
            )
        if done.returncode:
            raise ServiceFault(f"expected {name} to work, it ended with {done.returncode}:\n{self.tail(name)}")

    def start(self, name: str, command: Sequence[str]) -> None:
        """Start a server in a session of its own: a Ctrl-C reaches this process alone."""
        with (self.logs / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                command,
                env=dict(self.environment),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def wait(self, name: str, ready: Callable[[], bool], *, timeout_seconds: float) -> None:
        """Wait until a server says that it is ready.

        Raises
        ------
        ServiceFault
            If it ends, or does not get ready in time.
        """
        deadline = time.monotonic() + timeout_seconds
        while True:
            with contextlib.suppress(httpx.HTTPError, ValueError, KeyError):
                if ready():
                    return
            self.check()
            if time.monotonic() > deadline:
                raise ServiceFault(f"expected {name} within {timeout_seconds:.0f} s:\n{self.tail(name)}")
            time.sleep(0.3)

    def check(self) -> None:
        """Make sure that every server still runs."""
        for name, process in self.running.items():
            if process.poll() is not None:
                raise ServiceFault(f"{name} ended with {process.returncode}:\n{self.tail(name)}")

    def tail(self, name: str, lines: int = 12) -> str:
        """Last lines of a log."""
        text = (self.logs / f"{name}.log").read_text(errors="replace").splitlines()
        return "\n".join(f"  {line}" for line in text[-lines:])

    def memory_bytes(self) -> int:
        """Memory of this process and everything below it, shared pages counted once (PSS)."""
        total = 0
        for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
            with contextlib.suppress(psutil.Error):
                total += process.memory_full_info().pss
        return total

    def stop(self) -> None:
        """End everything that was started, and whatever that left behind; a second Ctrl-C does not cut it short."""
        with _undisturbed():
            self._stop()

    def _stop(self) -> None:
        for ask in (signal.SIGTERM, signal.SIGKILL):
            left = self._below()
            for process in left:
                with contextlib.suppress(psutil.Error):
                    process.send_signal(ask)
            psutil.wait_procs(left, timeout=_GRACE_SECONDS)
        # What is orphaned while its parent dies comes to us afterwards.
        for process in self._below():
            with contextlib.suppress(psutil.Error):
                process.kill()
                process.wait(_GRACE_SECONDS)
        for server in self.running.values():
            # It is gone; Python wants to have asked, too.
            server.wait(_GRACE_SECONDS)
        self.running.clear()

    def _below(self) -> list[psutil.Process]:
        """Everything below this process but what was there before: that is somebody else's."""
        return [process for process in psutil.Process().children(recursive=True) if process not in self._before]


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    before = {number: signal.signal(number, signal.SIG_IGN) for number in ENDINGS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _kept_secret(path: Path, make: Callable[[], str]) -> str:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(make())
    return path.read_text().strip()


def _fernet_key() -> str:
    from cryptography.fernet import Fernet

    return Fernet.generate_key().decode()
