from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from airflow_mlops.errors import MissingExtra
from airflow_mlops.project import Fault
from airflow_mlops.project.check import check_project

Edit = Callable[[str, str, str], None]
WriteNight = Callable[..., Path]


def _told(faults: Sequence[Fault]) -> list[tuple[str, int | None, str]]:
    return [(fault.file.name, fault.line, fault.key) for fault in faults if not fault.note]


def test_a_sound_project_without_data_has_a_note(project: Path) -> None:
    (note,) = check_project(project)
    assert note.note
    assert "no night lies in" in note.message
    assert not list(project.rglob("__pycache__"))


def test_a_sound_project_with_data_has_nothing(project: Path, write_night: WriteNight) -> None:
    write_night("2025-02-01")
    assert check_project(project, today=dt.date(2025, 2, 2)) == []
    assert check_project(str(project)) == []


def test_a_folder_without_model_toml(tmp_path: Path) -> None:
    (fault,) = check_project(tmp_path)
    assert fault.file == tmp_path / "model.toml"


def test_missing_files_are_told_at_once(project: Path) -> None:
    for name in ("contract.yml", "train.py", "requirements.txt"):
        (project / name).unlink()
    faults = check_project(project)
    assert {fault.file.name for fault in faults if "is missing" in fault.message} == {
        "contract.yml",
        "train.py",
        "requirements.txt",
    }


def test_everything_is_told_although_model_toml_has_faults(project: Path, edit: Edit, write_night: WriteNight) -> None:
    write_night("2025-02-01")
    edit("model.toml", '"hr", "temp"', '"hr", "tempp"')
    edit("model.toml", "[[gate.rules]]", "frobnicate = 1\n\n[[gate.rules]]")
    edit("model.toml", "max = 90.0", "")
    edit("train.py", "def train", "DATA = '/home/ada/x'\n\n\ndef trian")
    edit("train.py", "import json", "import yaml")
    edit("contract.yml", "columns:", "columns: [")
    edit("requirements.txt", "numpy", "??\nnumpy")
    assert sorted(_told(check_project(project)), key=str) == sorted(
        [
            ("model.toml", 13, "training.frobnicate"),
            ("model.toml", 15, "gate.rules.0"),
            ("model.toml", 4, "features.1"),
            ("model.toml", 11, "training.entrypoint"),
            ("contract.yml", 3, ""),
            ("requirements.txt", 1, ""),
            ("train.py", 3, ""),
            ("train.py", 8, ""),
        ],
        key=str,
    )


def test_nothing_is_looked_for_where_model_toml_says_nothing_usable(project: Path) -> None:
    (project / "model.toml").write_text(
        'features = "hr"\nquality = 3\n[data]\npath = 3\n[training]\nentrypoint = "x"\n'
    )
    faults = check_project(project)
    assert {fault.file.name for fault in faults} == {"model.toml"}
    (project / "model.toml").write_text("no toml")
    assert {fault.file.name for fault in check_project(project)} == {"model.toml"}


@pytest.mark.parametrize(
    ("columns", "key", "line", "message"),
    [
        ({"temp": None, "temperature": pa.array([0.1, 0.2, 0.3])}, "features.1", 4, "did you mean 'temperature'?"),
        ({"cnt": None}, "target", 3, "no column 'cnt'"),
        ({"dteday": None}, "time_column", 5, "no column 'dteday'"),
        ({"temp": pa.array(["a", "b", "c"])}, "features.1", 4, "to be a number, it is string"),
        ({"cnt": pa.array([[1], [2], [3]])}, "target", 3, "to be a number, it is list"),
        ({"dteday": pa.array([1, 2, 3])}, "time_column", 5, "to be a time, it is int64"),
    ],
)
def test_columns_are_compared_with_the_newest_night(
    project: Path, write_night: WriteNight, columns: dict[str, pa.Array | None], key: str, line: int, message: str
) -> None:
    write_night("2025-01-31")
    write_night("2025-02-01", **columns)
    (fault,) = check_project(project)
    assert (fault.key, fault.line) == (key, line)
    assert message in fault.message
    assert "2025-02-01" in fault.message


def test_a_torn_newest_night_is_passed_over_with_a_note(project: Path, edit: Edit, write_night: WriteNight) -> None:
    edit("model.toml", '"temp"', '"tempp"')
    for day in (1, 2, 3):
        path = write_night(f"2025-02-0{day}")
        if day > 1:
            path.write_bytes(path.read_bytes()[:50])
    faults = check_project(project)
    assert [(fault.note, fault.key) for fault in faults] == [
        (True, "data.path"),
        (True, "data.path"),
        (False, "features.1"),
    ]
    # No schema in the last nights: what could not be compared is not sound.
    path = write_night("2025-02-04")
    path.write_bytes(b"")
    assert "none of the newest 3 nights" in check_project(project)[-1].message
    assert not check_project(project)[-1].note


def test_a_night_of_the_future_is_noted(project: Path, write_night: WriteNight) -> None:
    write_night("2025-02-01")
    write_night("2205-02-01")
    (note,) = check_project(project, today=dt.date(2025, 2, 2))
    assert note.note
    assert "2205-02-01 lies after today, 2025-02-02" in note.message


