from __future__ import annotations

import ast
from pathlib import Path

import pytest

from airflow_mlops.project.source import (
    Source,
    faults_of_imports,
    faults_of_paths,
    read_requirements,
    sources_of,
)


def _source(code: str) -> Source:
    return Source(Path("train.py"), ast.parse(code))


@pytest.mark.parametrize(
    "text",
    [
        "/home/ada/x.parquet",
        "~/data",
        "/tmp",  # noqa: S108 - a text that is looked at, no file
        "/data",
        "/lake/nights",
        "C:\\data\\x",
        "D:/data",
        "\\\\server\\share",
        "s3://bucket/x",
        "s3a://bucket",
        "gs://bucket",
        "abfss://container@account/x",
        "hdfs://namenode/x",
        "file:///x",
    ],
)
def test_a_path_of_one_machine_is_a_fault(text: str) -> None:
    (fault,) = faults_of_paths(_source(f"\n\ndef train(context):\n    return open({text!r})\n"))
    assert fault.line == 4
    assert "hard-coded path" in fault.message
    assert "through the context" in fault.message


@pytest.mark.parametrize(
    "code",
    [
        '"""Reads nothing from /home/ada/x or s3://b/x."""',
        'def train(context):\n    "/home/ada/x"\n    return 1',
        'ratio = "a/b"',
        'x = "/"',
        'unit = "/h"',
        'x = "http://example.org/paper.pdf"',
        'x = f"{root}/nights/x"',
        'x = root + "/nights/x"',
        'x = "nights/x"',
        "x = b'/home/ada/x'",
        'x = "C: yes"',
        "x = 3",
    ],
)
def test_what_is_no_path_is_left_alone(code: str) -> None:
    assert faults_of_paths(_source(code)) == []


def test_a_path_that_only_begins_literally_is_found() -> None:
    assert len(faults_of_paths(_source('x = f"/home/{user}/x"'))) == 1
    assert len(faults_of_paths(_source('x = "/home/ada/" + name'))) == 1


def test_sources_follow_the_project_own_modules(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("import json\nimport network\nfrom parts import layers\nfrom . import beside")
    (tmp_path / "network.py").write_text("import train\nimport parts.sizes")  # a circle ends
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "__init__.py").write_text("")
    (tmp_path / "parts" / "layers.py").write_text("from .deep import unit")
    (tmp_path / "parts" / "deep.py").write_text("")
    (tmp_path / "parts" / "sizes.py").write_text("")
    (tmp_path / "beside.py").write_text("")
    (tmp_path / "notebook.py").write_text("DATA = '/home/ada/x'")  # nobody imports it
    sources, faults = sources_of(tmp_path, "train")
    assert faults == []
    assert {source.file.relative_to(tmp_path).as_posix() for source in sources} == {
        "train.py",
        "network.py",
        "beside.py",
        "parts/__init__.py",
        "parts/layers.py",
        "parts/deep.py",
        "parts/sizes.py",
    }


def test_sources_that_are_no_python(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("import network\n")
    (tmp_path / "network.py").write_text("x = 1\ndef train(:\n")
    sources, (fault,) = sources_of(tmp_path, "train")
    assert [source.file.name for source in sources] == ["train.py"]
    assert (fault.file.name, fault.line) == ("network.py", 2)
    (tmp_path / "network.py").write_bytes(b"x = '\0'")
    assert "expected Python" in sources_of(tmp_path, "train")[1][0].message
    assert "is missing" in sources_of(tmp_path, "training")[1][0].message


def test_requirements_are_read_as_pip_reads_them(tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("-r requirements.txt\nSciPy>=1\n")  # a circle ends
    (tmp_path / "requirements.txt").write_text(
        "\ufeff# comment\n"
        "--prefer-binary\n"
        "torch==2.13.0 \\\n    --hash=sha256:00 \\\n    --hash=sha256:11\n"
        "scikit_learn[x]>=1 ; python_version > '3'  # why\n"
        "\n"
        "mine @ https://example.org/mine.whl\n"
        "-r more.txt\n",
        encoding="utf-8",
    )
    names, faults = read_requirements(tmp_path / "requirements.txt")
    assert faults == []
    assert names == {"torch": 3, "scikit-learn": 6, "mine": 8, "scipy": 2}


def test_faults_of_requirements(tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    assert "is missing" in read_requirements(file)[1][0].message
    file.write_text("numpy\n??\n-r gone.txt\n")
    faults = read_requirements(file)[1]
    assert [(fault.file.name, fault.line) for fault in faults] == [("requirements.txt", 2), ("gone.txt", None)]
    file.write_bytes(b"\xff\xfe")
    assert "UTF-8" in read_requirements(file)[1][0].message


def test_imports_need_a_requirement(tmp_path: Path) -> None:
    (tmp_path / "network.py").write_text("")
    code = (
        "import os, numpy\nimport yaml as y\nfrom airflow_mlops.training import TrainingContext\n"
        "import network\nfrom . import beside\n\n"
        "def train(context):\n    from pydantic.fields import Field\n    import numpy\n"
    )
    source = Source(tmp_path / "train.py", ast.parse(code))
    faults = faults_of_imports(tmp_path, [source], {})
    assert [(fault.line, fault.message.partition(",")[0]) for fault in faults] == [
        (1, "imports 'numpy'"),
        (2, "imports 'yaml'"),
        (8, "imports 'pydantic'"),
    ]
    # The distribution's name is found by what is installed: yaml comes with PyYAML.
    assert "add PyYAML==" in faults[1].message
    assert faults_of_imports(tmp_path, [source], {"numpy": 1, "pyyaml": 2, "pydantic": 3}) == []


def test_an_import_that_is_not_installed_here(tmp_path: Path) -> None:
    source = Source(tmp_path / "train.py", ast.parse("import not_installed_here"))
    (fault,) = faults_of_imports(tmp_path, [source], {"numpy": 1})
    assert "what brings 'not_installed_here'" in fault.message
    assert faults_of_imports(tmp_path, [source], {"not-installed-here": 1}) == []
    # A requirement that is not installed either may be the one that brings it: nothing is claimed.
    assert faults_of_imports(tmp_path, [source], {"some-distribution-nobody-has": 1}) == []
