from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from postgres import PASSWORD, PostgreSQL

Run = Callable[..., tuple[int, str, str]]
FIRST = dt.date(2011, 1, 3)


def orders(night: dt.date = FIRST, amount: float | None = 12.5) -> pa.Table:
    noon = dt.datetime.combine(night, dt.time(12))
    return pa.table({"at": pa.array([noon] * 30, pa.timestamp("us")), "amount": pa.array([amount] * 30, pa.float64())})


@pytest.fixture
def contract(tmp_path: Path) -> Path:
    file = tmp_path / "contract.yml"
    file.write_text("dataset: duckdb/night\ncolumns:\n  - name: amount\n    checks:\n      - missing:\n")
    return file


def duckdb_file(folder: Path) -> Path:
    import duckdb

    path = folder / "shop.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.register("two_nights", pa.concat_tables([orders(), orders(FIRST + dt.timedelta(days=1))]))
        connection.execute("CREATE TABLE orders AS SELECT * FROM two_nights")
    return path


def test_a_table_of_a_database(run: Run, tmp_path: Path, contract: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP", f"duckdb:///{duckdb_file(tmp_path)}")
    of_shop = ("orders", "--database-env", "SHOP", "--time-column", "at")
    code, out, err = run("quality", "check", *of_shop, "--contract", contract, "--json")
    assert (code, err) == (0, "")
    assert (json.loads(out)["rows"], json.loads(out)["night"]) == (30, "2011-01-04")
    code, out, _ = run("quality", "suggest", *of_shop)
    assert code == 0
    assert "2 nights, 60 rows" in out


def test_a_first_contract_for_postgresql(
    run: Run, tmp_path: Path, postgres: PostgreSQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    with postgres.connected() as admin:
        admin.execute("DROP SCHEMA IF EXISTS cli CASCADE")
        admin.execute("CREATE SCHEMA cli")
        admin.execute(
            "CREATE TABLE cli.orders AS SELECT n::bigint AS id, "
            "TIMESTAMPTZ '2011-01-03 00:00Z' + n * INTERVAL '7 min' AS at, (n % 9)::numeric(10, 2) AS price, "
            "n / 7.0::float8 AS \"Weight kg\", n % 2 = 0 AS paid, 'd' || n % 3 AS door, "
            "('c' || n % 4)::varchar(9) AS code, DATE '2011-01-03' + n % 5 AS due, md5(n::text)::uuid AS token, "
            "NULL::text AS nothing, NULLIF(n % 10, 3)::smallint AS score FROM generate_series(0, 399) AS n"
        )
    monkeypatch.setenv("SHOP", f"postgresql://checker:{PASSWORD}@127.0.0.1:{postgres.port}/postgres")
    of_shop = ("cli.orders", "--database-env", "SHOP", "--time-column", "at")
    for form, name in (("soda", "first.yml"), ("gx", "first.json")):
        contract = tmp_path / name
        code, _, err = run("quality", "suggest", *of_shop, "--format", form, "--out", contract)
        assert (code, err) == (0, f"{contract}: from 2 nights. Read it before you use it.\n")
        code, out, _ = run("quality", "check", *of_shop, "--contract", contract)
        assert (code, out.splitlines()[-1]) == (0, "passed")
        assert PASSWORD not in out + contract.read_text()
    columns = {column["name"]: column for column in yaml.safe_load((tmp_path / "first.yml").read_text())["columns"]}
    assert {name: column.get("data_type") for name, column in columns.items()} == {
        "id": "bigint", "at": "timestamp with time zone", "price": "numeric", "Weight kg": "double precision",
        "paid": "boolean", "door": "text", "code": "character varying", "due": "date", "token": None,
        "nothing": "text", "score": "smallint",
    }  # fmt: skip
    assert {"invalid": {"valid_values": ["d0", "d1", "d2"]}} in columns["door"]["checks"]
    monkeypatch.setenv("SHOP", f"postgresql://checker:s3%40cret@127.0.0.1:{postgres.port}/postgres?connect_timeout=5")
    code, out, err = run("quality", "check", *of_shop, "--contract", contract)
    assert (code, out) == (2, "")
    assert "cret" not in err


def test_a_table_in_s3(
    run: Run, tmp_path: Path, contract: Path, s3_address: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = s3_address.options
    assert options is not None
    monkeypatch.setenv("AWS_ENDPOINT_URL", str(options.endpoint_url))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", str(options.access_key_id))
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", str(options.secret_access_key))
    monkeypatch.setenv("AWS_DEFAULT_REGION", str(options.region))
    store = s3_address.open()
    for night, amount in ((FIRST, 12.5), (FIRST + dt.timedelta(days=1), None)):
        written = tmp_path / f"{night}.parquet"
        pq.write_table(orders(night, amount), written)
        store.put_file(f"night={night}.parquet", written)
    for table, code in (
        (f"{s3_address.uri}/night={FIRST}.parquet", 0),
        (f"{s3_address.uri}/night={{night}}.parquet", 1),
        (f"{s3_address.uri}/nowhere.parquet", 2),
    ):
        assert run("quality", "check", table, "--contract", contract)[0] == code


@pytest.mark.parametrize(
    ("address", "words"),
    [
        (None, "in the environment variable SHOP, it is not set"),
        ("mysql://ada:s3cret@db/shop", "in SHOP, got something else"),
        ("postgresql://ada:s3cret@db:port/shop", "in SHOP, got something else"),
        ("s3cret", "in SHOP, got something else"),
    ],
    ids=["not set", "another engine", "no port", "no address"],
)
def test_an_address_that_is_none(
    run: Run, contract: Path, monkeypatch: pytest.MonkeyPatch, address: str | None, words: str
) -> None:
    monkeypatch.delenv("SHOP", raising=False)
    if address is not None:
        monkeypatch.setenv("SHOP", address)
    of_shop = ("public.orders", "--database-env", "SHOP", "--time-column", "at")
    code, out, err = run("quality", "check", *of_shop, "--contract", contract)
    assert code == 2
    assert words in err
    assert "s3cret" not in out + err


def test_a_database_that_does_not_answer(run: Run, contract: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP", "postgresql://ada:s3cret@127.0.0.1:1/shop")
    of_shop = ("public.orders", "--database-env", "SHOP", "--time-column", "at")
    code, out, err = run("quality", "check", *of_shop, "--contract", contract)
    assert code == 3
    assert "RemoteUnavailable" in err
    assert "s3cret" not in out + err
