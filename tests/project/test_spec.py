from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_mlops.errors import ConfigError
from airflow_mlops.project import Fault, ProjectFaults, load_project, spec

Edit = Callable[[str, str, str], None]


def _faults(folder: Path) -> tuple[Fault, ...]:
    with pytest.raises(ProjectFaults) as caught:
        load_project(folder)
    assert isinstance(caught.value, ConfigError)
    return caught.value.faults


def test_a_sound_project_is_read(project: Path) -> None:
    loaded = load_project(project)
    assert loaded.name == "demand"
    assert loaded.columns == ("dteday", "hr", "temp", "cnt")
    assert loaded.contract == project / "contract.yml"
    assert loaded.data_root == str(project / "data")
    assert loaded.data_key("2025-02-01") == "night=2025-02-01.parquet"


@pytest.mark.parametrize(
    ("path", "root", "key"),
    [
        ("s3://lake/bikes/night={night}/part.parquet", "s3://lake/bikes", "night=2025-02-01/part.parquet"),
        ("s3://lake/night={night}.parquet", "s3://lake", "night=2025-02-01.parquet"),
        ("/lake/{night}.parquet", "/lake", "2025-02-01.parquet"),
    ],
)
def test_where_the_nights_lie(project: Path, edit: Edit, path: str, root: str, key: str) -> None:
    edit("model.toml", "data/night={night}.parquet", path)
    loaded = load_project(project)
    assert (loaded.data_root, loaded.data_key("2025-02-01")) == (root, key)


def test_environment_variables_in_the_path(project: Path, edit: Edit, monkeypatch: pytest.MonkeyPatch) -> None:
    edit("model.toml", "data/night", "${BIKES:-data}/night")
    monkeypatch.delenv("BIKES", raising=False)
    assert load_project(project).data_root == str(project / "data")
    monkeypatch.setenv("BIKES", "/lake/bikes")
    assert load_project(project).data_root == "/lake/bikes"
    edit("model.toml", "${BIKES:-data}", "${BIKES_ELSEWHERE}")
    (fault,) = _faults(project)
    assert "BIKES_ELSEWHERE, which is not set" in fault.message


@pytest.mark.parametrize(
    ("old", "new", "key", "line", "message"),
    [
        ('task = "regression"', 'task = "clustering"', "task", 2, "'regression'"),
        ('target = "cnt"', 'target = "hr"', "features", 4, "the model would see the answer"),
        ('"hr", "temp"', '"hr", "temp", "hr"', "features", 4, "named twice: hr"),
        ('["hr", "temp"]', "[]", "features", 4, "at least 1"),
        ('time_column = "dteday"', 'time_colum = "dteday"', "time_colum", 5, "did you mean 'time_column'?"),
        ('name = "demand"', 'name = "Demand!"', "name", 1, "pattern"),
        ('name = "demand"', "name = 7", "name", 1, "got 7"),
        ("{night}", "{day}", "data.path", 8, "expected one {night}"),
        ('"train:train"', '"train.py"', "training.entrypoint", 11, "pattern"),
        ('"train:train"', '"train:train"\nwindow_nights = "90"', "training.window_nights", 12, "integer"),
        ('"train:train"', '"train:train"\nmin_nights = 91', "training", 10, "no window could ever hold"),
        ("max = 90.0", "maxi = 90.0", "gate.rules.0.maxi", 16, "did you mean 'max'?"),
        ("max = 90.0", "", "gate.rules.0", 13, "needs `max`"),
        ('kind = "absolute"\nmax = 90.0', 'kind = "superior"', "gate", 13, "at least one required absolute rule"),
        ('"rmse"', '"rmsee"', "gate.rules.0.metric", 14, "'rmse' or 'mae'"),
    ],
)
def test_each_fault_names_key_and_line(
    project: Path, edit: Edit, old: str, new: str, key: str, line: int, message: str
) -> None:
    edit("model.toml", old, new)
    found = _faults(project)
    fault = next((fault for fault in found if fault.key == key), None)
    assert fault is not None, found
    assert message in fault.message
    assert fault.line == line
    assert str(fault).startswith(f"{project / 'model.toml'}:{line}: {key}: ")


def test_all_faults_are_told_at_once(project: Path, edit: Edit) -> None:
    edit("model.toml", 'task = "regression"', 'task = "clustering"')
    edit("model.toml", "max = 90.0", "max = -1.0")
    edit("model.toml", "[training]", "[trainin]")
    faults = _faults(project)
    assert {fault.key for fault in faults} >= {"task", "gate.rules.0.max", "trainin", "training"}


def test_no_project_at_all(tmp_path: Path) -> None:
    (fault,) = _faults(tmp_path / "nowhere")
    assert fault.file == tmp_path / "nowhere" / "model.toml"
    assert "is missing" in fault.message


@pytest.mark.parametrize(
    ("content", "line"), [(b'name = "a"\nname = "b"\n', 2), (b"name = \n", 1), (b"\xff\xfe", None)]
)
def test_what_is_no_toml(project: Path, content: bytes, line: int | None) -> None:
    (project / "model.toml").write_bytes(content)
    (fault,) = _faults(project)
    assert fault.line == line
    assert "expected TOML" in fault.message or "expected UTF-8" in fault.message


def test_the_guide_names_every_key() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "model-project.md").read_text(encoding="utf-8")
    sections = [spec.ModelSpec, spec.DataSpec, spec.QualitySpec, spec.DriftSpec, spec.TrainingSpec, spec.Resources]
    sections += [spec.GateSpec, spec.RuleSpec, spec.ServingSpec]
    tables = {"data", "quality", "drift", "training", "gate", "serving", "resources", "rules"}
    for section in sections:
        for name, field in section.model_fields.items():
            if name not in tables:
                assert f"| `{name}` |" in guide
                assert str(field.description) in guide
