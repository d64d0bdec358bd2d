from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_mlops.errors import DataError
from airflow_mlops.training.rows import read_rows


def written(path: Path, **columns: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)
    return path


def test_columns_come_in_the_order_asked_for(tmp_path: Path) -> None:
    path = written(tmp_path / "a.parquet", y=[1, 2], b=[3.0, 4.0], a=[True, False], d=[Decimal("0.5"), Decimal("1.5")])
    rows = read_rows(path, ["a", "d", "b"], "y")
    assert rows.features.dtype == np.float32
    assert rows.features.tolist() == [[1.0, 0.5, 3.0], [0.0, 1.5, 4.0]]
    assert rows.target.tolist() == [1.0, 2.0]


def test_folders_on_the_way_add_no_columns(tmp_path: Path) -> None:
    path = written(tmp_path / "x=9" / "night=2011-03-01.parquet", x=[1.0], y=[2.0])
    assert read_rows(path, ["x"], "y").features.tolist() == [[1.0]]


def test_an_empty_night_has_no_rows(tmp_path: Path) -> None:
    path = written(tmp_path / "a.parquet", x=pa.array([], pa.float64()), y=pa.array([], pa.int64()))
    assert read_rows(path, ["x"], "y").features.shape == (0, 1)


@pytest.mark.parametrize("values", [[1.0, None], [1.0, float("nan")], [float("inf"), 1.0], [1e300, 1.0]])
@pytest.mark.parametrize("column", ["x", "y"])
def test_what_nothing_can_be_learned_from_is_counted(tmp_path: Path, column: str, values: list[float | None]) -> None:
    columns = {"x": [1.0, 2.0], "y": [1.0, 2.0]} | {column: values}
    path = written(tmp_path / "a.parquet", **columns)
    rows = read_rows(path, ["x"], "y")
    with pytest.raises(DataError, match=rf"a\.parquet: .*'{column}', 1 of 2"):
        rows.check_finite(path, ["x", "y"])


@pytest.mark.parametrize("values", [["1", "2"], [dt.datetime(2011, 3, 1), dt.datetime(2011, 3, 2)], [[1.0], [2.0]]])
def test_what_is_no_number_is_refused(tmp_path: Path, values: list[object]) -> None:
    with pytest.raises(DataError, match="numbers in column 'x'"):
        read_rows(written(tmp_path / "a.parquet", x=values, y=[1, 2]), ["x"], "y")


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="temp, y are missing"):
        read_rows(written(tmp_path / "a.parquet", x=[1]), ["x", "temp"], "y")


@pytest.mark.parametrize("content", [b"", b"PAR1 torn", None])
def test_a_torn_file_is_a_data_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.parquet"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match="Deliver the night again"):
        read_rows(path, ["x"], "y")
