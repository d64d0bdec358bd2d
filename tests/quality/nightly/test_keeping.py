"""A quarantined night is kept, wherever it lies."""

from __future__ import annotations

import datetime as dt
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from postgres import PASSWORD

from airflow_mlops.ledger import Ledger
from airflow_mlops.project.quality_spec import QualitySpec
from airflow_mlops.project.tables import TableSpec
from airflow_mlops.quality import NightlyChecks, keeping
from airflow_mlops.quality.sources import DatabaseAddress, open_source
from airflow_mlops.records import Quality
from airflow_mlops.store import open_store

NIGHT = dt.date(2026, 3, 2)
MAKE = """
CREATE TABLE rides AS SELECT TIMESTAMP '2026-03-02' + hour * INTERVAL '1 hour' AS at, hour AS cnt,
    CASE WHEN hour % 6 = 0 THEN CAST('NaN' AS double precision) ELSE hour / 50.0 END AS temp, 'Zürich' AS city
FROM (SELECT * FROM {series}) AS hours(hour)
"""


def check(spec: TableSpec, ledger: Ledger, address: DatabaseAddress | None = None) -> Quality:
    def stamp(*rests_on: Any) -> dict[str, Any]:
        return {"recorded_at": dt.datetime.now(dt.UTC), "rests_on": rests_on}

    return NightlyChecks(spec, open_source(spec, database=address), ledger, stamp).check(NIGHT)


def kept(ledger: Ledger, record: Quality) -> Any:
    assert record.quarantined
    assert record.kept is not None
    return pq.read_table(io.BytesIO(ledger.blob(record.kept)))


@pytest.fixture(params=["duckdb", "postgres"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[DatabaseAddress]:
    """A table of one night in a database; in PostgreSQL one that goes again."""
    if request.param == "duckdb":
        file = tmp_path / "rides.duckdb"
        with duckdb.connect(file) as connection:
            connection.execute(MAKE.format(series="range(24)"))
        yield DatabaseAddress(engine="duckdb", database=str(file))
        return
    server = request.getfixturevalue("postgres")
    with server.connected() as admin:
        admin.execute(MAKE.format(series="generate_series(0, 23)"))
    yield DatabaseAddress(
        engine="postgres", host="127.0.0.1", port=server.port, user="checker", password=PASSWORD, database="postgres"
    )
    with server.connected() as admin:
        admin.execute("DROP TABLE rides")


def test_of_a_database_the_rows_are_kept(address: DatabaseAddress, tmp_path: Path) -> None:
    quality = QualitySpec(contract=None, sensitive=("city",))
    spec = TableSpec(
        name="rides", folder=tmp_path, connection="db", table="rides", time_column="at", target="temp", quality=quality
    )
    ledger = Ledger(open_store(str(tmp_path / "store")))
    record = check(spec, ledger, address)
    assert [one.label for one in record.faults] == ["target:temp"]
    table = kept(ledger, record)
    assert sorted(table["cnt"].to_pylist()) == list(range(24))
    assert table["temp"].null_count == 4
    assert record.sample is not None
    sample = ledger.blob(record.sample).decode()
    assert '"city": "***"' in sample
    assert "Zürich" not in sample
    everything = b"".join(path.read_bytes() for path in (tmp_path / "store").rglob("*.json"))
    assert PASSWORD.encode() not in everything
    assert "Zürich".encode() not in everything


def test_of_a_folder_the_rows_are_kept(nights: Any) -> None:
    nights.write(0, cnt=[None, *range(23)])
    folder = nights.home / "parts" / f"night={NIGHT}"
    folder.mkdir(parents=True)
    for part in range(2):
        (folder / f"part-{part}.parquet").write_bytes(nights.file(0).read_bytes())
    spec = nights.spec.model_copy(update={"path": "parts/night={night}/"})
    record = check(spec, nights.ledger)
    assert kept(nights.ledger, record).num_rows == 48


def test_a_folder_of_one_file_keeps_it(nights: Any) -> None:
    nights.write(0, cnt=[None, *range(23)])
    folder = nights.home / "parts" / f"night={NIGHT}"
    folder.mkdir(parents=True)
    (folder / "part.parquet").write_bytes(nights.file(0).read_bytes())
    record = check(nights.spec.model_copy(update={"path": "parts/night={night}/"}), nights.ledger)
    assert record.kept is not None
    assert nights.ledger.blob(record.kept) == nights.file(0).read_bytes()


def test_what_is_too_large_stays_where_it_lies(nights: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "MOST_BYTES", 100)
    nights.write(0, cnt=[None, *range(23)])
    record = check(nights.spec, nights.ledger)
    assert record.quarantined
    assert record.kept is None
    assert record.notes[-1].startswith("not kept: ")


def test_of_many_rows_the_first_are_kept(
    address: DatabaseAddress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "MOST_ROWS", 10)
    spec = TableSpec(name="rides", folder=tmp_path, connection="db", table="rides", time_column="at", target="temp")
    ledger = Ledger(open_store(str(tmp_path / "store")))
    record = check(spec, ledger, address)
    assert kept(ledger, record).num_rows == 10
    assert record.notes[-1] == "kept: the first 10 of 24 rows"


def test_a_night_in_s3_is_kept_beside_its_records(nights: Any, s3_address: Any) -> None:
    from airflow_mlops.store import open_store

    file = nights.write(0, cnt=[None, *range(23)])
    data = open_store(f"{s3_address.uri}/data", s3_address.options)
    data.put_file(file.name, file)
    ledger = Ledger(open_store(f"{s3_address.uri}/chain", s3_address.options))
    spec = nights.spec.model_copy(update={"path": f"{s3_address.uri}/data/night={{night}}.parquet"})

    def stamp(*rests_on: Any) -> dict[str, Any]:
        return {"recorded_at": dt.datetime.now(dt.UTC), "rests_on": rests_on}

    record = NightlyChecks(spec, open_source(spec, store=data), ledger, stamp).check(NIGHT)
    assert record.kept is not None
    assert ledger.blob(record.kept) == file.read_bytes()
