"""Faults in a hand-written file: which file, which key, which line, what is expected."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from airflow_mlops.errors import ConfigError

__all__ = ["Fault", "Location", "ProjectFaults", "faults_of_validation", "line_of"]

Location = tuple[int | str, ...]

_TABLE = re.compile(r"^\s*\[(?P<array>\[)?\s*(?P<path>[^\[\]]+?)\s*\]")
_KEY = re.compile(r"^\s*(?P<key>[\w.\"'-]+)\s*=")


class Fault(NamedTuple):
    """One thing that is wrong; ``line`` counts from 1, None where the fault is the absence of a file.

    A ``note`` is worth saying and no reason to refuse the project.
    """

    file: Path
    key: str
    line: int | None
    message: str
    note: bool = False

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else f"{self.file}"
        return f"{place}: {self.key}: {self.message}" if self.key else f"{place}: {self.message}"


class ProjectFaults(ConfigError):
    """Everything that is wrong with a model project, at once."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        super().__init__("\n".join([f"{count} in the model project:", *(f"  {fault}" for fault in faults)]))


def line_of(text: str, location: Location) -> int | None:
    r"""Line of a key in a TOML text, or of the nearest table around it.

    Examples
    --------
    >>> line_of("a = 1\n[b]\nc = 2\n[[d]]\ne = 3\n[[d]]\ne = 4", ("d", 1, "e"))
    7
    """
    lines = _lines_of_keys(text)
    for end in range(len(location), 0, -1):
        if location[:end] in lines:
            return lines[location[:end]]
        # A table may have no header of its own, only [[gate.rules]] below it.
        if below := [line for known, line in lines.items() if known[:end] == location[:end]]:
            return min(below)
    return 1 if text else None


def faults_of_validation(
    error: ValidationError, model: type[BaseModel], file: Path, line_of: Callable[[Location], int | None]
) -> list[Fault]:
    """Turn what pydantic found into faults that name key and line, with a suggestion for a misspelt key."""
    faults = []
    details = error.errors(include_url=False, include_input=True)
    for detail in details:
        location = detail["loc"]
        # A list whose entries are all wrong also counts as empty: the entries' own faults say enough.
        if detail["type"] == "too_short" and any(
            other["loc"][: len(location)] == location != other["loc"] for other in details
        ):
            continue
        key = ".".join(str(part) for part in location)
        message = detail["msg"].removeprefix("Value error, ")
        if detail["type"] == "extra_forbidden":
            message = _unknown_key(str(location[-1]), model, location[:-1])
        elif detail["type"] == "missing":
            message = "is missing, and has no default"
        elif detail["type"] != "value_error":
            message = f"{message}, got {detail['input']!r}"
        faults.append(Fault(file, key, line_of(location), message))
    return faults


def _unknown_key(key: str, model: type[BaseModel], location: Location) -> str:
    known = list(_model_at(model, location).model_fields)
    near = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
    return f"unknown key; {hint}"


def _model_at(model: type[BaseModel], location: Location) -> type[BaseModel]:
    for part in location:
        if isinstance(part, int):
            continue
        annotation: Any = model.model_fields[part].annotation
        # A list of tables is annotated tuple[Table, ...].
        inner = next(iter(getattr(annotation, "__args__", ())), annotation)
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            model = inner
    return model


def _lines_of_keys(text: str) -> dict[Location, int]:
    lines: dict[Location, int] = {}
    table: Location = ()
    counts: dict[Location, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if opened := _TABLE.match(line):
            table = _parts(opened["path"])
            lines.setdefault(table, number)
            if opened["array"]:
                counts[table] = counts.get(table, -1) + 1
                table = (*table, counts[table])
            lines.setdefault(table, number)
        elif assigned := _KEY.match(line):
            lines.setdefault((*table, *_parts(assigned["key"])), number)
    return lines


def _parts(path: str) -> Location:
    return tuple(part.strip().strip("\"'") for part in path.split("."))
