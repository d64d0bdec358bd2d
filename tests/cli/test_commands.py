from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_mlops.ledger import Ledger, digest_of_file
from airflow_mlops.records import CheckOutcome, CheckResult, PartitionPin, Quality
from airflow_mlops.store import open_store

NIGHTS = [dt.date(2025, 2, day) for day in range(1, 29)]

MODEL = """\
name = "demand"
task = "regression"
target = "cnt"
features = ["hr"]
time_column = "dteday"
[data]
path = "data/night={night}.parquet"
[training]
entrypoint = "train:train"
[[gate.rules]]
metric = "rmse"
kind = "absolute"
max = 90.0
"""

CONTRACT = """\
dataset: duckdb/main/night
columns:
  - name: hr
    checks:
      - missing:
"""

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "demand"
    (folder / "data").mkdir(parents=True)
    (folder / "model.toml").write_text(MODEL)
    (folder / "contract.yml").write_text(CONTRACT)
    (folder / "train.py").write_text("def train(context): ...\n")
    (folder / "requirements.txt").write_text("")
    for night in NIGHTS:
        table = pa.table({"dteday": [dt.datetime.combine(night, dt.time())], "hr": [0], "cnt": [night.day]})
        pq.write_table(table, folder / "data" / f"night={night}.parquet")
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "chain"


def test_help_and_version_are_quick_and_import_nothing_heavy() -> None:
    probe = (
        "import sys; from airflow_mlops.cli import main; code = main(['golden', '--help'])\n"
        "heavy = {'airflow', 'numpy', 'pandas', 'pyarrow', 'soda_core', 'torch'} & set(sys.modules)\n"
        "sys.exit(code or repr(sorted(heavy)) if heavy else code)"
    )
    ended = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert "freeze" in ended.stdout


def test_a_mistyped_command_line_is_bad_input(run: Run, folder: Path, store: Path) -> None:
    assert run("chek", folder)[0] == 2
    assert run("check")[0] == 2
    assert run("check", folder, "--jsno")[0] == 2
    assert run("golden", "freeze", folder, "--every", "0", "--store", store)[0] == 2
    code, _, err = run("golden", "freeze", folder, "--nights", "2025-02-01,soon", "--store", store)
    assert code == 2
    assert "expected a night as YYYY-MM-DD, got 'soon'" in err


def test_check_of_a_sound_project(run: Run, folder: Path) -> None:
    assert run("check", folder) == (0, f"{folder}: no fault\n", "")


def test_check_tells_every_fault(run: Run, folder: Path) -> None:
    (folder / "model.toml").write_text(MODEL.replace('["hr"]', '["hour"]').replace("max =", "maxi ="))
    (folder / "contract.yml").write_text(CONTRACT.replace("- missing", "- [missng]").replace("hr", "hourr"))
    (folder / "requirements.txt").unlink()
    code, out, err = run("check", folder)
    assert (code, err) == (1, "")
    assert f"{folder}/model.toml:13: gate.rules.0.maxi: unknown key; did you mean 'max'?" in out
    assert f"{folder}/model.toml:4: features.0: expected a column of the night 2025-02-28" in out
    assert f"{folder}/contract.yml:5: " in out
    assert f"{folder}/requirements.txt: is missing" in out
    assert out.endswith("faults\n")


def test_check_holds_the_contract_against_soda_and_the_data(run: Run, folder: Path) -> None:
    (folder / "contract.yml").write_text(CONTRACT.replace("missing", "missng").replace("hr", "hrr"))
    code, out, _ = run("check", folder)
    assert code == 1
    assert f"{folder}/contract.yml:5: unknown check 'missng'; did you mean 'missing'?" in out
    assert "no column 'hrr' (did you mean 'hr'?)" in out


def test_check_for_a_program(run: Run, folder: Path) -> None:
    (folder / "train.py").write_text("DATA = '/home/ada/x'\ndef train(context): ...\n")
    pq.write_table(pa.table({"x": [1]}), folder / "data" / "night=2205-02-01.parquet")
    code, out, _ = run("check", folder, "--json")
    value = json.loads(out)
    assert code == 1
    assert value["folder"] == str(folder)
    fault = next(fault for fault in value["faults"] if fault["file"].endswith("train.py"))
    assert (fault["line"], fault["key"]) == (1, "")
    assert len(value["notes"]) == 1
    (folder / "train.py").write_text("def train(context): ...\n")
    (folder / "data" / "night=2205-02-01.parquet").unlink()
    code, out, _ = run("check", folder, "--json")
    assert (code, json.loads(out)["faults"], json.loads(out)["notes"]) == (0, [], [])


def test_check_of_no_project(run: Run, tmp_path: Path) -> None:
    code, out, _ = run("check", tmp_path / "nowhere")
    assert code == 1
    assert "model.toml: is missing" in out


