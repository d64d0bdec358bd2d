"""Great Expectations suites as contracts: what is wrong with one, and what it says of a night.

A suite is a file as Great Expectations saves it, or the same in YAML. It is evaluated in SQL where the night lies, in
DuckDB as in PostgreSQL; nothing of it is read into memory first. Severity ``critical`` fails a night; ``warning`` and
``info`` are told, and no more.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from airflow_mlops.errors import ConfigError
from airflow_mlops.quality.contracts.expectations.failing import failing_rows, repeats
from airflow_mlops.quality.contracts.expectations.session import Answer, evaluate, misfit
from airflow_mlops.quality.contracts.expectations.suite import Suite, Written, columns_named, read_suite
from airflow_mlops.quality.contracts.expectations.wording import (
    column_of,
    expectation,
    finding,
    name_of,
    schema_finding,
)
from airflow_mlops.quality.contracts.soda.grammar import ContractFault
from airflow_mlops.quality.night_table import Finding, NightTable
from airflow_mlops.records import CheckOutcome, CheckResult
from airflow_mlops.table import missing_columns

__all__ = ["check", "faults"]

_OUTCOMES = {"critical": CheckOutcome.FAILED, "warning": CheckOutcome.WARNED, "info": CheckOutcome.WARNED}


def faults(contract: Path, columns: Sequence[str] = ()) -> list[str]:
    """Say what is wrong with a suite, without data.

    Parameters
    ----------
    contract : Path
        The file.
    columns : sequence of str, optional
        Columns of the data; empty if they are not known yet.

    Returns
    -------
    list of str
        ``FILE:LINE: what is wrong``; empty if Great Expectations can evaluate it.

    Raises
    ------
    MissingExtra
        If Great Expectations is not installed.
    """
    try:
        suite = read_suite(contract)
    except ConfigError as error:
        return [str(error)]
    found = list(_faults_of(suite))
    if columns and not found:
        found += suite.absent(columns)
    return [f"{contract}:{line}: {message}" if line else f"{contract}: {message}" for line, message in found]


def check(table: NightTable, contract: Path) -> tuple[Finding, ...]:
    """Hold a night against a suite.

    Parameters
    ----------
    table : NightTable
        The night.
    contract : Path
        The file; ``faults`` found none in it.

    Returns
    -------
    tuple of Finding
        One an expectation, in the order of the suite.

    Raises
    ------
    RemoteUnavailable
        If the disk or the database does not answer.
    MissingExtra
        If Great Expectations is not installed.
    """
    suite = read_suite(contract).expectations
    names = table.schema.names
    absent = [[column for column in columns_named(written) if column not in names] for written in suite]
    answers = iter(evaluate(table, [written for written, lacks in zip(suite, absent, strict=True) if not lacks]))
    return tuple(
        _lacking(written, missing_columns(lacks, names)) if lacks else _translated(table, written, next(answers))
        for written, lacks in zip(suite, absent, strict=True)
    )


@functools.lru_cache(maxsize=32)
def _faults_of(suite: Suite) -> tuple[ContractFault, ...]:
    # A backfill holds many nights against one suite.
    if ours := suite.faults():
        return tuple(ours)
    return tuple(ContractFault(line, said) for line, said in map(_misfit, suite.expectations) if said)


def _misfit(written: Written) -> tuple[int | None, str | None]:
    return written.line, misfit(written)


def _lacking(written: Written, lacks: str) -> Finding:
    # Without the column there is nothing to evaluate, but whether it is there has an answer.
    if name_of(written) == "schema":
        return Finding(_result(written, _OUTCOMES[written.severity], lacks))
    expected = f"{name_of(written)} of {column_of(written) or ', '.join(columns_named(written))}"
    return Finding(_result(written, CheckOutcome.ERROR, lacks, expected=expected))


def _translated(table: NightTable, written: Written, answer: Answer) -> Finding:
    if answer.error:
        return Finding(_result(written, CheckOutcome.ERROR, f"not evaluated: {answer.error}"))
    result = answer.result
    if name_of(written) == "schema":
        actual = schema_finding(written, table.schema.names, result.get("observed_value"))
        return Finding(_result(written, _outcome(written, answer), actual))
    if name_of(written) == "aggregate" and result.get("observed_value") is None:
        return Finding(_result(written, CheckOutcome.ERROR, "not evaluated: no value"))
    count = _count(table, written, result)
    actual = finding(written, result, count)
    checked = _result(written, _outcome(written, answer), actual, failing_rows=count)
    return Finding(checked, failing_rows(table, written) if count else None)


def _outcome(written: Written, answer: Answer) -> CheckOutcome:
    return CheckOutcome.PASSED if answer.success else _OUTCOMES[written.severity]


def _result(
    written: Written,
    outcome: CheckOutcome,
    actual: str,
    *,
    expected: str | None = None,
    failing_rows: int | None = None,
) -> CheckResult:
    return CheckResult(
        name=name_of(written),
        column=column_of(written),
        outcome=outcome,
        expected=expected or expectation(written),
        actual=actual,
        failing_rows=failing_rows,
    )


def _count(table: NightTable, written: Written, result: Mapping[str, Any]) -> int | None:
    # Without a number of rows it is values that are counted.
    counted = result.get("unexpected_count") if "element_count" in result else None
    if name_of(written) == "failed_rows":
        counted = result.get("observed_value")
    if counted and name_of(written) == "duplicate" and not written.kwargs.get("row_condition"):
        return repeats(table, written)
    return None if counted is None else int(counted)
