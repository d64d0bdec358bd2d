"""What the README promises: the demo plays its nights to the end, and when it ends nothing of it stays behind."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_mlops.project import load_project

ROOT = Path(__file__).parents[2]
# The machine may be busy with other work; nothing takes as long as this unless it is stuck.
PATIENCE_SECONDS = 400.0

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


class Demo:
    """Starts ``dev/demo.py`` in a session of its own, on a copy of the model project, with nothing but a folder."""

    def __init__(self, home: Path) -> None:
        self.home = home
        # All open at once, so that no two are the same.
        with socket.socket() as airflow, socket.socket() as mlflow, socket.socket() as model:
            for probe in (airflow, mlflow, model):
                probe.bind(("127.0.0.1", 0))
            self.airflow, self.mlflow, self.model = (probe.getsockname()[1] for probe in (airflow, mlflow, model))
        self.project = home / "projects" / "bike_demand"
        shutil.copytree(ROOT / "dags" / "bike_demand", self.project)
        text = (self.project / "model.toml").read_text()
        assert "port = 3210" in text
        (self.project / "model.toml").write_text(text.replace("port = 3210", f"port = {self.model}"))
        self.log = home / "demo.log"

    def start(self, *options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "dev/demo.py", "--project", str(self.project), "--home", str(self.home / "home")]
        command += ["--nights", "4", "--airflow-port", str(self.airflow), "--mlflow-port", str(self.mlflow), *options]
        # A proxy that nobody answers at: what stands on this machine is not asked through it.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
        environment |= {"HTTP_PROXY": "http://127.0.0.1:9", "http_proxy": "http://127.0.0.1:9"}
        with self.log.open("ab") as log:
            return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True)

    def served(self, row: dict[str, Any]) -> str | None:
        try:
            url = f"http://127.0.0.1:{self.model}/predict"
            answer = httpx.post(url, json={"rows": [row]}, timeout=10.0, trust_env=False)
        except httpx.TransportError:
            return None
        return answer.headers.get("x-model-version") if answer.is_success else None

    def processes(self) -> dict[int, str]:
        """Every process that has this demo's home in its command line or environment; with its command line."""
        found = {}
        # psutil reads an environment up to the first gap, and BentoML's supervisor writes its title into its own.
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                command = (folder / "cmdline").read_bytes()
                if str(self.home).encode() in command + (folder / "environ").read_bytes():
                    found[int(folder.name)] = command.replace(b"\0", b" ").decode(errors="replace")
        return found


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Demo]:
    demo = Demo(tmp_path)
    yield demo
    # Only what a failed test left: by number, and all of it, also what a supervisor starts again meanwhile.
    while left := demo.processes():
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.2)


def test_four_nights_and_a_second_start(demo: Demo, tmp_path: Path) -> None:
    first = demo.start("--exit", "--json", str(tmp_path / "out.json"))
    assert first.wait(PATIENCE_SECONDS) == 0, demo.log.read_text()
    assert not demo.processes()
    told = json.loads((tmp_path / "out.json").read_text())
    assert told["faults"] == []
    assert [night["corrupted"] for night in told["nights"]] == [None, None, None, "unit"]
    assert [night["quality"] for night in told["nights"]] == ["passed"] * 3 + ["quarantined"]
    assert all(night["faults"] == [] for night in told["nights"])
    assert told["champion"] is not None
    assert told["champion"] == told["served"] == told["nights"][0]["served"]

    second = demo.start()
    row = dict.fromkeys(load_project(demo.project).spec.features, 1.0)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while "Everything stays up until Ctrl-C." not in demo.log.read_text():
        assert second.poll() is None, demo.log.read_text()
        assert time.monotonic() < deadline, demo.log.read_text()
        time.sleep(0.5)
    assert demo.served(row) == told["champion"]
    assert "not as it should be" not in demo.log.read_text()

    # Pressed twice, as people do: the second time while it is ending.
    second.send_signal(signal.SIGINT)
    time.sleep(0.3)
    second.send_signal(signal.SIGINT)
    assert second.wait(60) == 130, demo.log.read_text()
    left = demo.processes()
    assert not left, f"expected no process to stay behind, found {left}"
