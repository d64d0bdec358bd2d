from __future__ import annotations

import datetime as dt
import decimal

import numpy as np
import pyarrow as pa
import pytest

from airflow_mlops.errors import DataError
from airflow_mlops.profile import Levels, Numbers, edges_of, profile_table


def numbers_of(table: pa.Table, edges: dict[str, tuple[float, ...]], name: str = "x") -> Numbers:
    column = profile_table(table, edges).columns[name]
    assert isinstance(column, Numbers)
    return column


def test_bins_of_the_reference_are_equally_full_and_nothing_lies_outside() -> None:
    table = pa.table({"x": np.random.default_rng(0).lognormal(size=3200)})
    counts = numbers_of(table, edges_of(table, bins=32)).counts
    assert len(counts) == 34
    assert counts[0] == 0
    assert counts[-1] == 1  # the largest value is the last edge
    assert all(98 <= count <= 102 for count in counts[1:-1])


def test_values_beyond_the_reference_fall_into_the_open_bins() -> None:
    column = numbers_of(pa.table({"x": [-9.0, 0.5, 2.0, 9.0]}), {"x": (0.0, 1.0, 3.0)})
    assert column.counts == (1, 1, 1, 1)
    assert column.sums == (-9.0, 0.5, 2.0, 9.0)
    assert (column.low, column.high) == (-9.0, 9.0)


def test_few_distinct_values_have_an_edge_each() -> None:
    table = pa.table({"x": [3, 1, 1, 2] * 50})
    assert edges_of(table) == {"x": (1.0, 2.0, 3.0)}
    assert numbers_of(table, edges_of(table)).counts == (0, 100, 50, 50)


@pytest.mark.parametrize(
    ("values", "present"),
    [
        (pa.array([float("nan"), float("inf"), -float("inf"), 1.0, None]), 1),
        (pa.array([1e308, -1e200, 1.0]), 1),
        (pa.array(["1", "2", None]), 0),
        (pa.array([None, None], pa.null()), 0),
        (pa.array([], pa.float64()), 0),
        (pa.array([True, False, None]), 2),
        (pa.array([decimal.Decimal("0.5"), decimal.Decimal("1.5")]), 2),
        (pa.array([2**63 - 1, -(2**62)]), 2),
    ],
)
def test_whatever_is_no_finite_number_is_null(values: pa.Array, present: int) -> None:
    column = numbers_of(pa.table({"x": values}), {"x": (0.0, 1.0)})
    assert (column.present, column.rows) == (present, len(values))
    assert np.isfinite(column.deviation)


def test_times_are_seconds_whatever_their_resolution() -> None:
    noon = dt.datetime(2011, 1, 1, 12)
    for unit in ("s", "ms", "us", "ns"):
        table = pa.table({"x": pa.array([noon], pa.timestamp(unit))})
        assert edges_of(table) == {"x": (noon.replace(tzinfo=dt.UTC).timestamp(),)}
    assert edges_of(pa.table({"x": pa.array([noon.date()])})) == {"x": (1293840000.0,)}
    aware = pa.table({"x": pa.array([noon], pa.timestamp("us", "Europe/Berlin"))})
    assert numbers_of(aware, {"x": (0.0,)}).mean == noon.replace(tzinfo=dt.UTC).timestamp()


def test_text_is_counted_by_level() -> None:
    values = pa.array(["A", "B", "A", None]).dictionary_encode()
    for column in (values, values.cast(pa.string()), values.cast(pa.string()).cast(pa.large_string())):
        table = pa.table({"city": column})
        assert edges_of(table) == {"city": ()}
        assert profile_table(table, {"city": ()}).columns["city"] == Levels(counts={"A": 2, "B": 1}, nulls=1)


def test_a_column_that_is_lacking_is_left_out() -> None:
    assert profile_table(pa.table({"y": [1]}), {"x": (0.0,)}).columns == {}


def test_a_column_of_nulls_has_no_edges() -> None:
    table = pa.table({"x": pa.array([None, float("nan")], pa.float64())})
    assert edges_of(table) == {"x": ()}
    assert profile_table(table, {"x": ()}).rows == 2


@pytest.mark.parametrize(
    ("table", "columns", "message"),
    [
        (pa.table({"x": pa.array([], pa.float64())}), None, "reference with rows, got 0"),
        (pa.table({"x": [1.0]}), ["temp"], "the column 'temp', it has x"),
        (pa.table([pa.array([1]), pa.array([2])], names=["x", "x"]), None, "one column 'x', got 2"),
        (pa.table({"x": [[1, 2]]}), None, "expected numbers, times or text, got list"),
    ],
)
def test_a_reference_that_cannot_be_counted_says_why(table: pa.Table, columns: list[str] | None, message: str) -> None:
    with pytest.raises(DataError, match=message):
        edges_of(table, columns)
