"""Damaged contracts and tables: each ends in a named error or in results, and damage makes nothing pass."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml

from airflow_mlops.errors import ConfigError, MLOpsError
from airflow_mlops.quality import Finding, check_contract, sound_night
from airflow_mlops.quality.sources import open_table
from airflow_mlops.records import CheckOutcome

NIGHT = dt.date(2011, 3, 5)
CONTRACT = """\
dataset: duckdb/night
checks:
  - schema:
  - row_count: {threshold: {must_be_between: {greater_than: 20, less_than: 30}}}
  - duplicate: {columns: [dteday, temp]}
  - freshness: {column: dteday, threshold: {must_be_less_than: 2}}
  - failed_rows: {name: hot and dry, expression: temp > 0.4 AND hum < 0.4}
  - metric: {name: mean, query: SELECT avg(cnt) FROM night, threshold: {must_be_less_than: 100}}
columns:
  - name: dteday
    data_type: timestamp
    checks:
      - duplicate:
  - name: temp
    data_type: double
    valid_min: 0
    valid_max: 1
    checks:
      - missing:
      - invalid:
  - name: hum
    checks:
      - missing: {threshold: {level: warn, metric: percent, must_be_less_than: 10}}
      - aggregate: {function: avg, threshold: {must_be: 0.5}}
  - name: kind
    checks:
      - invalid: {valid_values: [a, b]}
      - invalid: {qualifier: form, valid_format: {name: letter, regex: "^[ab]$"}}
