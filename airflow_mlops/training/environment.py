"""The interpreter that a model's code runs with: this one where it will do, else that of an environment of its own.

``python -m airflow_mlops.training.environment FOLDER REQUIREMENTS`` makes such an environment.

An environment holds what the requirements bring; behind it lies all that is installed here, so that this package and
what it needs are found, and what the model brings itself wins.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path

from airflow_mlops.errors import RemoteJobFailed, RemoteUnavailable
from airflow_mlops.training import child
from airflow_mlops.training.job import Job, run_job, source_root
from airflow_mlops.training.requirements import is_satisfied, requirement_lines

__all__ = ["environments_home", "make_environment", "python_for"]

_HOME_VARIABLE = "AIRFLOW_MLOPS_ENVIRONMENTS_HOME"

# What an installer may be told about its index, and how to get there. The project's code never sees it: passwords.
_INSTALLERS = re.compile(
    r"(PIP|UV)_\w+|(SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|NETRC|XDG_(CACHE|CONFIG)_HOME|\w+_PROXY)", re.IGNORECASE
)
# uv reads none of pip's settings: those that say where packages come from are handed on.
_PIP_TO_UV = {"PIP_INDEX_URL": "UV_DEFAULT_INDEX", "PIP_EXTRA_INDEX_URL": "UV_INDEX", "PIP_FIND_LINKS": "UV_FIND_LINKS"}

_USERINFO = re.compile(r"(?<=://)[^/\s@]+@")
_QUERY = re.compile(r"(?<=\?)[^\s\"'>)#]+")
_SECRET_NAME = re.compile(r"PASSWORD|TOKEN|SECRET", re.IGNORECASE)
_AWAY = re.compile(
    r"timed? ?out|temporary failure|name resolution|dns error|connection (error|refused|reset|aborted)|"
    r"error sending request|newconnectionerror|network is unreachable|\b(429|50[0234])\b|within \d+ s,",
    re.IGNORECASE,
)
_READY = "ready"


def environments_home() -> Path:
    """Folder of the environments, from ``AIRFLOW_MLOPS_ENVIRONMENTS_HOME``; while nothing runs it may be deleted."""
    return Path(os.environ.get(_HOME_VARIABLE, "~/.airflow-mlops/environments")).expanduser()


def python_for(requirements: Path | None, *, home: Path, timeout_seconds: float = 1800.0) -> Path:
    """Find the interpreter that has what a model needs; make its environment where there is none yet.

    Two that need the same one at once get the same one: the second waits for the first. One that was left half made
    is made anew.

    Parameters
    ----------
    requirements : Path or None
        A requirements file. None, or one that is satisfied by what is installed here, needs no environment.
    home : Path
        Folder of the environments, each named by the digest of its requirements.
    timeout_seconds : float
        Longest installation.

    Returns
    -------
    Path
        ``sys.executable``, or the interpreter of an environment.

    Raises
    ------
    ConfigError
        If the requirements cannot be read.
    RemoteJobFailed
        If they cannot be installed, with the installer's last lines.
    RemoteUnavailable
        If the package index does not answer.

    Examples
    --------
    >>> python_for(None, home=Path("/nowhere")) == Path(sys.executable)
    True
    """
    lines = [] if requirements is None else requirement_lines(requirements)
    if requirements is None or all(is_satisfied(line) for line in lines):
        return Path(sys.executable)
    home = home.absolute()
    home.mkdir(parents=True, exist_ok=True)
    key = _key(lines)
    environment = home / key
    with _alone(home / f"{key}.lock"):
        if not environment.exists():
            # Whoever began these is dead: it would hold the lock.
            for half_made in home.glob(f".{key}.*"):
                shutil.rmtree(half_made)
            _make(environment, Path(tempfile.mkdtemp(prefix=f".{key}.", dir=home)), requirements, timeout_seconds)
    return environment / "bin" / "python"


def _key(lines: list[str]) -> str:
    """Digest of all that the environment hangs on: another Airflow on this machine has other things behind it."""
    about = [lines, platform.python_version(), platform.machine(), sys.base_prefix, _behind()]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]


def _behind() -> list[str]:
    """Where this interpreter finds this package and everybody else's, in its order."""
    places = [Path(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    if root := source_root():
        places.append(root)
    places += [Path(path) for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    return list(dict.fromkeys(str(place.absolute()) for place in places))


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    # The kernel lets go of it when the process dies.
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make(environment: Path, scratch: Path, requirements: Path, timeout_seconds: float) -> None:
    variables = {name: value for name, value in os.environ.items() if _INSTALLERS.fullmatch(name)}
    job = Job(
        what="installation of the model's requirements",
        module="airflow_mlops.training.environment",
        arguments=[str(scratch / "made"), str(requirements.absolute())],
        product=scratch / "made" / _READY,
        folder=scratch,
        cpu=1,
        seed=0,
        timeout_seconds=timeout_seconds,
        variables=variables,
    )
    try:
        run_job(job, lambda _line: None)
        # An environment's interpreter finds its packages by its own place: the folder may be moved whole.
        (scratch / "made").rename(environment)
    except RemoteJobFailed as error:
        if _AWAY.search(str(error)):
            raise RemoteUnavailable(str(error)) from error
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def make_environment(folder: Path, requirements: Path) -> None:
    """Make an environment, with uv if it is there, else with pip.

    Raises
    ------
    RemoteJobFailed
        If the requirements cannot be installed.
    """
    uv = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
    venv.create(folder, symlinks=True, with_pip=uv is None)
    python = folder / "bin" / "python"
    if uv is None:
        command = [str(python), "-m", "pip", "install", "--no-input", "--progress-bar", "off"]
    else:
        command = [uv, "pip", "install", "--python", str(python), "--no-progress", "--color", "never"]
        for pips, uvs in _PIP_TO_UV.items():
            if (told := os.environ.get(pips)) and uvs not in os.environ:
                os.environ[uvs] = " ".join(told.split()) if uvs != "UV_FIND_LINKS" else ",".join(told.split())
        if os.environ.get("PIP_NO_INDEX", "0").lower() not in ("", "0", "false", "no", "off"):
            command.append("--no-index")
    status = _run_and_tell([*command, "-r", str(requirements)], cwd=folder.parent)
    if status != 0:
        raise RemoteJobFailed(
            f"expected {requirements.name} to be installed, {Path(command[0]).name} ended with status {status}. "
            "Correct the lines that it names."
        )
    # Only now: while installing, nothing from here may stand in for what the model asks for.
    (site,) = (folder / "lib").glob("python*/site-packages")
    (site / "behind.pth").write_text("".join(f"{path}\n" for path in _behind()), encoding="utf-8")
    (folder / _READY).touch()


def _run_and_tell(command: list[str], cwd: Path) -> int:
    secrets = [value for name, value in os.environ.items() if value and _SECRET_NAME.search(name)]
    # What is found by path is not installed in there, whatever pip thinks.
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    with subprocess.Popen(
        command,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        preexec_fn=child.die_with_parent,  # noqa: PLW1509 - this process has one thread
    ) as process:
        for line in process.stdout or ():
            print(_without_secrets(line.rstrip(), secrets), flush=True)  # noqa: T201 - the parent reads it
    return process.returncode


def _without_secrets(line: str, secrets: list[str]) -> str:
    """Installers print the addresses of their indexes, with user and password."""
    for secret in secrets:
        line = line.replace(secret, "***")
    return _QUERY.sub("***", _USERINFO.sub("***@", line))


def main() -> None:
    """Read the arguments and run."""
    parser = child.argument_parser("Make an environment with what a model needs.")
    parser.add_argument("folder", type=Path, help="folder to make")
    parser.add_argument("requirements", type=Path, help="requirements file")
    arguments = parser.parse_args()
    child.obey(arguments)
    child.run_to_exit(lambda: make_environment(arguments.folder, arguments.requirements))


if __name__ == "__main__":
    main()
