from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_mlops.errors import ConfigError
from airflow_mlops.project import Fault, ProjectFaults, gate_spec, load_project, spec

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
        ("max = 90.0", "max = inf", "gate.rules.0.max", 16, "finite number, got inf"),
        ("max = 90.0", "max = nan", "gate.rules.0.max", 16, "finite number, got nan"),
        ("[training]", "[serving]\ntolerance = inf\n[training]", "serving.tolerance", 11, "finite number, got inf"),
        (
            "[[gate",
            "[training.resources]\nmemory_gib = inf\n[[gate",
            "training.resources.memory_gib",
            14,
            "finite number, got inf",
        ),
        ('time_column = "dteday"', 'time_column = "cnt"', "time_column", 5, "is also the target"),
        ('time_column = "dteday"', 'time_column = "hr"', "time_column", 5, "stands among the features"),
        ('"rmse"', '"rmsee"', "gate.rules.0.metric", 14, "did you mean 'rmse'?"),
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


def test_the_file_in_place_of_its_folder(project: Path) -> None:
    (fault,) = _faults(project / "model.toml")
    assert fault.file == project / "model.toml"
    assert fault.message == f"is a file; give the folder that it lies in, {project}"


def test_a_folder_in_place_of_the_file(project: Path) -> None:
    (project / "model.toml").unlink()
    (project / "model.toml").mkdir()
    (fault,) = _faults(project)
    assert fault.message == "cannot be read: Is a directory"


def test_code_is_what_the_model_is_made_of(project: Path, edit: Edit) -> None:
    code = {"contract.yml", "model.toml", "parts/__init__.py", "parts/layers.py", "requirements.txt", "train.py"}
    others = (
        ".secrets.json",
        ".git/config.toml",
        "parts/.env.py",
        "parts/__pycache__/layers.py",
        "data/notes.txt",
        "data/more/keys.json",
        "venv/lib/site.py",
        "parts/envs/mine/lib/site.py",
    )
    for name in (*code, *others, "venv/pyvenv.cfg", "parts/envs/mine/pyvenv.cfg"):
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert load_project(project).code_files() == {name: project / name for name in sorted(code)}
    edit("model.toml", "data/night", "s3://lake/night")
    assert set(load_project(project).code_files()) == code | {"data/notes.txt", "data/more/keys.json"}
    edit("model.toml", "s3://lake/night", f"file://{project}/data/night")
    assert set(load_project(project).code_files()) == code


@pytest.mark.parametrize("path", ["./night={night}.parquet", "../night={night}.parquet"])
def test_data_beside_or_above_the_code_hides_none_of_it(project: Path, edit: Edit, path: str) -> None:
    edit("model.toml", "data/night={night}.parquet", path)
    assert set(load_project(project).code_files()) == {"contract.yml", "model.toml", "requirements.txt", "train.py"}


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
    sections += [gate_spec.GateSpec, gate_spec.RuleSpec, gate_spec.BehaviourSpec, spec.ServingSpec]
    tables = {"data", "quality", "drift", "training", "gate", "serving", "resources", "rules", "behaviour"}
    for metric in gate_spec.METRICS:
        assert f"`{metric}`" in guide
    for section in sections:
        for name, field in section.model_fields.items():
            if name not in tables:
                assert f"| `{name}` |" in guide
                assert str(field.description) in guide