def test_freeze_named_nights_then_show(run: Run, folder: Path, store: Path) -> None:
    code, out, err = run("golden", "freeze", folder, "--nights", "2025-02-05, 2025-02-12", "--store", store)
    assert (code, err) == (0, "")
    assert "2025-02-05 Wed" in out
    (digest,) = [line for line in out.splitlines() if line.startswith("golden_digest = ")]
    # What it says to write into model.toml is what the gate will accept.
    (folder / "model.toml").write_text(MODEL.replace("[training]", f"[gate]\n{digest}\n[training]"))
    code, out, _ = run("golden", "show", folder, "--store", store)
    assert code == 0
    assert "golden set v1 of demand" in out
    assert "2025-02-12 Wed" in out
    code, again, _ = run("golden", "freeze", folder, "--nights", "2025-02-12,2025-02-05", "--store", store)
    assert (code, again) == (0, out)
    code, _, err = run("golden", "freeze", folder, "--nights", "2025-02-06", "--store", store)
    assert code == 2
    assert "A golden set never changes: give another name" in err


def test_freeze_every_nth_good_night(run: Run, folder: Path, store: Path) -> None:
    bad = NIGHTS[11]
    path = folder / "data" / f"night={bad}.parquet"
    Ledger(open_store(str(store))).write(
        Quality(
            model="demand",
            recorded_at=dt.datetime(2025, 3, 1, tzinfo=dt.UTC),
            night=bad,
            location=str(path),
            partition=PartitionPin(night=bad, digest=digest_of_file(path), rows=1),
            rules_digest="sha256:c",
            checks=(CheckResult(name="rows", outcome=CheckOutcome.FAILED, expected="24", actual="1"),),
        )
    )
    arguments = (
        "golden",
        "freeze",
        folder,
        "--every",
        6,
        "--from",
        "2025-02-02",
        "--to",
        "2025-02-27",
        "--store",
        store,
    )
    code, out, err = run(*arguments)
    assert (code, err) == (0, "")
    # The 12th is in quarantine, so that the second six nights from the 2nd end on the 14th.
    assert [line.split()[1] for line in out.splitlines() if "2025-02-" in line and line.startswith("│")] == [
        "2025-02-07",
        "2025-02-14",
        "2025-02-20",
        "2025-02-26",
    ]


def test_freeze_says_when_all_nights_are_one_weekday(run: Run, folder: Path, store: Path) -> None:
    code, _, err = run("golden", "freeze", folder, "--every", "7", "--store", store)
    assert code == 0
    assert "every night of it is a Friday" in err


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--nights", "2025-02-01", "--every", "6"),
        ("--nights", "2025-02-01", "--from", "2025-02-01"),
        ("--nights", "2025-03-01"),
        ("--every", "29"),
        ("--every", "6", "--from", "2026-01-01"),
        ("--every", "6", "--to", "someday"),
    ],
)
def test_freeze_with_bad_input_freezes_nothing(run: Run, folder: Path, store: Path, arguments: tuple[str, ...]) -> None:
    code, _, err = run("golden", "freeze", folder, *arguments, "--store", store)
    assert code == 2
    assert err
    assert not store.exists()


def test_show_what_was_never_frozen_names_the_command(run: Run, folder: Path, store: Path) -> None:
    code, _, err = run("golden", "show", folder, "--store", store)
    assert code == 2
    assert "Run: airflow-mlops golden freeze" in err


def test_the_store_comes_from_the_option_or_the_environment(
    run: Run, folder: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, err = run("golden", "show", folder)
    assert code == 2
    assert "Give --store URI, or set AIRFLOW_MLOPS_STORE" in err
    run("golden", "freeze", folder, "--every", "6", "--store", store)
    monkeypatch.setenv("AIRFLOW_MLOPS_STORE", store.as_uri())
    assert run("golden", "show", folder)[0] == 0
    assert run("golden", "show", folder, "--store", "ftp://x")[0] == 2


def test_a_chain_by_its_folder(run: Run, folder: Path, store: Path) -> None:
    code, _, err = run("chain", folder, "--store", store)
    assert code == 1
    assert "no record of a model 'demand'" in err
    code, _, err = run("chain", folder.parent / "nowhere", "--store", store)
    assert code == 2
    assert "model.toml: is missing" in err


def test_verify_of_an_empty_store_is_no_good_news(run: Run, tmp_path: Path) -> None:
    code, _, err = run("verify-ledger", "--store", tmp_path / "typo")
    assert code == 2
    assert "expected records in" in err


def test_what_is_outside_and_does_not_answer(run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A port that nobody listens on, and no waiting.
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    for name, value in {"ACCESS_KEY_ID": "x", "SECRET_ACCESS_KEY": "x", "DEFAULT_REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    for command in (("chain", "demand"), ("verify-ledger",), ("golden", "show", folder)):
        code, _, err = run(*command, "--store", "s3://lake/chain")
        assert code == 3, command
        assert "RemoteUnavailable" in err


def test_as_a_process_the_exit_code_arrives(folder: Path) -> None:
    (folder / "contract.yml").unlink()
    run = "import sys; from airflow_mlops.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", run, "check", str(folder)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "contract.yml: is missing" in ended.stdout
    assert ended.stderr == ""
