"""``tables.yml``: every fault at once, each with its line."""

from __future__ import annotations

import datetime as dt
import random
from pathlib import Path

import pytest
from pydantic import ValidationError

from airflow_mlops.errors import ConfigError
from airflow_mlops.project import load_project
from airflow_mlops.project.tables import TablesFaults, TableSpec, read_tables
from airflow_mlops.records import Policy
from airflow_mlops.store import open_store
from airflow_mlops.table import nights_available

TABLES = """\
defaults:
  time_column: at
  quality:
    false_alarms_per_year: 2
    policy: {default: warn, nulls: block}
tables:
  - name: bikes
    path: ${BIKES:-data}/night={night}.parquet
    quality:
      contract: bikes.yml
      policy: {nulls: quarantine}
      expected: [2011-12-24]
  - name: orders
    connection: warehouse
    table: sales.Orders
    time_column: ordered_at
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "tables.yml"
    file.write_text(text, encoding="utf-8")
    return file


def faults(folder: Path, text: str) -> list[str]:
    with pytest.raises(TablesFaults) as caught:
        read_tables(written(folder, text))
    assert isinstance(caught.value, ConfigError)
    return [str(fault).removeprefix(f"{folder}/tables.yml") for fault in caught.value.faults]


def test_tables_with_defaults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BIKES", raising=False)
    bikes, orders = read_tables(written(tmp_path, TABLES))
    assert (bikes.name, bikes.folder, bikes.time_column, orders.time_column) == ("bikes", tmp_path, "at", "ordered_at")
    assert (bikes.data_root, bikes.data_key("D")) == (str(tmp_path / "data"), "night=D.parquet")
    assert (bikes.contract, orders.contract) == (tmp_path / "bikes.yml", None)
    assert bikes.quality.policy == {"default": Policy.WARN, "nulls": Policy.QUARANTINE}
    assert orders.quality.policy == {"default": Policy.WARN, "nulls": Policy.BLOCK}
    assert bikes.quality.false_alarms_per_year == 2
    assert bikes.quality.expected == (dt.date(2011, 12, 24),)
    assert (orders.connection, orders.table) == ("warehouse", "sales.Orders")
    assert TableSpec.model_validate_json(bikes.model_dump_json()) == bikes
    with pytest.raises(ConfigError, match="expected a table of files, orders lies in the connection 'warehouse'"):
        _ = orders.data_root


def test_the_data_of_a_model_project_is_a_table(project: Path) -> None:
    loaded = load_project(project)
    table = loaded.table
    assert (table.name, table.columns, table.target) == ("demand", loaded.columns, "cnt")
    assert (table.data_root, table.data_key("D")) == (loaded.data_root, loaded.data_key("D"))
    assert table.contract == loaded.contract


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [":1: tables: expected a list of at least one table"]),
        ("tables: []", [":1: tables: expected a list of at least one table"]),
        ("- a", [":1: tables: expected a list of at least one table"]),
        ("tables: [7]", [":1: tables.0: Input should be a valid dictionary or instance of TableSpec, got 7"]),
        (
            "tables:\n- {name: a, path: 'd/{night}.csv'}\ntable: 1",
            [":3: table: unknown key; known are tables, defaults"],
        ),
        ("tables:\n- name: a", [":2: tables.0: expected a path with {night} in it, or a connection and a table"]),
        (
            "tables:\n- name: a\n  path: d/{night}.csv\n  table: b",
            [":2: tables.0: expected either a path, or a connection and a table, got both"],
        ),
        (
            "tables:\n- name: a\n  connection: c\n  table: b",
            [":2: tables.0: needs time_column: which night a row of a database is of, that column says"],
        ),
        (
            "tables:\n- name: a\n  path: d/{night}.csv\n  qualty: {}\n- name: A!\n  path: d/night.csv",
            [
                ":4: tables.0.qualty: unknown key; did you mean 'quality'?",
                ":5: tables.1.name: String should match pattern '^[a-z]([a-z0-9_]*[a-z0-9])?$', got 'A!'",
                (
                    ":6: tables.1.path: expected one {night} below a folder, such as data/night={night}.parquet, "
                    "got 'd/night.csv'"
                ),
            ],
        ),
        (
            "tables:\n- name: a\n  path: d/{night}.csv\n- name: a\n  path: d/{night}.csv",
            [":4: tables.1.name: stands 2 times: records are kept under the name, give each table one of its own"],
        ),
        ("tables:\n- name: a\n  name: b", [":3: name: stands twice, also in line 2; keep one"]),
        (
            "tables:\n- name: a\n  path: d*/{night}.csv",
            [":3: tables.0.path: expected * only after {night}, got 'd*/{night}.csv': the folder of the nights is one"],
        ),
        (
            "tables:\n- name: a\n  path: ${NO_SUCH}/{night}.csv",
            [
                (
                    ":3: tables.0.path: names the environment variable NO_SUCH, which is not set; "
                    "set it, or give a default: ${NO_SUCH:-data}"
                )
            ],
        ),
        (
            (
                "defaults:\n  quality: {policy: {defualt: warn}}\ntables:\n"
                "- {name: a, path: 'd/{night}.csv'}\n- {name: b, path: 'd/{night}.csv'}"
            ),
            [":2: defaults.quality.policy: names 'defualt'; did you mean 'default'?"],
        ),
        (
            "tables:\n- name: a\n  path: d/{night}.csv\n  quality:\n    policy:\n      nulls: stop",
            [":6: tables.0.quality.policy.nulls: Input should be 'block', 'quarantine' or 'warn', got 'stop'"],
        ),
        ("tables: [", [":1: expected YAML: expected the node content, but found '<stream end>'"]),
        ("a: 2011-02-30", [": expected YAML: day is out of range for month"]),
    ],
    ids=[
        *("empty", "no tables", "list", "number", "unknown", "nowhere", "two places", "no time", "several", "alike"),
        *("twice", "pattern", "variable", "defaults", "policy", "yaml", "date"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert faults(tmp_path, text) == expected


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(TablesFaults, match=r"tables.yml: is missing"):
        read_tables(tmp_path / "tables.yml")
    with pytest.raises(TablesFaults, match="cannot be read"):
        read_tables(tmp_path)
    (tmp_path / "tables.yml").write_bytes(b"name: Z\xfcrich")
    with pytest.raises(TablesFaults, match="expected UTF-8 text"):
        read_tables(tmp_path / "tables.yml")


def test_malformed_files_end_in_a_named_error(tmp_path: Path) -> None:
    """Also anchors that hold themselves, and lists within lists without end."""
    chance = random.Random(0)  # noqa: S311 - seeded
    texts = [
        "[" * 5000,
        "tables: &a [*a]",
        "tables: &a {name: *a}",
        "? {a: b}\n: c",
        "tables:\n- <<: 7",
        "\0",
        "!!python/x y",
    ]
    for _ in range(200):
        letters = list(TABLES)
        for _ in range(chance.randrange(1, 8)):
            place = chance.randrange(len(letters))
            letters[place : place + chance.randrange(3)] = chance.choice(
                ["", ":", "\n", "  ", "[", "{", "-", "é", "\t", "'", "*", "&", "7"]
            )
        texts.append("".join(letters))
    refused = 0
    for text in texts:
        try:
            read_tables(written(tmp_path, text))
        except TablesFaults:
            refused += 1
    assert refused > 100


def test_names_that_a_contract_gives_its_checks_are_no_faults() -> None:
    spec = TableSpec(
        name="a", folder=Path(), path="d/{night}.csv", quality={"policy": {"plausible fares:fare": "warn"}}
    )  # type: ignore[arg-type]
    assert spec.quality.policy == {"plausible fares:fare": Policy.WARN}
    with pytest.raises(ValidationError, match=r"names 'null:temp'; did you mean 'nulls'"):
        TableSpec(name="a", folder=Path(), path="d/{night}.csv", quality={"policy": {"null:temp": "warn"}})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("path", "files"),
    [
        (
            "{night}/",
            ["2011-03-05/a.csv", "2011-03-06/x/b.csv", "2011-03-07/_SUCCESS", "2011-03-08/.x/a", "x/2011-03-09/a"],
        ),
        (
            "{night}*.csv",
            ["2011-03-05.csv", "2011-03-06-2.csv", "2011-03-06-1.csv", "2011-03-07.csv.tmp", "2011-03-08/a.csv"],
        ),
    ],
    ids=["folder", "pattern"],
)
def test_nights_of_folders_and_patterns(tmp_path: Path, path: str, files: list[str]) -> None:
    for file in files:
        (tmp_path / "d" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "d" / file).touch()
    table = TableSpec(name="a", folder=tmp_path, path=f"d/{path}")
    assert nights_available(open_store(table.data_root), table) == [dt.date(2011, 3, 5), dt.date(2011, 3, 6)]
