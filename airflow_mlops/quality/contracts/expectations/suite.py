"""A Great Expectations suite as it is written: its expectations with their lines, and what is wrong with it."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from airflow_mlops.errors import ConfigError
from airflow_mlops.quality.contracts.soda.grammar import ContractFault
from airflow_mlops.quality.contracts.soda.nodes import items, line_of, value_at
from airflow_mlops.table import missing_columns

__all__ = ["Suite", "Written", "columns_named", "read_suite"]

_SUITE = {"name", "id", "expectations", "meta", "notes", "suite_parameters"}
_EXPECTATION = {"type", "kwargs", "severity", "meta", "id", "notes", "description", "rendered_content"}
_EXPECTATION |= {"expectation_context", "success_on_last_run"}
# These say how to run, not what has to hold; how is for who runs it to say.
_NOT_OURS = {"batch_id", "result_format", "catch_exceptions"}
_SEVERITIES = ("critical", "warning", "info")


class Written(NamedTuple):
    """One expectation as it is written; ``line`` counts from 1, None if it is not known."""

    type: str
    kwargs: dict[str, Any]
    severity: str
    description: str | None
    line: int | None


@dataclass(frozen=True)
class Suite:
    """The file, its text, and what was read from it; two of one file and text are equal."""

    file: Path
    text: str
    document: Mapping[str, Any] = field(compare=False, repr=False)
    root: yaml.Node | None = field(compare=False, repr=False)

    @property
    def expectations(self) -> tuple[Written, ...]:
        """The expectations, of a suite without grammatical faults."""
        nodes = _nodes_of(self.root, self.document["expectations"])
        return tuple(
            Written(
                type=entry["type"],
                kwargs={key: value for key, value in (entry.get("kwargs") or {}).items() if key not in _NOT_OURS},
                severity=entry.get("severity") or _SEVERITIES[0],
                description=entry.get("description"),
                line=line_of(node) if node else None,
            )
            for entry, node in zip(self.document["expectations"], nodes, strict=True)
        )

    def faults(self) -> list[ContractFault]:
        """What Great Expectations would not read, or would pass over in silence."""
        found = list(_keys_twice(self.root))
        found += _unknown(self.document, _SUITE, self.root)
        entries = self.document.get("expectations")
        if not isinstance(entries, list):
            return [*found, ContractFault(None, "expected a list 'expectations:'")]
        if not entries:
            return [*found, ContractFault(None, "holds no expectation: every night would pass. Add one")]
        for entry, node in zip(entries, _nodes_of(self.root, entries), strict=True):
            found += _of_entry(entry, node)
        return found or _said_twice(self.expectations)

    def absent(self, names: Sequence[str]) -> list[ContractFault]:
        """Columns of the suite that the data lacks."""
        return [
            ContractFault(written.line, f"expected the data's columns, {missing_columns([column], names)}")
            for written in self.expectations
            for column in columns_named(written, schema=True)
            if column not in names
        ]


def columns_named(written: Written, *, schema: bool = False) -> list[str]:
    """Columns that an expectation looks at.

    Parameters
    ----------
    written : Written
        The expectation.
    schema : bool
        Also those that it only wants to be there: where they are not, it can be answered all the same.
    """
    kwargs = written.kwargs
    if not schema and (written.type == "expect_column_to_exist" or written.type.startswith("expect_table_")):
        return []
    several = [*(kwargs.get("column_list") or ()), *(kwargs.get("column_set") or ())]
    named = [kwargs.get("column"), kwargs.get("column_A"), kwargs.get("column_B"), *several]
    return [column for column in named if isinstance(column, str)]


def read_suite(file: Path) -> Suite:
    """Read a suite's text: JSON as Great Expectations saves it, or the same in YAML.

    Raises
    ------
    ConfigError
        If there is no such file, it is no UTF-8 text, no JSON or YAML (the message names the line), or no mapping.
    """
    try:
        text = file.read_text(encoding="utf-8")
        document, root = _document(text), _nodes(text)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise ConfigError(
            f"{file}: expected a Great Expectations suite, there is none. Write one, or name another file as contract."
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: expected UTF-8 text, got {error.reason} at byte {error.start}.") from error
    except yaml.MarkedYAMLError as error:
        place = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{file}{place}: expected JSON or YAML: {error.problem}.") from error
    except (ValueError, TypeError, RecursionError, yaml.YAMLError) as error:
        raise ConfigError(f"{file}: expected JSON or YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(document, dict):
        raise ConfigError(f"{file}: expected a suite with 'expectations', got another kind of document.")
    return Suite(file, text, document, root)


def _document(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return yaml.safe_load(text)


def _nodes(text: str) -> yaml.Node | None:
    # JSON is YAML, but for the tabs between its parts; there are none within them.
    try:
        json.loads(text)
    except json.JSONDecodeError:
        return yaml.compose(text, Loader=yaml.SafeLoader)
    try:
        return yaml.compose(text.replace("\t", " "), Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return None


def _nodes_of(root: yaml.Node | None, entries: Sequence[Any]) -> list[yaml.Node | None]:
    nodes = list(items(root, "expectations"))
    # Of two lists under one key each reader takes another.
    return [*nodes] if len(nodes) == len(entries) else [None] * len(entries)


def _of_entry(entry: Any, node: yaml.Node | None) -> Iterator[ContractFault]:
    line = line_of(node) if node else None
    if not isinstance(entry, dict):
        yield ContractFault(line, "expected an expectation with 'type' and 'kwargs'")
        return
    yield from _unknown(entry, _EXPECTATION, node)
    if not isinstance(entry.get("type"), str):
        yield ContractFault(line, "expected an expectation with a 'type', such as expect_column_values_to_not_be_null")
    kwargs = entry.get("kwargs") or {}
    if not isinstance(kwargs, dict) or not all(isinstance(key, str) for key in kwargs):
        yield ContractFault(line, 'expected kwargs as a mapping, such as {"column": "temp"}')
    elif _has_parameter(kwargs):
        yield ContractFault(line, "$PARAMETER has no value here: write the value itself")
    severity = entry.get("severity")
    if severity is not None and severity not in _SEVERITIES:
        at = value_at(node, "severity")
        message = f"unknown severity {severity!r}; known are {', '.join(_SEVERITIES)}"
        yield ContractFault(line_of(at) if at else line, message)
    description = entry.get("description")
    if description is not None and not isinstance(description, str):
        yield ContractFault(line, "expected a text as description")


def _said_twice(expectations: Iterable[Written]) -> list[ContractFault]:
    first: dict[str, Written] = {}
    found = []
    for written in expectations:
        said = f"{written.type} {sorted((key, repr(value)) for key, value in written.kwargs.items())}"
        before = first.setdefault(said, written)
        if before is not written:
            found.append(ContractFault(written.line, f"{written.type} stands twice, first in line {before.line}"))
    return found


def _keys_twice(node: yaml.Node | None) -> Iterator[ContractFault]:
    """JSON and YAML both let the later of two equal keys win, without a word."""
    waiting, seen = [node], set()
    while waiting:
        node = waiting.pop()
        # An alias may hold the node that it stands in.
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif isinstance(node, yaml.MappingNode):
            names = [key.value for key, _ in node.value]
            waiting += [value for _, value in node.value]
            for index, (key, _) in enumerate(node.value):
                if isinstance(key.value, str) and key.value in names[:index]:
                    yield ContractFault(line_of(key), f"the key {key.value!r} stands twice")


def _unknown(entry: Mapping[Any, Any], known: set[str], node: yaml.Node | None) -> Iterator[ContractFault]:
    for key in entry:
        if key not in known:
            at = value_at(node, str(key)) or node
            near = difflib.get_close_matches(str(key), sorted(known), n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(known))}"
            yield ContractFault(line_of(at) if at else None, f"unknown key {key!r}; {hint}")


def _has_parameter(value: Any) -> bool:
    if isinstance(value, dict):
        return "$PARAMETER" in value or any(_has_parameter(item) for item in value.values())
    return isinstance(value, list) and any(_has_parameter(item) for item in value)
