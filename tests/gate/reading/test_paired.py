from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from airflow_mlops.errors import DataError
from airflow_mlops.gate.reading.paired import PairedPredictions, UnusablePredictions, read_paired

ROWS = 6
IDS = [f"2011-03-05/{hour}" for hour in range(ROWS)]
TRUE = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
NAN, INF = float("nan"), float("inf")


def truth(**changed: Any) -> dict[str, Any]:
    return {"row_id": IDS, "y_true": TRUE} | changed


def said(**changed: Any) -> dict[str, Any]:
    return {"row_id": IDS, "y_pred": [value + 0.5 for value in TRUE]} | changed


def own(**changed: Any) -> dict[str, Any]:
    """A model's own file, as the operator reads it: with the truth and the night in it."""
    return truth(night=["2011-03-05"] * ROWS) | said() | changed


def write(path: Path, content: dict[str, Any] | bytes | None) -> Path:
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None and path.suffix == ".csv":
        pyarrow.csv.write_csv(pa.table(content), path)
    elif content is not None:
        pq.write_table(pa.table(content), path)
    else:
        path.unlink(missing_ok=True)
    return path


@pytest.fixture
def read(tmp_path: Path):
    """Read files of these columns: the truth beside the models' files, or ``None`` for the challenger's own."""

    def _read(golden: Any, challenger: Any, champion: Any = "none", *, suffix: str = "parquet", **options: Any):
        # In a folder that looks like a Hive partition, as nights do.
        folder = tmp_path / "night=2011-03-05"
        folder.mkdir(exist_ok=True)
        models = write(folder / f"challenger.{suffix}", challenger)
        return read_paired(
            **{"task": "regression"}
            | options
            | {
                "truth": models if golden is None else write(folder / f"golden.{suffix}", golden),
                "challenger": models,
                "champion": None if champion == "none" else write(folder / f"champion.{suffix}", champion),
            }
        )

    return _read


