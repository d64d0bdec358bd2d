"""Nights in files: the bytes that are pinned are the bytes that are read, as every check sees them."""

from __future__ import annotations

import datetime as dt
import gzip
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from airflow_mlops.errors import ConfigError, DataError
from airflow_mlops.ledger import digest_of_file
from airflow_mlops.project.tables import TableSpec
from airflow_mlops.quality.night_table import NightSource
from airflow_mlops.quality.sources import open_source, open_table
from airflow_mlops.store import Store
from airflow_mlops.table import pin_of

NIGHT = dt.date(2011, 3, 5)
ROWS = pa.table(
    {
        "at": pa.array([dt.datetime(2011, 3, 5, hour) for hour in range(24)], pa.timestamp("us")),
        "temp": [hour / 50 if hour % 6 else math.nan for hour in range(24)],
        "city": ["Zürich", "東京"] * 12,
    }
)


def spec(folder: Path, path: str, **more: Any) -> TableSpec:
    return TableSpec(name="trips", folder=folder, path=path, **more)


def source(folder: Path, path: str) -> NightSource:
    return open_source(spec(folder, path))


def asked(nights: NightSource, sql: str, night: dt.date = NIGHT) -> list[Any]:
    with nights.open(night) as table:
        found: list[Any] = table.connection.execute(sql).fetchall()
        return found


