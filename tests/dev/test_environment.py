"""What a person sees whose machine lacks something: one sentence with the remedy, before anything is installed."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = ("bash", "sha256sum", "cut", "cat", "df", "awk", "flock", "dirname", "rm")


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A checkout without an environment, on a machine whose programs are those in ``bin``."""
    (tmp_path / "dev").mkdir()
    for name in ("environment.sh", "requirements.txt"):
        shutil.copy(ROOT / "dev" / name, tmp_path / "dev")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    programs = tmp_path / "bin"
    programs.mkdir()
    for tool in TOOLS:
        (programs / tool).symlink_to(str(shutil.which(tool)))
    return tmp_path


def _program(path: Path, script: str) -> None:
    path.unlink(missing_ok=True)
    path.write_text(f"#!/usr/bin/env bash\n{script}\n")
    path.chmod(0o755)


def _source(machine: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(machine / "bin" / "bash"), "-c", "source dev/environment.sh"],
        cwd=machine,
        env={"PATH": str(machine / "bin"), "HOME": str(machine), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_old_python(machine: Path) -> None:
    (machine / "bin" / "env").symlink_to(str(shutil.which("env")))
    _program(machine / "bin" / "python3", 'case "$1" in --version) echo "Python 3.9.2";; *) exit 1;; esac')
    done = _source(machine)
    assert done.returncode == 2
    assert "expected Python 3.11 or newer, found Python 3.9.2. Install python3.11" in done.stderr
    assert not (machine / ".venv").exists()


@pytest.mark.parametrize(
    ("variables", "free_mb", "needed"),
    [
        ({"PIP_FIND_LINKS": "wheels"}, 3999, "expected 4 GB of free disk"),
        ({"UV_FIND_LINKS": "wheels"}, 150, "expected 4 GB of free disk"),
        # The ordinary torch comes, and CUDA with it.
        ({}, 8999, "expected 9 GB of free disk"),
        ({"PIP_FIND_LINKS": "", "UV_FIND_LINKS": ""}, 4001, "expected 9 GB of free disk"),
    ],
)
def test_a_full_disk(machine: Path, variables: dict[str, str], free_mb: int, needed: str) -> None:
    (machine / "bin" / "env").symlink_to(str(shutil.which("env")))
    (machine / "bin" / "python3").symlink_to(sys.executable)
    _program(machine / "bin" / "df", rf'printf "Filesystem 1M used free\n/dev/x 9 8 {free_mb} 99%% /\n"')
    done = _source(machine, **variables)
    assert done.returncode == 2
    assert needed in done.stderr
    assert f"found {free_mb} MB" in done.stderr
    assert ("CUDA" in done.stderr) == (needed == "expected 9 GB of free disk")
    assert "Making the environment" not in done.stdout
    assert not (machine / ".venv").exists()


@pytest.mark.slow
def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, "dev/demo.py", "--exit", "--home", str(tmp_path), "--mlflow-port", str(port)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert f"expected port {port} of 127.0.0.1 to be free" in done.stdout
    assert "choose another with --mlflow-port" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--data", "nowhere.csv"], 2, "there is no such file"),
        (["--project", "nowhere"], 2, "a model project is a folder with a model.toml"),
        (["--nights", "0"], 2, "expected at least 1, got 0"),
    ],
)
def test_nonsense(tmp_path: Path, arguments: list[str], status: int, message: str) -> None:
    command = [sys.executable, "dev/demo.py", "--exit", "--home", str(tmp_path), *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == status
    assert message in done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "remedy"),
    [
        ("data/night={night}.parquet", 'path = "${{BIKE_DEMAND_DATA:-{folder}/data}}/night={{night}}.parquet"'),
        ("s3://lake/bikes/night={night}.parquet", 'path = "${{BIKE_DEMAND_DATA:-s3://lake/bikes}}/night={{night}}'),
        ("${BIKE_DEMAND_DATA}/../night={night}.parquet", 'path = "${{BIKE_DEMAND_DATA:-'),
        ("${BIKE_DEMAND_DATA}/{night}.parquet", "expected {folder}/model.toml to name a night night={{night}}.parquet"),
    ],
)
def test_nights_that_are_not_the_demos(tmp_path: Path, path: str, remedy: str) -> None:
    folder = tmp_path / "bike_demand"
    shutil.copytree(ROOT / "dags" / "bike_demand", folder)
    text = (folder / "model.toml").read_text()
    demo_path = "${BIKE_DEMAND_DATA:-data}/night={night}.parquet"
    assert demo_path in text
    (folder / "model.toml").write_text(text.replace(demo_path, path))
    precious = folder / "data" / "night=2011-03-19.parquet"
    precious.parent.mkdir()
    precious.write_text("somebody's own")
    command = [sys.executable, "dev/demo.py", "--exit", "--home", str(tmp_path / "home"), "--project", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert remedy.format(folder=folder) in done.stdout
    assert precious.read_text() == "somebody's own"
    assert not list(tmp_path.rglob("night=2011-02-*"))
