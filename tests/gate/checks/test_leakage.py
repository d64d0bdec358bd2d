from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_mlops.errors import DataError
from airflow_mlops.gate.checks.leakage import leakage_result, leaked_rows, row_hashes
from airflow_mlops.records import Decision

COLUMNS = ("at", "hr", "temp", "kind", "cnt")


def night(day: int, rows: int = 24, seed: int | None = None) -> pa.Table:
    rng = np.random.default_rng(day if seed is None else seed)
    start = dt.datetime(2011, 3, day, tzinfo=dt.UTC)
    return pa.table(
        {
            "at": pa.array([start + dt.timedelta(minutes=row) for row in range(rows)], pa.timestamp("us", "UTC")),
            "hr": np.arange(rows) % 24,
            "temp": rng.uniform(0, 1, rows),
            "kind": pa.array(rng.choice(["dry", "wet"], rows)),
            "cnt": rng.integers(0, 500, rows),
            "note": pa.array(rng.choice(["x", "y"], rows)),
        }
    )


@pytest.fixture
def written(tmp_path: Path) -> Any:
    def write(**tables: pa.Table) -> list[tuple[str, Path]]:
        for name, table in tables.items():
            pq.write_table(table, tmp_path / f"{name}.parquet")
        return [(name, tmp_path / f"{name}.parquet") for name in tables]

    return write


def one(values: Any, kind: pa.DataType | None = None) -> list[int]:
    return row_hashes(pa.table({"v": pa.array(values, kind)}), ["v"]).tolist()


# ── the number of a row ──────────────────────────────────────────────────────────────────────────

MOMENT = dt.datetime(2011, 3, 5, 7)


@pytest.mark.parametrize(
    ("values", "alike"),
    [
        (([7], pa.int64()), ([7.0], pa.float64())),
        (([7], pa.int8()), ([7], pa.uint64())),
        (([7], pa.int32()), ([Decimal("7.00")], pa.decimal128(6, 2))),
        (([True], pa.bool_()), ([1], pa.int8())),
        (([0.1], pa.float32()), ([0.1], pa.float64())),
        (([0.0], None), ([-0.0], None)),
        (([None], pa.float64()), ([float("nan")], pa.float64())),
        (([None], pa.int64()), ([None], pa.null())),
        (([2**60], pa.int64()), ([float(2**60)], pa.float64())),
        (([MOMENT], pa.timestamp("ns")), ([MOMENT], pa.timestamp("ms"))),
        (([MOMENT], pa.timestamp("us")), ([MOMENT], pa.timestamp("us", "UTC"))),
        (([dt.date(2011, 3, 5)], pa.date32()), ([dt.datetime(2011, 3, 5)], pa.timestamp("us"))),
        ((["wet"], pa.string()), (["wet"], pa.large_string())),
        ((["wet"], pa.string()), (["wet"], pa.dictionary(pa.int8(), pa.string()))),
        (([7], pa.int64()), ([7], pa.dictionary(pa.int8(), pa.int64()))),
    ],
)
def test_the_type_does_not_matter(values: Any, alike: Any) -> None:
    assert one(*values) == one(*alike)


@pytest.mark.parametrize(
    ("values", "other"),
    [([7], [8]), ([0], [None]), ([""], [None]), (["a"], ["b"]), ([1e38], [1e39]), ([[1]], [[2]]), ([MOMENT], [None])],
)
def test_the_value_does(values: Any, other: Any) -> None:
    kind = pa.array([*values, *other]).type
    assert one(values, kind) != one(other, kind)


def test_the_order_of_columns_and_what_stands_in_which_does_matter() -> None:
    table = pa.table({"a": [1, 2], "b": [2, 1]})
    hashes = row_hashes(table, ["a", "b"])
    assert hashes[0] != hashes[1]
    assert (row_hashes(table.select(["b", "a"]), ["a", "b"]) == hashes).all()
    assert (row_hashes(table, ["b", "a"]) == hashes[::-1]).all()


def test_chunks_batches_and_nulls_make_no_difference() -> None:
    table = pa.concat_tables([night(day) for day in (5, 6, 7)])
    whole = row_hashes(table, COLUMNS)
    assert len(set(whole.tolist())) == 72
    assert (row_hashes(table.combine_chunks(), COLUMNS) == whole).all()
    parts = [row_hashes(batch, COLUMNS) for batch in table.to_batches(max_chunksize=7)]
    assert (np.concatenate(parts) == whole).all()
    assert row_hashes(table.slice(0, 0), COLUMNS).shape == (0,)
    nothing = pa.table({"v": pa.array([None, None], pa.string())})
    assert len(set(row_hashes(nothing, ["v"]).tolist())) == 1


