"""What a check of a contract expected and what it found, in words that a person can act on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_mlops.table import missing_columns

__all__ = ["counted_rows", "expectation", "finding", "settings_of", "threshold_text"]

_BOUNDS = {
    "greater_than": "more than {}",
    "greater_than_or_equal": "at least {}",
    "less_than": "less than {}",
    "less_than_or_equal": "at most {}",
}
_PHRASES = {f"must_be_{bound}": phrase for bound, phrase in _BOUNDS.items()} | {
    "must_be": "{}",
    "must_not_be": "not {}",
}
_COUNTED = {
    "missing": "missing_count",
    "invalid": "invalid_count",
    "duplicate": "duplicate_count",
    "failed_rows": "failed_rows_count",
}
_RULES = {"missing": ("missing_",), "invalid": ("valid_", "invalid_", "missing_")}
# Without a threshold, Soda wants none of these, and at least one row.
_NONE_AT_ALL = {"must_be": "0"}
_AT_LEAST_ONE = {"must_be_greater_than": "0"}


def threshold_text(threshold: Mapping[str, Any]) -> str:
    """Say a contract's threshold in words.

    Parameters
    ----------
    threshold : mapping
        As in the contract: ``must_be...``, ``metric``, ``unit``, ``level``, ``additional``.

    Examples
    --------
    >>> threshold_text({"must_be_less_than": "5", "metric": "percent", "level": "warn"})
    'less than 5 %'
    >>> threshold_text({"must_be_between": {"greater_than": "0", "less_than_or_equal": "24"}})
    'more than 0 and at most 24'
    """
    words = []
    for key, value in threshold.items():
        if key in _PHRASES:
            words.append(_PHRASES[key].format(value))
        elif key in ("must_be_between", "must_be_not_between"):
            between = " and " if key == "must_be_between" else " or "
            words.append(between.join(_BOUNDS[bound].format(limit) for bound, limit in value.items()))
    unit = " %" if threshold.get("metric") == "percent" else f" {threshold['unit']}s" if "unit" in threshold else ""
    text = f"{', '.join(words)}{unit}"
    if additional := threshold.get("additional"):
        text += f" ({additional.get('level') or 'fail'} unless {threshold_text(additional)}{unit})"
    return text


def settings_of(check: Any, document: Mapping[str, Any]) -> dict[str, Any]:
    """What the contract says of one check, with what it says of its column beneath.

    Parameters
    ----------
    check : soda_core Check
        The check, in Soda's answer, which does not say what a valid value is.
    document : mapping
        The contract.
    """
    owner = document
    if check.column_name is not None:
        owner = next((column for column in document["columns"] if column.get("name") == check.column_name), {})
    for item in owner.get("checks") or []:
        ((kind, written),) = item.items()
        settings = written or {}
        if kind == check.type and settings.get("qualifier") == check.qualifier:
            beneath = {key: value for key, value in owner.items() if key.startswith(_RULES.get(kind, ()))}
            return {**beneath, **settings}
    return {}


def expectation(result: Any, settings: Mapping[str, Any]) -> str:
    """Say what a check expected.

    Parameters
    ----------
    result : soda_core CheckResult
        The answer of Soda.
    settings : mapping
        What the contract says of it.
    """
    kind, column = result.check.type, result.check.column_name
    threshold = settings.get("threshold") or (_AT_LEAST_ONE if kind == "row_count" else _NONE_AT_ALL)
    if kind == "freshness":
        threshold = {"unit": "hour", **threshold}
    bound = threshold_text(threshold)
    match kind:
        case "schema":
            return f"columns {', '.join(_typed(column) for column in result.expected_columns)}"
        case "row_count":
            return f"rows: {bound}"
        case "missing" | "invalid":
            rules = [f"{key} {_plain(value)}" for key, value in settings.items() if key.startswith(_RULES[kind])]
            return f"{kind} values in {column}: {bound}" + (f" ({', '.join(rules)})" if rules else "")
        case "duplicate":
            return f"rows that repeat {column or _plain(settings.get('columns', []))}: {bound}"
        case "aggregate":
            return f"{settings.get('function')} of {column}: {bound}"
        case "freshness":
            return f"age of the newest {settings.get('column')} at the night's end: {bound}"
        case _:
            return f"{settings.get('name') or 'value'}: {bound}"


def counted_rows(result: Any) -> int | None:
    """How many rows did not hold; None where Soda does not count them.

    Parameters
    ----------
    result : soda_core CheckResult
        The answer of Soda.
    """
    figures = result.diagnostic_metric_values or {}
    counted = figures.get(_COUNTED.get(result.check.type, ""))
    return None if counted is None else int(counted)


def finding(result: Any) -> str:
    """Say what a check found.

    Parameters
    ----------
    result : soda_core CheckResult
        The answer of Soda.
    """
    kind, figures = result.check.type, result.diagnostic_metric_values or {}
    if kind == "schema":
        return _schema_finding(result)
    counted = counted_rows(result)
    rows = figures.get("check_rows_tested")
    if counted is not None and rows:
        return f"{counted} of {rows} rows ({100 * counted / rows:.3g} %)"
    value = result.threshold_value
    if value is None:
        return "no value"
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    unit = f" {result.unit}s" if kind == "freshness" else " rows" if kind == "row_count" else ""
    return text + unit


def _schema_finding(result: Any) -> str:
    names = [column.column_name for column in result.actual_columns]
    faults = [missing_columns([column.column_name for column in result.expected_columns], names)]
    if extra := result.actual_column_names_not_expected:
        faults.append(f"got {', '.join(extra)}, of which the contract does not speak")
    faults += [
        f"{mismatch.column} is {mismatch.get_actual()}, not {mismatch.get_expected()}"
        for mismatch in result.column_data_type_mismatches
    ]
    if result.are_columns_out_of_order:
        faults.append("the columns stand in another order")
    return "; ".join(fault for fault in faults if fault) or "as expected"


def _typed(column: Any) -> str:
    return f"{column.column_name} {column.sql_data_type.name}" if column.sql_data_type else str(column.column_name)


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return str(value.get("name") or value.get("regex") or value.get("column") or "")
    return ", ".join(str(item) for item in value) if isinstance(value, list) else str(value)
