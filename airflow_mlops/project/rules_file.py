"""The rules of ``airflow-mlops gate``: a file of their own, or ``[gate]`` and the task of a ``model.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from airflow_mlops.errors import ConfigError
from airflow_mlops.project.faults import Fault, faults_of_validation, line_of
from airflow_mlops.project.gate_spec import GateRules, GateSpec, Task

__all__ = ["RulesFaults", "load_rules"]

_TOML_LINE = "(at line "


class RulesFaults(ConfigError):
    """Everything that is wrong with a rules file, at once."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(["expected rules that can be judged by:", *(f"  {fault}" for fault in faults)]))


class _ModelFile(BaseModel):
    """What a ``model.toml`` says of the gate; the rest of it is not asked about."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)

    task: Task
    gate: GateSpec

    @field_validator("gate")
    @classmethod
    def _rules_suit_the_task(cls, gate: GateSpec, info: ValidationInfo) -> GateSpec:
        if "task" in info.data and (fault := gate.unsuited(info.data["task"])):
            raise ValueError(fault)
        return gate


def load_rules(path: str | Path) -> GateRules:
    """Read the rules that files of predictions are judged by.

    Parameters
    ----------
    path : str or Path
        A rules file: ``task`` and what stands under ``[gate]`` in ``model.toml``, at its top; or a ``model.toml``
        (a file with a table ``[gate]``), of which the task and that table are read.

    Raises
    ------
    RulesFaults
        With everything that is wrong in it, each with key and line.
    """
    file = Path(path).expanduser()
    text, raw = _read(file)
    model: type[BaseModel] = _ModelFile if "gate" in raw else GateRules
    try:
        found = model.model_validate(raw)
        return found if isinstance(found, GateRules) else GateRules.model_validate({**raw["gate"], "task": raw["task"]})
    except ValidationError as error:
        raise RulesFaults(faults_of_validation(error, model, file, partial(line_of, text))) from error


def _read(file: Path) -> tuple[str, dict[str, Any]]:
    """The text of the file, and what it says."""
    try:
        text = file.read_text(encoding="utf-8")
        return text, tomllib.loads(text)
    except OSError as error:
        reason = "is missing; give a file of rules, or a model.toml" if isinstance(error, FileNotFoundError) else None
        fault = Fault(file, "", None, reason or f"cannot be read: {error.strerror}")
    except UnicodeDecodeError as error:
        fault = Fault(file, "", None, f"expected UTF-8 text: {error.reason}")
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        line = str(error).partition(_TOML_LINE)[2].partition(",")[0]
        fault = Fault(file, "", int(line) if line.isdigit() else None, f"expected TOML: {error}")
    raise RulesFaults([fault])
