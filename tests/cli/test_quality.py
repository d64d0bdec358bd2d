from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import yaml

from airflow_mlops.ledger import Ledger, digest_of_file
from airflow_mlops.project.quality_spec import QualitySpec
from airflow_mlops.project.tables import TableSpec
from airflow_mlops.quality.contracts import contract_faults
from airflow_mlops.quality.nightly import NightlyChecks
from airflow_mlops.quality.sources import open_source
from airflow_mlops.records import Acceptance, Quality
from airflow_mlops.store import open_store

Run = Callable[..., tuple[int, str, str]]
FIRST = dt.date(2011, 1, 3)
CONTRACT = """\
dataset: duckdb/night
checks:
  - row_count:
columns:
  - name: amount
    checks:
      - missing:
      - invalid:
          valid_min: 0
  - name: email
    checks:
      - missing:
          threshold: {level: warn, must_be: 0}
"""


def orders(night: dt.date = FIRST, rows: int = 200, **changed: Any) -> pa.Table:
    rng = np.random.default_rng(night.toordinal())
    minutes = rng.integers(0, 24 * 60, rows).tolist()
    start = dt.datetime.combine(night, dt.time())
    columns = {
        "id": pa.array(range(rows)),
        "at": pa.array([start + dt.timedelta(minutes=minute) for minute in minutes], pa.timestamp("us")),
        "amount": rng.gamma(2, 10, rows),
        "city": rng.choice(["Oslo", "Rome", "Bern"], rows),
        "email": [f"ada{row}@example.org" for row in range(rows)],
    }
    return pa.table(columns | changed)


class Folder:
    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "contract.yml").write_text(CONTRACT)

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def write(self, name: str, table: pa.Table) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".csv":
            pa.csv.write_csv(table, path)
        else:
            pq.write_table(table, path)
        return path

    def nights(self, count: int, **changed_last: Any) -> str:
        """So many nights, the last of them changed; the pattern that they lie under."""
        for place in range(count):
            night = FIRST + dt.timedelta(days=place)
            changed = changed_last if place == count - 1 else {}
            self.write(f"nights/night={night}.parquet", orders(night, **changed))
        return str(self / "nights/night={night}.parquet")


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def spoilt() -> pa.Table:
    amount = orders()["amount"].to_pylist()
    return orders(
        amount=[None, -5.0, -7.5, *amount[3:]], email=[None, *[f"bob{row}@example.org" for row in range(199)]]
    )


def test_a_good_table_passes(run: Run, folder: Folder) -> None:
    table = folder.write("orders.parquet", orders())
    code, out, err = run("quality", "check", table, "--contract", folder / "contract.yml")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[-1] == "passed"
    assert lines[0].strip().endswith("200 rows")
    assert sum("passed" in line for line in lines[:-1]) == 4


def test_a_bad_table_fails_and_says_how(run: Run, folder: Folder) -> None:
    table = folder.write("orders.parquet", spoilt())
    code, out, _ = run("quality", "check", table, "--contract", folder / "contract.yml")
    assert code == 1
    told = [[cell.strip() for cell in line.strip("│").split("│")] for line in out.splitlines() if line.startswith("│")]
    assert told == [
        ["row_count", "", "rows: more than 0", "200 rows", "passed"],
        ["missing", "amount", "missing values in amount: 0", "1 of 200 rows (0.5 %)", "failed"],
        ["invalid", "amount", "invalid values in amount: 0 (valid_min 0)", "2 of 200 rows (1 %)", "failed"],
        ["missing", "email", "missing values in email: 0", "1 of 200 rows (0.5 %)", "warned"],
    ]
    assert out.splitlines()[-1] == "failed"


def test_a_program_reads_the_same(run: Run, folder: Folder) -> None:
    table = folder.write("orders.parquet", spoilt())
    given = ("quality", "check", table, "--contract", folder / "contract.yml", "--night", FIRST, "--json")
    code, out, err = run(*given)
    value = json.loads(out)
    assert (code, err, value["verdict"], value["rows"], value["night"]) == (1, "", "failed", 200, str(FIRST))
    assert value["table"].endswith("orders.parquet")
    assert [(one["name"], one["column"], one["outcome"], one["failing_rows"]) for one in value["checks"]] == [
        ("row_count", None, "passed", None),
        ("missing", "amount", "failed", 1),
        ("invalid", "amount", "failed", 2),
        ("missing", "email", "warned", 1),
    ]
    assert value["digests"] == {"table": digest_of_file(table), "contract": digest_of_file(folder / "contract.yml")}
    assert "failing_rows" not in value
    assert run(*given)[1] == out


