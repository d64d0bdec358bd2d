from __future__ import annotations

import datetime as dt
import decimal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_mlops.errors import ConfigError, DataError
from airflow_mlops.profile import Levels, Numbers, edges_of, profile, profile_table
from airflow_mlops.profile.counting import grid_of


def numbers_of(table: pa.Table, edges: dict[str, tuple[float, ...]], name: str = "x") -> Numbers:
    column = profile_table(table, edges).columns[name]
    assert isinstance(column, Numbers)
    return column


@pytest.mark.parametrize("shape", ["normal", "lognormal", "pareto"])
def test_bins_of_the_reference_are_equally_full(shape: str) -> None:
    rng = np.random.default_rng(0)
    values = {"normal": rng.normal(size=3200), "lognormal": rng.lognormal(size=3200), "pareto": rng.pareto(0.3, 3200)}
    table = pa.table({"x": values[shape]})
    edges = edges_of(table, bins=32)
    counts = numbers_of(table, edges).counts
    assert len(counts) == 34
    assert counts[0] == 0
    assert counts[-1] <= 25
    assert all(75 <= count <= 125 for count in counts[1:-1])
    # What a person reads in the report is short, and counting is fast there; of a tail so heavy no grid is found.
    assert (grid_of(edges["x"]) is None) == (shape == "pareto")


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
        (pa.array([None, None], pa.null()), 0),
        (pa.array([], pa.float64()), 0),
        (pa.array([True, False, None]), 2),
        (pa.array([decimal.Decimal("0.5"), decimal.Decimal("1.5")]), 2),
        (pa.array([2**63 - 1, -(2**62)]), 2),
    ],
)
def test_whatever_is_no_finite_number_is_counted_apart(values: pa.Array, present: int) -> None:
    column = numbers_of(pa.table({"x": values}), {"x": (0.0, 1.0)})
    assert (column.present, column.rows, column.nulls) == (present, len(values), values.null_count)
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
    values = pa.array(["B", "A", "A", None]).dictionary_encode()
    for column in (values, values.cast(pa.string()), values.cast(pa.string()).cast(pa.large_string())):
        table = pa.table({"city": column})
        assert edges_of(table) == {"city": ("A", "B")}
        found = profile_table(table, {"city": ("A", "B", "C")})
        assert found.columns["city"] == Levels(counts={"A": 2, "B": 1, "C": 0}, nulls=1)
        assert found.types == {"city": "text"}


def test_only_the_most_frequent_levels_are_known() -> None:
    values = [f"level {i:03d}" for i in range(300) for _ in range(1 + (i >= 100))]
    edges = edges_of(pa.table({"x": values}))["x"]
    assert edges == tuple(f"level {i:03d}" for i in range(100, 300))
    column = profile(pa.table({"x": values})).columns["x"]
    assert isinstance(column, Levels)
    assert (column.other, column.other_levels > 64) == (100, True)


def test_of_many_columns_of_text_fewer_levels_are_known_each() -> None:
    values = [f"level {i:03d}" for i in range(300)]
    assert [len(levels) for levels in edges_of(pa.table({f"c{i}": values for i in range(6)})).values()] == [200] * 6
    assert [len(levels) for levels in edges_of(pa.table({f"c{i}": values for i in range(25)})).values()] == [48] * 25


def test_a_column_that_is_lacking_is_left_out() -> None:
    assert set(profile_table(pa.table({"y": [1]}), {"x": (0.0,), "y": (0.0,)}).columns) == {"y"}


