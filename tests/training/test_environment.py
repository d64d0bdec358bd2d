"""Environments made for real, by real installers, out of a wheel that is written here."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from airflow_mlops.errors import ConfigError, RemoteJobFailed, RemoteUnavailable
from airflow_mlops.training import environment
from airflow_mlops.training.environment import make_environment, python_for
from airflow_mlops.training.order import TrainingOrder
from airflow_mlops.training.process import run_prediction, run_training

ROOT = Path(environment.__file__).parents[2]


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with idna 99.0, which is installed here in an earlier version; installers see nothing else."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    with zipfile.ZipFile(folder / "idna-99.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("idna/__init__.py", "__version__ = '99.0'\n")
        wheel.writestr("idna-99.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: idna\nVersion: 99.0\n")
        wheel.writestr("idna-99.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("idna-99.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("UV_NO_CACHE", "1")
    return folder


@pytest.fixture
def asks(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        file = tmp_path / "requirements.txt"
        file.write_text(text)
        return file

    return write


def said(python: Path, code: str) -> str:
    # What the worker puts in front is the worker's.
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run([python, "-P", "-c", code], env=variables, capture_output=True, text=True, check=True).stdout


def test_what_is_here_needs_no_environment(tmp_path: Path, asks: Callable[[str], Path]) -> None:
    home = tmp_path / "home"
    example = ROOT / "dags" / "bike_demand" / "requirements.txt"
    for requirements in (None, asks(""), asks("# nothing\n"), example):
        assert python_for(requirements, home=home) == Path(sys.executable)
    assert not home.exists()


def test_the_models_version_wins_and_ours_are_behind_it(
    wheels: Path, tmp_path: Path, asks: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    # What a worker finds by path must not come first, nor count as installed.
    (tmp_path / "worker" / "idna").mkdir(parents=True)
    (tmp_path / "worker" / "idna" / "__init__.py").write_text("__version__ = 'of the worker'")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "worker"))
    python = python_for(asks("idna==99.0\n"), home=tmp_path / "home")
    assert python != Path(sys.executable)
    code = (
        "import idna, importlib.metadata as m, pyarrow, pydantic, airflow_mlops.training.predict as p;"
        "print(idna.__version__, m.version('idna'), p.__file__, pyarrow.__file__)"
    )
    version, stated, ours, library = said(python, code).split()
    assert (version, stated) == ("99.0", "99.0")
    assert Path(ours).is_relative_to(ROOT)
    assert Path(library).is_relative_to(Path(sys.prefix))
    made = python.parents[1].stat()
    assert python_for(asks("idna==99.0 # again\n"), home=tmp_path / "home") == python
    assert (python.parents[1].stat().st_ino, python.parents[1].stat().st_mtime_ns) == (made.st_ino, made.st_mtime_ns)
    assert sorted(path.name for path in (tmp_path / "home").iterdir()) == [
        python.parents[1].name,
        f"{python.parents[1].name}.lock",
    ]


def test_two_at_once_make_one(
    wheels: Path, tmp_path: Path, asks: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    run_job = environment.run_job
    monkeypatch.setattr(environment, "run_job", lambda job, on_line: (made.append(job.what), run_job(job, on_line)))
    requirements = asks("idna==99.0")
    with ThreadPoolExecutor(4) as threads:
        found = set(threads.map(lambda _: python_for(requirements, home=tmp_path / "home"), range(4)))
    assert len(found) == 1
    assert len(made) == 1


@pytest.mark.slow
def test_pip_will_do(
    wheels: Path, tmp_path: Path, asks: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment.shutil, "which", lambda *_, **__: None)
    folder = tmp_path / "made"
    make_environment(folder, asks("idna==99.0"))
    assert said(folder / "bin" / "python", "import idna; print(idna.__version__)") == "99.0\n"


def test_what_there_is_not_is_named(wheels: Path, tmp_path: Path, asks: Callable[[str], Path]) -> None:
    home = tmp_path / "home"
    with pytest.raises(RemoteJobFailed, match=r"requirements\.txt to be installed(?s:.*)") as failed:
        python_for(asks("idna==98.0"), home=home)
    assert "idna==98.0" in str(failed.value)
    assert not failed.value.retryable
    # Nothing of it stays, and nobody takes it for made.
    assert [path.suffix for path in home.iterdir()] == [".lock"]
    with pytest.raises(ConfigError, match="readable requirements file"):
        python_for(tmp_path / "nowhere.txt", home=home)


class Absent(BaseHTTPRequestHandler):
    """An index that has nothing."""

    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def index() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Absent) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://somebody:s3cret@127.0.0.1:{server.server_port}/simple"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("by_option", [False, True])
def test_no_password_of_an_index_is_told(
    index: str, by_option: bool, tmp_path: Path, asks: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PIP_FIND_LINKS", "UV_FIND_LINKS", "PIP_NO_INDEX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("UV_NO_CACHE", "1")
    option = f"-i {index}\n" if by_option else ""
    if not by_option:
        monkeypatch.setenv("PIP_INDEX_URL", index)
    with pytest.raises(RemoteJobFailed) as failed:
        python_for(asks(f"{option}idna==98.0"), home=tmp_path / "home")
    told = str(failed.value) + str(failed.value.__cause__) + str(failed.value.__context__)
    assert "s3cret" not in told
    assert "idna" in told


def test_an_index_that_is_away_may_be_asked_again(
    tmp_path: Path, asks: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://somebody:s3cret@127.0.0.1:{taken.getsockname()[1]}/simple")
        monkeypatch.setenv("UV_HTTP_RETRIES", "0")
        monkeypatch.setenv("UV_NO_CACHE", "1")
        monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
        with pytest.raises(RemoteUnavailable) as failed:
            python_for(asks("idna==98.0"), home=tmp_path / "home")
    assert failed.value.retryable
    assert "s3cret" not in f"{failed.value}{failed.value.__cause__}"


def test_a_text_without_secrets_stays_and_the_others_lose_them() -> None:
    line = "Looking in indexes: https://me:pw@a.org/simple, https://b.org/c?token=abc 'x' tok1"
    assert environment._without_secrets(line, ["tok1"]) == (
        "Looking in indexes: https://***@a.org/simple, https://b.org/c?*** 'x' ***"
    )
    assert environment._without_secrets("idna==98.0 not found", []) == "idna==98.0 not found"


def _processes_with(text: str) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if text.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def test_one_killed_in_the_middle_is_made_anew(
    wheels: Path, tmp_path: Path, asks: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    home, requirements = tmp_path / "home", asks("idna==99.0")
    with socket.create_server(("127.0.0.1", 0)) as mute:
        code = "import sys; from pathlib import Path; from airflow_mlops.training.environment import python_for\n"
        code += "python_for(Path(sys.argv[1]), home=Path(sys.argv[2]))"
        variables = os.environ | {"UV_DEFAULT_INDEX": f"http://127.0.0.1:{mute.getsockname()[1]}/simple"}
        for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS"):
            variables.pop(name)
        with subprocess.Popen([sys.executable, "-c", code, requirements, home], cwd=ROOT, env=variables) as worker:
            mute.settimeout(30)
            asked, _ = mute.accept()
            with asked:
                worker.send_signal(signal.SIGKILL)
                worker.wait()
    assert [path for path in home.iterdir() if path.name.startswith(".")]
    deadline = time.monotonic() + 10
    while _processes_with(str(home)) and time.monotonic() < deadline:
        time.sleep(0.05)
    # The installer died with it.
    assert _processes_with(str(home)) == []
    python = python_for(requirements, home=home)
    assert said(python, "import idna; print(idna.__version__)") == "99.0\n"
    assert not [path for path in home.iterdir() if path.name.startswith(".")]


@pytest.mark.slow
def test_training_and_prediction_run_in_it(
    wheels: Path,
    make_order: Callable[..., TrainingOrder],
    train_code: str,
    nights: dict[str, Path],
    tmp_path: Path,
    asks: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW_MLOPS_ENVIRONMENTS_HOME", str(tmp_path / "home"))
    code = f"import os, idna\n{train_code}".replace(
        'context.log("loss"',
        'assert not [name for name in os.environ if name.startswith(("PIP", "UV"))]\n'
        '    context.log("idna", float(idna.__version__))\n    context.log("loss"',
    )
    order, requirements = make_order(code), asks("idna==99.0\nnumpy\ntorch>=2\n")
    # numpy and torch are not in the folder of wheels: an environment holds all that its file names.
    with pytest.raises(RemoteJobFailed, match=r"numpy|torch"):
        run_training(
            order, tmp_path / "work", timeout_seconds=120, memory_gib=4, on_line=print, requirements=requirements
        )
    requirements = asks("idna==99.0\n")
    result = run_training(
        order, tmp_path / "work", timeout_seconds=120, memory_gib=4, on_line=print, requirements=requirements
    )
    assert result.metrics["idna"] == 99.0
    assert result.environment["idna"] == "99.0"
    out = run_prediction(
        order.artefact,
        nights,
        out=tmp_path / "p" / "predictions.parquet",
        columns=["note", "night"],
        requirements=requirements,
        latency_requests=5,
        timeout_seconds=120,
        memory_gib=4,
    )
    table = pq.read_table(out)
    assert table.column_names == ["row_id", "night", "y_true", "y_pred", "note"]
    assert table.num_rows == 120
    assert out.with_name("predictions.parquet.latency.json").exists()