def test_failing_rows_without_what_is_sensitive(run: Run, folder: Folder) -> None:
    table = folder.write("orders.parquet", spoilt())
    given = ("quality", "check", table, "--contract", folder / "contract.yml", "--show-rows", 2)
    shown = json.loads(run(*given, "--json")[1])["failing_rows"]["rows"]
    assert [row["row"] for row in shown] == [1, 2]
    assert shown[0]["checks"] == ["missing:amount", "missing:email"]
    assert shown[1]["values"]["email"] == "bob0@example.org"
    assert "bob0@example.org" in run(*given)[1]
    for form in ((), ("--json",)):
        code, out, _ = run(*given, *form, "--sensitive", "email", "--sensitive", "amount")
        assert code == 1
        assert "***" in out
        assert not [word for word in ("bob", "@example", "-5.0") if word in out]
    code, _, err = run(*given, "--sensitive", "e-mail")
    assert code == 2
    assert "after --sensitive, got no column 'e-mail' (did you mean 'email'?)" in err


def test_what_could_not_be_evaluated_is_no_pass(run: Run, folder: Folder) -> None:
    table = folder.write("orders.parquet", orders().drop_columns(["amount"]))
    code, out, _ = run("quality", "check", table, "--contract", folder / "contract.yml", "--json")
    value = json.loads(out)
    assert (code, value["verdict"]) == (1, "error")
    assert [one["outcome"] for one in value["checks"] if one["column"] == "amount"] == ["error", "error"]


def test_one_night_of_many(run: Run, folder: Folder) -> None:
    pattern = folder.nights(3, amount=[-1.0] * 200)
    given = ("quality", "check", pattern, "--contract", folder / "contract.yml", "--json")
    code, out, _ = run(*given)
    assert (code, json.loads(out)["night"]) == (1, "2011-01-05")
    code, out, _ = run(*given, "--night", "2011-01-04")
    assert (code, json.loads(out)["night"]) == (0, "2011-01-04")
    code, _, err = run(*given, "--night", "2011-02-04")
    assert code == 2
    assert "2011-02-04" in err


def test_csv_and_folders(run: Run, folder: Folder) -> None:
    folder.write("parts/a.parquet", orders())
    folder.write("parts/b.parquet", spoilt())
    tables = {folder.write("orders.csv", orders()): 200, folder.path / "parts": 400}
    for table, rows in tables.items():
        _, out, err = run("quality", "check", table, "--contract", folder / "contract.yml", "--json")
        assert err == ""
        assert json.loads(out)["rows"] == rows


@pytest.mark.parametrize(
    ("contract", "words"),
    [
        ("dataset: duckdb/night\nchekcs: []\n", "contract.yml:2: unknown key 'chekcs'; did you mean 'checks'?"),
        ("dataset: duckdb/night\ncolumns: []\n", "holds no check"),
        ("- a\n", "expected"),
        (None, "expected"),
    ],
    ids=["typo", "no check", "a list", "no file"],
)
def test_a_contract_that_cannot_be_used(run: Run, folder: Folder, contract: str | None, words: str) -> None:
    table = folder.write("orders.parquet", orders())
    file = folder / "contract.yml"
    file.unlink()
    if contract is not None:
        file.write_text(contract)
    code, out, err = run("quality", "check", table, "--contract", file)
    assert (code, out) == (2, "")
    assert words in err
    assert "ConfigError" in err


def test_a_table_that_cannot_be_read(run: Run, folder: Folder) -> None:
    torn = folder / "torn.parquet"
    whole = folder.write("orders.parquet", orders()).read_bytes()
    torn.write_bytes(whole[:-100])
    for table in (torn, folder / "nowhere.parquet", folder / "night={night}.parquet"):
        for command in (("check", table, "--contract", folder / "contract.yml"), ("suggest", table)):
            code, out, err = run("quality", *command)
            assert (code, out) == (2, "")
            assert err.startswith("airflow-mlops: DataError: expected")
    # Its footer is whole, a page is not.
    torn.write_bytes(whole[:40] + bytes(400) + whole[440:])
    code, out, err = run("quality", "suggest", torn)
    assert (code, out) == (2, "")
    assert err.startswith("airflow-mlops: DataError: expected")


def test_a_suggestion_is_a_contract_that_passes(run: Run, folder: Folder) -> None:
    pattern = folder.nights(12)
    for form, name in (("soda", "suggested.yml"), ("gx", "suggested.json")):
        out_file = folder / name
        code, out, err = run("quality", "suggest", pattern, "--format", form, "--out", out_file)
        assert (code, out) == (0, "")
        assert err == f"{out_file}: from 12 nights. Read it before you use it.\n"
        assert contract_faults(out_file) == []
        assert run("quality", "check", pattern, "--contract", out_file)[0] == 0
        code, _, err = run("quality", "suggest", pattern, "--out", out_file)
        assert code == 2
        assert "is there already" in err
    text = (folder / "suggested.yml").read_text()
    assert run("quality", "suggest", pattern)[1] == text
    city = next(column for column in yaml.safe_load(text)["columns"] if column["name"] == "city")
    assert {"invalid": {"valid_values": ["Bern", "Oslo", "Rome"]}} in city["checks"]


