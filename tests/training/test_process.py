"""The operator's side before a child starts; test_job.py has its children, test_training.py the real ones."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_mlops.errors import MissingExtra, RemoteJobFailed
from airflow_mlops.training import process
from airflow_mlops.training.order import TrainingOrder


@pytest.mark.parametrize("library", ["torch", "safetensors"])
def test_without_torch_no_child_is_started(
    library: str, tmp_path: Path, make_order: Callable[..., TrainingOrder], monkeypatch: pytest.MonkeyPatch
) -> None:
    order, work, out = make_order(), tmp_path / "work", tmp_path / "out" / "predictions.parquet"
    monkeypatch.setitem(sys.modules, library, None)
    told = rf"'{library}'.* pip install 'airflow-provider-mlops\[train\]'"
    with pytest.raises(MissingExtra, match=told):
        process.run_training(order, work, timeout_seconds=20, memory_gib=4, on_line=print)
    with pytest.raises(MissingExtra, match=told):
        process.run_prediction(tmp_path, {}, out=out, timeout_seconds=20, memory_gib=4)
    assert not work.exists()
    assert not order.output.exists()
    assert not out.parent.exists()


def test_the_operators_side_imports_no_torch() -> None:
    code = "import sys, airflow_mlops.training.process as p; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=Path(process.__file__).parents[2], check=True, timeout=30)


def test_a_prediction_that_takes_too_long_says_so(tmp_path: Path, nights: dict[str, Path]) -> None:
    out = tmp_path / "p.parquet"
    out.write_text("of an earlier run")
    with pytest.raises(RemoteJobFailed, match=r"expected the prediction of 5 nights to end within 0 s") as failed:
        process.run_prediction(tmp_path, nights, out=out, latency_requests=3, timeout_seconds=0.05, memory_gib=4)
    assert not failed.value.retryable
    assert not out.exists()
