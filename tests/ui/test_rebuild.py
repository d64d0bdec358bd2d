"""The program on a manifest's page trains the very same model again."""

from __future__ import annotations

import datetime as dt
import shutil
import subprocess
import sys
from html import unescape
from pathlib import Path

import pytest

from airflow_mlops.ledger import Ledger
from airflow_mlops.records import Manifest, PartitionPin
from airflow_mlops.store import open_store

PROJECT = {
    "model.toml": """
name = "bike_demand"
task = "regression"
target = "cnt"
features = ["hr", "temp"]
time_column = "dteday"
[data]
path = "data/night={night}.parquet"
[training]
entrypoint = "train:train"
min_nights = 1
[[gate.rules]]
metric = "rmse"
kind = "absolute"
max = 60.0
""",
    "train.py": """
import torch


def train(context):
    model = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.Flatten(0))
    loss = (model(context.features) - context.target).square().mean()
    loss.backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter -= 0.001 * parameter.grad
    return model
""",
}


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "answer"), [(3, "the same"), (4, "differs")])
def test_a_model_is_rebuilt_as_its_page_says(visit, month: Path, tmp_path: Path, seed: int, answer: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from airflow_mlops.training.order import TrainingOrder
    from airflow_mlops.training.process import run_training

    own = shutil.copytree(month, tmp_path / "own")
    ledger, project = Ledger(open_store(str(own))), tmp_path / "project"
    project.mkdir()
    for name, text in PROJECT.items():
        (project / name).write_text(text)
    night = tmp_path / "2011-02-01.parquet"
    hours = list(range(24))
    pq.write_table(
        pa.table({"hr": hours, "temp": [hour / 24 for hour in hours], "cnt": [9 * hour for hour in hours]}), night
    )
    order = TrainingOrder(
        project=project,
        entrypoint="train:train",
        partitions=(night,),
        features=("hr", "temp"),
        target="cnt",
        seed=3,
        cpu=1,
        output=tmp_path / "output",
    )
    run_training(order, tmp_path / "work", timeout_seconds=120, memory_gib=4, on_line=print)
    standing = max(ledger.all(Manifest, "bike_demand/"), key=lambda manifest: manifest.recorded_at)
    manifest = ledger.write(
        standing.model_copy(
            update={
                "fingerprint": "sha256:" + "f" * 64,
                "features": ("hr", "temp"),
                "seed": seed,
                "snapshot": (PartitionPin(night=dt.date(2011, 2, 1), digest=ledger.put_blob(night), rows=24),),
                "code": ledger.put_folder(project),
                "artefact": ledger.put_folder(order.artefact),
            }
        )
    )
    page = visit(store=own).get(f"/mlops/records/manifest/{manifest.key}?view=report").text
    program = unescape(page.partition("<pre>")[2].partition("</pre>")[0])
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1:] != [], done.stderr
    assert done.stdout.splitlines()[-1].startswith(answer), done.stderr