def test_a_history_of_files(run: Run, folder: Folder) -> None:
    folder.nights(4)
    newest = folder / "nights/night=2011-01-06.parquet"
    code, out, _ = run("quality", "suggest", newest, "--history", folder / "nights")
    assert code == 0
    assert out.startswith("# Suggested for night=2011-01-06 by what 4 nights, 800 rows were like.")
    assert run("quality", "suggest", newest)[1].startswith(
        "# Suggested for night=2011-01-06 by what one night of 200 rows"
    )
    assert run("quality", "suggest", folder / "nights/night={night}.parquet", "--history", folder / "nights")[0] == 2


def test_past_nights_before_the_monitors(run: Run, folder: Folder) -> None:
    pattern = folder.nights(35, amount=orders(FIRST + dt.timedelta(days=34))["amount"].to_numpy() * 100)
    code, out, err = run("quality", "monitor", pattern, "--json")
    nights = json.loads(out)["nights"]
    assert (code, err, len(nights)) == (1, "", 35)
    assert nights[-1]["quarantined"]
    assert {check["column"] for check in nights[-1]["faults"]} == {"amount"}
    assert {check["origin"] for check in nights[-1]["faults"]} == {"monitor"}
    assert nights[0]["lacking"]
    code, out, _ = run("quality", "monitor", pattern, "--ignore", "amount", "--nights", 34)
    assert code == 0
    assert out.splitlines()[-1].startswith("nights: 34, bad: 0")
    code, out, _ = run("quality", "monitor", pattern)
    assert code == 1
    assert "2011-02-06 Sun" in out
    assert "bad: 1" in out.splitlines()[-1]


def test_monitors_of_a_table_in_a_list(run: Run, folder: Folder) -> None:
    folder.nights(3)
    (folder / "tables.yml").write_text("tables:\n  - name: orders\n    path: nights/night={night}.parquet\n")
    code, out, _ = run("quality", "monitor", f"{folder / 'tables.yml'}#orders")
    assert (code, out.splitlines()[-1][:9]) == (0, "nights: 3")
    code, _, err = run("quality", "monitor", f"{folder / 'tables.yml'}#order")
    assert code == 2
    assert "it has orders" in err
    code, _, err = run("quality", "monitor", folder / "nights")
    assert code == 2
    assert "Write {night} where the date stands" in err
    code, _, err = run("quality", "monitor", f"{folder / 'tables.yml'}#orders", "--false-alarms-per-year", "-1")
    assert code == 2
    assert "false_alarms_per_year" in err


def test_accepting_a_night(run: Run, folder: Folder) -> None:
    folder.nights(2, amount=[None] * 200)
    quality = QualitySpec(contract="contract.yml", monitors=False)
    spec = TableSpec(name="orders", folder=folder.path, path="nights/night={night}.parquet", quality=quality)
    ledger = Ledger(open_store(str(folder / "store")))

    def stamp(*rests_on: Any) -> dict[str, Any]:
        return {"recorded_at": dt.datetime(2011, 1, 5, tzinfo=dt.UTC), "rests_on": rests_on}

    bad = NightlyChecks(spec, open_source(spec), ledger, stamp).check(FIRST + dt.timedelta(days=1))
    assert bad.quarantined
    given = ("quality", "accept", "orders", bad.night, "--store", folder / "store")
    code, out, _ = run(*given, "--reason", "a sale", "--by", "ada")
    assert (code, out.startswith("orders 2011-01-04: accepted, quality/orders/2011-01-04/")) == (0, True)
    [acceptance] = ledger.all(Acceptance, "orders/")
    assert (acceptance.reason, acceptance.by) == ("a sale", "ada")
    standing = max(ledger.all(Quality, f"orders/{bad.night}/"), key=lambda record: record.recorded_at)
    assert not standing.quarantined
    for night, words in ((FIRST, "passed"), ("2012-01-01", "no record"), ("yesterday", "expected a night")):
        code, _, err = run("quality", "accept", "orders", night, "--reason", "x", "--store", folder / "store")
        assert code == 2
        assert words in err
    assert run(*given)[0] == 2
    assert run(*given, "--reason", " ")[0] == 2


def test_help_needs_nothing_heavy() -> None:
    program = (
        "import sys; from airflow_mlops.cli import main; assert main(['quality', 'check', '--help']) == 0; "
        "heavy = ('duckdb', 'ibis', 'pandas', 'soda_core', 'great_expectations', 'pyarrow'); "
        "print([name for name in heavy if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"
