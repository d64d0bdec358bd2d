"""Where Great Expectations runs: one ephemeral context, with no telemetry, no progress bars and nothing on disk."""

from __future__ import annotations

import functools
import logging
import os
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from airflow_mlops.errors import MLOpsError, require
from airflow_mlops.quality.contracts.expectations.suite import Written
from airflow_mlops.quality.contracts.expectations.wording import one_line
from airflow_mlops.quality.night_table import NightTable

__all__ = ["Answer", "evaluate", "misfit"]

# The context and the registry of expectations are the process's.
_ONE_AT_A_TIME = threading.Lock()
# Without values of the data: it is the number of rows that counts, and rows are fetched when somebody asks for them.
_RESULTS = {"result_format": "BASIC", "partial_unexpected_count": 0}
# These read the type of a column, and no rows, where there is a database to declare it.
_OF_TYPES = {"expect_column_values_to_be_of_type", "expect_column_values_to_be_in_type_list"}
# The dialects of a night, under names of their own: by "postgresql" it would advise a data source with a password.
_URL = "night+{engine}://"


class Answer(NamedTuple):
    """What Great Expectations says of an expectation; ``error`` is None if it could be evaluated."""

    success: bool
    result: Mapping[str, Any]
    error: str | None


def evaluate(table: NightTable, suite: Sequence[Written]) -> list[Answer]:
    """Hold a night against expectations.

    Parameters
    ----------
    table : NightTable
        The night.
    suite : sequence of Written
        What is expected of it; every column that they look at is there.

    Returns
    -------
    list of Answer
        One an expectation, in their order.

    Raises
    ------
    RemoteUnavailable
        If the disk or the database does not answer.
    """
    if not suite:
        return []
    with _alone():
        try:
            return _evaluated(table, suite)
        except MLOpsError:
            raise
        except Exception as error:  # noqa: BLE001 - it falls over on some data, and what it did not evaluate is no pass
            return [Answer(False, {}, one_line(str(error)) or type(error).__name__)] * len(suite)


def misfit(written: Written) -> str | None:
    """Say why Great Expectations could not evaluate an expectation; None if it can."""
    with _alone():
        gx = _great_expectations()
        registry = require("great_expectations.expectations.registry", extra="gx")
        known = registry.list_registered_expectation_implementations()
        if written.type not in known:
            import difflib

            near = difflib.get_close_matches(written.type, known, n=1)
            return f"unknown expectation {written.type!r}" + (f"; did you mean {near[0]!r}?" if near else "")
        if written.type == "unexpected_rows_expectation" and "{batch}" not in str(written.kwargs):
            return f"{written.type} does not look at the night: write {{batch}} where the query names the table"
        try:
            expectation = _expectation(written)
        except Exception as error:  # noqa: BLE001 - whatever it does not take is the contract's fault
            return f"{written.type}: {_complaint(error)}"
        return _vacuous(written, expectation) or _out_of_reach(written, expectation, registry, gx)


def _evaluated(table: NightTable, suite: Sequence[Written]) -> list[Answer]:
    with _batch(table) as batch:
        answers = _answers(batch, suite)
        # They share their queries: one that no database can run takes others down with it.
        return [
            _answers(batch, [written])[0] if answer.error and len(suite) > 1 else answer
            for written, answer in zip(suite, answers, strict=True)
        ]


def _answers(batch: Any, suite: Sequence[Written]) -> list[Answer]:
    gx = _great_expectations()
    expectations = [_expectation(written, at) for at, written in enumerate(suite)]
    validated = batch.validate(gx.ExpectationSuite(name="night", expectations=expectations), result_format=_RESULTS)
    # In an order of its own.
    answers = {result.expectation_config.meta["at"]: _answer(result) for result in validated.results}
    return [answers.get(at) or Answer(False, {}, "no answer") for at in range(len(suite))]


def _answer(result: Any) -> Answer:
    raised = result.exception_info or {}
    told = [raised] if "raised_exception" in raised else list(raised.values())
    errors = {one_line(str(error["exception_message"])): None for error in told if error["raised_exception"]}
    return Answer(bool(result.success), result.result, "; ".join(errors) or None)


def _expectation(written: Written, at: int = 0) -> Any:
    registry = require("great_expectations.expectations.registry", extra="gx")
    implementation = registry.get_expectation_impl(written.type)
    return implementation(**written.kwargs, severity=written.severity, meta={"at": at})


def _complaint(error: Exception) -> str:
    """What pydantic says, by argument; of a union it lists what every branch says."""
    errors = getattr(error, "errors", None)
    if errors is None:
        return one_line(str(error))
    first: dict[str, str] = {}
    for fault in errors():
        first.setdefault(".".join(str(part) for part in fault["loc"] if part != "__root__"), fault["msg"])
    return "; ".join(f"{where}: {message}" if where else message for where, message in first.items())


def _vacuous(written: Written, expectation: Any) -> str | None:
    """Find what would pass whatever the data is."""
    kwargs = written.kwargs
    bounds = [getattr(expectation, bound) for bound in ("min_value", "max_value") if hasattr(expectation, bound)]
    if bounds and all(bound is None for bound in bounds):
        return f"{written.type} expects nothing: give min_value or max_value"
    if kwargs.get("mostly") == 0:
        return f"{written.type} expects nothing of any row: mostly is 0"
    return None


def _out_of_reach(written: Written, expectation: Any, registry: Any, gx: Any) -> str | None:
    """Find what only pandas or another database could answer."""
    if written.type == "expect_query_results_to_match_comparison":
        return f"{written.type} needs a second data source, and a night has one"
    metric = getattr(expectation, "map_metric", None)
    if metric is None or written.type in _OF_TYPES:
        return None
    try:
        registry.get_sqlalchemy_metric_provider(f"{metric}.condition")
    except gx.exceptions.GreatExpectationsError:
        return f"{written.type} has no form in SQL: say it as a query (unexpected_rows_expectation)"
    return None


@contextmanager
def _batch(table: NightTable) -> Iterator[Any]:
    from airflow_mlops.quality.contracts.expectations import dialect

    loan = dialect.Loan(table)
    sources = _context().data_sources
    # No address and no password: the connection is there already.
    url = _URL.format(engine=table.engine)
    source = sources.add_sql(name="night", connection_string=url, kwargs=loan.engine_arguments)
    try:
        asset = source.add_table_asset(name="night", table_name=dialect.NIGHT)
        yield asset.add_batch_definition_whole_table("night").get_batch()
    finally:
        sources.delete(name="night")
        # It takes a lost connection for an error of each query: the night is not to blame, and a retry can help.
        if loan.lost:
            raise loan.lost


@contextmanager
def _alone() -> Iterator[None]:
    with _ONE_AT_A_TIME, warnings.catch_warnings():
        # What is about to go out of use is no fault of a night.
        warnings.simplefilter("ignore")
        yield


@functools.lru_cache(maxsize=1)
def _context() -> Any:
    from sqlalchemy.dialects import registry

    from airflow_mlops.quality.contracts.expectations import dialect

    for engine, kind in (("duckdb", dialect.DuckDBNight), ("postgres", dialect.PostgresNight)):
        registry.register(f"night.{engine}", dialect.__name__, kind.__name__)
    context = _great_expectations().get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    return context


def _great_expectations() -> Any:
    # Read when a context is made; releases that send events send them unless it says so.
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    gx = require("great_expectations", extra="gx")
    # What cannot be evaluated is told in its result; in the log it would be told with SQL and parameters.
    logging.getLogger("great_expectations").setLevel(logging.CRITICAL)
    return gx