"""
SUITE = {
    "name": "night",
    "expectations": [
        {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "temp"}},
        {"type": "expect_column_values_to_be_between", "kwargs": {"column": "temp", "min_value": 0, "max_value": 1}},
        {"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "kind", "value_set": ["a", "b"]}},
        {"type": "expect_column_values_to_be_unique", "kwargs": {"column": "dteday"}},
        {"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 20, "max_value": 30}},
    ],
}
ODD = [
    *("", "null", "~", "true", "-1", "1e999", ".nan", "[]", "{}", "[[]]", "*a", "&a x", "!!python/object:os.system x"),
    *(
        "'; DROP TABLE night; --",
        '"',
        "'",
        "\\",
        "${env.HOME}",
        "${var.x}",
        "${",
        "%s",
        "{{ ds }}",
        "Ünï😀",
        "\u202e",
        "x" * 5000,
    ),
    *(
        "SELECT 1; SELECT 2",
        "0x10",
        "2011-03-05",
        "? [1]",
        "<<: {a: 1}",
        "0",
        "[1, a]",
        "{a: {b: c}}",
        "1 = 1 OR",
        "night",
    ),
]
NAMES = ["", " ", '"', 'a"b', "select", "Ünï", "x" * 300, "row", "TEMP", "a.b", "a;b", "%", "null", "0"]


def good_table() -> dict[str, Any]:
    return {
        "dteday": pa.array([dt.datetime(2011, 3, 5, hour) for hour in range(24)], pa.timestamp("us")),
        "temp": pa.array([hour / 50 for hour in range(24)]),
        "hum": pa.array([0.5] * 24),
        "kind": pa.array(["a", "b"] * 12),
        "cnt": pa.array(range(24)),
    }


def bad_table() -> pa.Table:
    """Nothing of it holds: missing and invalid values, and each hour twice."""
    twice = pa.array([dt.datetime(2011, 3, 5, hour // 2) for hour in range(24)], pa.timestamp("us"))
    return pa.table(
        good_table() | {"dteday": twice, "temp": [None, float("nan"), 7.0, *[-1.0] * 21], "kind": [None, "c"] * 12}
    )


def pick(rng: np.random.Generator, choices: list[Any]) -> Any:
    return choices[int(rng.integers(len(choices)))]


def damaged_text(rng: np.random.Generator, text: str) -> bytes:
    for _ in range(int(rng.integers(1, 4))):
        lines = text.splitlines() or [""]
        at = int(rng.integers(len(lines)))
        before, colon, _ = lines[at].partition(":")
        key, odd = pick(rng, ["name", "checks", "must_be", "duplicate"]), pick(rng, ODD)
        deep = pick(rng, ["[" * 900, "{a: " * 100, "x " * 2000])
        lines[at : at + 1] = pick(
            rng,
            [
                [f"{before}{colon} {odd}"],
                [lines[at].replace(key, odd[:20])],
                [],
                [lines[at], lines[int(rng.integers(len(lines)))]],
                [pick(rng, ["  ", "\t", ""]) + lines[at].removeprefix("  ")],
                [f"{before}{colon} {deep}"],
                [lines[at], odd],
                [lines[at][::-1]],
            ],
        )
        text = "\n".join(lines[: at + 1] if rng.random() < 0.1 else lines)
    data = bytearray(text.encode("utf-8", "surrogatepass"))
    if data and rng.random() < 0.3:
        for _ in range(int(rng.integers(1, 5))):
            data[int(rng.integers(len(data)))] = int(rng.integers(256))
    return bytes(data)


def damaged_table(rng: np.random.Generator) -> pa.Table:
    columns = good_table()
    for _ in range(int(rng.integers(1, 3))):
        name = pick(rng, list(columns))
        match int(rng.integers(6)):
            case 0:
                columns[pick(rng, NAMES)] = columns.pop(name)
            case 1:
                columns[name] = pick(rng, list(_odd_arrays()))
            case 2:
                del columns[name]
            case 3:
                columns = {key: values[: int(rng.integers(3))] for key, values in columns.items()}
            case 4:
                values = columns[name].to_pylist()
                values[: int(rng.integers(1, 24))] = []
                columns[name] = pa.array([None] * (24 - len(values)) + values, columns[name].type)
            case _:
                columns[pick(rng, NAMES)] = columns[name]
        rows = min((len(values) for values in columns.values()), default=0)
        columns = {key: values[:rows] for key, values in columns.items()}
    table = pa.table(columns)
    twice = rng.random() < 0.1 and table.num_columns
    return table.append_column(table.column_names[0], table.column(0)) if twice else table


def _odd_arrays() -> Iterator[pa.Array]:
    yield pa.nulls(24)
    yield pa.array(["1"] * 24)
    yield pa.array(["é\0" * 10] * 24)
    yield pa.array([b"\xff"] * 24)
    yield pa.array([True] * 24)
    yield pa.array([[1.0]] * 24)
    yield pa.array([{"a": 1}] * 24)
    yield pa.array([math.inf, -math.inf, math.nan] * 8, from_pandas=False)
    yield pa.array([2**63 - 1] * 24)
    yield pa.array([2**62] * 24, pa.int64()).cast(pa.timestamp("us"))
    yield pa.array([dt.timedelta(1)] * 24)
    yield pa.array([dt.time(1)] * 24)
    yield pa.array([NIGHT] * 24)
    yield pa.array(["a", "b"] * 12).dictionary_encode()
    yield pa.array(range(24)).cast(pa.decimal128(38, 10))


def findings_of(table: pa.Table, contract: Path) -> tuple[Finding, ...]:
    with open_table(table, night=NIGHT) as night:
        sound_night(night, time_column="dteday", target="cnt", columns=["dteday", "temp"])
        found = check_contract(night, contract)
        for finding in found:
            if finding.failing is not None:
                assert 1 <= finding.failing(3).num_rows <= 3
        return found


def checks_in(document: Any) -> list[tuple[str, str | None, Any]]:
    owners = [document, *(document.get("columns") or [])]
    pairs = [(owner, check) for owner in owners for check in owner.get("checks") or []]
    return [(*next(iter(check.items()))[:1], owner.get("name"), next(iter(check.values()))) for owner, check in pairs]


@pytest.mark.parametrize("seed", range(120))
def test_a_damaged_contract_is_a_named_error_or_still_sees_a_bad_night(tmp_path: Path, seed: int) -> None:
    contract = tmp_path / "contract.yml"
    contract.write_bytes(damaged_text(np.random.default_rng(seed), CONTRACT))
    try:
        found = findings_of(bad_table(), contract)
    except ConfigError as error:
        refused = str(error)
    else:
        lets_nothing_pass(found, contract)
        return
    assert str(contract) in refused


def lets_nothing_pass(found: tuple[Finding, ...], contract: Path) -> None:
    document = yaml.safe_load(contract.read_bytes())
    checks = checks_in(document)
    assert len(found) >= len(checks)
    whole = "filter" not in document
    columns = {column["name"]: set(column) for column in document["columns"]}
    for result, _ in found:
        # Passed although nobody wrote a rule, a threshold or a filter that lets it.
        if result.outcome is CheckOutcome.PASSED and whole and result.column in ("dteday", "temp"):
            settings = [body for kind, name, body in checks if (kind, name) == (result.name, result.column)]
            assert any(settings) or "column_expression" in columns[result.column] or result.name == "invalid"


@pytest.mark.parametrize("seed", range(80))
def test_a_damaged_table_passes_no_check_that_does_not_hold(tmp_path: Path, seed: int) -> None:
    contract = tmp_path / "contract.yml"
    contract.write_text(CONTRACT)
    table = damaged_table(np.random.default_rng(seed))
    try:
        found = findings_of(table, contract)
    except MLOpsError:
        return
    passed = {(result.name, result.column) for result, _ in found if result.outcome is CheckOutcome.PASSED}
    assert passed.isdisjoint(key for key, holds in truths(table) if not holds)


def is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def truths(table: pa.Table) -> Iterator[tuple[tuple[str, str | None], bool]]:
    """What Python says of some of the checks, of columns that stand there once."""
    names, good = table.column_names, pa.table(good_table()).schema
    if names.count("temp") < 2:
        temps = table.column("temp").to_pylist() if "temp" in names else [None]
        yield ("missing", "temp"), not any(temp is None or is_nan(temp) for temp in temps)
        numbers = [temp for temp in temps if isinstance(temp, (int, float)) and not is_nan(temp)]
        yield ("invalid", "temp"), "temp" in names and all(0 <= temp <= 1 for temp in numbers)
    if names.count("dteday") < 2:
        times = table.column("dteday").drop_null() if "dteday" in names else pa.chunked_array([["", ""]])
        known = [str(time) for time in times.to_numpy()]
        yield ("duplicate", "dteday"), len(set(known)) == len(known)
    yield ("row_count", None), 20 < table.num_rows < 30
    if named := names == [name for name in good.names if name != "cnt"]:
        named = all(table.schema.field(name).type == good.field(name).type for name in ("dteday", "temp"))
    yield ("schema", None), named


@pytest.mark.parametrize("seed", range(30))
def test_a_damaged_suite_is_a_named_error_or_results(tmp_path: Path, seed: int) -> None:
    pytest.importorskip("great_expectations")
    suite = tmp_path / "suite.json"
    suite.write_bytes(damaged_text(np.random.default_rng(seed), json.dumps(SUITE, indent=1)))
    try:
        found = findings_of(bad_table(), suite)
    except ConfigError:
        return
    assert found
