"""Rules as a contract: Soda's YAML with the reason beside each check, or a suite of Great Expectations."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal

import yaml

from airflow_mlops.quality.suggest.learned import ColumnRules, Range, Rules

__all__ = ["written_contract"]

# Types that Soda's schema check takes by the names that DuckDB and PostgreSQL themselves have for them.
_TYPES = {"boolean", "smallint", "integer", "bigint", "numeric", "decimal", "real", "float", "double"}
_TYPES |= {"double precision", "varchar", "text", "character varying", "date", "timestamp"}
_TYPES |= {"timestamp with time zone", "timestamp without time zone"}
_WIDE = 1 << 20


def written_contract(rules: Rules, *, name: str, language: Literal["soda", "gx"]) -> str:
    """Write rules as a contract that a person can read and correct.

    Parameters
    ----------
    rules : Rules
        What held.
    name : str
        Of the table, for the heading.
    language : {"soda", "gx"}
        YAML, or JSON with the reasons as ``notes`` under ``meta``.

    Returns
    -------
    str
        The same for the same rules.
    """
    if language == "gx":
        return json.dumps(_suite(rules, name), indent=2, ensure_ascii=False) + "\n"
    return "\n".join(_soda(rules, name)) + "\n"


def _seen(rules: Rules) -> str:
    nights = "one night" if rules.nights == 1 else f"{rules.nights} nights"
    return f"{nights} of {rules.total_rows:,} rows" if rules.nights == 1 else f"{nights}, {rules.total_rows:,} rows"


def _slack(rules: Rules) -> str:
    if rules.nights == 1:
        return "As much again as the range that was seen is allowed on either side, for one night knows little."
    return "Half of the range that was seen is allowed on either side; what the newer nights broke is left out."


def _soda(rules: Rules, name: str) -> Iterator[str]:
    yield f"# Suggested for {_line(name)} by what {_seen(rules)} were like. Read it, correct it, keep it under"
    yield "# version control: it says what was, a contract says what has to be."
    yield f"# {_slack(rules)}"
    yield "dataset: duckdb/night"
    yield ""
    yield "checks:"
    yield "  # Each column below has to be there, of its type; others may come, in any order."
    yield "  - schema:"
    yield "      allow_extra_columns: true"
    yield "      allow_other_column_order: true"
    if rules.rows is None:
        yield "  # At least one row: the newer nights differ too much from the older ones for more."
        yield "  - row_count:"
    else:
        yield f"  # {_rows_seen(rules.rows)}"
        yield "  - row_count:"
        yield "      threshold:"
        yield "        must_be_between:"
        yield f"          greater_than_or_equal: {rules.rows.low}"
        yield f"          less_than_or_equal: {rules.rows.high}"
    yield ""
    yield "columns:"
    for column, found in rules.columns.items():
        yield from _soda_column(column, found)
    for column in rules.inconstant:
        yield f"  # {_line(column)}: not in every night, so nothing is asked of it."


def _soda_column(name: str, column: ColumnRules) -> Iterator[str]:
    yield f"  - name: {_scalar(name)}"
    if column.type in _TYPES:
        yield f"    data_type: {column.type}"
    # Soda does not escape a quotation mark in a name: its SQL would break, and with it every check.
    if '"' in name:
        return
    checks = [*_soda_checks(column)]
    if checks:
        yield "    checks:"
        yield from (f"      {line}" for line in checks)


def _soda_checks(column: ColumnRules) -> Iterator[str]:
    if column.never_missing:
        yield "- missing: # never missing"
    if column.unique:
        yield "- duplicate: # each row of a night has its own"
    if column.values is not None:
        yield f"- invalid: # {_values_seen(column.values)}"
        yield f"    valid_values: {_scalar(list(column.values))}"
    elif column.range is not None:
        yield f"- invalid: # {_range_seen(column.range)}"
        yield f"    valid_min: {_scalar(column.range.low)}"
        yield f"    valid_max: {_scalar(column.range.high)}"


def _suite(rules: Rules, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "expectations": [*_expectations(rules)],
        "meta": {"notes": f"Suggested by what {_seen(rules)} were like. {_slack(rules)}"},
    }


def _expectations(rules: Rules) -> Iterator[dict[str, Any]]:
    names = list(rules.columns)
    why = "Each of these has to be there; others may come, in any order."
    yield _expected("table_columns_to_match_set", why, column_set=names, exact_match=False)
    if rules.rows is None:
        yield _expected("table_row_count_to_be_between", "At least one row.", min_value=1)
    else:
        bounds = {"min_value": rules.rows.low, "max_value": rules.rows.high}
        yield _expected("table_row_count_to_be_between", _rows_seen(rules.rows), **bounds)
    for name, column in rules.columns.items():
        if column.never_missing:
            yield _expected("column_values_to_not_be_null", "never missing", column=name)
        if column.unique:
            yield _expected("column_values_to_be_unique", "each row of a night has its own", column=name)
        if column.values is not None:
            values = list(column.values)
            yield _expected("column_values_to_be_in_set", _values_seen(column.values), column=name, value_set=values)
        elif column.range is not None:
            bounds = {"min_value": column.range.low, "max_value": column.range.high}
            yield _expected("column_values_to_be_between", _range_seen(column.range), column=name, **bounds)


def _expected(kind: str, why: str, **settings: Any) -> dict[str, Any]:
    return {"type": f"expect_{kind}", "kwargs": settings, "severity": "critical", "meta": {"notes": why}}


def _rows_seen(rows: Range) -> str:
    return f"Seen: {_between(rows)} rows."


def _values_seen(values: tuple[int | str, ...]) -> str:
    return f"{len(values)} values, and no other"


def _range_seen(found: Range) -> str:
    exact = (found.low, found.high) == (found.seen_low, found.seen_high)
    return f"seen: {_between(found)}" + (", every whole number of it often" if exact else "")


def _between(found: Range) -> str:
    low, high = (
        f"{bound:,}" if isinstance(bound, int) else f"{bound:.6g}" for bound in (found.seen_low, found.seen_high)
    )
    return low if low == high else f"{low} to {high}"


def _scalar(value: Any) -> str:
    """As YAML writes it, on one line: quoted where it has to be."""
    text: str = yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=_WIDE)
    return text.removesuffix("\n").removesuffix("...").removesuffix("\n")


def _line(text: str) -> str:
    """A name within a comment: it must not end it."""
    return " ".join(text.split()) if text.isprintable() else ascii(text)
