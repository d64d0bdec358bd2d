"""A registration is killed at every call that it makes, loses its answers, runs twice at once: one model comes of it.

Run as a program, this file is the worker that dies: it forks one process for each call, MLflow imported once.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from airflow_mlops.records import Golden, Manifest, sha256_digest

SECRET = "hunter2-hunter2"  # noqa: S105 - what the worker writes is searched for it
# How a worker ends that makes fewer calls than the one that was to be disturbed.
NOT_REACHED = 3
# What MLflow holds of a model in the end.
WHOLE = {
    "runs": ["FINISHED"],
    "models": ["READY"],
    "versions": ["READY"],
    "outputs": 1,
    "inputs": 3,
    "measured": [1],
    "alias": True,
    "versions_of_model": 1,
}


# ── the worker ───────────────────────────────────────────────────────────────────────────────────


class Model(NamedTuple):
    """What is registered, read from the folder of the test."""

    manifest: Manifest
    golden: Golden
    artefact: Path

    @classmethod
    def read(cls, folder: Path, name: str) -> Model:
        manifest = Manifest.from_json((folder / "manifest.json").read_bytes(), name="manifest")
        golden = Golden.from_json((folder / "golden.json").read_bytes(), name="golden")
        return cls(manifest.model_copy(update={"model": name}), golden, folder / "artefact")

    def register(self) -> None:
        from airflow_mlops.hooks.mlflow import MlflowHook

        MlflowHook().register(self.manifest, self.artefact, tags={"airflow_mlops.page": "/p"}, golden=self.golden)


def findings(manifest: Manifest) -> dict[str, Any]:
    """What MLflow holds of a model, as somebody sees it who looks for the manifest."""
    from airflow_mlops.hooks.mlflow import REF_TAG, MlflowHook

    hook, model = MlflowHook(), manifest.model
    with hook._translated("look"):
        client = hook.client
        experiment = client.get_experiment_by_name(model).experiment_id
        named = f"tags.`{REF_TAG}.digest` = '{manifest.ref.digest}'"
        runs = client.search_runs([experiment])
        models = client.search_logged_models([experiment])
        versions = client.search_model_versions(f"name = '{model}' and {named}")
        files = {}
        for file in client.list_logged_model_artifacts(models[0].model_id, "data/artefact"):
            path = client._tracking_client._get_artifact_repo(models[0].model_id, resource="logged_model")
            files[Path(file.path).name] = sha256_digest(Path(path.download_artifacts(file.path)).read_bytes())
        hook.set_alias(model, "champion", str(versions[0].version))
        return {
            "runs": [run.info.status for run in runs],
            "models": [str(one.status) for one in models],
            "versions": [str(version.status) for version in versions],
            "versions_of_model": len(client.search_model_versions(f"name = '{model}'")),
            "files": files,
            "outputs": len(runs[0].outputs.model_outputs),
            "inputs": len(runs[0].inputs.dataset_inputs),
            "measured": [len(client.get_metric_history(runs[0].info.run_id, name)) for name in runs[0].data.metrics],
            "alias": hook.alias(model, "champion") == str(versions[0].version)
            and hook.version_ready(model, str(versions[0].version)),
        }


# Decides about one call, given its number.
Disturbance = Callable[[int, "partial[Any]"], Any]


def watch(disturb: Disturbance) -> Iterator[int]:
    """Let ``disturb`` decide about every request and transaction that writes, and every file that is stored.

    What is killed before it reads, or within a transaction, leaves what it would leave before that began to write.
    Returns the numbers that are left.
    """
    import requests
    from sqlalchemy import Engine, event

    count = itertools.count(1)

    def watched(owner: Any, name: str, writes: Callable[..., bool]) -> None:
        real = getattr(owner, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            asked = partial(real, *args, **kwargs)
            return disturb(next(count), asked) if writes(*args) else asked()

        setattr(owner, name, call)

    writing = threading.Event()

    def statement(_connection: Any, _cursor: Any, text: str, *_: Any) -> None:
        if text.startswith(("INSERT", "UPDATE", "DELETE")) and not writing.is_set():
            writing.set()
            disturb(next(count), partial(int))

    watched(requests.Session, "request", lambda _, method, url: method != "GET" and not url.endswith("/search"))
    watched(shutil, "copyfile", lambda _, target: "mlruns" in str(target))
    event.listen(Engine, "before_cursor_execute", statement)
    for end in ("commit", "rollback"):
        event.listen(Engine, end, lambda _: writing.clear())
    return count


def killed_at(number: int) -> Disturbance:
    def disturb(count: int, call: partial[Any]) -> Any:
        if count == number:
            if call.func.__name__ == "copyfile":
                source, target = map(Path, call.args)
                target.write_bytes(source.read_bytes()[:10])
            os.kill(os.getpid(), signal.SIGKILL)
        return call()

    return disturb


def lost_at(number: int) -> Disturbance:
    def disturb(count: int, call: partial[Any]) -> Any:
        answer = call()
        if count == number:
            raise ConnectionResetError("the answer got lost")
        return answer

    return disturb


def forked(work: Callable[[], Any]) -> int:
    """Do it in a process of its own; the process's id."""
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        work()
        status = 0
    except BaseException:  # noqa: BLE001 - whatever it is, the fork must not go on as its parent
        traceback.print_exc()
    finally:
        os._exit(status)


