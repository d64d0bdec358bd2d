"""The keys that Soda 4 reads in a contract, and those that it would pass over in silence.

Soda ignores what it does not know: a contract with ``chekcs`` or ``thresold`` in it passes every night. So every key
is held against the parser's own (soda-core 4.28, ``contract_yaml.py`` and ``check_types/*_yaml.py``; the JSON schema
beside them lacks some that the parser reads).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import yaml

from airflow_mlops.quality.contracts.soda.nodes import items, line_of, text_of, value_at

__all__ = ["ContractFault", "unread_keys"]

_VALIDITY = {"valid_format", "valid_length", "valid_max", "valid_max_length", "valid_min", "valid_min_length"}
_VALIDITY |= {"valid_reference_data", "valid_values", "invalid_format", "invalid_values"}
_VALIDITY |= {"missing_format", "missing_values"}
_CONTRACT = {"dataset", "kind", "description", "filter", "variables", "scopes", "check_attributes"}
_CONTRACT |= {"soda_agent", "soda_runner", "columns", "checks"}
_COLUMN = {"name", "description", "data_type", "optional", "column_expression", "checks", *_VALIDITY}
_COLUMN |= {"character_maximum_length", "datetime_precision", "numeric_precision", "numeric_scale"}
_CHECK = {"name", "qualifier", "scope", "filter", "store_failed_rows", "attributes", "column_expression", "threshold"}
_CHECK_TYPES: dict[str, set[str]] = {
    "schema": {"allow_extra_columns", "allow_other_column_order"},
    "row_count": set(),
    "missing": _VALIDITY,
    "invalid": _VALIDITY,
    "duplicate": {"columns", *_VALIDITY},
    "aggregate": {"function", *_VALIDITY},
    "metric": {"expression", "query", *_VALIDITY},
    "freshness": {"column", "now_variable"},
    "failed_rows": {"expression", "query", "keys_query", "rows_tested_query", "key_column_mapping"},
}
_BOUNDS = {"greater_than", "greater_than_or_equal", "less_than", "less_than_or_equal"}
_RANGES = {"must_be_between", "must_be_not_between"}
_THRESHOLD = {"must_be", "must_not_be", "level", "additional", "metric", "unit", *_RANGES}
_THRESHOLD |= {f"must_be_{bound}" for bound in _BOUNDS}
_LEVELS = ("fail", "warn")


class ContractFault(NamedTuple):
    """One thing that is wrong in a contract; ``line`` counts from 1, None if it is not known."""

    line: int | None
    message: str


def unread_keys(root: yaml.MappingNode) -> Iterator[ContractFault]:
    """Find keys, check types and levels that Soda would not read, or would read as something else."""
    yield from _unknown(root, _CONTRACT)
    for column in items(root, "columns"):
        yield from _unknown(column, _COLUMN)
    for owner in (root, *items(root, "columns")):
        for check in items(owner, "checks"):
            yield from _of_check(check)


def _of_check(check: yaml.Node) -> Iterator[ContractFault]:
    if (name := text_of(check)) is not None:
        yield ContractFault(line_of(check), f"expected '- {name or 'missing'}:' with a colon, got '- {name}'")
        return
    if not isinstance(check, yaml.MappingNode) or len(check.value) != 1 or text_of(check.value[0][0]) is None:
        yield ContractFault(line_of(check), "expected one check such as '- missing:', its settings indented below it")
        return
    ((key, body),) = check.value
    if key.value not in _CHECK_TYPES:
        yield ContractFault(line_of(key), f"unknown check {key.value!r}; {_hint(key.value, _CHECK_TYPES)}")
        return
    yield from _unknown(body, _CHECK | _CHECK_TYPES[key.value])
    threshold = value_at(body, "threshold")
    for bounds in (threshold, value_at(threshold, "additional")):
        yield from _unknown(bounds, _THRESHOLD)
        for key_of_range in sorted(_RANGES):
            yield from _unknown(value_at(bounds, key_of_range), _BOUNDS)
        level = value_at(bounds, "level")
        if level is not None and text_of(level) not in _LEVELS:
            yield ContractFault(line_of(level), f"unknown level {text_of(level)!r}; known are {', '.join(_LEVELS)}")


def _unknown(node: yaml.Node | None, known: set[str]) -> Iterator[ContractFault]:
    if not isinstance(node, yaml.MappingNode):
        return
    for key, _ in node.value:
        name = text_of(key)
        if name not in known:
            yield ContractFault(line_of(key), f"unknown key {name!r}; {_hint(name or '', known)}")


def _hint(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known := sorted(known), n=1)
    return f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
