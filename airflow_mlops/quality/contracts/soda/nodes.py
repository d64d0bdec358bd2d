"""YAML nodes, which unlike the values they make know their lines; every question may be asked of any node."""

from __future__ import annotations

from collections.abc import Iterator

import yaml

__all__ = ["items", "line_of", "text_of", "value_at"]


def value_at(node: yaml.Node | None, key: str) -> yaml.Node | None:
    """Value of a key; None if there is none, or the node is no mapping.

    Examples
    --------
    >>> text_of(value_at(yaml.compose("dataset: duckdb/night"), "dataset"))
    'duckdb/night'
    """
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for name, value in node.value if name.value == key), None)


def items(node: yaml.Node | None, key: str) -> Iterator[yaml.Node]:
    """Entries of the list under a key; none if there is no list."""
    found = value_at(node, key)
    if isinstance(found, yaml.SequenceNode):
        yield from found.value


def text_of(node: yaml.Node | None) -> str | None:
    """Text of a scalar as it is written; None for anything else."""
    return str(node.value) if isinstance(node, yaml.ScalarNode) else None


def line_of(node: yaml.Node) -> int:
    """Line that a node starts on, counted from 1."""
    return int(node.start_mark.line) + 1
