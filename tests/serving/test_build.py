import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from airflow_mlops.errors import ConfigError, DataError, RemoteJobFailed
from airflow_mlops.serving.bento_store import BentoStore
from airflow_mlops.serving.build import bento_tag, build_bento, service_source
from airflow_mlops.serving.process import clean_environment, run_to_end

DIGEST = "sha256:" + "ab" * 32


def _bytes_of(archive: Path, member: str) -> bytes:
    with tarfile.open(archive) as tar:
        found = tar.extractfile(member)
        assert found is not None
        return found.read()


def _source_of(archive: Path, member: str) -> str:
    return _bytes_of(archive, member).decode()


@pytest.mark.slow
def test_bento_holds_artefact_identity_and_pinned_requirements(bentos):
    built = bentos[0]
    assert built.tag == f"demand:{built.digest.removeprefix('sha256:')[:12]}"
    with tarfile.open(built.archive) as tar:
        names = set(tar.getnames())
    assert {"./src/service.py", "./src/artefact/model.pt2", "./src/artefact/signature.json"} <= names
    source = _source_of(built.archive, "./src/service.py")
    assert built.digest in source
    assert not any(
        line.split()[1].startswith(("airflow", "airflow_mlops"))
        for line in source.splitlines()
        if line.startswith(("import ", "from "))
    )
    requirements = _source_of(built.archive, "./env/python/requirements.txt").split()
    assert all("==" in line and "+" not in line for line in requirements)
    assert {line.partition("==")[0] for line in requirements} == {"numpy", "torch", "bentoml"}
    assert "run_id: r1" in _source_of(built.archive, "./bento.yaml")


@pytest.mark.slow
def test_building_again_exports_the_same_bento(bentos, tmp_path):
    built = bentos[0]
    archive = tmp_path / "elsewhere" / "again.bento"
    said: list[str] = []
    arguments = {"model": "demand", "artefact_digest": built.digest, "labels": {}, "archive": archive}
    home = built.archive.parent / "bentoml"
    assert build_bento(built.artefact, bentoml_home=home, on_line=said.append, **arguments) == built.tag
    # The labels of the first build, the very creation time: it was not built anew.
    assert _source_of(archive, "./bento.yaml") == _source_of(built.archive, "./bento.yaml")
    assert [path.name for path in archive.parent.iterdir()] == ["again.bento"]
    assert list((home / ".scratch").iterdir()) == []


@pytest.mark.slow
def test_two_builds_differ_in_nothing_but_the_time(bentos, tmp_path):
    built = bentos[0]
    archive = tmp_path / "other.bento"
    build_bento(
        built.artefact,
        model="demand",
        artefact_digest=built.digest,
        labels={"run_id": "r1"},
        bentoml_home=tmp_path / "home",
        archive=archive,
        on_line=print,
    )

    def contents(path: Path) -> dict[str, list[bytes]]:
        with tarfile.open(path) as tar:
            names = [member.name for member in tar if member.isfile()]
        return {
            name: [line for line in _bytes_of(path, name).splitlines() if b"creation_time" not in line]
            for name in names
        }

    assert contents(archive) == contents(built.archive)


@pytest.mark.slow
def test_half_a_bento_left_by_a_kill_is_replaced(bentos, tmp_path):
    built = bentos[0]
    half = tmp_path / "bentos" / "demand" / built.version
    half.mkdir(parents=True)
    (half / "README.md").write_text("half")
    (tmp_path / ".scratch" / "left").mkdir(parents=True)
    store = BentoStore(tmp_path)
    assert built.tag not in store
    store.add(built.archive, built.tag)
    assert built.tag in store
    assert not (tmp_path / ".scratch" / "left").exists()


@pytest.mark.slow
def test_archive_of_another_tag_or_of_nothing_is_refused(bentos, tmp_path):
    store = BentoStore(tmp_path / "home")
    with pytest.raises(RemoteJobFailed, match=f"expected the Bento demand:other in .*{bentos[0].tag}"):
        store.add(bentos[0].archive, "demand:other")
    nonsense = tmp_path / "nonsense.bento"
    nonsense.write_bytes(b"nonsense")
    with pytest.raises(RemoteJobFailed, match=r"expected to import .*nonsense\.bento"):
        store.add(nonsense, "demand:other")
    assert "demand:other" not in store


@pytest.mark.parametrize("name", ["Demand", "demand_", "-demand", "de mand", "", 'd"'])
def test_model_name_that_bentoml_refuses(name):
    with pytest.raises(ConfigError, match="expected a model name"):
        bento_tag(name, DIGEST)


@pytest.mark.parametrize("signature", ["{", "[]", "{}", '{"features": []}', '{"features": [1]}', '{"features": "hr"}'])
def test_artefact_without_usable_signature(tmp_path, signature):
    (tmp_path / "model.pt2").write_bytes(b"x")
    (tmp_path / "signature.json").write_text(signature)
    with pytest.raises(DataError, match="features"):
        build_bento(
            tmp_path,
            model="m",
            artefact_digest=DIGEST,
            labels={},
            bentoml_home=tmp_path / "h",
            archive=tmp_path / "a.bento",
            on_line=print,
        )


def test_artefact_without_model(tmp_path):
    with pytest.raises(DataError, match=r"model\.pt2 and signature\.json missing"):
        build_bento(
            tmp_path,
            model="m",
            artefact_digest=DIGEST,
            labels={},
            bentoml_home=tmp_path / "h",
            archive=tmp_path / "a.bento",
            on_line=print,
        )
    assert not (tmp_path / "h").exists()


def test_service_source_compiles():
    compile(service_source("demand", DIGEST), "service.py", "exec")


def test_child_gets_no_secrets(monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", "k")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s")
    said: list[str] = []
    run_to_end(
        "import os, json, sys; sys.stdin.read(); print(json.dumps(dict(os.environ)))",
        stdin="{}",
        env=clean_environment(BENTOML_HOME="h"),
        doing="look",
        on_line=said.append,
        timeout_seconds=30,
    )
    seen = json.loads(said[0])
    assert seen["BENTOML_HOME"] == "h"
    assert not [name for name in seen if name.startswith(("AIRFLOW", "AWS"))]


def test_child_that_fails_is_quoted():
    with pytest.raises(
        RemoteJobFailed, match="expected to fall within 30 s, the process ended with exit code 3:\nouch"
    ):
        run_to_end(
            "print('ouch'); raise SystemExit(3)",
            stdin="x" * 1_000_000,
            env=dict(os.environ),
            doing="fall",
            on_line=lambda line: None,
            timeout_seconds=30,
        )


def test_child_that_hangs_is_killed():
    with pytest.raises(RemoteJobFailed, match=r"signal 9:\n\(it said nothing\)"):
        run_to_end(
            "import time; time.sleep(60)",
            stdin="",
            env=dict(os.environ),
            doing="sleep",
            on_line=lambda line: None,
            timeout_seconds=0.5,
        )


def test_rooms_import_no_airflow_and_little_else():
    code = "import sys, airflow_mlops.serving.local, airflow_mlops.serving.build, airflow_mlops.serving.verify\n"
    code += "print([name for name in ('airflow', 'bentoml', 'torch', 'httpx') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
