"""Whatever is handed over: an error that names it or an answer, in bounded memory, and nothing is written."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_mlops.errors import ConfigError, DataError
from airflow_mlops.profile import Levels, Numbers, Profile, edges_of, profile
from airflow_mlops.store import StoreOptions

BUCKET = "chain"
ROWS = 2000


def night(**changed: Any) -> pa.Table:
    rng = np.random.default_rng(0)
    columns = {"temp": rng.normal(size=ROWS), "hr": rng.integers(0, 24, ROWS), "city": rng.choice(["A", "B"], ROWS)}
    return pa.table(columns | changed)


def compared(folder: Path) -> Profile:
    """The current table of a folder in the edges of its reference, as a night is."""
    return profile(folder / "current.parquet", edges=edges_of(folder / "reference.parquet"))


def put(name: str, change: Callable[[], pa.Table]) -> Callable[[Path], None]:
    return lambda folder: pq.write_table(change(), folder / f"{name}.parquet")


def tear(name: str, share: float) -> Callable[[Path], None]:
    def torn(folder: Path) -> None:
        path = folder / f"{name}.parquet"
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])

    return torn


def twice() -> pa.Table:
    return pa.table([np.zeros(3), np.ones(3)], names=["temp", "temp"])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("reference", "current"):
        pq.write_table(night(), tmp_path / f"{name}.parquet")
    return tmp_path


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        pytest.param(put("reference", lambda: night()[:0]), DataError, "reference with rows, got 0", id="no rows"),
        pytest.param(
            put("current", lambda: pa.table({"other": [1.0]})),
            DataError,
            "columns of the reference .temp, hr, city., got none of them but other",
            id="other columns",
        ),
        pytest.param(
            put("current", lambda: night(temp=["warm"] * ROWS)),
            DataError,
            "column 'temp': expected numbers as in the reference, got text",
            id="numbers became text",
        ),
        pytest.param(
            put("current", lambda: night(city=np.arange(ROWS))),
            DataError,
            "column 'city': expected text as in the reference, got integer",
            id="text became numbers",
        ),
        pytest.param(
            put("current", lambda: night(temp=[[1.0]] * ROWS)), DataError, "'temp'.*got list", id="numbers became lists"
        ),
        pytest.param(
            put("reference", lambda: night(temp=[[1.0]] * ROWS)), DataError, "'temp'.*got list", id="lists before"
        ),
        pytest.param(put("reference", twice), DataError, "one column 'temp', got 2", id="a name twice before"),
        pytest.param(put("current", twice), DataError, "one column 'temp', got 2", id="a name twice"),
        pytest.param(
            put("reference", lambda: pa.table({f"c{i}": [0.0] for i in range(10_000)})),
            ConfigError,
            "at most 2,000 columns to look at, got 10,000",
            id="10000 columns before",
        ),
        *(
            pytest.param(tear(name, share), DataError, rf"{name}\.parquet.*torn", id=f"{name} torn at {share}")
            for name in ("reference", "current")
            for share in (0.0, 0.5, 0.999)
        ),
        pytest.param(
            lambda folder: (folder / "current.parquet").unlink(), DataError, "there is none", id="no current table"
        ),
    ],
)
def test_an_error_names_what_is_wrong_and_nothing_is_written(
    folder: Path, change: Callable[[Path], None], error: type[Exception], message: str
) -> None:
    change(folder)
    before = files_of(folder)
    with pytest.raises(error, match=message) as raised:
        compared(folder)
    assert len(str(raised.value)) < 800
    assert files_of(folder) == before


def test_what_is_all_null_is_counted_as_such(folder: Path) -> None:
    put("current", lambda: night(temp=pa.nulls(ROWS), city=pa.nulls(ROWS, pa.string())))(folder)
    found = compared(folder).columns
    assert (found["temp"].nulls, found["temp"].present, found["city"].nulls) == (ROWS, 0, ROWS)
    put("reference", lambda: night(temp=pa.nulls(ROWS, pa.float64())))(folder)
    assert compared(folder).columns["temp"].nulls == ROWS


def test_infinities_are_counted_apart_and_spoil_nothing(folder: Path) -> None:
    values = night()["temp"].to_numpy().copy()
    values[:3] = np.inf, -np.inf, np.nan
    put("current", lambda: night(temp=values))(folder)
    column = compared(folder).columns["temp"]
    assert isinstance(column, Numbers)
    assert (column.not_finite, column.present) == (3, ROWS - 3)
    assert (column.mean, column.sd) == pytest.approx((values[3:].mean(), values[3:].std()))
    # As a reference, too: edges are finite.
    put("reference", lambda: night(temp=values))(folder)
    assert np.isfinite(compared(folder).columns["temp"].edges).all()


def test_a_null_among_the_levels_of_a_dictionary_is_a_null() -> None:
    column = pa.DictionaryArray.from_arrays(pa.array([0, 1, 1, None], pa.int32()), pa.array([None, "A"]))
    assert profile(pa.table({"x": column})).columns["x"] == Levels(counts={"A": 2}, nulls=2)


def test_of_ten_thousand_columns_the_known_ones_are_read(folder: Path) -> None:
    put("current", lambda: pa.table({"temp": [0.5], **{f"c{i}": [0.0] for i in range(10_000)}}))(folder)
    found = compared(folder)
    assert set(found.columns) == {"temp"}
    assert len(found.types) == 10_001


def test_an_object_that_is_swapped_between_its_rows_is_refused(
    s3_options: StoreOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import boto3

    from airflow_mlops.profile import tabulate

    client = boto3.client(
        "s3",
        endpoint_url=s3_options.endpoint_url,
        aws_access_key_id=s3_options.access_key_id,
        aws_secret_access_key=s3_options.secret_access_key,
        region_name=s3_options.region,
    )
    key = f"{uuid.uuid4().hex}/night.parquet"
    rng = np.random.default_rng(0)
    # More than what one request brings (4 MiB), so that another one follows the swap.
    for name in ("first", "second"):
        table = pa.table({f"c{i}": rng.normal(size=400_000) for i in range(4)})
        pq.write_table(table, tmp_path / f"{name}.parquet", row_group_size=100_000, use_dictionary=False)
    edges = edges_of(tmp_path / "first.parquet")
    client.upload_file(str(tmp_path / "first.parquet"), BUCKET, key)
    counted, tally = [], tabulate.tally

    def swapped(batch: Any, *args: Any, **options: Any) -> Any:
        if not counted:
            client.upload_file(str(tmp_path / "second.parquet"), BUCKET, key)
        counted.append(batch.num_rows)
        return tally(batch, *args, **options)

    monkeypatch.setattr(tabulate, "tally", swapped)
    before = files_of(tmp_path)
    with pytest.raises(DataError, match=r"night\.parquet to stay as it was while it is read, it was exchanged"):
        profile(f"s3://{BUCKET}/{key}", edges=edges, options=s3_options)
    assert 0 < sum(counted) < 400_000
    assert files_of(tmp_path) == before


# ── memory, measured in a process of its own ─────────────────────────────────────────────────────

_PEAK = """
import resource, sys
from airflow_mlops.profile import profile
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = profile(sys.argv[1])
assert len(found.model_dump_json()) < 200_000
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def peak_mb(path: Path) -> float:
    """What profiling adds to the memory of a process at most."""
    ended = subprocess.run([sys.executable, "-c", _PEAK, path], capture_output=True, text=True, check=False)
    assert not ended.returncode, ended.stderr
    return int(ended.stdout) / 1024


@pytest.mark.slow
@pytest.mark.parametrize("longest", [24, 4000])
def test_millions_of_levels_take_bounded_memory(tmp_path: Path, longest: int) -> None:
    path, rows = tmp_path / "night.parquet", 3_000_000 if longest < 100 else 300_000
    with pq.ParquetWriter(path, pa.schema([("id", pa.string())])) as writer:
        for start in range(0, rows, 100_000):
            ids = [f"{i:x<{longest}}" for i in range(start, start + 100_000)]
            writer.write_table(pa.table({"id": ids}))
    # The ids themselves are 72 MB and 1.2 GB, and a dictionary of them three times that.
    assert peak_mb(path) < 250
