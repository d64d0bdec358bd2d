"""One table, four engines, one profile."""

from __future__ import annotations

import decimal
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_mlops.errors import DataError, RemoteRejected, RemoteUnavailable
from airflow_mlops.profile import Edges, Levels, Numbers, Profile, edges_of, profile
from airflow_mlops.profile.novelty import MOST_NOVEL

ibis = pytest.importorskip("ibis", reason="ibis is not installed: pip install 'airflow-provider-mlops[sql]'")

pytestmark = [
    # ibis 12.0 asks DuckDB 2.0 in the words of the 1.x.
    pytest.mark.filterwarnings("ignore:fetch_.* is deprecated:DeprecationWarning"),
    # PySpark 4.0 leaves the sockets of its answers, and a process, to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.filterwarnings(
        "ignore:Exception ignored in. <(socket|function Popen):pytest.PytestUnraisableExceptionWarning"
    ),
]

Load = Callable[[pa.Table], Any]
"""Puts a table into a database, and gives it as an expression of a connection that may only read."""


class DuckDB:
    """A file of its own for each table, opened for reading."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.tables = 0

    def load(self, table: pa.Table) -> Any:
        self.tables += 1
        path = self.home / f"{self.tables}.duckdb"
        with duckdb.connect(path) as writer:
            writer.register("loaded", table)
            writer.execute("CREATE TABLE t AS SELECT * FROM loaded")
        return ibis.duckdb.connect(path, read_only=True).table("t")

    def stop(self) -> None:
        pass


class PostgreSQL:
    """A role whose transactions are read-only, and which may make no temporary tables either."""

    def __init__(self, server: Any) -> None:
        self.server = server
        self.writer = self._connected("postgres")
        self.tables = 0
        self.readers: list[Any] = []

    def _connected(self, user: str) -> Any:
        return ibis.postgres.connect(
            host=str(self.server.folder), port=self.server.port, user=user, database="postgres"
        )

    def load(self, table: pa.Table) -> Any:
        self.tables += 1
        name = f"profiled_{self.tables}"
        # Arrow's type null is none of PostgreSQL's.
        kinds = [pa.string() if pa.types.is_null(kind) else kind for kind in table.schema.types]
        typed = table.cast(pa.schema(list(zip(table.column_names, kinds, strict=True))))
        self.writer.create_table(name, schema=ibis.Schema.from_pyarrow(typed.schema))
        with self.writer.con.cursor() as cursor, cursor.copy(f"COPY {name} FROM STDIN") as copy:
            for row in typed.to_pylist():
                copy.write_row(list(row.values()))
        self.readers.append(self._connected("reader"))
        return self.readers[-1].table(name)

    def stop(self) -> None:
        for connection in (self.writer, *self.readers):
            connection.disconnect()


class Spark:
    """Local mode, one thread, over Parquet."""

    def __init__(self, home: Path) -> None:
        pytest.importorskip("pyspark", reason="PySpark is not installed: pip install 'ibis-framework[pyspark]'")
        if shutil.which("java") is None:
            pytest.skip("Java is not installed, which Spark runs on: apt-get install default-jre-headless")
        from pyspark.sql import SparkSession

        self.home = home
        self.session = (
            SparkSession.builder.master("local[1]")
            .config("spark.ui.enabled", "false")
            .config("spark.sql.shuffle.partitions", "1")
            # Interpreted: compiling Java for so many expressions takes longer than counting so few rows.
            .config("spark.sql.codegen.wholeStage", "false")
            .config("spark.sql.codegen.factoryMode", "NO_CODEGEN")
            .config("spark.sql.warehouse.dir", str(home / "warehouse"))
            .config("spark.driver.host", "127.0.0.1")
            .config("spark.driver.bindAddress", "127.0.0.1")
            .getOrCreate()
        )
        self.connection = ibis.pyspark.connect(self.session)
        self.tables = 0

    def load(self, table: pa.Table) -> Any:
        self.tables += 1
        path = self.home / f"{self.tables}.parquet"
        kinds = [pa.string() if pa.types.is_null(kind) else kind for kind in table.schema.types]
        typed = table.cast(pa.schema(list(zip(table.column_names, kinds, strict=True))))
        pq.write_table(typed, path, coerce_timestamps="us")
        return self.connection.read_parquet(path)

    def stop(self) -> None:
        from pyspark import SparkContext

        gateway = self.session.sparkContext._gateway
        self.session.stop()
        gateway.shutdown()
        # Java ends with its standard input; PySpark would leave it running until this process ends.
        gateway.proc.stdin.close()
        gateway.proc.wait(timeout=30)
        SparkContext._gateway = SparkContext._jvm = None


@pytest.fixture(
    scope="module",
    params=[DuckDB, PostgreSQL, pytest.param(Spark, marks=pytest.mark.slow)],
    ids=["duckdb", "postgres", "pyspark"],
)
def load(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Load]:
    home = tmp_path_factory.mktemp("engine")
    engine = request.param(request.getfixturevalue("postgres") if request.param is PostgreSQL else home)
    yield engine.load
    engine.stop()


def same(found: Profile, expected: Profile, *, types: bool = True) -> None:
    """To the last count; sums to what their order does to the last digits."""
    assert found.rows == expected.rows
    assert list(found.columns) == list(expected.columns)
    for name, column in expected.columns.items():
        mine = found.columns[name]
        if isinstance(column, Levels):
            assert mine == column, name
            continue
        assert isinstance(mine, Numbers)
        whole = {"edges", "counts", "low", "high", "nulls", "not_finite"}
        assert mine.model_dump(include=whole) == column.model_dump(include=whole), name
        assert mine.sums == pytest.approx(column.sums, rel=1e-12, abs=1e-280), name
        assert mine.deviation == pytest.approx(column.deviation, rel=1e-9, abs=1e-280), name
    assert found.span == expected.span
    assert found.gram is not None
    assert expected.gram is not None
    whole = {"columns", "rows", "centres", "absent"}
    assert found.gram.model_dump(include=whole) == expected.gram.model_dump(include=whole)
    assert found.gram.sums == pytest.approx(expected.gram.sums, rel=1e-9, abs=1e-6)
    assert found.gram.products == pytest.approx(expected.gram.products, rel=1e-9, abs=1e-6)
    if types:
        assert found.types == expected.types


def night(rows: int = 3000, seed: int = 0) -> pa.Table:
    """Numbers, times and text of every kind, most of them with something missing."""
    rng = np.random.default_rng(seed)
    gone = rng.random((6, rows)) < 0.1
    noon = np.datetime64("2011-03-05T12:00", "us")
    seconds = rng.normal(scale=1e9, size=rows) * 1e6
    odd = rng.normal(size=rows)
    odd[rng.random(rows) < 0.2] = np.nan
    odd[:8] = (np.inf, -np.inf, 1e200, -1e150, 9e149, 1e-200, -1e-320, 0.0)
    cities = np.array(["Aachen", "Bonn", "O'Hare", 'the "Hague"', r"C:\Temp\n", "100 %", "Zürich", "東京", "", "a\tb"])
    return pa.table(
        {
            "temp": pa.array(rng.normal(20, 5, size=rows).round(1), mask=gone[0]),
            "odd": pa.array(odd, mask=gone[1]),
            "single": pa.array(rng.normal(size=rows).astype(np.float32)),
            "hr": rng.integers(0, 24, size=rows).astype(np.int16),
            "id": rng.integers(2**53, 2**62, size=rows),
            "wet": pa.array(rng.random(rows) < 0.5, mask=gone[2]),
            "price": pa.array(
                [decimal.Decimal(int(cents)) / 1000 for cents in rng.integers(-(10**6), 10**6, size=rows)]
            ).cast(pa.decimal128(12, 3)),
            "at": pa.array(noon + seconds.astype("timedelta64[us]"), mask=gone[3]),
            "zoned": pa.array(noon + seconds.astype("timedelta64[us]")).cast(pa.timestamp("us", "UTC")),
            "day": pa.array((noon + seconds.astype("timedelta64[us]")).astype("datetime64[D]"), mask=gone[4]),
            "level": 0.1 + np.zeros(rows),
            "city": pa.array(rng.choice(cities, size=rows), mask=gone[5]),
            "user": [f"user {i}" for i in rng.integers(0, 2000, size=rows)],
            "essay": [("x" if i % 3 else "ß") * 119 + str(i % 7) + "tail" * (i % 5) for i in range(rows)],
        }
    )


NIGHT = night()
EDGES = edges_of(night(seed=1)) | {"city": ("Aachen", "Bonn", r"C:\Temp\n", "O'Hare", 'the "Hague"', "東京", "gone")}


def test_whichever_engine_counts_the_profile_is_the_same(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_mlops.profile.sql.answers._ROWS", 500)
    found = profile(load(NIGHT), edges=EDGES, time_column="at")
    same(found, profile(NIGHT, edges=EDGES, time_column="at"))
    city, user = found.columns["city"], found.columns["user"]
    assert isinstance(city, Levels)
    assert isinstance(user, Levels)
    assert city.counts[r"C:\Temp\n"] > 0 < city.counts["O'Hare"]
    assert city.novel.keys() == {"100 %", "Zürich", "", "a\tb"}
    assert (len(user.novel), user.other > MOST_NOVEL) == (MOST_NOVEL, True)


def test_a_small_table_places_the_same_edges(load: Load) -> None:
    assert edges_of(load(NIGHT)) == edges_of(NIGHT)


def test_of_a_long_table_a_sample_comes_over(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_mlops.profile.sql._SAMPLED_CELLS", 2 * 1000)
    values = np.random.default_rng(0).permutation(10_000).astype(float)
    edges = edges_of(load(pa.table({"x": values, "y": values})))["x"]
    assert np.asarray(edges) / 10_000 == pytest.approx(np.linspace(0, 1, 33), abs=0.08)
    assert edges != edges_of(pa.table({"x": values, "y": values}))["x"]


def test_what_is_computed_in_the_database_is_a_table_too(load: Load) -> None:
    table = load(NIGHT)
    warm = table.filter(table.temp > 20).select("city", "temp", double=table.temp * 2)
    mask = pa.compute.greater(NIGHT["temp"], 20)
    expected = NIGHT.filter(mask).select(["city", "temp"])
    expected = expected.append_column("double", pa.compute.multiply(expected["temp"], 2))
    edges: Edges = {"temp": EDGES["temp"], "double": (40.0, 50.0), "city": EDGES["city"]}
    same(profile(warm, edges=edges), profile(expected, edges=edges))


@pytest.mark.parametrize(
    "edges", [{"temp": EDGES["temp"]}, {"city": EDGES["city"]}, {"temp": EDGES["temp"], "city": ()}]
)
def test_numbers_alone_and_text_alone(load: Load, edges: Edges) -> None:
    same(profile(load(NIGHT), edges=edges), profile(NIGHT, edges=edges))


def test_a_table_without_rows(load: Load) -> None:
    table = load(NIGHT[:0])
    same(profile(table, edges=EDGES, time_column="at"), profile(NIGHT[:0], edges=EDGES, time_column="at"))
    with pytest.raises(DataError, match="reference with rows, got 0"):
        edges_of(table)


def test_columns_of_nulls(load: Load) -> None:
    table = pa.table({"x": pa.nulls(3, pa.float64()), "y": [0.5, None, 2.0], "city": pa.nulls(3, pa.string())})
    edges: Edges = {"x": (0.0,), "y": (0.0, 1.0), "city": ("A",)}
    same(profile(load(table), edges=edges), profile(table, edges=edges))


def test_wide_tables_take_more_than_one_statement(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_mlops.profile.sql.tally._MOST_COLUMNS", 5)
    monkeypatch.setattr("airflow_mlops.profile.sql.statements._MOST_SUMS", 20)
    rng = np.random.default_rng(0)
    table = pa.table({f"c{i}": pa.array(rng.normal(size=200), mask=rng.random(200) < 0.1 * (i % 3)) for i in range(12)})
    edges = edges_of(table)
    same(profile(load(table), edges=edges), profile(table, edges=edges))


def test_edges_are_met_exactly(load: Load) -> None:
    """The numbers right below, at and right above edges that no decimal number with few digits is."""
    edges = np.unique(np.random.default_rng(0).normal(size=20) * 10.0 ** np.arange(-10, 10))
    values = np.concatenate([edges, np.nextafter(edges, -np.inf), np.nextafter(edges, np.inf)])
    table = pa.table({"x": values})
    known: Edges = {"x": tuple(edges.tolist())}
    same(profile(load(table), edges=known), profile(table, edges=known))


def test_a_deviation_far_from_zero_keeps_its_digits(load: Load) -> None:
    values = 1e9 + np.random.default_rng(0).normal(scale=1e-3, size=2000)
    table = pa.table({"x": values})
    found = profile(load(table), edges={"x": (0.0, 1e9, 2e9)}).columns["x"]
    assert isinstance(found, Numbers)
    assert found.sd == pytest.approx(values.std(), rel=1e-3)


@pytest.mark.parametrize(
    ("column", "edges", "message"),
    [
        ("city", (0.0,), "expected numbers as in the reference, got text"),
        ("hr", ("A",), "expected text as in the reference, got integer"),
    ],
)
def test_a_table_unlike_its_reference_is_refused(
    load: Load, column: str, edges: tuple[float, ...] | tuple[str, ...], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        profile(load(NIGHT[:10]), edges={column: edges})


def test_a_time_column_has_to_hold_times(load: Load) -> None:
    with pytest.raises(DataError, match="expected times in the column 'city', got text"):
        profile(load(NIGHT[:10]), edges={"hr": (0.0,)}, time_column="city")
    with pytest.raises(DataError, match="the column 'when'"):
        profile(load(NIGHT[:10]), edges={"hr": (0.0,)}, time_column="when")


def test_lists_are_no_features(load: Load) -> None:
    table = load(pa.table({"x": [1.0, 2.0]})).mutate(y=ibis.array([1, 2]))
    with pytest.raises(DataError, match="column 'y': expected numbers, times or text, got array<"):
        edges_of(table)
    assert profile(table, edges={"x": (1.5,)}).columns["x"].rows == 2


def test_rows_that_come_meanwhile_are_found_out(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    import airflow_mlops.profile.sql.tally as counting

    def grown(expression: Any, backend: Any) -> Any:
        return [(row[0] + 1, *row[1:]) if "s0" in expression.columns else row for row in answer(expression, backend)]

    answer = counting.answer
    monkeypatch.setattr(counting, "answer", grown)
    with pytest.raises(DataError, match="stands still while it is counted, got 10 rows and then 11"):
        profile(load(NIGHT[:10]), edges={"temp": (0.0,)})


def test_a_table_that_is_gone_is_no_failure_of_the_network(load: Load) -> None:
    table = load(NIGHT[:10])
    gone = ibis.expr.operations.DatabaseTable(
        name="gone", schema=table.schema(), source=table.get_backend(), namespace=ibis.expr.operations.Namespace()
    ).to_expr()
    with pytest.raises(RemoteRejected, match="gone"):
        profile(gone, edges={"temp": (0.0,)})


def test_a_lost_connection_can_be_tried_again(load: Load) -> None:
    table = load(NIGHT[:10])
    if table.get_backend().name == "pyspark":
        pytest.skip("a session of Spark is this process's own")
    table.get_backend().disconnect()
    with pytest.raises(RemoteUnavailable, match="closed"):
        profile(table, edges={"temp": (0.0,)})
