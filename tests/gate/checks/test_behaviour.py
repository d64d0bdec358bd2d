from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_mlops.errors import DataError
from airflow_mlops.gate.checks.behaviour import behaviour_results, changed_nights
from airflow_mlops.gate.rows import UnusablePredictions
from airflow_mlops.project.gate_spec import BehaviourSpec
from airflow_mlops.records import Decision

PROMOTE, HOLD, REJECT = Decision.PROMOTE, Decision.HOLD, Decision.REJECT


def spec(**changes: Any) -> BehaviourSpec:
    fields: dict[str, Any] = {"name": "more rain, not more riders", "feature": "rain", "expect": "not_more"}
    changed = changes if {"add", "multiply", "set"} & set(changes) else {"add": 1.0, **changes}
    return BehaviourSpec(**{**fields, **changed})


@pytest.fixture
def nights(tmp_path: Path) -> dict[str, Path]:
    paths = {}
    for day in (5, 6, 10):
        paths[f"2011-03-{day:02d}"] = path = tmp_path / f"night={day}" / "data.parquet"
        path.parent.mkdir()
        pq.write_table(pa.table({"hr": range(24), "rain": np.arange(24.0) % 5, "cnt": range(24)}), path)
    return paths


Model = Callable[[pa.Table], Any]


def predict(files: dict[str, Path], model: Model, out: Path, columns: tuple[str, ...] = ("y_pred",)) -> Path:
    tables = []
    for key, path in files.items():
        with pq.ParquetFile(path) as file:
            table = file.read()
        answers = dict.fromkeys(columns, model(table))
        tables.append(pa.table({"row_id": [f"{key}:{row}" for row in range(table.num_rows)], **answers}))
    # In any order: rows are known by their names.
    pq.write_table(pa.concat_tables(tables[::-1]), out)
    return out


def dry(table: pa.Table) -> Any:
    return 100 + table["hr"].to_numpy() - 3 * table["rain"].to_numpy()


@pytest.mark.parametrize("columns", [("y_pred",), ("p_0", "p_1")])
def test_each_changed_row_is_held_against_its_own(
    nights: dict[str, Path], tmp_path: Path, columns: tuple[str, ...]
) -> None:
    # Only rows with the rain in 0..4 are changed, so the numbers of rows in the changed files are others.
    some = [spec(within=(3.0, 4.0)), spec(name="less", add=-1.0, expect="not_more"), spec(name="none", within=(90, 99))]
    changed = changed_nights(nights, some, tmp_path / "changed")
    before = predict(nights, dry, tmp_path / "before.parquet", columns)
    after = predict(changed, dry, tmp_path / "after.parquet", columns)
    results = behaviour_results(some, changed, before=before, after=after)
    assert [result.decision for result in results] == [PROMOTE, REJECT, HOLD]
    # Rain of 2 and 3 in hours 2, 3, 7, 8, 12, 13, 17, 18, 22, 23 of three nights.
    assert [result.rows for result in results] == [30, 72, 0]
    assert "worst by 3" in results[1].reason


def test_eleven_behaviours_do_not_mix_up(nights: dict[str, Path], tmp_path: Path) -> None:
    some = [spec(name=str(number), add=1.0 + number, expect="same", tolerance=3.5) for number in range(12)]
    changed = changed_nights(nights, some, tmp_path)
    before = predict(nights, dry, tmp_path / "before.parquet")
    after = predict(changed, dry, tmp_path / "after.parquet")
    results = behaviour_results(some, changed, before=before, after=after)
    assert [result.decision for result in results] == [PROMOTE] + [REJECT] * 11
    assert {result.rows for result in results} == {72}


def test_what_was_not_predicted_rejects(nights: dict[str, Path], tmp_path: Path) -> None:
    some = [spec()]
    changed = changed_nights(nights, some, tmp_path / "changed")
    before = predict(nights, dry, tmp_path / "before.parquet")
    after = predict(dict(list(changed.items())[:2]), dry, tmp_path / "after.parquet")
    [torn] = behaviour_results(some, changed, before=before, after=after)
    assert torn.decision is REJECT
    assert "not all of 72 changed rows were predicted" in torn.reason
    [failed] = behaviour_results(some, changed, before=before, after=UnusablePredictions("it ran out of time"))
    assert failed.decision is REJECT
    assert "it ran out of time" in failed.reason
    [nothing] = behaviour_results(some, {}, before=before, after=None)
    assert nothing.decision is HOLD
    [forgotten] = behaviour_results(some, changed, before=before, after=None)
    assert forgotten.decision is REJECT


def test_a_torn_night_is_named(tmp_path: Path) -> None:
    path = tmp_path / "torn.parquet"
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=r"torn\.parquet: expected a complete Parquet file"):
        changed_nights({"2011-03-05": path}, [spec()], tmp_path)