def test_a_store_that_does_not_answer_is_a_fault_beside_the_others(
    project: Path, edit: Edit, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A port that nobody listens on, and no waiting.
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    for name, value in {"ACCESS_KEY_ID": "x", "SECRET_ACCESS_KEY": "x", "DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    edit("model.toml", "data/night", "s3://lake/night")
    (project / "contract.yml").unlink()
    told = _told(check_project(project))
    assert told == [("contract.yml", None, ""), ("model.toml", 8, "data.path")]


@pytest.mark.parametrize(
    ("address", "library", "message"),
    [
        ("gs://lake", None, "expected a folder, file:// or s3:// address"),
        ("x" * 300, None, "File name too long"),
        (r"lake\u0000", None, "null byte"),
        ("s3://lake", "boto3", "pip install 'airflow-provider-mlops[s3]'"),
    ],
)
def test_data_that_cannot_be_looked_at_are_a_fault_beside_the_others(
    project: Path, edit: Edit, monkeypatch: pytest.MonkeyPatch, address: str, library: str | None, message: str
) -> None:
    if library:
        monkeypatch.setitem(sys.modules, library, None)
    edit("model.toml", "data/night", f"{address}/night")
    (project / "contract.yml").unlink()
    faults = check_project(project)
    assert _told(faults) == [("contract.yml", None, ""), ("model.toml", 8, "data.path")]
    assert message in faults[-1].message


def test_the_file_in_place_of_its_folder(project: Path) -> None:
    (fault,) = check_project(project / "model.toml")
    assert "is a file; give the folder" in fault.message


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        (b"columns:\n  - name: 'temp\n", 3, "expected YAML"),
        (b"columns:\n\t- x\n", 2, "expected YAML"),
        (b"", None, "got nothing"),
        (b"- a\n- b\n", None, "got list"),
        (b"\xff\xfe\x00", None, "UTF-8"),
        (b"a: \x00", None, "expected YAML"),
    ],
)
def test_a_contract_that_is_no_yaml(project: Path, content: bytes, line: int | None, message: str) -> None:
    (project / "contract.yml").write_bytes(content)
    fault = check_project(project)[0]
    assert (fault.file.name, fault.line) == ("contract.yml", line)
    assert message in fault.message


def test_the_contract_is_validated_with_the_columns_of_the_data(project: Path, write_night: WriteNight) -> None:
    asked: list[tuple[Path, Sequence[str]]] = []

    def validate(contract: Path, columns: Sequence[str]) -> list[str]:
        asked.append((contract, columns))
        return [f"{contract}:5: unknown check 'missin'", f"{contract}: holds no check: every night would pass"]

    write_night("2025-02-01")
    assert check_project(project, validate_contract=validate) == [
        Fault(project / "contract.yml", "", 5, "unknown check 'missin'"),
        Fault(project / "contract.yml", "", None, "holds no check: every night would pass"),
    ]
    assert asked == [(project / "contract.yml", ["dteday", "hr", "temp", "cnt"])]


def test_without_soda_the_contract_is_read_as_yaml_alone(project: Path, write_night: WriteNight) -> None:
    def validate(contract: Path, columns: Sequence[str]) -> list[str]:
        raise MissingExtra("Run: pip install 'airflow-provider-mlops[soda]'")

    write_night("2025-02-01")
    (note,) = check_project(project, validate_contract=validate)
    assert note.note
    assert "YAML alone: Run: pip install" in note.message


@pytest.mark.parametrize("library", ["soda_core", "soda_duckdb", "duckdb"])
def test_without_a_part_of_soda_nothing_is_asked_of_it(
    project: Path, write_night: WriteNight, monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    write_night("2025-02-01")
    monkeypatch.setitem(sys.modules, library, None)
    (note,) = check_project(project, validate_contract=lambda *_: ["never asked"])
    assert note.note
    assert note.message.startswith(f"was read as YAML alone: expected the library {library!r}")


def test_without_torch_the_code_is_read_and_not_imported(
    project: Path, edit: Edit, write_night: WriteNight, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_night("2025-02-01")
    edit("train.py", "import json", "import json\n\nDATA = '/home/ada/x'\n1 / 0")
    monkeypatch.setitem(sys.modules, "torch", None)
    fault, note = check_project(project)
    assert (fault.file.name, fault.line, fault.note) == ("train.py", 5, False)
    assert (note.key, note.line, note.note) == ("training.entrypoint", 11, True)
    assert note.message.startswith("was not imported: expected the library 'torch'")
    assert "pip install 'airflow-provider-mlops[train]'" in note.message


def test_the_import_fault_names_the_line_of_the_code(project: Path, edit: Edit) -> None:
    edit("train.py", "import numpy as np", "import numpy as np\n\n1 / 0")
    fault = check_project(project)[0]
    assert (fault.file.name, fault.line, fault.message) == ("train.py", 7, "ZeroDivisionError: division by zero")