def shuffled(content: dict[str, list[Any]]) -> dict[str, list[Any]]:
    order = [3, 0, 5, 1, 4, 2]
    return {name: [values[i] for i in order] for name, values in content.items()}


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_both_models_are_laid_beside_the_truth_row_by_row(read, suffix: str) -> None:
    new, standing = said(y_pred=[0.0, 10.0, 20.0, 30.0, 40.0, 50.0]), said(y_pred=[0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    rows = read(truth(), shuffled(new), standing, suffix=suffix, expected_rows=ROWS)
    assert isinstance(rows, PairedPredictions)
    assert rows.champion is not None
    assert (rows.row_id.tolist(), rows.y_true.tolist()) == (IDS, TRUE)
    assert rows.challenger.values.tolist() == [0, 10, 20, 30, 40, 50]
    assert rows.champion.values.tolist() == [0, 1, 2, 3, 4, 5]
    assert rows.knows_champion


def test_the_truth_may_stand_in_the_challengers_own_file(read) -> None:
    rows = read(None, own(), shuffled(own(y_pred=[0, 10, 20, 30, 40, 50])), expected_rows=ROWS)
    assert isinstance(rows, PairedPredictions)
    assert rows.champion is not None
    assert rows.champion.values.tolist() == [0, 10, 20, 30, 40, 50]
    assert rows.columns["night"].tolist() == ["2011-03-05"] * ROWS


def test_a_first_model_has_no_champion(read) -> None:
    rows = read(truth(), said())
    assert isinstance(rows, PairedPredictions)
    assert rows.champion is None
    assert not rows.knows_champion


def test_numbers_and_dates_of_any_kind_are_read(read) -> None:
    rows = read(
        truth(row_id=list(range(ROWS)), night=[dt.date(2011, 3, 5)] * ROWS, y_true=[1, 2, 3, 4, 5, 6]),
        {"row_id": [str(row) for row in range(ROWS)], "y_pred": pa.array([1.5] * ROWS, pa.float32())},
        {"row_id": [float(row) for row in range(ROWS)], "y_pred": pa.array([2] * ROWS, pa.decimal128(5, 2))},
    )
    assert isinstance(rows, PairedPredictions)
    assert rows.champion_fault is None
    assert (rows.row_id[0], rows.columns["night"][0]) == ("0", "2011-03-05")


def test_a_row_called_007_keeps_its_name_in_csv(read) -> None:
    ids = [f"00{row}" for row in range(ROWS)]
    rows = read(
        truth(row_id=ids, zone=["01", "01", "02", "02", "", "NA"]), said(row_id=ids), suffix="csv", columns=["zone"]
    )
    assert isinstance(rows, PairedPredictions)
    assert rows.row_id[1] == "001"
    assert rows.columns["zone"].tolist() == ["01", "01", "02", "02", "(missing)", "NA"]


@pytest.mark.parametrize(
    ("values", "levels"),
    [
        ([1, 2, 1, 2, 1, None], ["1", "2", "1", "2", "1", "(missing)"]),
        ([1.0, 2.0, 1.0, 2.5, NAN, None], ["1", "2", "1", "2.5", "(missing)", "(missing)"]),
        ([1e6, 2.0, 1.0, 2.0, NAN, None], ["1000000", "2", "1", "2", "(missing)", "(missing)"]),
        ([True, False, True, False, None, True], ["true", "false", "true", "false", "(missing)", "true"]),
        (pa.array(["a", "b", "a", "b", "a", None]).dictionary_encode(), ["a", "b", "a", "b", "a", "(missing)"]),
        (pa.nulls(ROWS), ["(missing)"] * ROWS),
    ],
)
def test_levels_of_a_slice_are_clean_texts(read, values: Any, levels: list[str]) -> None:
    rows = read(truth(zone=values), said(), columns=["zone", "nowhere"])
    assert isinstance(rows, PairedPredictions)
    # One that is missing is left out: the gate says what it was wanted for.
    assert {name: column.tolist() for name, column in rows.columns.items()} == {"zone": levels}


FAULTS = {
    "no row": ({name: pa.array([], pa.string()) for name in said()}, "hold no row"),
    "no id column": ({"y_pred": TRUE}, "lack the column row_id"),
    "no prediction": ({"row_id": IDS}, "lack the column y_pred"),
    "text": (said(y_pred=["much"] * ROWS), "hold string in y_pred, where numbers"),
    "digits in text": (said(y_pred=["1"] * ROWS), "hold string in y_pred, where numbers"),
    "nested": (said(y_pred=[[1.0]] * ROWS), "hold list<.*> in y_pred, where numbers"),
    "nested id": (said(row_id=[[1]] * ROWS), "hold list<.*> in row_id, which is no text"),
    "NaN": (
        said(y_pred=[1.0, NAN, 3.0, 4.0, 5.0, 6.0]),
        "NaN, infinite or beyond 1e75 in y_pred for rows 2011-03-05/1$",
    ),
    "inf": (said(y_pred=[1.0, 2.0, 3.0, 4.0, 5.0, -INF]), "NaN, infinite or beyond 1e75 in y_pred"),
    "all NaN": (said(y_pred=[NAN] * ROWS), "for rows 2011-03-05/0, 2011-03-05/1, 2011-03-05/2 and 3 more"),
    "null": (said(y_pred=[1.0, None, 3.0, 4.0, 5.0, 6.0]), "no value in y_pred for rows 2011-03-05/1"),
    "twice": (said(row_id=[*IDS[:5], IDS[4]]), "name rows twice: 2011-03-05/4"),
    "no id": (said(row_id=[*IDS[:5], None]), "have no row_id in 1 rows"),
    "left out": ({name: values[:-1] for name, values in said().items()}, "leave out the rows 2011-03-05/5"),
    "unknown": (
        {"row_id": [*IDS, "x"], "y_pred": [*TRUE, 1.0]},
        "name rows that are not to be judged: x$",
    ),
    "another truth": (own(y_true=[1.0, 2.0, 3.0, 4.0, 5.0, 6.000001]), "another y_true for rows 2011-03-05/5"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_challenger_that_cannot_be_judged_says_why(read, fault: str) -> None:
    content, says = FAULTS[fault]
    rows = read(truth(), content, said())
    assert isinstance(rows, UnusablePredictions)
    assert re.search(f"the challenger's predictions .*{says}", rows.reason)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_champion_is_not_the_challengers_fault(read, fault: str) -> None:
    content, says = FAULTS[fault]
    rows = read(truth(), said(), content)
    assert isinstance(rows, PairedPredictions)
    assert rows.champion is None
    assert rows.knows_champion
    assert re.search(f"the champion's predictions .*{says}", rows.champion_fault or "")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "cannot be read"),
        (b"not a parquet file at all", "cannot be read"),
        (said(), "lack the column y_true"),
        (truth(row_id=["a"] * ROWS), "name rows twice: a"),
        (truth(y_true=[NAN, *TRUE[1:]]), "NaN, infinite or beyond 1e75 in y_true for rows 2011-03-05/0"),
        (truth(y_true=[None, *TRUE[1:]]), "no value in y_true for rows 2011-03-05/0"),
        ({name: pa.array([], pa.string()) for name in truth()}, "hold no row"),
        (truth(zone=[[1]] * ROWS), "hold list<.*> in zone, which is no text"),
    ],
)
def test_a_truth_that_nobody_can_be_judged_by_is_bad_input(read, content: Any, says: str) -> None:
    with pytest.raises(DataError, match=says):
        read(content, said(), columns=["zone"])


def test_a_truth_that_is_not_there_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the rows of .*golden\.parquet are missing"):
        read_paired(task="regression", truth=tmp_path / "golden.parquet", challenger=tmp_path / "c", champion=None)


def test_a_file_that_is_none_is_bad_input(read, tmp_path: Path) -> None:
    for broken in (b"", b"PAR1 what", None):
        with pytest.raises(DataError, match=r"expected predictions in .*challenger\.parquet"):
            read(truth(), broken)
        with pytest.raises(DataError, match=r"expected predictions in .*champion\.parquet"):
            read(truth(), said(), broken)


def test_a_torn_file_of_the_operators_is_the_models_fault(tmp_path: Path, read) -> None:
    whole = write(tmp_path / "whole.parquet", own()).read_bytes()
    for torn in (whole[: len(whole) // 2], whole[:60] + bytes(80) + whole[140:], whole[4:], whole[:-1], None):
        assert isinstance(read(None, torn), UnusablePredictions)
        rows = read(None, own(), torn)
        assert isinstance(rows, PairedPredictions)
        assert "the champion's predictions" in (rows.champion_fault or "")


@pytest.mark.parametrize(
    "other",
    [
        {name: values[:-1] for name, values in own().items()},
        own(row_id=[f"2011-03-06/{hour}" for hour in range(ROWS)]),
        own(y_true=[1.0, 2.0, 3.0, 4.0, 5.0, 6.000001]),
        own(night=["2011-03-06"] * ROWS),
    ],
)
def test_without_a_truth_beside_them_nobody_knows_which_of_two_files_is_right(read, other: dict[str, Any]) -> None:
    rows = read(None, own(), other)
    assert isinstance(rows, UnusablePredictions)
    assert "the two models were not given the same rows" in rows.reason


def test_another_row_count_than_the_data_hold_is_unusable(read) -> None:
    fewer = {name: values[:-1] for name, values in own().items()}
    assert read(None, fewer, expected_rows=ROWS) == UnusablePredictions(
        "the challenger's predictions hold 5 rows, the data 6"
    )
    with pytest.raises(DataError, match="hold 6 rows, the data 7"):
        read(truth(), said(), expected_rows=ROWS + 1)


def test_a_truth_that_was_written_as_32_bit_floats_is_the_same(read) -> None:
    tenths = [value / 10 for value in TRUE]
    rows = read(truth(y_true=tenths), said(y_true=pa.array(tenths, pa.float32())))
    assert isinstance(rows, PairedPredictions)


def test_one_file_of_predictions_may_hold_two_sets(tmp_path: Path, read) -> None:
    recent = write(tmp_path / "recent.parquet", {"row_id": ["n1", "n2"], "y_true": [1.0, 2.0]})
    both = {"row_id": [*IDS, "n1", "n2"], "y_pred": [*TRUE, 7.0, 8.0]}
    assert isinstance(read(truth(), both), UnusablePredictions)
    assert isinstance(read(truth(), both, both, beside=recent), PairedPredictions)
    stray = {"row_id": [*both["row_id"], "n3"], "y_pred": [*both["y_pred"], 9.0]}
    assert isinstance(read(truth(), stray, beside=recent), UnusablePredictions)
    # A number that counts rows in both sets would give one row the other's prediction.
    write(recent, {"row_id": [IDS[0]], "y_true": [1.0]})
    with pytest.raises(DataError, match="both name 2011-03-05/0"):
        read(truth(), both, beside=recent)


def test_a_column_that_stands_twice_is_no_column(tmp_path: Path, read) -> None:
    table = pa.Table.from_arrays([pa.array(IDS), pa.array(TRUE), pa.array(TRUE)], names=["row_id", "y_pred", "y_pred"])
    pq.write_table(table, tmp_path / "twice.parquet")
    rows = read(truth(), (tmp_path / "twice.parquet").read_bytes())
    assert rows == UnusablePredictions("the challenger's predictions hold the column y_pred twice")
