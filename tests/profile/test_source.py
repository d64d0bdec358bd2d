from __future__ import annotations

import gzip
import shutil
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from airflow_mlops.errors import ConfigError, DataError, RemoteRejected
from airflow_mlops.profile import Edges, Numbers, Profile, edges_of, profile
from airflow_mlops.profile.source import Stream, remembered
from airflow_mlops.store import StoreOptions

BUCKET = "chain"


def table(rows: int = 5000, seed: int = 0) -> pa.Table:
    rng = np.random.default_rng(seed)
    return pa.table(
        {
            "temp": pa.array(rng.normal(size=rows), mask=rng.random(rows) < 0.1),
            "hr": rng.integers(0, 24, size=rows),
            "wet": rng.random(rows) < 0.5,
            "city": pa.array(rng.choice(["Aachen", "Bonn", "Celle"], size=rows), mask=rng.random(rows) < 0.05),
        }
    )


TABLE = table()
EDGES = edges_of(TABLE)


def expected(edges: Edges = EDGES) -> Profile:
    return profile(TABLE, edges=edges)


def same_counts(found: Profile, other: Profile) -> None:
    assert found.rows == other.rows
    for name, column in other.columns.items():
        mine = found.columns[name]
        if isinstance(column, Numbers):
            assert isinstance(mine, Numbers)
            assert (mine.counts, mine.nulls, mine.not_finite) == (column.counts, column.nulls, column.not_finite)
            assert mine.sums == pytest.approx(column.sums, rel=1e-9)
            assert (mine.low, mine.high) == pytest.approx((column.low, column.high))
        else:
            assert mine == column


def written(path: Path, part: pa.Table = TABLE, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(part, path, **options)
    elif path.suffix == ".gz":
        plain = path.with_suffix("")
        pyarrow.csv.write_csv(part, plain)
        path.write_bytes(gzip.compress(plain.read_bytes()))
        plain.unlink()
    else:
        delimiter = "\t" if path.suffix == ".tsv" else ","
        pyarrow.csv.write_csv(part, path, pyarrow.csv.WriteOptions(delimiter=delimiter))
    return path


@pytest.mark.parametrize("name", ["night.parquet", "night.csv", "night.tsv", "night.csv.gz"])
def test_a_file_gives_the_profile_of_its_table(tmp_path: Path, name: str) -> None:
    same_counts(profile(written(tmp_path / name), edges=EDGES), expected())
    same_counts(profile(str(tmp_path / name), edges=EDGES), expected())


@pytest.mark.parametrize("options", [{"row_group_size": 333}, {"use_dictionary": False}, {"compression": "zstd"}])
def test_however_a_parquet_file_is_laid_out(tmp_path: Path, options: dict[str, Any]) -> None:
    same_counts(profile(written(tmp_path / "night.parquet", **options), edges=EDGES), expected())


def test_a_folder_is_the_table_of_its_files(tmp_path: Path) -> None:
    written(tmp_path / "a.parquet", TABLE[:1000])
    written(tmp_path / "more" / "b.parquet", TABLE[1000:1000])
    written(tmp_path / "more" / "c.parquet", TABLE[1000:])
    (tmp_path / "_SUCCESS").touch()
    (tmp_path / ".unfinished-d.parquet").write_bytes(b"PAR1")
    same_counts(profile(tmp_path, edges=EDGES), expected())
    assert edges_of(tmp_path) == EDGES


@pytest.mark.parametrize("view", [lambda t: t.to_pandas(), lambda t: t.to_reader(700), lambda t: t.to_batches()[0]])
def test_tables_in_memory(view: Any) -> None:
    same_counts(profile(view(TABLE), edges=EDGES), expected())


def test_polars_frames() -> None:
    polars = pytest.importorskip("polars")
    same_counts(profile(polars.from_arrow(TABLE), edges=EDGES), expected())


def test_without_edges_a_table_is_its_own_reference(tmp_path: Path) -> None:
    assert profile(written(tmp_path / "night.parquet")).edges == EDGES
    with pytest.raises(ConfigError, match="can be read again"):
        profile(TABLE.to_reader())


def test_csv_is_read_as_the_reference_says(tmp_path: Path) -> None:
    path = tmp_path / "night.csv"
    path.write_text("zip,age\n01234,41\n99999,\n")
    found = profile(path, edges={"zip": ("01234",), "age": (40.0,)})
    assert found.columns["zip"].present == 2
    assert found.columns["zip"].model_dump()["counts"] == {"01234": 1}
    assert found.columns["age"].nulls == 1


def test_csv_whose_broken_numbers_come_late_is_read(tmp_path: Path) -> None:
    path = tmp_path / "night.csv"
    path.write_text("age\n" + "41\n" * 600_000 + "41.5\n")
    assert profile(path, edges={"age": (40.0,)}).rows == 600_001


@pytest.mark.parametrize("cut", [0.0, 0.3, 0.9, 0.999])
def test_a_torn_parquet_file_is_refused(tmp_path: Path, cut: float) -> None:
    path = written(tmp_path / "night.parquet")
    path.write_bytes(path.read_bytes()[: int(cut * path.stat().st_size)])
    with pytest.raises(DataError, match=r"complete Parquet file at .*night\.parquet.*torn"):
        profile(path, edges=EDGES)


def test_a_torn_page_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "night.parquet", compression="snappy", write_page_checksum=True)
    data = bytearray(path.read_bytes())
    data[1000:1100] = bytes(100)
    path.write_bytes(data)
    with pytest.raises(DataError, match="torn"):
        profile(path, edges=EDGES)


