"""Is this night fit to become training data? What every night must hold, then the project's contract."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from airflow_mlops.errors import ConfigError, DataError
from airflow_mlops.quality.partition import sound_partition
from airflow_mlops.quality.soda import SodaContracts
from airflow_mlops.records import CheckOutcome, CheckResult
from airflow_mlops.table import read_table

__all__ = ["ContractBackend", "SodaContracts", "check_partition", "validate_contract"]


class ContractBackend(Protocol):
    """A language that contracts are written in."""

    def faults(self, contract: Path, columns: Sequence[str] = ()) -> list[str]:
        """Say what is wrong with a contract, without data."""

    def check(self, table: pa.Table, *, night: dt.date, contract: Path) -> tuple[CheckResult, ...]:
        """Hold a night against a contract: one result a check, whatever came of it."""


_SODA = SodaContracts()


def check_partition(
    path: Path,
    *,
    night: dt.date,
    contract: Path,
    time_column: str,
    target: str,
    columns: Sequence[str],
    backend: ContractBackend = _SODA,
) -> tuple[CheckResult, ...]:
    """Check a night: can it be read, has it rows, the model's columns, a finite target, its own hours; the contract.

    A night that cannot be read gives one failed result and leaves the contract alone. NaN counts as a missing value.

    Parameters
    ----------
    path : Path
        The night's Parquet file.
    night : date
        The day that its rows must lie in, UTC.
    contract : Path
        The project's contract.
    time_column, target : str
        Columns of the model.
    columns : sequence of str
        Every column that the model needs.
    backend : ContractBackend
        Reads the contract; Soda 4 by default.

    Returns
    -------
    tuple of CheckResult
        ``readable``, ``rows``, ``columns``, ``target``, ``time``, then the contract's checks.

    Raises
    ------
    ConfigError
        If the contract is missing or cannot be used, or this user may not read the file.
    RemoteUnavailable
        If the disk or the network share does not answer.
    MissingExtra
        If Soda or DuckDB is not installed.
    """
    # First, for a contract that cannot be used is a fault of the project and no reason to quarantine a night.
    if faults := backend.faults(contract):
        raise ConfigError("\n".join(["expected a contract that can be evaluated:", *faults]))
    try:
        table = read_table(path)
    except DataError as error:
        return (_readable(CheckOutcome.FAILED, str(error)),)
    return (
        _readable(CheckOutcome.PASSED, f"{table.num_rows} rows, {table.num_columns} columns"),
        *sound_partition(table, night=night, time_column=time_column, target=target, columns=columns),
        *backend.check(table, night=night, contract=contract),
    )


def validate_contract(contract: Path, columns: Sequence[str] = ()) -> list[str]:
    """Say what is wrong with a contract, without data.

    Parameters
    ----------
    contract : Path
        The file.
    columns : sequence of str, optional
        Columns of the data, to find those that the contract names and the data lacks; empty if there is none yet.

    Returns
    -------
    list of str
        ``FILE:LINE: what is wrong``, everything at once; empty if it can be evaluated.
    """
    return _SODA.faults(contract, columns)


def _readable(outcome: CheckOutcome, actual: str) -> CheckResult:
    return CheckResult(name="readable", outcome=outcome, expected="a complete Parquet file", actual=actual)
