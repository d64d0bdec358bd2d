"""A YAML file whose values know their lines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from airflow_mlops.project.faults import Fault, Location

__all__ = ["YamlFile", "read_yaml"]

_MERGE = "tag:yaml.org,2002:merge"


@dataclass(frozen=True)
class YamlFile:
    """What a YAML file says, and where.

    Attributes
    ----------
    file : Path
        The file.
    content : object
        What it says; None if it has faults.
    node : yaml.Node or None
        The same with lines.
    faults : tuple of Fault
        Why it cannot be read: no file, no UTF-8, no YAML, a key that stands twice.
    """

    file: Path
    content: Any = None
    node: yaml.Node | None = None
    faults: tuple[Fault, ...] = ()

    def has(self, location: Location) -> bool:
        """Whether a value stands in the file."""
        return len(self._way(location)) == len(location)

    def line_of(self, location: Location) -> int | None:
        """Line of a value's key, or of the nearest one around it."""
        way = self._way(location)
        return way[-1].start_mark.line + 1 if way else None

    def _way(self, location: Location) -> list[yaml.Node]:
        """Nodes on the way to a value, as far as it goes: of a mapping its keys, of a list its entries."""
        way: list[yaml.Node] = []
        node = self.node
        for part in location:
            if isinstance(node, yaml.MappingNode):
                pair = next((pair for pair in node.value if pair[0].value == str(part)), None)
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                pair = (node.value[part], node.value[part])
            else:
                pair = None
            if pair is None:
                break
            way.append(pair[0])
            node = pair[1]
        return way


def read_yaml(file: Path) -> YamlFile:
    """Read a YAML file; what is wrong with it is among its ``faults``."""
    try:
        text = file.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        twice = tuple(_twice(node, file)) if node else ()
        return YamlFile(file, None if twice else yaml.safe_load(text), node, twice)
    except FileNotFoundError:
        fault = Fault(file, "", None, "is missing")
    except OSError as error:
        fault = Fault(file, "", None, f"cannot be read: {error.strerror}")
    except UnicodeDecodeError as error:
        fault = Fault(file, "", None, f"expected UTF-8 text: {error.reason}")
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        fault = Fault(file, "", mark.line + 1 if mark else None, f"expected YAML: {error.problem}")
    except yaml.YAMLError as error:
        fault = Fault(file, "", None, f"expected YAML: {str(error).splitlines()[0]}")
    except (ValueError, RecursionError) as error:
        # A date such as 2011-02-30, or lists within lists without end.
        fault = Fault(file, "", None, f"expected YAML: {error}")
    return YamlFile(file, faults=(fault,))


def _twice(root: yaml.Node, file: Path) -> Iterator[Fault]:
    # YAML itself keeps the last one, and says nothing.
    seen, waiting = {id(root)}, [root]
    while waiting:
        node = waiting.pop()
        inner = list(node.value) if isinstance(node, yaml.SequenceNode) else []
        if isinstance(node, yaml.MappingNode):
            lines: dict[str, int] = {}
            for key, value in node.value:
                inner.append(value)
                if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE:
                    continue
                line = key.start_mark.line + 1
                if key.value in lines:
                    message = f"stands twice, also in line {lines[key.value]}; keep one"
                    yield Fault(file, str(key.value), line, message)
                lines[key.value] = line
        # An anchor may lead to a node from several places, and even from itself.
        waiting += [one for one in inner if id(one) not in seen]
        seen.update(map(id, inner))
