from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_mlops.errors import ConfigError
from airflow_mlops.quality import check_partition, validate_contract
from airflow_mlops.records import CheckOutcome, CheckResult

Checked = Callable[..., dict[str, CheckResult]]
NIGHT = dt.date(2011, 3, 5)


def results_of(path: Path, contract: Path) -> tuple[CheckResult, ...]:
    return check_partition(
        path, night=NIGHT, contract=contract, time_column="dteday", target="cnt", columns=["dteday", "cnt"]
    )


@pytest.mark.parametrize(
    ("content", "actual"),
    [
        (None, "there is none"),
        (b"", "got an empty file"),
        (b"PAR1", "torn or of another format"),
        (b"dteday,cnt\n" * 20, "torn or of another format"),
    ],
)
def test_a_night_that_cannot_be_read_fails_and_the_contract_is_not_asked(
    tmp_path: Path, contract: Path, content: bytes | None, actual: str
) -> None:
    path = tmp_path / "night=2011-03-05.parquet"
    if content is not None:
        path.write_bytes(content)
    (result,) = results_of(path, contract)
    assert (result.name, result.outcome) == ("readable", CheckOutcome.FAILED)
    assert actual in result.actual
    assert str(path) in result.actual


def test_a_torn_file(tmp_path: Path, contract: Path, checked: Checked) -> None:
    checked()
    path = tmp_path / f"night={NIGHT}.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    (result,) = results_of(path, contract)
    assert (result.name, result.outcome) == ("readable", CheckOutcome.FAILED)


def test_a_project_folder_without_a_contract_is_no_verdict_on_the_night(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected a Soda contract, there is none.*model\.toml"):
        results_of(tmp_path / "night.parquet", tmp_path / "contract.yml")


def test_another_language_of_contracts_can_take_the_place_of_soda(tmp_path: Path) -> None:
    class MaxRows:
        """A file with one number in it."""

        def faults(self, contract: Path, columns: object = ()) -> list[str]:
            return [] if contract.read_text().isdigit() else [f"{contract}:1: expected a number"]

        def check(self, table: pa.Table, *, night: dt.date, contract: Path) -> tuple[CheckResult, ...]:
            limit = int(contract.read_text())
            outcome = CheckOutcome.PASSED if table.num_rows <= limit else CheckOutcome.FAILED
            return (CheckResult(name="max", outcome=outcome, expected=f"{limit}", actual=f"{table.num_rows}"),)

    path, contract = tmp_path / "night.parquet", tmp_path / "limit.txt"
    pq.write_table(pa.table({"dteday": pa.array([NIGHT] * 3), "cnt": [1, 2, 3]}), path)
    for text, outcome in (("3", CheckOutcome.PASSED), ("2", CheckOutcome.FAILED)):
        contract.write_text(text)
        results = check_partition(
            path, night=NIGHT, contract=contract, time_column="dteday", target="cnt", columns=[], backend=MaxRows()
        )
        assert (results[-1].name, results[-1].outcome) == ("max", outcome)
    contract.write_text("few")
    with pytest.raises(ConfigError, match="expected a number"):
        check_partition(
            path, night=NIGHT, contract=contract, time_column="dteday", target="cnt", columns=[], backend=MaxRows()
        )


@pytest.mark.slow
def test_sixty_nights_of_a_backfill(tmp_path: Path, contract: Path, checked: Checked) -> None:
    checked()
    validate_contract(contract)
    start = time.perf_counter()
    for _ in range(60):
        results_of(tmp_path / f"night={NIGHT}.parquet", contract)
    # 0.06 s a night on two idle cores, 0.1 s on busy ones; a contract parsed anew or a leak would go past this.
    assert (time.perf_counter() - start) / 60 < 0.5
