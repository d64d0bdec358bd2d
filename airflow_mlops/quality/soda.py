"""Soda 4 contracts, evaluated with DuckDB inside this process: no account, no server, no telemetry."""

from __future__ import annotations

import datetime as dt
import functools
import logging
import os
import re
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from airflow_mlops.errors import ConfigError, MLOpsError, require
from airflow_mlops.quality.contract import Contract, read_contract
from airflow_mlops.quality.grammar import ContractFault
from airflow_mlops.quality.wording import expectation, finding, settings_of
from airflow_mlops.records import CheckOutcome, CheckResult
from airflow_mlops.table import missing_columns

__all__ = ["SodaContracts"]

# Name of the data source in the contract that Soda gets to see; the user's own header names theirs.
_SOURCE = "night"
_OUTCOMES = {"PASSED": CheckOutcome.PASSED, "WARN": CheckOutcome.WARNED, "FAILED": CheckOutcome.FAILED}
# Soda writes "in location[3,15]": line and column counted from 0.
_PLACE = re.compile(r",? ?(?:in )?location(?:\[(?P<line>\d+),\d+\])?$")
# All of Soda shares one YAML parser, which two threads would feed with each other's text.
_ONE_AT_A_TIME = threading.Lock()
_PREAMBLE = "Query execution failed, continuing with remaining checks: "
_MESSAGE_LENGTH = 400


class SodaContracts:
    """The ``ContractBackend`` that reads Soda's contract language."""

    def faults(self, contract: Path, columns: Sequence[str] = ()) -> list[str]:
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

    def check(self, table: pa.Table, *, night: dt.date, contract: Path) -> tuple[CheckResult, ...]:
        """Hold a night against a contract.

        Parameters
        ----------
        table : pyarrow.Table
            The whole night.
        night : date
            Its day; a freshness check counts from its end (UTC), whenever it is run.
        contract : Path
            The file; ``faults`` found none in it.
        """
        aimed, dropped = read_contract(contract).for_night(_SOURCE, table.column_names)
        lacking = [
            _unevaluated(check.type, check.column, missing_columns([check.column], table.column_names))
            for check in dropped
        ]
        return (*lacking, *(_verified(aimed, table, night) if aimed.count_checks() else ()))


@functools.lru_cache(maxsize=32)
def _faults_of(contract: Contract) -> tuple[ContractFault, ...]:
    # A backfill holds many nights against one contract, and Soda takes 20 ms to parse it.
    ours = contract.faults()
    # What Soda says without a line, it says about what was found above.
    told = {None, *(fault.line for fault in ours)} if ours else set()
    return (*ours, *(fault for fault in _soda_faults(contract.text) if fault.line not in told))


def _soda_faults(text: str) -> list[ContractFault]:
    try:
        records = _session(text, only_validate_without_execute=True)[1]
    except MLOpsError:
        raise
    except Exception as error:  # noqa: BLE001 - Soda's parser falls over in many ways, all of them the contract's fault
        return [_located(str(error) or type(error).__name__)]
    return [
        ContractFault(None if place is None or place.line is None else place.line + 1, _worded(record.getMessage()))
        for record in records
        if record.levelno >= logging.ERROR
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


def _verified(contract: Contract, table: pa.Table, night: dt.date) -> Iterator[CheckResult]:
    duckdb = require("duckdb", extra="soda")
    refused = _soda("soda_core.common.exceptions").SodaCoreException
    # Nothing is fetched from a network to read a table that is in memory.
    connection = duckdb.connect(":memory:", config={"autoinstall_known_extensions": "false"})
    with connection:
        try:
            connection.execute("SET TimeZone = 'UTC'")
            connection.register(contract.view, _as_sql_sees_it(table))
            answers, records = _session(
                contract.text, connection, data_timestamp=f"{night + dt.timedelta(days=1)}T00:00:00+00:00"
            )
        except (duckdb.Error, refused) as error:
            yield _unevaluated("contract", None, _one_line(str(error)))
            return
    errors = "; ".join(_one_line(record.getMessage()) for record in records if record.levelno >= logging.ERROR)
    document = contract.document()
    for answer in answers:
        yield _translated(answer, document, errors)
    # Soda counts an error apart from the checks: one that no check owns up to is still not a pass.
    unanswered = contract.count_checks() - len(answers)
    if unanswered or (errors and all(answer.outcome.value in _OUTCOMES for answer in answers)):
        yield _unevaluated("contract", None, errors or f"Soda gave no answer to {unanswered} of its checks")


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
    )