def write(path: Path, table: pa.Table = ROWS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if ".csv" in path.name:
        with pa.output_stream(path) as sink:  # compressed by the name's ending
            pyarrow.csv.write_csv(table, sink)
    else:
        pq.write_table(table, path)
    return path


@pytest.mark.parametrize(
    ("path", "files"),
    [
        ("data/night={night}.parquet", ["data/night=2011-03-05.parquet"]),
        ("data/{night}.csv", ["data/2011-03-05.csv"]),
        ("data/{night}.csv.gz", ["data/2011-03-05.csv.gz"]),
        ("data/night={night}/", ["data/night=2011-03-05/a.parquet", "data/night=2011-03-05/hour=1/b.parquet"]),
        ("data/{night}/", ["data/2011-03-05/a.csv", "data/2011-03-05/b.csv"]),
        ("data/{night}-part*.parquet", ["data/2011-03-05-part0.parquet", "data/2011-03-05-part1.parquet"]),
    ],
    ids=["parquet", "csv", "csv.gz", "folder", "folder of csv", "pattern"],
)
def test_whatever_the_nights_files_are_the_table_is_the_same(tmp_path: Path, path: str, files: list[str]) -> None:
    step = len(ROWS) // len(files)
    for place, file in enumerate(files):
        write(tmp_path / file, ROWS.slice(place * step, step))
    if path.endswith("/"):
        (tmp_path / files[0]).with_name("_SUCCESS").write_text("")
    nights = source(tmp_path, path)
    assert nights.nights() == [NIGHT]
    pin = nights.pin(NIGHT)
    assert pin is not None
    assert (pin.night, pin.rows) == (NIGHT, 24)
    with nights.open(NIGHT) as table:
        assert table.pin == pin
        assert table.schema.names == ["at", "temp", "city"]
        assert [str(kind) for kind in table.schema.types] == ["timestamp[us]", "double", "string"]
        assert table.arrived is not None
        assert abs(table.arrived - dt.datetime.now(dt.UTC)) < dt.timedelta(hours=1)
        rows = table.connection.execute('SELECT "at", temp, city FROM night').fetchall()
    assert rows == [
        (at, None if math.isnan(temp) else temp, city)
        for at, temp, city in zip(*(ROWS[name].to_pylist() for name in ROWS.column_names), strict=True)
    ]


def test_one_file_is_pinned_as_ever(tmp_path: Path) -> None:
    file = write(tmp_path / "data" / f"{NIGHT}.parquet")
    assert source(tmp_path, "data/{night}.parquet").pin(NIGHT) == pin_of(file, NIGHT)


def test_a_night_that_is_not_there(tmp_path: Path) -> None:
    write(tmp_path / "data" / f"{NIGHT}.parquet")
    nights, other = source(tmp_path, "data/{night}.parquet"), NIGHT + dt.timedelta(days=1)
    assert (nights.pin(other), nights.arrived(other), nights.arrived(NIGHT)) == (None, False, True)
    with (
        pytest.raises(DataError, match=r"night 2011-03-06 at file://.*2011-03-06.parquet, there is no data"),
        nights.open(other),
    ):
        pass


# ── NaN ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("rows", [1000, 300_000])
@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
def test_nan_is_null_whatever_the_file_says_of_its_columns(tmp_path: Path, rows: int, kind: str) -> None:
    """Statistics of Parquet leave NaN out: DuckDB 2.0 takes isnan(x) for false by them."""
    values = np.random.default_rng(0).normal(size=rows).astype(kind)
    values[::10] = math.nan
    values[1::100] = math.inf
    for statistics in (True, False):
        path = tmp_path / f"{statistics}.parquet"
        pq.write_table(pa.table({"x": values}), path, write_statistics=statistics, row_group_size=50_000)
        with open_table(str(path)) as table:
            for condition in ("x IS NULL", "NOT (x = x)", "x IS NULL AND x IS NULL"):
                expected = 0 if "=" in condition else rows // 10
                counted = table.connection.execute(f"SELECT count(*) FROM night WHERE {condition}").fetchall()
                assert counted == [(expected,)], condition
            sql = "SELECT count(x), count(*) FILTER (x IS NULL), count(*) FILTER (isnan(x)), max(x) FROM night"
            assert table.connection.execute(sql).fetchall() == [(rows - rows // 10, rows // 10, 0, math.inf)]
            assert table.connection.execute("SELECT count(*) FROM night WHERE x > 1e9").fetchall() == [(rows // 100,)]
            assert table.rows.x.isnull().sum().to_pyarrow().as_py() == rows // 10
            assert table.rows.x.isnan().sum().to_pyarrow().as_py() == 0


def test_types_that_sql_has_no_name_for(tmp_path: Path) -> None:
    moment = [dt.datetime(2011, 3, 5, 1, 2, 3)]
    table = pa.table(
        {
            "ns": pa.array(moment, pa.timestamp("ns")),
            "zoned": pa.array(moment, pa.timestamp("ns", "UTC")),
            "seconds": pa.array(moment, pa.timestamp("s")),
            "half": pa.array([0.5], pa.float16()),
            "level": pa.array(["a"]).dictionary_encode(),
            "nothing": pa.nulls(1),
            'the "odd" name': [1],
            "select": [True],
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    for place in (str(tmp_path / "t.parquet"), table):
        with open_table(place) as opened:
            kinds = [row[1] for row in opened.connection.execute("DESCRIBE night").fetchall()]
            assert kinds == [
                *("TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "TIMESTAMP", "FLOAT", "VARCHAR", "VARCHAR"),
                *("BIGINT", "BOOLEAN"),
            ]
            assert opened.rows.columns == tuple(table.column_names)
            assert "unknown" not in str(opened.rows.schema())


# ── files that are wrong ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("torn.parquet", None, "torn or of another format"),
        ("empty.parquet", b"", "got an empty file"),
        ("empty.csv", b"", "got an empty file"),
        ("latin.csv", "city,x\nZürich,1\n".encode("latin-1"), r"CSV in UTF-8 .* another encoding.* in line 2.* UTF-8"),
        ("late.csv", b"city,x\n" + b"Bonn,1\n" * 40_000 + b"Z\xfcrich,1\n", r"in UTF-8 .*"),
        ("wide.tsv", "städte\tx\n".encode("utf-16"), "CSV"),
        ("ragged.csv", b"a,b\n1,2\n3,4,5\n", "rows all have the columns of the header"),
        ("cut.csv", b"a,b\n1,2\n3", "rows all have the columns of the header"),
        ("plain.csv.gz", b"a,b\n1,2\n", "GZIP"),
        ("torn.csv.gz", gzip.compress(os.urandom(100_000).hex().encode())[:5000], "GZIP"),
    ],
    ids=["torn", "empty", "empty csv", "latin", "late", "utf16", "ragged", "cut", "no gz", "torn gz"],
)
def test_a_file_that_cannot_be_read_is_pinned_and_not_opened(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    ending = name.partition(".")[2]
    file = tmp_path / "data" / f"{NIGHT}.{ending}"
    file.parent.mkdir()
    file.write_bytes(write(tmp_path / "whole.parquet").read_bytes()[:-100] if content is None else content)
    nights = source(tmp_path, f"data/{{night}}.{ending}")
    pin = nights.pin(NIGHT)
    assert pin is not None
    assert (pin.rows, pin.digest) == (0, digest_of_file(file))
    for _ in range(2):
        with pytest.raises(DataError, match=message), nights.open(NIGHT):
            pass
    assert nights.file(NIGHT, tmp_path) == file


def test_a_page_that_is_torn_shows_when_it_is_read(tmp_path: Path) -> None:
    file = write(tmp_path / "data" / f"{NIGHT}.parquet", pa.table({"x": np.arange(100_000.0)}))
    content = bytearray(file.read_bytes())
    content[1000:60_000] = os.urandom(59_000)
    file.write_bytes(content)
    nights = source(tmp_path, "data/{night}.parquet")
    with pytest.raises(DataError, match="one piece"):
        asked(nights, "SELECT sum(x), max(x) FROM night")


def test_files_of_a_night_have_the_same_columns(tmp_path: Path) -> None:
    write(tmp_path / "data" / str(NIGHT) / "a.parquet")
    write(tmp_path / "data" / str(NIGHT) / "b.parquet", ROWS.rename_columns(["at", "tmp", "city"]))
    with pytest.raises(DataError, match=r"same columns, got tmp .double. in b.parquet alone"):
        asked(source(tmp_path, "data/{night}/"), "SELECT 1")


def test_a_file_that_is_exchanged_is_not_the_one_that_was_pinned(tmp_path: Path) -> None:
    file = write(tmp_path / "data" / f"{NIGHT}.parquet")
    nights = source(tmp_path, "data/{night}.parquet")
    nights.pin(NIGHT)
    write(file, ROWS.slice(1))
    with pytest.raises(DataError, match="stay as it was pinned"):
        asked(nights, "SELECT 1")
    write(file)
    assert asked(nights, "SELECT count(*) FROM night") == [(24,)]
    with pytest.raises(DataError, match="stay as it was pinned"), nights.open(NIGHT):
        write(file, ROWS.slice(1))


def test_a_file_that_is_written_anew_with_the_same_bytes_is_the_same(tmp_path: Path) -> None:
    file = write(tmp_path / "data" / f"{NIGHT}.parquet")
    nights = source(tmp_path, "data/{night}.parquet")
    nights.pin(NIGHT)
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(content)
    assert asked(nights, "SELECT count(*) FROM night") == [(24,)]


def test_the_digest_of_a_folder_hangs_on_names_and_contents(tmp_path: Path) -> None:
    nights, found = source(tmp_path, "data/{night}/"), []
    for name, start in (("a", 0), ("b", 0), ("b", 1)):
        for file in (tmp_path / "data").rglob("*.parquet"):
            file.unlink()
        write(tmp_path / "data" / str(NIGHT) / f"{name}.parquet", ROWS.slice(start, 5))
        pin = nights.pin(NIGHT)
        assert pin is not None
        found.append(pin.digest)
    assert len(set(found)) == 3


def test_a_path_may_look_like_a_pattern(tmp_path: Path) -> None:
    write(tmp_path / "what[1]*?" / f"night={NIGHT}.parquet")
    write(tmp_path / "what1xx" / f"night={NIGHT}.parquet", ROWS.slice(0, 2))
    nights = open_source(spec(tmp_path / "what[1]*?", "./night={night}.parquet"))
    assert asked(nights, "SELECT count(*) FROM night") == [(24,)]


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    write(tmp_path / "data" / f"{NIGHT}.csv")
    nights = source(tmp_path, "data/{night}.csv")
    nights.pin(NIGHT)
    assert list(scratch.iterdir())
    del nights
    assert not list(scratch.iterdir())
    asked(source(tmp_path, "data/{night}.csv"), "SELECT 1")
    with open_table(str(tmp_path / "data" / f"{NIGHT}.csv")):
        pass
    assert not list(scratch.iterdir())


# ── both stores ──────────────────────────────────────────────────────────────────────────────────


def test_a_store_in_a_folder_or_in_s3(store: Store, tmp_path: Path) -> None:
    file, torn = write(tmp_path / "n.csv.gz"), tmp_path / "torn"
    torn.write_bytes(b"PAR1")
    store.put_file(f"night={NIGHT}/a.csv.gz", file)
    store.put_file("night=2011-03-06/a.parquet", torn)
    nights = open_source(spec(tmp_path, f"{store.uri}/night={{night}}/"), store=store)
    assert nights.nights() == [NIGHT, dt.date(2011, 3, 6)]
    pin = nights.pin(NIGHT)
    with nights.open(NIGHT) as table:
        assert table.pin == pin
        assert table.arrived is not None
        assert table.location == f"{store.uri}/night={NIGHT}/"
        assert table.connection.execute("SELECT count(*), count(temp) FROM night").fetchall() == [(24, 20)]
    with pytest.raises(DataError, match="torn or of another format"), nights.open(dt.date(2011, 3, 6)):
        pass
    fetched = nights.file(NIGHT, tmp_path)
    assert fetched is not None
    assert fetched.read_bytes() == file.read_bytes()
    assert store.written_at("nothing") is None


# ── one table ────────────────────────────────────────────────────────────────────────────────────


def test_tables_in_memory_and_files_alone(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"at": ROWS["at"].to_numpy(), "temp": ROWS["temp"].to_numpy(), "city": ROWS["city"].to_pylist()}
    )
    for place in (frame, ROWS, str(write(tmp_path / "t.parquet")), tmp_path / "t.parquet"):
        with open_table(place, time_column="at") as table:
            assert table.night == table.pin.night == NIGHT
            assert table.pin.rows == 24
            counted = table.connection.execute("SELECT count(*), count(temp), count(city) FROM night").fetchall()
            assert counted == [(24, 20, 24)]
    with open_table(ROWS) as table, open_table(pa.concat_tables([ROWS.slice(0, 7), ROWS.slice(7)])) as again:
        assert table.pin.digest == again.pin.digest
    with open_table(ROWS.slice(1)) as table:
        assert table.pin.digest != again.pin.digest
    with open_table(str(write(tmp_path / "night=2012-01-02.parquet"))) as table:
        assert table.night == dt.date(2012, 1, 2)
    with pytest.raises(ConfigError, match="expected a path, or a table of Arrow or pandas, got int"), open_table(7):
        pass
    with pytest.raises(DataError, match="there is none"), open_table(str(tmp_path / "nothing.csv")):
        pass
    with pytest.raises(DataError, match="columns of one type"), open_table(pd.DataFrame({"x": [1, "a", [2]]})):
        pass
