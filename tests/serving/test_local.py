"""Real servers, started as rarely as the tests allow: each takes about ten seconds to be ready."""

import contextlib
import math
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from airflow_mlops.errors import ConfigError, RemoteJobFailed, RemoteUnavailable
from airflow_mlops.serving.build import build_bento
from airflow_mlops.serving.local import LocalTarget
from airflow_mlops.serving.process import clean_environment, marked, spawn, stop
from airflow_mlops.serving.target import Staged, Target
from airflow_mlops.serving.verify import verify

# One server after another, in the order in which they are written: run them in one worker.
pytestmark = pytest.mark.slow


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Stage(NamedTuple):
    target: LocalTarget
    first: Staged
    again: Staged
    second: Staged


@pytest.fixture(scope="module")
def stage(tmp_path_factory, bentos) -> Iterator[Stage]:
    target: Target = LocalTarget(tmp_path_factory.mktemp("home"), "demand", free_port())
    assert isinstance(target, LocalTarget)
    first, second = bentos
    try:
        # Two tasks that stage one version at once, and a third that stages another.
        with ThreadPoolExecutor(3) as pool:
            staged = [pool.submit(target.stage, built.archive, built.tag) for built in (first, first, second)]
            yield Stage(target, *(each.result() for each in staged))
    finally:
        target.stop_all()
        assert marked(f"{target.folder}/", below=True) == {}


def test_two_stages_at_once_start_one_process(stage):
    assert stage.first == stage.again
    assert stage.first.pid != stage.second.pid
    # A supervisor and its worker.
    assert len(marked(f"{stage.target.folder}/{stage.first.version}")) == 2


def test_staging_makes_nothing_live(stage):
    assert stage.target.live() is None
    with pytest.raises(httpx.ConnectError):
        httpx.get(stage.target.url)


def test_server_is_detached_and_has_no_secrets(stage):
    assert os.getsid(stage.first.pid) == stage.first.pid != os.getsid(0)
    assert Path(f"/proc/{stage.first.pid}/fd/0").readlink() == Path(os.devnull)
    environment = Path(f"/proc/{stage.first.pid}/environ").read_bytes()
    assert b"PYTEST" not in environment
    assert b"AIRFLOW__" not in environment


def test_verification_passes_on_the_right_answers(stage, bentos, rows):
    built = bentos[0]
    expected = [built.predict(row) for row in rows]
    result = verify(stage.first.url, rows, expected, version=built.version, digest=built.digest, tolerance=1e-5)
    assert result.passed, result.reason
    assert result.rows == 1200
    assert 0 <= result.largest_difference < 1e-5


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"expected": "shifted"}, r"more than 1e-05 apart; row 700: expected 206\.04, got 204,"),
        ({"expected": "nan"}, r"row 3: expected nan"),
        ({"version": "000000000000"}, r"expected x-model-version: 000000000000 in every answer, got [0-9a-f]{12}"),
        ({"digest": "sha256:0"}, r"expected x-model-digest: sha256:0 in every answer, got sha256:"),
        ({"rows": "unknown feature"}, r"expected HTTP 200 for golden rows, got 400"),
    ],
)
def test_verification_fails_with_a_reason(stage, bentos, rows, change, reason):
    built = bentos[0]
    expected = [built.predict(row) for row in rows]
    if change.get("expected") == "shifted":
        expected[700] *= 1.01
    if change.get("expected") == "nan":
        expected[3] = math.nan
    if change.get("rows"):
        rows = [{**row, "later": 1.0} for row in rows]
    result = verify(
        stage.first.url,
        rows,
        expected,
        version=change.get("version", built.version),
        digest=change.get("digest", built.digest),
        tolerance=1e-5,
    )
    assert not result.passed
    assert re.search(reason, result.reason), result.reason


def test_verification_of_nobody_can_be_tried_again(rows):
    with pytest.raises(RemoteUnavailable, match="expected an answer from") as raised:
        verify(f"http://127.0.0.1:{free_port()}", rows, [0.0] * 1200, version="v", digest="d", tolerance=1.0)
    assert raised.value.retryable


