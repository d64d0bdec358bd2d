from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest

from airflow_mlops.project.entrypoint import ImportFault, import_fault


def _fault(folder: Path, code: str, function: str = "train", timeout_seconds: float = 30) -> ImportFault | None:
    (folder / "train.py").write_text(code)
    return import_fault(folder, f"train:{function}", timeout_seconds=timeout_seconds)


@pytest.mark.parametrize(
    "code",
    [
        "def train(context): ...",
        "def train(context, *, epochs=3): ...",
        "class Train:\n    def __call__(self, context): ...\ntrain = Train()",
        "import sys\nprint('noise' * 100_000)\nprint('noise', file=sys.stderr)\ndef train(context): ...",
        # Beside it, and not where the check was started.
        "import pathlib\nassert not pathlib.Path('train.py').exists()\ndef train(context): ...",
    ],
)
def test_a_sound_entrypoint(tmp_path: Path, code: str) -> None:
    assert _fault(tmp_path, code) is None
    assert [path.name for path in tmp_path.iterdir()] == ["train.py"]  # no __pycache__ is left


@pytest.mark.parametrize(
    ("code", "message", "line"),
    [
        ("import nothing_of_this_name\n", "ModuleNotFoundError: No module named 'nothing_of_this_name'", 1),
        ("x = 1\nraise RuntimeError('no\\nGPU')\n", "RuntimeError: no", 2),
        ("x = 1\ndef train(:\n", "SyntaxError", 2),
        ("import sys\nsys.exit(0)\n", "SystemExit: 0", 2),
        # Raised in a library: the line of the project's own code is told.
        ("import json\n\njson.loads('{')\n", "JSONDecodeError", 3),
        ("def train(): ...", "train() cannot be called with the training context alone", 1),
        ("x = 1\ndef train(context, epochs): ...", "train(context, epochs) cannot be called", 2),
        ("def trian(context): ...", "has no function 'train'; did you mean 'trian'?", None),
        ("from json import dumps\n", "its functions are none", None),
        ("train = 7", "has no function 'train'", None),
        ("import os\nos._exit(3)", "was ended with status 3", None),
        (
            "import os, sys\nprint('last words', file=sys.stderr, flush=True)\nos.kill(os.getpid(), 11)",
            "was ended by SIGSEGV: last words",
            None,
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, code: str, message: str, line: int | None) -> None:
    fault = _fault(tmp_path, code)
    assert fault is not None
    assert message in fault.message
    assert fault.line == line
    assert fault.file == (tmp_path / "train.py" if line else None)


def test_the_fault_of_a_module_beside_it_names_that(tmp_path: Path) -> None:
    (tmp_path / "network.py").write_text("\n\n1 / 0\n")
    fault = _fault(tmp_path, "import network\ndef train(context): ...")
    assert fault == ImportFault("ZeroDivisionError: division by zero", tmp_path / "network.py", 3)


def test_no_secret_reaches_the_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "AWS_SECRET_ACCESS_KEY",
        "AIRFLOW_CONN_MLOPS_STORE",
        "AIRFLOW__CORE__FERNET_KEY",
        "MLFLOW_TRACKING_URI",
    ):
        monkeypatch.setenv(name, "secret")
    code = "import os\nassert 'secret' not in os.environ.values(), sorted(os.environ)\ndef train(context): ..."
    assert _fault(tmp_path, code) is None


def test_an_import_that_does_not_end_is_killed_with_its_children(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    code = (
        "import pathlib, subprocess, time\n"
        f"pathlib.Path({str(pid)!r}).write_text(str(subprocess.Popen(['sleep', '60']).pid))\n"
        "time.sleep(60)\n"
    )
    started = time.monotonic()
    fault = _fault(tmp_path, code, timeout_seconds=2)
    assert time.monotonic() - started < 20
    assert fault is not None
    assert "to end within 2 s" in fault.message
    _gone(int(pid.read_text()))


def test_what_an_import_leaves_running_is_killed(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    code = (
        "import pathlib, subprocess\n"
        f"pathlib.Path({str(pid)!r}).write_text(str(subprocess.Popen(['sleep', '60']).pid))\n"
        "def train(context): ...\n"
    )
    assert _fault(tmp_path, code) is None
    _gone(int(pid.read_text()))


def _gone(pid: int) -> None:
    # An orphan waits for init to collect it: a zombie runs no more.
    try:
        process = psutil.Process(pid)
        for _ in range(50):
            if process.status() == psutil.STATUS_ZOMBIE:
                return
            time.sleep(0.1)
    except psutil.NoSuchProcess:
        return
    pytest.fail(f"process {pid} still runs")