def test_files_of_other_columns_are_refused(tmp_path: Path) -> None:
    written(tmp_path / "a.parquet", TABLE)
    written(tmp_path / "b.parquet", TABLE.drop_columns(["hr"]))
    with pytest.raises(DataError, match=r"b\.parquet: expected the column 'hr' to be integer.*no such column"):
        profile(tmp_path, edges=EDGES)
    written(tmp_path / "b.parquet", TABLE.set_column(1, "hr", TABLE["hr"].cast(pa.string())))
    with pytest.raises(DataError, match=r"'hr' to be integer as in .*a\.parquet, got text"):
        profile(tmp_path, edges=EDGES)


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("none.parquet", None, DataError, "there is none"),
        ("night.xlsx", b"PK", ConfigError, "expected a file named"),
        ("night.csv", b"", DataError, "complete CSV file"),
        ("night.csv", b"a,b\n1,2\n1,2,3\n", DataError, "complete CSV file"),
        ("night.csv", b"a,a\n1,2\n", DataError, "one column 'a', got 2"),
        ("night.csv", b"a\n\xff\xfe\n", DataError, "text"),
    ],
)
def test_what_is_no_table_is_refused(
    tmp_path: Path, name: str, content: bytes | None, error: type[Exception], message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=message):
        profile(tmp_path / name, columns=["a"])


def test_a_folder_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="expected Parquet or CSV files at"):
        profile(tmp_path)


@pytest.mark.parametrize("source", [42, None, {"x": [1]}])
def test_what_holds_no_table_is_refused(source: object) -> None:
    with pytest.raises(ConfigError, match="expected a path"):
        profile(source)


def test_frames_that_arrow_cannot_read_are_refused() -> None:
    with pytest.raises(DataError, match="one column 'x', got 2"):
        profile(pd.DataFrame([[1, 2]], columns=["x", "x"]))
    with pytest.raises(DataError, match="columns of one type each"):
        profile(pd.DataFrame({"x": [1, "a", object()]}))


# ── S3 ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def client(s3_options: StoreOptions) -> Any:
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=s3_options.endpoint_url,
        aws_access_key_id=s3_options.access_key_id,
        aws_secret_access_key=s3_options.secret_access_key,
        region_name=s3_options.region,
    )


@pytest.fixture
def prefix() -> str:
    return uuid.uuid4().hex


def put(client: Any, key: str, part: pa.Table, tmp_path: Path) -> None:
    client.upload_file(str(written(tmp_path / "object" / Path(key).name, part)), BUCKET, key)


def test_objects_are_read_as_files_are(client: Any, s3_options: StoreOptions, prefix: str, tmp_path: Path) -> None:
    put(client, f"{prefix}/a.parquet", TABLE[:2000], tmp_path)
    put(client, f"{prefix}/b.parquet", TABLE[2000:], tmp_path)
    put(client, f"{prefix}/one/night.csv", TABLE, tmp_path)
    one = profile(f"s3://{BUCKET}/{prefix}/one/night.csv", edges=EDGES, options=s3_options)
    same_counts(one, expected())
    client.delete_object(Bucket=BUCKET, Key=f"{prefix}/one/night.csv")
    same_counts(profile(f"s3://{BUCKET}/{prefix}", edges=EDGES, options=s3_options), expected())
    assert edges_of(f"s3://{BUCKET}/{prefix}/", options=s3_options) == EDGES


