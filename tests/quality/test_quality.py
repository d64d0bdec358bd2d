from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from airflow_mlops.errors import ConfigError
from airflow_mlops.quality import NightTable, check_contract, contract_faults


def test_a_project_folder_without_a_contract_is_no_verdict_on_the_night(
    tmp_path: Path, opened: Callable[[pa.Table], NightTable]
) -> None:
    with pytest.raises(ConfigError, match=r"expected a Soda contract, there is none.*model\.toml"):
        check_contract(opened(pa.table({"cnt": [1]})), tmp_path / "contract.yml")


def test_a_suite_is_for_great_expectations_and_a_dataset_for_soda(tmp_path: Path) -> None:
    suite, contract = tmp_path / "suite.json", tmp_path / "contract.yml"
    suite.write_text(json.dumps({"name": "night", "expectations": [{"type": "expect_nothing_of_it", "kwargs": {}}]}))
    contract.write_text("dataset: duckdb/night\nexpectations: []\ncolumns:\n  - name: cnt\n    checks: [missing: ]\n")
    (fault,) = contract_faults(suite)
    assert "expect_nothing_of_it" in fault
    (fault,) = contract_faults(contract)
    assert "unknown key 'expectations'" in fault