def _session(text: str, connection: Any = None, **options: Any) -> tuple[list[Any], list[logging.LogRecord]]:
    """Let Soda work, on data if there is a connection: its answers and what it logged."""
    yaml_source = _soda("soda_core.common.yaml").ContractYamlSource.from_str(text)
    verification = _soda("soda_core.contracts.contract_verification").ContractVerificationSession
    sources = []
    if connection is not None:
        duckdb_source = _soda("soda_duckdb.common.data_sources.duckdb_data_source").DuckDBDataSourceImpl
        sources = [duckdb_source.from_existing_cursor(connection, name=_SOURCE)]
    with _ONE_AT_A_TIME:
        _keep_errors(logging.getLogger("soda"))
        result = verification.execute(contract_yaml_sources=[yaml_source], data_source_impls=sources, **options)
    contracts = result.contract_verification_results
    return (
        [answer for contract in contracts for answer in contract.check_results],
        [record for contract in contracts for record in contract.log_records or []],
    )


def _soda(module: str) -> Any:
    # Read when soda_core is imported; on, it sets a global tracer provider and sends what runs here to Soda.
    os.environ["SODA_CORE_TELEMETRY_ENABLED"] = "false"
    # Its plugins import one another: soda_core has to come first.
    require("soda_core", extra="soda")
    return require(module, extra="soda")


def _keep_errors(logger: logging.Logger) -> None:
    """Quiet Soda's report, but not its errors: it knows of them only by reading its own log."""
    logger.disabled = False
    if not logging.NOTSET < logger.level <= logging.ERROR:
        logger.setLevel(logging.ERROR)
    if not logger.isEnabledFor(logging.ERROR):
        raise ConfigError(
            "expected the log level ERROR to be on, got logging.disable(): Soda would lose its own errors, and a "
            "check that could not be evaluated would pass. Remove that call."
        )


def _as_sql_sees_it(table: pa.Table) -> pa.Table:
    """Make NaN a missing value, and every timestamp one of microseconds: SQL's ``timestamp``.

    DuckDB reads the table, not the file: on Parquet it trusts column statistics, which leave NaN out, so that even
    ``isnan(x)`` is false for a NaN (DuckDB 2.0).
    """
    for index, field in enumerate(table.schema):
        column = table.column(index)
        if pa.types.is_floating(field.type):
            # Half precision is not for DuckDB.
            column = column.cast(pa.float32()) if pa.types.is_float16(field.type) else column
            column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
        elif pa.types.is_timestamp(field.type):
            column = column.cast(pa.timestamp("us", field.type.tz), safe=False)
        else:
            continue
        table = table.set_column(index, field.name, column)
    return table


def _unevaluated(name: str, column: str | None, actual: str) -> CheckResult:
    expected = f"{name} of {column}" if column else "every check of the contract evaluated"
    return CheckResult(name=name, column=column, outcome=CheckOutcome.ERROR, expected=expected, actual=actual)


def _one_line(message: str) -> str:
    # Below the faulty SQL, DuckDB draws an arrow that means nothing on one line.
    lines = message.removeprefix(_PREAMBLE).splitlines()
    return " ".join(" ".join(line.split()) for line in lines if line.strip(" ^"))[:_MESSAGE_LENGTH]
