"""What is counted of a night: the numbers themselves, alike in DuckDB and in PostgreSQL."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from postgres import PASSWORD, PostgreSQL

from airflow_mlops.project.tables import TableSpec
from airflow_mlops.quality.monitors import facts_of
from airflow_mlops.quality.sources import DatabaseAddress, open_source, open_table

NIGHT = dt.date(2026, 3, 1)
START = dt.datetime(2026, 3, 1)


def counted(table: pa.Table, **more: Any) -> dict[str, Any]:
    with open_table(table, night=NIGHT) as opened:
        return facts_of(opened, time_column="at" if "at" in table.column_names else None, **more)


def odd_night() -> pa.Table:
    hours = (-1.0, 0.0, 0.5, 23.5, 24.0, 2.0)
    return pa.table(
        {
            "at": pa.array([START + dt.timedelta(hours=hour) for hour in hours], pa.timestamp("us")),
            "id": [1, 2, 3, 4, 5, 5],
            "level": ["a", "a", " b", "Ü", None, "Ü"],
            "number": [1.5, -2.0, 0.0, float("nan"), None, 4.0],
            "far": [float("inf"), 1.0, 2.0, 3.0, 1e200, 2.0],
            "flag": [True, True, False, None, True, False],
            "text": ["12", "3,5", "", "schÃ¶n", "HELLO", "caf\ufffd"],
            "day": pa.array([NIGHT] * 5 + [NIGHT + dt.timedelta(days=2)], pa.date32()),
        }
    )


EXPECTED: dict[str, dict[str, Any]] = {
    "at": {"kind": "time", "nulls": 0, "distinct": 6, "min": -1.0, "max": 24.0},
    "id": {"kind": "integer", "distinct": 5, "min": 1.0, "max": 5.0, "negative": 0, "zero": 0},
    "level": {"kind": "text", "nulls": 1, "distinct": 3, "padded": 1, "accented": 2, "shortest": 1, "longest": 2}
    | {"levels": {" b": 1, "a": 2, "Ü": 2}},
    "number": {"kind": "number", "nulls": 2, "distinct": 4, "min": -2.0, "max": 4.0, "mean": 0.875}
    | {"negative": 1, "zero": 1, "fraction": 1, "infinite": 0},
    "far": {"nulls": 0, "infinite": 2, "min": 1.0, "max": 3.0, "mean": 2.0},
    "flag": {"kind": "boolean", "nulls": 1, "distinct": 2, "mean": 0.6, "levels": {"false": 2, "true": 3}},
    "text": {"blank": 1, "digits": 2, "upper": 1, "damaged": 2, "accented": 2},
    "day": {"kind": "time", "min": 0.0, "max": 48.0, "distinct": 2},
}


@pytest.mark.parametrize("column", EXPECTED)
def test_facts_of_a_column(column: str) -> None:
    found = counted(odd_night())["columns"][column]
    assert {key: found[key] for key in EXPECTED[column]} == EXPECTED[column]


def test_facts_of_the_table() -> None:
    table = odd_night()
    facts = counted(pa.concat_tables([table, table.slice(0, 2)]))
    assert facts["rows"] == 8
    assert facts["repeats"] == 2
    assert facts["outside"] == 3
    assert sum(facts["hours"]) == 5
    assert (facts["hours"][0], facts["hours"][2], facts["hours"][23]) == (3, 1, 1)


def test_a_night_without_rows_has_facts() -> None:
    facts = counted(odd_night().slice(0, 0))
    assert facts["rows"] == 0
    assert facts["columns"]["number"]["mean"] is None
    assert "levels" not in facts["columns"]["level"]
    json.dumps(facts, allow_nan=False)


def test_postgresql_and_duckdb_count_alike(postgres: PostgreSQL) -> None:
    table = odd_night()
    kinds = ("timestamp", "bigint", "text", "float8", "float8", "boolean", "text", "date")
    columns = ", ".join(f'"{name}" {kind}' for name, kind in zip(table.column_names, kinds, strict=True))
    # In a database the time column says which rows are of the night: only these are compared.
    inside = table.filter(pa.array([False, True, True, True, False, True]))
    with postgres.connected() as writer:
        writer.execute(f"CREATE TABLE facts_of_a_night ({columns})")
        places = ", ".join(["%s"] * len(kinds))
        rows = [tuple(row.values()) for row in inside.to_pylist()]
        writer.cursor().executemany(f"INSERT INTO facts_of_a_night VALUES ({places})", rows)
    address = DatabaseAddress(
        engine="postgres",
        host="127.0.0.1",
        port=postgres.port,
        user="checker",
        password=PASSWORD,
        database="postgres",
    )
    spec = TableSpec.model_validate(
        {
            "name": "facts",
            "folder": postgres.folder,
            "connection": "pg",
            "table": "public.facts_of_a_night",
            "time_column": "at",
        }
    )
    with open_source(spec, database=address).open(NIGHT) as opened:
        found = facts_of(opened, time_column="at")
    assert _untyped(found) == _untyped(counted(inside))


def _untyped(facts: dict[str, Any]) -> dict[str, Any]:
    columns = {name: {k: v for k, v in column.items() if k != "type"} for name, column in facts["columns"].items()}
    return {**facts, "columns": columns}


def test_no_value_of_a_sensitive_column_is_kept() -> None:
    facts = counted(odd_night(), sensitive=("level", "number"))
    assert "levels" not in facts["columns"]["level"]
    assert not {"min", "max", "mean", "sd"} & facts["columns"]["number"].keys()
    assert "number" not in facts["pairs"]["columns"]
    assert facts["columns"]["number"]["nulls"] == 2


def test_a_hundred_columns_are_told_in_less_than_a_hundred_kilobytes() -> None:
    random = np.random.default_rng(1)
    columns: dict[str, Any] = {f"number {place}": random.normal(size=500) for place in range(60)}
    columns |= {
        f"text {place}": random.choice([f"a level of some length {number}" for number in range(24)], 500)
        for place in range(40)
    }
    assert len(json.dumps(counted(pa.table(columns)))) < 100_000


def test_two_thousand_columns_are_counted() -> None:
    facts = counted(pa.table({f"c{place}": [place, 2, 3] for place in range(2000)}))
    assert len(facts["columns"]) == 2000
    assert facts["columns"]["c1999"]["max"] == 1999.0
    assert len(facts["pairs"]["covariances"]) == 190


def test_numbers_that_fit_into_no_bigint_are_counted() -> None:
    found = counted(pa.table({"x": [1e19, 0.5, -1e30], "y": pa.array([10**19] * 3, pa.decimal128(38, 0))}))
    assert (found["columns"]["x"]["fraction"], found["columns"]["x"]["max"]) == (1, 1e19)
    assert found["columns"]["y"]["mean"] == 1e19


def test_a_sensitive_column_is_so_in_any_case() -> None:
    found = counted(pa.table({"Salary": [987654321, 5], "b": [1, 2]}), sensitive=["salary"])
    assert "987654321" not in json.dumps(found)
    assert found["pairs"]["columns"] == ["b"]
