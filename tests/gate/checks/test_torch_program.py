"""The scan on files as the libraries themselves write them."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from airflow_mlops.gate.checks.artefact import scan_artefact
from airflow_mlops.gate.checks.torch_program import program_fault
from airflow_mlops.records import Decision, RuleResult


class Harmful:
    def __reduce__(self) -> Any:
        return os.mkdir, ("unpickled",)


def scan(folder: Path) -> RuleResult:
    return scan_artefact(folder, allowed_pickles=())


def zipped(members: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


@pytest.mark.parametrize(
    "expression",
    [
        "Add(Mul(Integer(2), Symbol('s0', positive=True, integer=True)), Integer(-1))",
        "L['x'].size()[0] == 3 and L['x'].stride()[1] * 2 <= 7",
        "-s0 // 2",
        "floor(s0 / 2)",
    ],
)
def test_arithmetic_is_all_right(expression: str) -> None:
    assert program_fault(f'{{"guards_code": ["{expression}"]}}'.encode()) is None


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os')",
        "().__class__",
        "eval('s0')",
        "S('open(1)')",
        "[x for x in (1,)]",
        "(lambda: 1)()",
        "L['x'].size().__class__",
        "L['a b']",
        "x.tofile('y')",
        "f'{s0}'",
        "s0 if 1 else 2",
        "(s0 := 1)",
        "1; 2",
        "",
        "(" * 500,
    ],
)
def test_anything_else_is_not(expression: str) -> None:
    assert program_fault(f'{{"expr_str": "{expression}"}}'.encode()) is not None


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_no_program(data: bytes) -> None:
    assert program_fault(data) == "is no program that torch.export writes"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "artefact"
    path.mkdir()
    return path


@pytest.fixture
def harmful() -> bytes:
    return pickle.dumps(Harmful())


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from torch import nn

    from airflow_mlops.training.artefact import export_model

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("exported")
    model = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 1), nn.Flatten(0))
    export_model(model, torch.rand(50, 3), ["hr", "temp", "rain"], "cnt", folder)
    return folder


def rewritten(archive: Path, out: Path, changes: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(archive) as source:
        members = {member.filename: source.read(member) for member in source.infolist()}
    out.write_bytes(zipped({**members, **changes}))


@pytest.mark.slow
def test_what_the_training_writes_passes(exported: Path) -> None:
    result = scan(exported)
    assert result.decision is Decision.PROMOTE, result.reason
    assert result.units == len(list(exported.iterdir())) >= 3


@pytest.mark.slow
@pytest.mark.parametrize(
    "member", ["model/data/sample_inputs/model.pt", "model/data/weights/weight_0", "model/data/constants/opaque_obj_0"]
)
def test_a_pickle_in_an_exported_model_is_found(exported: Path, folder: Path, harmful: bytes, member: str) -> None:
    rewritten(exported / "model.pt2", folder / "model.pt2", {member: harmful})
    assert f"holds {member} that is a pickle that imports posix.mkdir" in scan(folder).reason


@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (b'"torch.ops.aten.relu.default"', b'"torch.serialization.os.system"', "no registered operator"),
        (b'"torch.ops.aten.relu.default"', b'"torch.ops.load_library"', "no registered operator"),
        (b'"torch.ops.aten.relu.default"', b'"_operator.methodcaller.__call__"', "no registered operator"),
        (b'"expr_str": "', b'"expr_str": "().__class__.__mro__ or ', "more than arithmetic"),
        (b'"guards_code": []', b"\"guards_code\": [\"__import__('os').system('id')\"]", "more than arithmetic"),
    ],
)
def test_a_program_that_does_more_than_calculate_is_found(
    exported: Path, folder: Path, old: bytes, new: bytes, words: str
) -> None:
    name = "model/models/model.json"
    with zipfile.ZipFile(exported / "model.pt2") as archive:
        program = archive.read(name)
    assert old in program
    rewritten(exported / "model.pt2", folder / "model.pt2", {name: program.replace(old, new)})
    assert words in scan(folder).reason


@pytest.mark.slow
def test_torch_state_passes_and_a_whole_module_does_not(exported: Path, folder: Path) -> None:
    import torch
    from torch import nn

    torch.save(nn.Linear(2, 1).state_dict(), folder / "state.pt")
    assert scan(folder).decision is Decision.PROMOTE
    torch.save(nn.Linear(2, 1), folder / "module.pt")
    assert "module.pt holds module/data.pkl that is a pickle that imports torch.nn" in scan(folder).reason


@pytest.mark.slow
def test_skops_files_pass_if_skops_trusts_them(folder: Path) -> None:
    sio = pytest.importorskip("skops.io")
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(0)
    sio.dump(Ridge().fit(rng.normal(size=(20, 2)), rng.normal(size=20)), folder / "ridge.skops")
    assert scan(folder).decision is Decision.PROMOTE, scan(folder).reason
    sio.dump({"where": Harmful()}, folder / "harmful.skops")
    result = scan(folder)
    assert result.decision is Decision.REJECT
    assert "harmful.skops is a skops file with the types" in result.reason
    assert "Harmful" in result.reason
    (folder / "fake.skops").write_bytes(zipped({"schema.json": b'{"__class__": "str"}'}))
    assert "fake.skops is a skops file that skops cannot read" in scan(folder).reason