def ended(process: int) -> int:
    """Exit status, negative for the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def worker(folder: Path) -> None:
    """Serve orders, one a line: what shall happen, and where; answer each with how it ended and what was found."""
    # Airflow logs to the standard output: answers get a way of their own.
    answers = os.dup(1)
    os.dup2(2, 1)

    def tell(answer: Any) -> None:
        os.write(answers, json.dumps(answer).encode() + b"\n")

    from airflow_mlops.hooks import mlflow as hook

    hook._FIRST_PAUSE_SECONDS = 0.01
    # All that is imported on the way is imported once, before anything is forked.
    with pytest.MonkeyPatch.context() as patch:
        connection = {"conn_type": "mlflow", "host": "sqlite:///warm.db"}
        patch.setenv("AIRFLOW_CONN_MLFLOW", json.dumps(connection))
        Model.read(folder, "warm").register()
    # MLflow 3.17 cannot go on with an SQLite file in which it was killed while making its tables: here they are made.
    shutil.copy(folder / "warm.db", folder / "mlflow.db")
    disturbances = {"kill": killed_at, "lose": lost_at}
    for line in sys.stdin:
        kind, number = line.split()
        model = Model.read(folder, f"{kind}_{number}")

        def disturbed(kind: str = kind, number: int = int(number), model: Model = model) -> None:
            calls = watch(disturbances[kind](number)) if kind in disturbances else itertools.count(number + 1)
            model.register()
            if next(calls) <= number:
                os._exit(NOT_REACHED)

        ends = [ended(process) for process in [forked(disturbed) for _ in range(2 if kind == "twice" else 1)]]
        tell(ends)

        def again(model: Model = model) -> None:
            model.register()
            tell(findings(model.manifest))

        if ended(forked(again)):
            tell(None)


# ── what is shown ────────────────────────────────────────────────────────────────────────────────


class Battery:
    """Gives orders to a worker."""

    def __init__(self, home: Path, address: str, unregistered: Any) -> None:
        home.mkdir()
        self.manifest = unregistered.manifest
        (home / "manifest.json").write_bytes(unregistered.manifest.to_json())
        (home / "golden.json").write_bytes(unregistered.golden.to_json())
        shutil.copytree(unregistered.artefact, home / "artefact")
        connection = json.dumps({"conn_type": "mlflow", "host": address})
        # No tries again of MLflow's own: what is shown is ours.
        settings = {"AIRFLOW_CONN_MLFLOW": connection, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "OMP_NUM_THREADS": "1"}
        self.errors = home / "errors"
        with self.errors.open("w") as errors:
            self.process = subprocess.Popen(
                [sys.executable, __file__, str(home)],
                cwd=home,
                env={**os.environ, **settings},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )

    def order(self, kind: str, number: int) -> list[int]:
        """How the first tries ended; after another one, what MLflow holds is whole."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(kind, number, file=self.process.stdin, flush=True)
        ends: list[int] = json.loads(self.process.stdout.readline())
        found = json.loads(self.process.stdout.readline())
        assert SECRET not in self.errors.read_text()
        assert found == WHOLE | {"files": self.manifest.artefact.files}, (kind, number, self.errors.read_text()[-3000:])
        return ends

    def every(self, kind: str, expected: int) -> int:
        """Disturb every call in turn; how many there are."""
        for number in itertools.count(1):
            (end,) = self.order(kind, number)
            if end == NOT_REACHED:
                return number - 1
            assert end == expected, (kind, number, self.errors.read_text()[-3000:])
        raise AssertionError


@pytest.fixture(scope="module", params=["database", "server"])
def battery(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, unregistered: Any
) -> Iterator[Battery]:
    home = tmp_path_factory.mktemp(request.param)
    with contextlib.ExitStack() as stack:
        address = stack.enter_context(mlflow_server(home)) if request.param == "server" else "sqlite:///mlflow.db"
        battery = Battery(home / "worker", address, unregistered)
        stack.enter_context(battery.process)
        stack.callback(battery.process.kill)
        yield battery


@contextlib.contextmanager
def mlflow_server(home: Path) -> Iterator[str]:
    """A real one, on a port of its own."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", address.rpartition(":")[2]]
    command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{home}/mlflow.db"]
    command += ["--artifacts-destination", str(home / "artefacts")]
    with (home / "server.log").open("w") as log:
        # A session of its own: the server's workers are ended with it.
        server = subprocess.Popen(
            command,
            cwd=home,
            env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "OMP_NUM_THREADS": "1"},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            for _ in range(600):
                with contextlib.suppress(OSError), urllib.request.urlopen(f"{address}/health", timeout=2):  # noqa: S310 - our own
                    break
                assert server.poll() is None, (home / "server.log").read_text()[-3000:]
                time.sleep(0.2)
            yield address.replace("//", f"//me:{SECRET}@")
        finally:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


@pytest.mark.slow
def test_killed_at_any_call_and_run_again_one_whole_version_is_there(battery):
    assert battery.every("kill", -signal.SIGKILL) > 12


@pytest.mark.slow
@pytest.mark.parametrize("battery", ["server"], indirect=True)
def test_whichever_answer_is_lost_the_hook_asks_again_and_one_whole_version_is_there(battery):
    assert battery.every("lose", 0) > 12


@pytest.mark.slow
def test_of_two_tries_at_once_one_version_is_left(battery):
    for number in range(4):
        assert battery.order("twice", number) == [0, 0], battery.errors.read_text()[-3000:]


if __name__ == "__main__":
    worker(Path(sys.argv[1]))
