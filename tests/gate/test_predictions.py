from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_mlops.errors import DataError
from airflow_mlops.gate import PairedPredictions, UnusablePredictions, read_paired

ROWS = 6


def columns(**changed: Any) -> dict[str, Any]:
    return {
        "row_id": [f"2011-03-05/{hour}" for hour in range(ROWS)],
        "night": ["2011-03-05"] * ROWS,
        "y_true": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
        "y_pred": [1.5, 2.5, 3.5, 4.5, 5.5, 6.5],
    } | changed


def write(path: Path, content: dict[str, Any] | bytes | None) -> Path:
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        pq.write_table(pa.table(content), path)
    return path


@pytest.fixture
def read(tmp_path: Path):
    def _read(challenger: Any, champion: Any = "none", **options: Any) -> PairedPredictions | UnusablePredictions:
        # In a folder that looks like a Hive partition, as nights do.
        folder = tmp_path / "night=2011-03-05"
        folder.mkdir(exist_ok=True)
        return read_paired(
            write(folder / "challenger.parquet", challenger),
            None if champion == "none" else write(folder / "champion.parquet", champion),
            **options,
        )

    return _read


def test_the_champion_is_laid_beside_the_challenger_row_by_row(read) -> None:
    order = [3, 0, 5, 1, 4, 2]
    shuffled = {name: [values[i] for i in order] for name, values in columns(y_pred=[0, 10, 20, 30, 40, 50]).items()}
    rows = read(columns(), shuffled, expected_rows=ROWS)
    assert isinstance(rows, PairedPredictions)
    assert rows.champion is not None
    assert rows.champion.tolist() == [0, 10, 20, 30, 40, 50]
    assert rows.challenger.tolist() == columns()["y_pred"]
    assert rows.knows_champion


def test_a_first_model_has_no_champion(read) -> None:
    rows = read(columns())
    assert isinstance(rows, PairedPredictions)
    assert rows.champion is None
    assert not rows.knows_champion


def test_numbers_and_dates_of_any_kind_are_read(read) -> None:
    rows = read(
        columns(
            row_id=list(range(ROWS)),
            night=[dt.date(2011, 3, 5)] * ROWS,
            y_true=[1, 2, 3, 4, 5, 6],
            y_pred=pa.array([1.5] * ROWS, pa.float32()),
        )
    )
    assert isinstance(rows, PairedPredictions)
    assert (rows.row_id[0], rows.night[0]) == ("0", "2011-03-05")


FAULTS = {
    "missing": (None, "are missing"),
    "empty file": (b"", "cannot be read"),
    "no parquet": (b"not a parquet file at all", "cannot be read"),
    "no row": ({name: pa.array([], pa.string()) for name in columns()}, "hold no row"),
    "a column lacks": ({name: v for name, v in columns().items() if name != "y_pred"}, "lack the column y_pred"),
    "text": (columns(y_pred=["much"] * ROWS), "cannot be read"),
    "NaN": (columns(y_pred=[1.0, float("nan"), 3.0, 4.0, 5.0, 6.0]), "NaN or infinite in y_pred for rows 2011-03-05/1"),
    "inf": (columns(y_pred=[1.0, 2.0, 3.0, 4.0, 5.0, float("-inf")]), "NaN or infinite in y_pred"),
    "null": (columns(y_pred=[1.0, None, 3.0, 4.0, 5.0, 6.0]), "no value in some rows of y_pred"),
    "no truth": (columns(y_true=[float("nan")] * ROWS), "infinite in y_true .* and 3 more"),
    "twice": (columns(row_id=["a", "b", "c", "d", "e", "e"]), "name rows twice: e"),
    "no id": (columns(row_id=["a", "b", "c", "d", "e", None]), "no value in some rows of row_id"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_challenger_that_cannot_be_judged_says_why(read, fault: str) -> None:
    content, says = FAULTS[fault]
    rows = read(content, columns())
    assert isinstance(rows, UnusablePredictions)

    assert re.search(f"the challenger's predictions .*{says}", rows.reason)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_champion_is_not_the_challengers_fault(read, fault: str) -> None:
    content, says = FAULTS[fault]
    rows = read(columns(), content)
    assert isinstance(rows, PairedPredictions)
    assert rows.champion is None
    assert rows.knows_champion

    assert re.search(f"the champion's predictions .*{says}", rows.champion_fault or "")


def test_a_torn_file_is_unusable(tmp_path: Path, read) -> None:
    whole = write(tmp_path / "whole.parquet", columns()).read_bytes()
    for torn in (whole[: len(whole) // 2], whole[:60] + bytes(80) + whole[140:], whole[4:], whole[:-1]):
        assert isinstance(read(torn), UnusablePredictions)


def test_another_row_count_is_unusable(read) -> None:
    fewer = {name: values[:-1] for name, values in columns().items()}
    assert read(fewer, expected_rows=ROWS) == UnusablePredictions(
        "the challenger's predictions hold 5 rows, the data 6"
    )
    for one, other in ((fewer, columns()), (columns(), fewer)):
        rows = read(one, other)
        assert isinstance(rows, UnusablePredictions)
        assert "the challenger predicted" in rows.reason


def test_rows_that_do_not_match_are_unusable(read) -> None:
    other = read(columns(), columns(row_id=[f"2011-03-06/{hour}" for hour in range(ROWS)]))
    assert isinstance(other, UnusablePredictions)
    assert other.reason == (
        "the challenger predicted rows that the champion did not: 2011-03-05/0, 2011-03-05/1, 2011-03-05/2 and 3 more"
    )
    truth = read(columns(), columns(y_true=[1.0, 2.0, 3.0, 4.0, 5.0, 6.000001]))
    assert isinstance(truth, UnusablePredictions)
    assert truth.reason == "the two models were given another y_true for rows 2011-03-05/5"
    night = read(columns(), columns(night=["2011-03-06"] * ROWS))
    assert isinstance(night, UnusablePredictions)
    assert "another night" in night.reason


def test_columns_of_unlike_length_are_refused() -> None:
    text, three = np.array(["a", "b", "c"]), np.array([1.0, 2.0, 3.0])
    for challenger in (np.array([1.0]), three[:2], three[:, None]):
        with pytest.raises(DataError, match="one value for each row"):
            PairedPredictions(text, text, three, challenger, None)