def test_a_million_rows_that_differ_by_little_all_differ() -> None:
    n = 1_000_000
    table = pa.table({"a": np.repeat(np.arange(1000), 1000), "b": np.tile(np.arange(1000), 1000)})
    hashes = row_hashes(table, ["a", "b"])
    assert len(np.unique(hashes)) == n
    # Every bit is a coin: 0.5 and five standard errors.
    for bit in range(64):
        share = np.count_nonzero(hashes >> np.uint64(bit) & np.uint64(1)) / n
        assert abs(share - 0.5) < 5 * 0.5 / n**0.5


# ── golden rows in the training nights ───────────────────────────────────────────────────────────


def test_nights_apart_share_nothing(written: Any) -> None:
    found = leaked_rows(written(a=night(5), b=night(11)), written(c=night(6), d=night(7)), COLUMNS)
    assert (found.rows, found.golden_rows, found.training_rows, found.examples) == (0, 48, 48, ())
    assert leakage_result(found).decision is Decision.PROMOTE


def test_rows_in_common_reject_with_their_places(written: Any) -> None:
    golden = night(5)
    # Shuffled in, in other types, with another note, which is no feature.
    stolen = golden.slice(20, 3).set_column(1, "hr", golden["hr"].slice(20, 3).cast(pa.float32()))
    stolen = stolen.set_column(5, "note", pa.array(["z"] * 3))
    mixed = pa.concat_tables([night(6), stolen], promote_options="permissive")
    found = leaked_rows(written(a=night(4), b=golden), written(c=night(7), d=mixed), COLUMNS)
    assert found.rows == 3
    assert found.examples == ("b row 20 = d row 24", "b row 21 = d row 25", "b row 22 = d row 26")
    result = leakage_result(found)
    assert result.decision is Decision.REJECT
    assert result.required
    assert "3 of 48 golden rows among 51 training rows (b row 20 = d row 24;" in result.reason


def test_a_row_twice_in_the_golden_set_counts_twice_and_one_seen_twice_once(written: Any) -> None:
    first = night(5).slice(0, 1)
    twice = pa.concat_tables([first, first])
    assert leaked_rows(written(a=twice), written(b=night(5)), COLUMNS).rows == 2
    assert leaked_rows(written(a=first), written(b=night(5), c=night(5)), COLUMNS).rows == 1


def test_more_rows_than_a_batch_keep_their_numbers(written: Any) -> None:
    long = night(5, rows=70_000)
    found = leaked_rows(written(a=long), written(b=night(6), c=long.slice(69_000, 10)), COLUMNS)
    assert found.rows == 10
    assert found.examples[0] == "a row 69000 = c row 0"
    again = leaked_rows(written(a=long.slice(69_000, 10)), written(b=night(6), c=long), COLUMNS)
    assert again.examples[0] == "a row 0 = c row 69000"


def test_training_nights_are_read_one_after_the_other(tmp_path: Path, written: Any) -> None:
    def fetched() -> Iterator[tuple[str, Path]]:
        for day in (6, 7, 5):
            path = tmp_path / "fetched.parquet"
            pq.write_table(night(day), path)
            yield f"2011-03-{day:02d}", path
            path.unlink()

    assert leaked_rows(written(a=night(5)), fetched(), COLUMNS).rows == 24


def test_nothing_to_compare_holds(written: Any) -> None:
    assert leakage_result(leaked_rows([], written(b=night(5)), COLUMNS)).decision is Decision.HOLD
    assert leakage_result(leaked_rows(written(a=night(5)), [], COLUMNS)).decision is Decision.HOLD
    assert leakage_result(leaked_rows(written(a=night(5, rows=0)), written(b=night(5)), COLUMNS)).rows == 0
    held = leakage_result(None, fault="the night 2011-03-05 is gone")
    assert held.decision is Decision.HOLD
    assert "the night 2011-03-05 is gone" in held.reason


def test_a_file_that_cannot_be_compared_is_named(tmp_path: Path, written: Any) -> None:
    golden = written(a=night(5))
    with pytest.raises(DataError, match=r"c\.parquet: expected the columns at, .*got no column 'temp'"):
        leaked_rows(golden, written(c=night(6).drop_columns("temp")), COLUMNS)
    torn = tmp_path / "torn.parquet"
    torn.write_bytes(golden[0][1].read_bytes()[:-20])
    with pytest.raises(DataError, match=r"torn\.parquet: expected a complete Parquet file"):
        leaked_rows(golden, [("torn", torn)], COLUMNS)
    with pytest.raises(DataError, match="expected a complete Parquet file"):
        leaked_rows([("gone", tmp_path / "gone.parquet")], golden, COLUMNS)
