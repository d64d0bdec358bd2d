"""Soda 4 contracts: what is wrong with one, and what it says of a night."""

from __future__ import annotations

import datetime as dt
import functools
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from airflow_mlops.errors import ConfigError, MLOpsError
from airflow_mlops.quality.contracts.soda.contract import Contract, read_contract
from airflow_mlops.quality.contracts.soda.failing import failing_rows
from airflow_mlops.quality.contracts.soda.grammar import ContractFault
from airflow_mlops.quality.contracts.soda.night_source import NightCursor, night_source
from airflow_mlops.quality.contracts.soda.session import Evaluation, evaluate, validate
from airflow_mlops.quality.contracts.soda.wording import counted_rows, expectation, finding, settings_of
from airflow_mlops.quality.night_table import Finding, NightTable
from airflow_mlops.records import CheckOutcome, CheckResult
from airflow_mlops.table import missing_columns

__all__ = ["check", "faults"]

# Name of the data source in the contract that Soda gets to see; the user's own header names theirs.
_SOURCE = "night"
_OUTCOMES = {"PASSED": CheckOutcome.PASSED, "WARN": CheckOutcome.WARNED, "FAILED": CheckOutcome.FAILED}
# Soda writes "in location[3,15]": line and column counted from 0.
_PLACE = re.compile(r",? ?(?:in )?location(?:\[(?P<line>\d+),\d+\])?$")
_PREAMBLE = "Query execution failed, continuing with remaining checks: "
_MESSAGE_LENGTH = 400


def faults(contract: Path, columns: Sequence[str] = ()) -> list[str]:
    """Say what is wrong with a contract, without data.

    Parameters
    ----------
    contract : Path
        The file.
    columns : sequence of str, optional
        Columns of the data; empty if they are not known yet.

    Returns
    -------
    list of str
        ``FILE:LINE: what is wrong``; empty if Soda can evaluate it.
    """
    try:
        read = read_contract(contract)
    except ConfigError as error:
        return [str(error)]
    found = [*_faults_of(read), *(read.absent(columns) if columns else [])]
    return [f"{contract}:{line}: {message}" if line else f"{contract}: {message}" for line, message in found]


def check(table: NightTable, contract: Path) -> tuple[Finding, ...]:
    """Hold a night against a contract.

    Parameters
    ----------
    table : NightTable
        The night; a freshness check counts from its end (UTC), whenever it is run.
    contract : Path
        The file; ``faults`` found none in it.

    Returns
    -------
    tuple of Finding
        One a check of the contract.

    Raises
    ------
    RemoteUnavailable
        If the disk or the database does not answer.
    """
    names = table.schema.names
    aimed, dropped = read_contract(contract).for_night(_SOURCE, names)
    lacking = [_unevaluated(check.type, check.column, missing_columns([check.column], names)) for check in dropped]
    return (*lacking, *(_findings(aimed, table) if aimed.count_checks() else ()))


@functools.lru_cache(maxsize=32)
def _faults_of(contract: Contract) -> tuple[ContractFault, ...]:
    # A backfill holds many nights against one contract, and Soda takes 20 ms to parse it.
    ours = contract.faults()
    # What Soda says without a line, it says about what was found above.
    told = {None, *(fault.line for fault in ours)} if ours else set()
    return (*ours, *(fault for fault in _soda_faults(contract.text) if fault.line not in told))


def _soda_faults(text: str) -> list[ContractFault]:
    try:
        errors = validate(text)
    except MLOpsError:
        raise
    except Exception as error:  # noqa: BLE001 - Soda's parser falls over in many ways, all of them the contract's fault
        return [_located(str(error) or type(error).__name__)]
    return [
        ContractFault(None if place is None or place.line is None else place.line + 1, _worded(record.getMessage()))
        for record in errors
        for place in [getattr(record, "location", None)]
    ]


def _located(message: str) -> ContractFault:
    place = _PLACE.search(message)
    # Soda hands on the lines of its YAML parser's errors, which count from 1; its own count from 0.
    first = 0 if message.startswith("YAML syntax error") else 1
    line = int(place["line"]) + first if place and place["line"] else None
    return ContractFault(line, _worded(_PLACE.sub("", message)))


def _worded(message: str) -> str:
    if message.startswith("Duplicate identity"):
        twice = message.removeprefix("Duplicate identity ").partition(". ")[0]
        return f"the check {twice} stands twice: give each a 'qualifier:' of its own"
    return message


def _findings(contract: Contract, table: NightTable) -> Iterator[Finding]:
    cursor = NightCursor(table, contract.view)
    answered = _evaluated(contract, cursor)
    # Soda takes a lost connection for an error of each query: the night is not to blame, and a retry can help.
    if cursor.lost:
        raise cursor.lost
    if isinstance(answered, Finding):
        yield answered
        return
    errors = "; ".join(_one_line(record.getMessage()) for record in answered.errors)
    document = contract.document()
    for check, answer in answered.checks:
        result = _translated(answer, document, errors)
        yield Finding(result, _failing(table, check) if result.failing_rows else None)
    # Soda counts an error apart from the checks: one that no check owns up to is still not a pass.
    unanswered = contract.count_checks() - len(answered.checks)
    owned = any(answer.outcome.value not in _OUTCOMES for _, answer in answered.checks)
    if unanswered or (errors and not owned):
        yield _unevaluated("contract", None, errors or f"Soda gave no answer to {unanswered} of its checks")


def _evaluated(contract: Contract, cursor: NightCursor) -> Evaluation | Finding:
    end_of_night = f"{cursor.table.night + dt.timedelta(days=1)}T00:00:00+00:00"
    try:
        return evaluate(contract.text, night_source(cursor, _SOURCE), data_timestamp=end_of_night)
    except MLOpsError:
        raise
    except Exception as error:  # noqa: BLE001 - Soda falls over on some data, and what it did not evaluate is no pass
        return _unevaluated("contract", None, _one_line(str(error)) or type(error).__name__)


def _translated(answer: Any, document: dict[str, Any], errors: str) -> CheckResult:
    settings = settings_of(answer.check, document)
    qualifier = f" ({answer.check.qualifier})" if answer.check.qualifier else ""
    outcome = _OUTCOMES.get(answer.outcome.value, CheckOutcome.ERROR)
    return CheckResult(
        name=settings.get("name") or f"{answer.check.type}{qualifier}",
        column=answer.check.column_name,
        outcome=outcome,
        expected=expectation(answer, settings),
        actual=finding(answer) if outcome is not CheckOutcome.ERROR else f"not evaluated: {errors or 'no value'}",
        failing_rows=counted_rows(answer),
    )


def _failing(table: NightTable, check: Any) -> Callable[[int], pa.Table] | None:
    try:
        return failing_rows(table, check)
    except Exception:
        # Soda's inside has another shape: a check stands without a sample of rows.
        logging.getLogger(__name__).warning("no failing rows of the check %s", check.type, exc_info=True)
        return None


def _unevaluated(name: str, column: str | None, actual: str) -> Finding:
    expected = f"{name} of {column}" if column else "every check of the contract evaluated"
    return Finding(CheckResult(name=name, column=column, outcome=CheckOutcome.ERROR, expected=expected, actual=actual))


def _one_line(message: str) -> str:
    # Below the faulty SQL, DuckDB draws an arrow that means nothing on one line.
    lines = message.removeprefix(_PREAMBLE).splitlines()
    return " ".join(" ".join(line.split()) for line in lines if line.strip(" ^"))[:_MESSAGE_LENGTH]
