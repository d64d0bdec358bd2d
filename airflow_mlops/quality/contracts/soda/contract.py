"""A Soda contract as text: its columns and checks with their lines, and its form for one night's table."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from airflow_mlops.errors import ConfigError
from airflow_mlops.quality.contracts.soda.grammar import ContractFault, unread_keys
from airflow_mlops.quality.contracts.soda.nodes import items, line_of, text_of, value_at
from airflow_mlops.table import missing_columns

__all__ = ["Contract", "DroppedCheck", "read_contract"]


class DroppedCheck(NamedTuple):
    """A check that cannot be evaluated, since the night lacks a column that it looks at."""

    type: str
    column: str


@dataclass(frozen=True)
class Contract:
    """The file, its text and its YAML nodes; two of one file and text are equal."""

    file: Path
    text: str
    root: yaml.MappingNode = field(compare=False, repr=False)

    @property
    def view(self) -> str:
        """Name of the table in the header ``dataset: SOURCE/.../TABLE``: the contract's own SQL speaks of it."""
        return (text_of(value_at(self.root, "dataset")) or "").rpartition("/")[2]

    @property
    def columns(self) -> dict[str, int]:
        """Columns that a night must have, with their lines."""
        return {
            name: line_of(column)
            for column in items(self.root, "columns")
            # With an expression, the name is the check's own and need not be a column.
            if (name := text_of(value_at(column, "name"))) and value_at(column, "column_expression") is None
        }

    def faults(self) -> list[ContractFault]:
        """Keys that Soda would not read, a header that names no table, and a contract that checks nothing."""
        found = list(unread_keys(self.root))
        header = value_at(self.root, "dataset")
        if "/" not in (text_of(header) or "") or not self.view:
            line = 1 if header is None else line_of(header)
            found.append(ContractFault(line, "expected 'dataset: SOURCE/TABLE', such as duckdb/night"))
        kind = value_at(self.root, "kind")
        if kind is not None and text_of(kind) != "contract":
            found.append(ContractFault(line_of(kind), f"expected 'kind: contract', got {text_of(kind)!r}"))
        if not found and self.count_checks() == 0:
            found.append(ContractFault(None, "holds no check: every night would pass. Add a list 'checks:'"))
        return found

    def absent(self, names: Sequence[str]) -> list[ContractFault]:
        """Columns of the contract that the data lacks."""
        return [
            ContractFault(line, f"expected the data's columns, {missing_columns([name], names)}")
            for name, line in self.columns.items()
            if name not in names
        ]

    def count_checks(self) -> int:
        """How many checks Soda has to answer."""
        return sum(1 for owner in _owners(self.root) for _ in items(owner, "checks"))

    def for_night(self, source: str, names: Sequence[str]) -> tuple[Contract, list[DroppedCheck]]:
        """Aim the contract at the table ``<view>`` and take out what cannot be evaluated on it.

        One check of a column that is not there would keep Soda from answering all the others. The columns
        themselves stay: the schema check has to miss them.

        Parameters
        ----------
        source : str
            Name of Soda's data source.
        names : sequence of str
            Columns of the night.
        """
        root = copy.deepcopy(self.root)
        header = value_at(root, "dataset")
        if isinstance(header, yaml.ScalarNode):
            header.value = f"{source}/{self.view}"
        dropped = list(_dropped(root, set(self.columns) - set(names), names))
        return Contract(self.file, yaml.serialize(root), root), dropped

    def document(self) -> dict[str, Any]:
        """Read it into mappings, lists and texts: numbers and dates stay as they are written."""
        document: dict[str, Any] = yaml.load(self.text, Loader=yaml.BaseLoader)  # noqa: S506 - builds only texts
        return document


def read_contract(file: Path) -> Contract:
    """Read a contract's text.

    Raises
    ------
    ConfigError
        If there is no such file, it is no UTF-8 text, no YAML (the message names the line), or no mapping.
    """
    try:
        text = file.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise ConfigError(
            f"{file}: expected a Soda contract, there is none. Write one, or name another file in model.toml "
            "(contract, in [quality])."
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: expected UTF-8 text, got {error.reason} at byte {error.start}.") from error
    except yaml.MarkedYAMLError as error:
        place = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{file}{place}: expected YAML: {error.problem}.") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{file}: expected YAML: {' '.join(str(error).split())}.") from error
    except RecursionError as error:
        raise ConfigError(f"{file}: expected YAML that people can read: it is nested too deeply.") from error
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError(f"{file}: expected a contract with 'dataset:' and 'columns:', got another kind of document.")
    return Contract(file, text, root)


def _owners(root: yaml.Node) -> Iterator[yaml.Node]:
    """The contract itself and its columns: what has a list of checks."""
    yield root
    yield from items(root, "columns")


def _dropped(root: yaml.Node, absent: set[str], names: Sequence[str]) -> Iterator[DroppedCheck]:
    for owner in _owners(root):
        name = None if owner is root else text_of(value_at(owner, "name"))
        checks = value_at(owner, "checks")
        if not isinstance(checks, yaml.SequenceNode) or not isinstance(owner, yaml.MappingNode):
            continue
        kept = []
        for check in checks.value:
            ((key, body),) = check.value
            looked_at = [name] if name in absent else [column for column in _named_in(body) if column not in names]
            if looked_at and looked_at[0]:
                yield DroppedCheck(key.value, looked_at[0])
            else:
                kept.append(check)
        # A new list, since an alias may share the old one; and none at all if it is empty, which Soda refuses.
        owner.value = [
            (at, yaml.SequenceNode(checks.tag, kept) if at.value == "checks" else value)
            for at, value in owner.value
            if at.value != "checks" or kept
        ]


def _named_in(body: yaml.Node) -> list[str]:
    """Columns that a check of the whole table names: ``column`` of freshness, ``columns`` of duplicate."""
    named = [text_of(value_at(body, "column")), *(text_of(column) for column in items(body, "columns"))]
    return [name for name in named if name]
