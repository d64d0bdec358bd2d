"""What the verification of a served model is held against."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_mlops.errors import LedgerError
from airflow_mlops.ledger import Ledger
from airflow_mlops.operators import service
from airflow_mlops.operators.service import golden_answers
from airflow_mlops.records import Artefact, Decision, Golden, Manifest, PartitionPin, Verdict
from airflow_mlops.store.folder import FolderStore

NIGHTS = (dt.date(2011, 3, 1), dt.date(2011, 3, 2))
STAMP = {"model": "demand", "recorded_at": dt.datetime(2011, 4, 1, tzinfo=dt.UTC), "dag_run": "r", "rests_on": ()}

Judge = Callable[..., Verdict]


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(FolderStore(tmp_path / "store"))


@pytest.fixture
def judge(ledger: Ledger, tmp_path: Path) -> Judge:
    """Two golden nights of some rows, and a verdict with these predictions of them."""

    def blob(name: str, columns: dict[str, Any]) -> str:
        pq.write_table(pa.table(columns), tmp_path / name, row_group_size=1_000)
        return ledger.put_blob(tmp_path / name)

    def verdict(n_rows: int, predictions: dict[str, Any], **signature: object) -> Verdict:
        pins = tuple(
            PartitionPin(
                night=night,
                rows=n_rows,
                digest=blob(f"{night}", {"x": np.arange(n_rows) + 0.5, "y": [number] * n_rows}),
            )
            for number, night in enumerate(NIGHTS)
        )
        golden = ledger.write(Golden(**STAMP, name="v1", partitions=pins))
        (tmp_path / "signature").write_text(json.dumps({"features": ["x"], "target": "y"} | signature))
        manifest = ledger.write(
            Manifest(
                **STAMP,
                night=NIGHTS[1],
                fingerprint="sha256:0123456789abcdef",
                trigger=None,
                snapshot=pins,
                recent=(),
                golden=golden.ref,
                code=Artefact(files={}),
                entrypoint="train:train",
                features=("x",),
                target="y",
                seed=0,
                runner="process",
                environment={},
                started_at=STAMP["recorded_at"],
                finished_at=STAMP["recorded_at"],
                metrics={},
                artefact=Artefact(files={"signature.json": ledger.put_blob(tmp_path / "signature")}),
            )
        )
        row_id = [f"{night}:{row}" for night in NIGHTS for row in range(n_rows)]
        return ledger.write(
            Verdict(
                **STAMP,
                decision=Decision.PROMOTE,
                manifest=manifest.ref,
                champion=None,
                artefact_digest=manifest.artefact.digest,
                rules_digest="sha256:r",
                golden=golden.ref,
                recent=(),
                rules=(),
                reasons=(),
                predictions_digest=blob(
                    "judged", {"row_id": row_id[: len(next(iter(predictions.values())))], **predictions}
                ),
            )
        )

    return verdict


def test_a_number_is_expected_of_a_regression(ledger: Ledger, judge: Judge) -> None:
    rows, expected = golden_answers(ledger, judge(2, {"y_pred": [1.0, 2.0, 3.0, 4.0]}, task="regression"))
    assert rows == [{"x": 0.5}, {"x": 1.5}, {"x": 0.5}, {"x": 1.5}]
    assert expected == [1.0, 2.0, 3.0, 4.0]


def test_the_positive_class_is_expected_of_a_binary_task(ledger: Ledger, judge: Judge) -> None:
    predictions = {"p_0": [0.75, 0.5, 0.25, 0.0], "p_1": [0.25, 0.5, 0.75, 1.0]}
    _, expected = golden_answers(ledger, judge(2, predictions, task="binary", classes=["0", "1"]))
    assert expected == [0.25, 0.5, 0.75, 1.0]


def test_every_class_is_expected_of_more_than_two(ledger: Ledger, judge: Judge) -> None:
    # In the order of the signature, whatever else the file holds and in whatever order.
    predictions = {"p_2": [0.5, 0.5], "p_0": [0.25, 0.0], "p_1": [0.25, 0.5], "p_zone": ["a", "b"]}
    _, expected = golden_answers(ledger, judge(1, predictions, task="multiclass", classes=["0", "1", "2"]))
    assert expected == [(0.25, 0.25, 0.5), (0.0, 0.5, 0.5)]


def test_of_many_rows_some_of_each_night_are_asked(
    ledger: Ledger, judge: Judge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_ROWS_VERIFIED", 10)
    n_rows = 70_001
    numbers = np.arange(2 * n_rows, dtype=np.float64)
    rows, expected = golden_answers(ledger, judge(n_rows, {"y_pred": numbers}, task="regression"))
    assert 10 <= len(rows) <= 12
    # Each still beside its own prediction, across batches and nights.
    assert [row["x"] - 0.5 for row in rows] == [number % n_rows for number in expected]
    assert {int(number) // n_rows for number in expected} == {0, 1}


def test_a_row_that_was_not_judged_is_named(ledger: Ledger, judge: Judge) -> None:
    with pytest.raises(LedgerError, match="1 of 4 have none, such as 2011-03-02:1"):
        golden_answers(ledger, judge(2, {"y_pred": [1.0, 2.0, 3.0]}, task="regression"))