@pytest.mark.parametrize(
    ("table", "edges", "message"),
    [
        (pa.table({"y": [1]}), {"x": (0.0,)}, "got none of them but y"),
        (pa.table({"x": ["1", "2"]}), {"x": (0.0,)}, "expected numbers as in the reference, got text"),
        (pa.table({"x": [1, 2]}), {"x": ("1", "2")}, "expected text as in the reference, got integer"),
        (pa.table({"x": [[1]]}), {"x": (0.0,)}, "got list"),
        (pa.table([pa.array([1]), pa.array([2])], names=["x", "x"]), {"x": (0.0,)}, "one column 'x', got 2"),
    ],
)
def test_a_table_unlike_its_reference_is_refused(
    table: pa.Table, edges: dict[str, tuple[float, ...] | tuple[str, ...]], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        profile(table, edges=edges)


def test_a_column_of_nulls_is_no_change_of_type() -> None:
    table = pa.table({"x": pa.nulls(3), "city": pa.nulls(3)})
    found = profile(table, edges={"x": (0.0,), "city": ("A",)})
    assert (found.columns["x"].nulls, found.columns["city"].nulls) == (3, 3)
    assert found.types == {"x": "null", "city": "null"}


def test_no_rows_are_an_empty_profile() -> None:
    found = profile(pa.table({"x": pa.array([], pa.float64())}), edges={"x": (0.0,)})
    assert (found.rows, found.columns["x"].present, found.span) == (0, 0, None)


def test_ten_thousand_columns_are_too_many_to_look_at() -> None:
    table = pa.table({f"c{i}": [0.0] for i in range(10_000)})
    with pytest.raises(ConfigError, match="at most 2,000 columns"):
        profile(table)
    assert set(profile(table, columns=["c7"]).columns) == {"c7"}


def test_two_thousand_columns_are_not() -> None:
    rng = np.random.default_rng(0)
    table = pa.table({f"c{i}": rng.normal(size=40) for i in range(2000)})
    assert len(profile(table).columns) == 2000


def test_the_same_table_gives_the_same_profile_to_the_last_bit() -> None:
    rng = np.random.default_rng(0)
    table = pa.table({f"c{i}": rng.normal(size=300_000) for i in range(5)})
    edges = edges_of(table)
    assert len({profile(table, edges=edges).model_dump_json() for _ in range(4)}) == 1


def test_the_sample_of_a_long_reference_lies_close_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_mlops.profile.bins._SAMPLED_CELLS", 20_000)
    values = np.sort(np.random.default_rng(0).normal(size=200_000))
    table = pa.table({"x": values})
    edges = edges_of(table)["x"]
    assert edges == edges_of(table)["x"]
    assert edges != edges_of(table, seed=1)["x"]
    assert np.searchsorted(values, edges) / 200_000 == pytest.approx(np.linspace(0, 1, 33), abs=0.02)


def test_the_gram_matrix_of_a_long_table_takes_every_so_manieth_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_mlops.profile.tabulate._CORRELATED_ROWS", 65_536)
    table = pa.table({"x": np.random.default_rng(0).normal(size=300_000)})
    gram = profile(table, edges={"x": (0.0,)}).gram
    assert gram is not None
    assert 65_536 <= gram.rows <= 131_072


@pytest.mark.parametrize(
    "times",
    [
        pa.array([dt.datetime(2011, 3, 5, 14), None, dt.datetime(2011, 3, 6)], pa.timestamp("ms")),
        pa.array([dt.datetime(2011, 3, 5, 14), None, dt.datetime(2011, 3, 6)], pa.timestamp("ns", "UTC")),
        pa.array(["2011-03-05 14:00", None, "2011-03-06 00:00:00"]),
    ],
)
def test_the_span_is_that_of_the_time_column(times: pa.Array) -> None:
    found = profile(pa.table({"x": [1, 2, 3], "at": times}), edges={"x": (0.0,)}, time_column="at")
    assert found.span == (dt.datetime(2011, 3, 5, 14, tzinfo=dt.UTC), dt.datetime(2011, 3, 6, tzinfo=dt.UTC))
    assert set(found.columns) == {"x"}


def test_a_time_column_has_to_hold_times() -> None:
    for values in (["soon"], [True]):
        with pytest.raises(DataError, match="expected times in the column 'at'"):
            profile(pa.table({"x": [1], "at": values}), edges={"x": (0.0,)}, time_column="at")
    with pytest.raises(DataError, match="the column 'when'"):
        profile(pa.table({"x": [1]}), edges={"x": (0.0,)}, time_column="when")


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


def test_pandas_is_not_imported_for_it(tmp_path: Path) -> None:
    x = pa.array(np.arange(9.0), mask=np.arange(9) % 2 == 0)
    table = pa.table({"x": x, "hr": np.arange(9), "wet": x.cast(pa.bool_()), "city": list("abcdefghi")})
    pq.write_table(table, tmp_path / "night.parquet")
    code = (
        "import sys; from airflow_mlops.profile import profile; profile(sys.argv[1]); sys.exit('pandas' in sys.modules)"
    )
    command = [sys.executable, "-c", code, tmp_path / "night.parquet"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert not ended.returncode, ended.stderr
