"""What an expectation is called, what it expected and what it found: in Soda's words, where Soda asks the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow_mlops.quality.contracts.expectations.suite import Written, columns_named
from airflow_mlops.quality.contracts.soda.wording import threshold_text
from airflow_mlops.table import missing_columns

__all__ = ["column_of", "expectation", "finding", "name_of", "one_line", "schema_finding"]

# Names of checks, where Soda has one that asks the same.
_NAMES = {
    "expect_column_values_to_not_be_null": "missing",
    "expect_column_values_to_be_between": "invalid",
    "expect_column_values_to_be_in_set": "invalid",
    "expect_column_values_to_not_be_in_set": "invalid",
    "expect_column_values_to_match_regex": "invalid",
    "expect_column_values_to_not_match_regex": "invalid",
    "expect_column_value_lengths_to_be_between": "invalid",
    "expect_column_value_lengths_to_equal": "invalid",
    "expect_column_values_to_be_unique": "duplicate",
    "expect_compound_columns_to_be_unique": "duplicate",
    "expect_table_row_count_to_be_between": "row_count",
    "expect_table_row_count_to_equal": "row_count",
    "expect_table_columns_to_match_set": "schema",
    "expect_table_columns_to_match_ordered_list": "schema",
    "expect_column_to_exist": "schema",
    "expect_column_type_to_be": "schema",
    "expect_column_values_to_be_of_type": "schema",
    "expect_column_values_to_be_in_type_list": "schema",
    "unexpected_rows_expectation": "failed_rows",
}
_FUNCTIONS = {"mean": "avg", "min": "min", "max": "max", "sum": "sum", "median": "median", "stdev": "stddev"}
_NAMES |= {f"expect_column_{function}_to_be_between": "aggregate" for function in _FUNCTIONS}
_MESSAGE_LENGTH = 400


def name_of(written: Written) -> str:
    """Name of a check: Soda's word, or the expectation's own type where Soda has none."""
    return _NAMES.get(written.type, written.type)


def column_of(written: Written) -> str | None:
    """Column of a check; None if it asks about the table, as every check of the schema does."""
    if name_of(written) == "schema" or "column" not in written.kwargs:
        return None
    return str(written.kwargs["column"])


def expectation(written: Written) -> str:
    """Say what an expectation expects."""
    kwargs, name, column = written.kwargs, name_of(written), column_of(written)
    mostly = kwargs.get("mostly", 1)
    allowed = "0" if mostly == 1 else f"at most {100 * (1 - mostly):.6g} %"
    match name:
        case "missing":
            return f"missing values in {column}: {allowed}"
        case "invalid":
            return f"invalid values in {column}: {allowed} ({', '.join(_rules(written))})"
        case "duplicate":
            return f"rows that repeat {column or ', '.join(columns_named(written))}: {allowed}"
        case "row_count":
            return f"rows: {_bounds(kwargs)}"
        case "aggregate":
            return f"{_function(written.type)} of {column}: {_bounds(kwargs)}"
        case "schema":
            return f"columns {', '.join(_columns(kwargs))}"
        case "failed_rows":
            return f"{written.description or kwargs['unexpected_rows_query']}: 0"
        case _:
            return written.description or f"{_plain(written.type)}: {_settings(kwargs)}"


def finding(written: Written, result: Mapping[str, Any], failing_rows: int | None) -> str:
    """Say what an expectation found.

    Parameters
    ----------
    written : Written
        The expectation.
    result : mapping
        What Great Expectations says of it.
    failing_rows : int or None
        The rows that do not hold, if they can be counted.
    """
    rows, observed = result.get("element_count"), result.get("observed_value")
    if failing_rows is not None:
        return f"{failing_rows} of {rows} rows ({100 * failing_rows / rows:.3g} %)" if rows else f"{failing_rows} rows"
    if observed is None:
        return f"{result['unexpected_count']} values" if "unexpected_count" in result else "no value"
    text = f"{observed:.6g}" if isinstance(observed, float) else str(observed)
    return one_line(text + (" rows" if name_of(written) == "row_count" else ""))


def schema_finding(written: Written, names: Sequence[str], observed: Any) -> str:
    """Say what an expectation of the schema found.

    Parameters
    ----------
    written : Written
        The expectation.
    names : sequence of str
        Columns of the night.
    observed : object
        The type of its column, if it asks for one.
    """
    kwargs, wanted = written.kwargs, columns_named(written, schema=True)
    if "column" in kwargs and not missing_columns(wanted, names):
        kind, types = str(observed).lower(), _types(kwargs)
        told = f"{kwargs['column']} is {kind}, not {' or '.join(types)}"
        return told if types and kind not in types else "as expected"
    faults = [missing_columns(wanted, names)]
    if "column" not in kwargs and (extra := [name for name in names if name not in wanted]):
        faults.append(f"got {', '.join(extra)}, of which the contract does not speak")
    if "column_list" in kwargs and not any(faults) and list(names) != wanted:
        faults.append("the columns stand in another order")
    return "; ".join(fault for fault in faults if fault) or "as expected"


def one_line(message: str) -> str:
    """Put an error on one line, without the query that SQLAlchemy repeats in it."""
    told = message.partition("\n[SQL:")[0].partition("(Background on this error")[0]
    return " ".join(" ".join(line.split()) for line in told.splitlines() if line.strip(" ^"))[:_MESSAGE_LENGTH]


def _rules(written: Written) -> list[str]:
    kwargs, kind = written.kwargs, written.type
    if kind.endswith("_be_in_set"):
        return [f"{'invalid' if '_not_' in kind else 'valid'}_values {_listed(kwargs['value_set'])}"]
    if kind.endswith("_regex"):
        return [f"{'invalid' if '_not_' in kind else 'valid'}_format {kwargs['regex']}"]
    if kind.endswith("_to_equal"):
        return [f"valid_length {kwargs['value']}"]
    unit = "_length" if "lengths" in kind else ""
    return [
        f"valid_{end}{unit} {'beyond ' if kwargs.get(f'strict_{end}') else ''}{kwargs[f'{end}_value']}"
        for end in ("min", "max")
        if kwargs.get(f"{end}_value") is not None
    ]


def _bounds(kwargs: Mapping[str, Any]) -> str:
    if "value" in kwargs:
        return str(kwargs["value"])
    bounds = {}
    for end, direction in (("min", "greater"), ("max", "less")):
        if (limit := kwargs.get(f"{end}_value")) is not None:
            bounds[f"{direction}_than{'' if kwargs.get(f'strict_{end}') else '_or_equal'}"] = limit
    return threshold_text({"must_be_between": bounds})


def _function(kind: str) -> str:
    return _FUNCTIONS[kind.removeprefix("expect_column_").removesuffix("_to_be_between")]


def _columns(kwargs: Mapping[str, Any]) -> list[str]:
    if "column" not in kwargs:
        return [str(column) for column in kwargs.get("column_list") or kwargs.get("column_set") or ()]
    return [f"{kwargs['column']} {' or '.join(_types(kwargs))}".strip()]


def _types(kwargs: Mapping[str, Any]) -> list[str]:
    types = kwargs.get("type_list") or [kwargs.get("type_")]
    return [str(kind).lower() for kind in types if kind]


def _settings(kwargs: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {_listed(value)}" for key, value in kwargs.items())


def _plain(kind: str) -> str:
    return kind.removeprefix("expect_").replace("_", " ")


def _listed(value: Any) -> str:
    return ", ".join(str(item) for item in value) if isinstance(value, list) else str(value)
