"""Two tiny models, exported and built once; and the rows and answers that prove them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from airflow_mlops.records import sha256_digest
from airflow_mlops.serving.build import build_bento

FEATURES = ["hr", "temp of air"]


class Built(NamedTuple):
    artefact: Path
    digest: str
    tag: str
    archive: Path
    predict: Callable[[dict[str, float]], float]

    @property
    def version(self) -> str:
        return self.tag.partition(":")[2]


def export_artefact(folder: Path, bias: float) -> Path:
    import torch
    from safetensors.torch import save_file

    class Linear(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(len(FEATURES), 1)
            self.linear.weight.data = torch.tensor([[1.0, 2.0]])
            self.linear.bias.data = torch.tensor([bias])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.linear(x)[:, 0]

    torch.set_num_threads(1)
    folder.mkdir(parents=True)
    model = Linear().eval()
    rows = {"x": {0: torch.export.Dim("n")}}
    torch.export.save(torch.export.export(model, (torch.zeros(4, 2),), dynamic_shapes=rows), folder / "model.pt2")
    save_file(model.state_dict(), folder / "weights.safetensors")
    signature = {"features": FEATURES, "target": "cnt", "task": "regression"}
    (folder / "signature.json").write_text(json.dumps(signature))
    return folder


def _built(root: Path, name: str, bias: float) -> Built:
    artefact = export_artefact(root / name, bias)
    digest = sha256_digest((artefact / "model.pt2").read_bytes())
    archive = root / f"{name}.bento"
    tag = build_bento(
        artefact,
        model="demand",
        artefact_digest=digest,
        labels={"run_id": "r1"},
        bentoml_home=root / "bentoml",
        archive=archive,
        on_line=print,
    )
    return Built(artefact, digest, tag, archive, lambda row: row["hr"] + 2 * row["temp of air"] + bias)


@pytest.fixture(scope="session")
def bentos(tmp_path_factory: pytest.TempPathFactory) -> tuple[Built, Built]:
    root = tmp_path_factory.mktemp("bentos")
    return _built(root, "first", 0.0), _built(root, "second", 100.0)


@pytest.fixture(scope="session")
def rows() -> list[dict[str, float]]:
    return [{"hr": float(hour % 24), "temp of air": hour / 7} for hour in range(1200)]
