from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from airflow_mlops.errors import ConfigError
from airflow_mlops.quality import contract_faults
from airflow_mlops.quality.contracts.soda.contract import read_contract

HEADER = "dataset: duckdb/night\ncolumns:\n"
SOUND = HEADER + "  - name: temp\n    checks:\n      - missing:\n"


def faults(tmp_path: Path, text: str | bytes, columns: tuple[str, ...] = ()) -> list[str]:
    file = tmp_path / "contract.yml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return [fault.removeprefix(str(file)) for fault in contract_faults(file, columns)]


def test_a_sound_contract_has_no_fault(tmp_path: Path, contract: Path) -> None:
    assert contract_faults(contract) == []
    assert faults(tmp_path, SOUND, columns=("temp",)) == []


def test_a_project_folder_without_a_contract(tmp_path: Path) -> None:
    for file in (tmp_path / "contract.yml", tmp_path):
        with pytest.raises(ConfigError, match=r"there is none.*model\.toml"):
            read_contract(file)
        (message,) = contract_faults(file)
        assert message.startswith(f"{file}: expected a Soda contract")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", ": expected a contract"),
        ("- a\n- b\n", ": expected a contract"),
        ("dataset: [\n", ":2: expected YAML"),
        ("dataset: a/b\ncolumns:\n\t- name: temp\n", ":3: expected YAML"),
        ("a: 1\n---\nb: 2\n", ":2: expected YAML"),
        (b"dataset: \xff", ": expected UTF-8"),
        ("dataset: a\0b", ": expected YAML"),
        ("dataset: night\n" + SOUND.partition("\n")[2], ":1: expected 'dataset: SOURCE/TABLE'"),
        (SOUND.replace("duckdb/night", "duckdb/"), ":1: expected 'dataset: SOURCE/TABLE'"),
        (SOUND.partition("\n")[2], ":1: expected 'dataset: SOURCE/TABLE'"),
        ("dataset: duckdb/night\n", ":1: The contract is missing the required 'columns' property"),
        (HEADER + "  - name: temp\n", ": holds no check: every night would pass"),
        (
            HEADER + "  - name: temp\n    chekcs:\n      - missing:\n",
            ":4: unknown key 'chekcs'; did you mean 'checks'?",
        ),
        (SOUND.replace("missing:", "mising:"), ":5: unknown check 'mising'; did you mean 'missing'?"),
        (SOUND.replace("missing:", "missing"), ":5: expected '- missing:' with a colon"),
        (SOUND.replace("missing:", "{missing: , invalid: }"), ":5: expected one check"),
        (SOUND.replace("- missing:", "-"), ":5: expected '- missing:'"),
        (
            SOUND + "          thresold:\n            must_be: 0\n",
            ":6: unknown key 'thresold'; did you mean 'threshold'?",
        ),
        (
            SOUND + "          threshold:\n            must_bee: 0\n",
            ":7: unknown key 'must_bee'; did you mean 'must_be'?",
        ),
        (
            SOUND + "          threshold:\n            must_be_between:\n              less: 1\n",
            ":8: unknown key 'less'; did you mean 'less_than'?",
        ),
        (
            SOUND + "          threshold:\n            level: warning\n            must_be: 0\n",
            ":7: unknown level 'warning'",
        ),
        (SOUND.replace("missing:", "invalid:"), ":5: Invalid check does not have any valid or invalid configurations"),
        (SOUND.replace("name", "nam"), ":3: unknown key 'nam'; did you mean 'name'?"),
        (SOUND + "      - missing:\n", ":6: the check temp/missing stands twice: give each a 'qualifier:'"),
        (SOUND + "  - name: temp\n", "Duplicate columns with name 'temp'"),
        (SOUND + "columns: []\n", ":6: YAML syntax error: found duplicate key"),
        (SOUND.replace("    checks", "    valid_min: zero\n    checks"), ":4: YAML key 'valid_min' expected one of"),
        (SOUND.replace("      - missing:", "      missing: 3"), ":5: YAML key 'checks' expected one of ['list']"),
        (HEADER + "  - name: temp\n    checks: []\n", "holds no check"),
        (HEADER + "  -\n", "holds no check"),
        (SOUND + "    <<: {valid_min: 0}\n", ":6: unknown key '<<'"),
        (SOUND + "kind: data-standard\n", ":6: expected 'kind: contract', got 'data-standard'"),
        ("dataset: " + "[" * 5000, ": expected YAML"),
    ],
)
def test_each_fault_says_where_and_what(tmp_path: Path, text: str | bytes, fault: str) -> None:
    found = faults(tmp_path, text)
    assert any(fault in message for message in found), found


def test_every_fault_at_once(tmp_path: Path) -> None:
    text = SOUND.replace("missing:", "mising:").replace("    checks", "    valid_mix: 1\n    checks") + "extra: 1\n"
    lines = sorted(int(message.split(":")[1]) for message in faults(tmp_path, text))
    assert lines == [4, 6, 7]


def test_columns_that_the_data_lacks(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, SOUND, columns=("dteday", "atemp"))
    assert fault == ":3: expected the data's columns, got no column 'temp' (did you mean 'atemp'?)"
    virtual = SOUND.replace("    checks", "    column_expression: atemp * 2\n    checks")
    assert faults(tmp_path, virtual, columns=("dteday", "atemp")) == []


def test_no_damage_to_a_contract_goes_unsaid_or_ends_in_a_foreign_error(tmp_path: Path, contract: Path) -> None:
    text = contract.read_text()
    rng = np.random.default_rng(0)
    for _ in range(60):
        lines = text.splitlines()
        at = int(rng.integers(len(lines)))
        damages = ["", "  - x", lines[at][2:], f"  {lines[at]}", "null:", "? [1]", "- *a", "checks: 3"]
        lines[at] = damages[rng.integers(len(damages))]
        for fault in faults(tmp_path, "\n".join(lines)):
            assert fault.startswith(":")


def test_aimed_at_a_night_that_lacks_a_column(tmp_path: Path) -> None:
    file = tmp_path / "contract.yml"
    file.write_text(
        "dataset: postgres/bikes/public/hours  # theirs\n"
        "checks:\n  - duplicate: {columns: [dteday, temp]}\n  - freshness: {column: dteday}\n"
        "columns:\n  - name: temp\n    checks: &same\n      - missing:\n  - name: hum\n    checks: *same\n"
    )
    contract = read_contract(file)
    aimed, dropped = contract.for_night("night", ["dteday", "hum"])
    assert dropped == [("duplicate", "temp"), ("missing", "temp")]
    assert aimed.view == contract.view == "hours"
    assert aimed.document()["dataset"] == "night/hours"
    assert [column["name"] for column in aimed.document()["columns"]] == ["temp", "hum"]
    assert aimed.count_checks() == 2
    assert contract.count_checks() == 4