def test_an_object_that_is_exchanged_while_it_is_read_is_refused(
    client: Any, s3_options: StoreOptions, prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = f"{prefix}/night.parquet"
    put(client, key, TABLE, tmp_path)
    from airflow_mlops.profile import tabulate

    plan = tabulate._plan

    def exchanged(*args: Any) -> Any:
        """The footer was read, the rows were not."""
        put(client, key, table(seed=1), tmp_path)
        return plan(*args)

    monkeypatch.setattr(tabulate, "_plan", exchanged)
    with pytest.raises(DataError, match=r"s3://chain/.*night\.parquet to stay as it was.*exchanged"):
        profile(f"s3://{BUCKET}/{key}", edges=EDGES, options=s3_options)


def test_objects_that_are_not_there_are_named(s3_options: StoreOptions, prefix: str) -> None:
    with pytest.raises(DataError, match="there is none"):
        profile(f"s3://{BUCKET}/{prefix}/night.parquet", edges=EDGES, options=s3_options)
    with pytest.raises(DataError, match="there is none"):
        profile(f"s3://{BUCKET}/{prefix}", edges=EDGES, options=s3_options)
    with pytest.raises(RemoteRejected, match="no-such-bucket"):
        profile("s3://no-such-bucket/nights", edges=EDGES, options=s3_options)


# ── memory ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.slow
def test_memory_does_not_grow_with_the_table(tmp_path: Path) -> None:
    import subprocess
    import sys

    rng = np.random.default_rng(0)
    peaks = []
    for rows in (300_000, 3_000_000):
        path = tmp_path / f"{rows}.parquet"
        with pq.ParquetWriter(path, pa.schema([(f"c{i}", pa.float64()) for i in range(10)])) as writer:
            for _ in range(rows // 300_000):
                writer.write_table(pa.table({f"c{i}": rng.normal(size=300_000) for i in range(10)}))
        code = (
            "import resource, sys\n"
            "from airflow_mlops.profile import profile\n"
            "profile(sys.argv[1])\n"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
        )
        peaks.append(int(subprocess.run([sys.executable, "-c", code, path], capture_output=True, check=True).stdout))
        shutil.rmtree(path, ignore_errors=True)
    # In KiB: the table itself would be 234,375 more.
    assert peaks[1] - peaks[0] < 120_000


@pytest.mark.slow
def test_a_million_levels_are_counted_in_bounded_memory() -> None:
    values = pa.array([f"user-{i}" for i in range(1_000_000)])
    found = profile(pa.table({"x": values}), edges={"x": ("user-7",)}).columns["x"]
    assert found.model_dump()["other"] == 999_999
    assert len(found.to_json() if hasattr(found, "to_json") else found.model_dump_json()) < 5000


@pytest.mark.parametrize(("bytes_kept", "reads"), [(1 << 20, 1), (10, 3)], ids=["it fits", "it does not"])
def test_a_reference_is_read_once_if_it_fits_into_memory(
    monkeypatch: pytest.MonkeyPatch, bytes_kept: int, reads: int
) -> None:
    table = pa.table({"a": range(100), "b": range(100)})
    readings = []

    def batches(names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        readings.append(names)
        yield from table.select(list(names)).to_batches(max_chunksize=30)

    monkeypatch.setattr("airflow_mlops.profile.source._REMEMBERED_BYTES", bytes_kept)
    stream = remembered(Stream(table.schema, 100, batches))
    for names in (["a", "b"], ["b", "a"], ["b"]):
        assert pa.Table.from_batches(stream.batches(names)).equals(table.select(names))
    assert len(readings) == reads


def test_what_was_not_read_to_its_end_is_not_remembered() -> None:
    table = pa.table({"a": range(100)})
    stream = remembered(Stream(table.schema, 100, lambda names: iter(table.select(list(names)).to_batches(30))))
    next(stream.batches(["a"]))
    assert sum(batch.num_rows for batch in stream.batches(["a"])) == 100
