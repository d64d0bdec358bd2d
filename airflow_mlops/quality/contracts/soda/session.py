"""Soda 4 at work inside this process: no account, no server, no telemetry, its errors kept."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from airflow_mlops.errors import ConfigError, require

__all__ = ["Evaluation", "evaluate", "soda", "validate"]

# All of Soda shares one YAML parser, which two threads would feed with each other's text.
_ONE_AT_A_TIME = threading.Lock()


class Evaluation(NamedTuple):
    """What Soda made of a contract.

    ``checks`` are pairs of its ``CheckImpl``, which knows the SQL, and its ``CheckResult``.
    """

    checks: list[tuple[Any, Any]]
    errors: list[logging.LogRecord]


def validate(text: str) -> list[logging.LogRecord]:
    """Let Soda read a contract without data: the errors that it logged."""
    with _parsed(text, only_validate_without_execute=True) as contract:
        return _errors(contract.verify())


def evaluate(text: str, data_source: Any, *, data_timestamp: str) -> Evaluation:
    """Let Soda evaluate a contract.

    Parameters
    ----------
    text : str
        The contract.
    data_source : soda_core DataSourceImpl
        What answers its SQL; named as the contract's header says.
    data_timestamp : str
        When the data is looked at, ISO 8601: freshness counts from here.
    """
    with _parsed(text, data_timestamp, data_source_impl=data_source) as contract:
        result = contract.verify()
        return Evaluation(list(zip(contract.all_check_impls, result.check_results, strict=False)), _errors(result))


def soda(module: str) -> Any:
    """Import a module of Soda."""
    # Read when soda_core is imported; on, it sets a global tracer provider and sends what runs here to Soda.
    os.environ["SODA_CORE_TELEMETRY_ENABLED"] = "false"
    # Its plugins import one another: soda_core has to come first.
    require("soda_core", extra="soda")
    return require(module, extra="soda")


@contextmanager
def _parsed(text: str, data_timestamp: str | None = None, **options: Any) -> Iterator[Any]:
    contracts = soda("soda_core.contracts.impl.contract_verification_impl").ContractImpl
    source = soda("soda_core.common.yaml").ContractYamlSource.from_str(text)
    # Soda captures every record logged while one of its ``Logs`` is active, and leaves the last one so.
    with _ONE_AT_A_TIME, soda("soda_core.common.logs").preserve_active_logs():
        _keep_errors(logging.getLogger("soda"))
        logs = soda("soda_core.common.logs").Logs()
        read = contracts.yaml_class.parse(yaml_source=source, yaml_object=source.parse(), data_timestamp=data_timestamp)
        times = {"data_timestamp": read.data_timestamp, "execution_timestamp": read.execution_timestamp}
        yield contracts(yaml=read, logs=logs, **times, **options)


def _errors(result: Any) -> list[logging.LogRecord]:
    return [record for record in result.log_records or [] if record.levelno >= logging.ERROR]


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