@pytest.mark.parametrize(
    "body",
    [
        b"garbage",
        b"",
        b"[]",
        b'{"rows": []}',
        b'{"rows": null}',
        b'{"rows": [{"hr": 1}]}',
        b'{"rows": [{"hr": 1, "temp of air": "2"}]}',
        b'{"rows": [{"hr": 1, "temp of air": true}]}',
        b'{"rows": [{"hr": 1, "temp of air": null}]}',
        b'{"rows": [{"hr": 1, "temp of air": NaN}]}',
        b'{"rows": [{"hr": 1, "temp of air": Infinity}]}',
        b'{"rows": [{"hr": 1, "temp of air": 1e39}]}',
        b'{"rows": [{"hr": 1, "temp of air": 2, "more": 3}]}',
        b'{"rows": [{"hr": 1, "x1": 2}]}',
        b'{"rows": [{"hr": 1, "temp of air": 2}], "more": 3}',
        b'{"rows": [' + b",".join([b'{"hr": 1, "temp of air": 2}'] * 10_001) + b"]}",
    ],
    ids=range(16),
)
def test_bad_body_gives_400_and_says_who_answered(stage, bentos, body):
    answer = httpx.post(f"{stage.first.url}/predict", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert answer.headers["x-model-version"] == bentos[0].version
    assert answer.headers["x-model-digest"] == bentos[0].digest


def test_answer_that_is_no_number_is_a_server_error(stage):
    row = {"hr": 3e38, "temp of air": 3e38}
    assert httpx.post(f"{stage.first.url}/predict", json={"rows": [row]}).status_code == 500


def test_docs_name_the_columns(stage):
    assert "temp of air" in httpx.get(f"{stage.first.url}/docs.json").text


def test_port_of_somebody_else_is_an_error(stage):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        target = LocalTarget(stage.target.home, "demand", other.getsockname()[1])
        with pytest.raises(
            ConfigError, match=r"expected port \d+ of 127.0.0.1 for demand, got 'Address already in use'"
        ):
            target.make_live(stage.first.version)
    assert target.live() is None


def test_what_is_not_staged_cannot_be_made_live(stage):
    with pytest.raises(RemoteJobFailed, match="Stage it first"):
        stage.target.make_live("000000000000")
    with pytest.raises(ConfigError, match="expected the tag of a Bento of demand"):
        stage.target.stage(Path("x.bento"), "other:000000000000")


def test_switch_and_retirement_under_load_lose_no_request(stage, bentos):
    target, (old, new) = stage.target, bentos
    assert target.make_live(old.version) == stage.first == target.live()
    with pytest.raises(ConfigError, match="that is not live"):
        target.retire(old.version)
    done, faults, seen = threading.Event(), [], {True: [], False: []}
    row = {"hr": 1.0, "temp of air": 2.0}
    right = {built.version: built.predict(row) for built in bentos}

    def ask(*, keep: bool) -> None:
        limits = httpx.Limits(max_keepalive_connections=1 if keep else 0)
        with httpx.Client(base_url=target.url, timeout=30, limits=limits) as client:
            while not done.is_set():
                try:
                    answer = client.post("/predict", json={"rows": [row]})
                    body = answer.json()
                    assert body == {"predictions": [right[body["version"]]], "version": body["version"]}
                    assert answer.headers["x-model-version"] == body["version"]
                    seen[keep].append(body["version"])
                except Exception as error:  # noqa: BLE001 - whatever it is, it is what the test must report
                    faults.append(error)

    threads = [threading.Thread(target=ask, kwargs={"keep": keep}) for keep in (True, False)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    assert target.make_live(new.version) == stage.second == target.live()
    time.sleep(0.2)
    started = time.monotonic()
    target.retire(old.version)
    assert time.monotonic() - started < 10
    time.sleep(0.3)
    done.set()
    for thread in threads:
        thread.join()
    assert faults == []
    for versions in seen.values():
        switched = versions.index(new.version)
        assert switched > 0
        assert set(versions[switched:]) == {new.version}
    assert marked(f"{target.folder}/{old.version}") == {}
    target.retire(old.version)


def test_switching_is_idempotent(stage):
    assert stage.target.make_live(stage.second.version) == stage.second
    assert len(marked(f"{stage.target.folder}/router", below=True)) == 1


def test_killed_router_is_started_again(stage):
    (pid,) = marked(f"{stage.target.folder}/router", below=True)
    os.kill(pid, signal.SIGKILL)
    while marked(f"{stage.target.folder}/router", below=True):
        time.sleep(0.05)
    # Its server runs, but nobody gets an answer from it.
    assert stage.target.live() is None
    assert stage.target.make_live(stage.second.version) == stage.target.live()
    assert httpx.get(f"{stage.target.url}/readyz").headers["x-model-version"] == stage.second.version


def test_killed_server_is_started_again_by_staging_it(stage, bentos, tmp_path):
    target = stage.target
    os.kill(stage.second.pid, signal.SIGKILL)
    while stage.second.pid in marked(f"{target.folder}/{stage.second.version}"):
        time.sleep(0.05)
    assert target.live() is None
    # From another process, which is killed in the middle; the store has the Bento, so the archive is not read.
    code = "import sys, pathlib; from airflow_mlops.serving.local import LocalTarget\n"
    code += "home, port, tag = sys.argv[1:]\n"
    code += "LocalTarget(pathlib.Path(home), 'demand', int(port)).stage(pathlib.Path('absent'), tag)"
    command = [sys.executable, "-c", code, str(target.home), str(target.port), bentos[1].tag]
    with subprocess.Popen(command) as task:
        while target._staged(stage.second.version) is None:
            time.sleep(0.05)
            assert task.poll() is None
        task.kill()
    started = target._staged(stage.second.version)
    recovered = target.stage(tmp_path / "absent", bentos[1].tag)
    assert recovered == started
    assert len(marked(f"{target.folder}/{stage.second.version}")) == 2
    # It was live, and users get it again without another step.
    assert target.live() == recovered
    assert httpx.get(f"{target.url}/readyz").headers["x-model-version"] == stage.second.version


def test_model_that_does_not_load_fails_with_its_log_and_leaves_nothing(bentos, tmp_path):
    artefact = tmp_path / "broken"
    shutil.copytree(bentos[0].artefact, artefact)
    (artefact / "model.pt2").write_bytes(b"no archive at all")
    target = LocalTarget(tmp_path / "home", "demand", free_port())
    archive = tmp_path / "broken.bento"
    tag = build_bento(
        artefact,
        model="demand",
        artefact_digest="sha256:" + "0b" * 32,
        labels={},
        bentoml_home=target.bentoml_home,
        archive=archive,
        on_line=print,
    )
    with pytest.raises(RemoteJobFailed, match=r"(?s)expected demand:0b0b0b0b0b0b to be ready.*File is not a zip file"):
        target.stage(archive, tag)
    assert marked(f"{target.folder}/", below=True) == {}
    assert not (target.folder / "versions" / "0b0b0b0b0b0b.json").exists()


def test_stop_all_finds_what_no_file_names(tmp_path):
    target = LocalTarget(tmp_path, "demand", free_port())
    mark = f"{target.folder}/0123456789ab"
    stubborn = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on'); time.sleep(60)"
    log = tmp_path / "log"
    spawn(["-c", stubborn], mark=mark, env=clean_environment(), log=log)
    other = spawn(["-c", stubborn], mark=f"{tmp_path}/demand2/x", env=clean_environment(), log=log)
    while log.read_text().count("on") < 2:
        time.sleep(0.02)
    with contextlib.ExitStack() as stack:
        stack.callback(stop, f"{tmp_path}/demand2/x", grace_seconds=0)
        stop(mark, grace_seconds=0.2)
        assert marked(mark) == {}
        target.stop_all()
        # Another model in the same home is left alone.
        assert list(marked(f"{tmp_path}/", below=True)) == [other]
