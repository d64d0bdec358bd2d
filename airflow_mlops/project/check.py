"""Looks at a whole model project before anything runs, and says everything that is wrong with it at once."""

from __future__ import annotations

import datetime as dt
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, TypeAdapter, ValidationError

from airflow_mlops.errors import DataError, MissingExtra, RemoteError, require_installed
from airflow_mlops.project import ModelSpec, Project, load_project
from airflow_mlops.project.entrypoint import import_fault
from airflow_mlops.project.faults import Fault, ProjectFaults, line_of
from airflow_mlops.project.source import faults_of_imports, faults_of_paths, read_requirements, sources_of
from airflow_mlops.project.spec import DataSpec, QualitySpec, TrainingSpec
from airflow_mlops.store import open_store
from airflow_mlops.table import locate, missing_columns, nights_available

__all__ = ["check_project"]

# Unreadable nights at the end that are passed over in search of a schema: a bad one is for the contract to stop.
_NIGHTS_TRIED = 3

_SECTIONS: dict[str, type[BaseModel]] = {"data": DataSpec, "quality": QualitySpec, "training": TrainingSpec}


class _Draft:
    """What ``model.toml`` says where it can be understood, even if another part of it is wrong."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "model.toml"
        self.text = ""
        self.raw: dict[str, Any] = {}
        try:
            self.text = self.file.read_text(encoding="utf-8")
            self.raw = tomllib.loads(self.text)
        except (OSError, ValueError):
            pass  # load_project says what is wrong with it

    def says(self, *location: str) -> Any:
        """Value of a key, or its default; None where it is missing or wrong."""
        *section, name = location
        model = _SECTIONS[section[0]] if section else ModelSpec
        raw = self.raw.get(section[0], {}) if section else self.raw
        field = model.model_fields[name]
        if not isinstance(raw, dict) or name not in raw:
            return None if field.is_required() else field.get_default(call_default_factory=True)
        annotated: Any = Annotated[field.annotation, field]
        try:
            return TypeAdapter(annotated).validate_python(raw[name])
        except ValidationError:
            return None

    def fault(self, location: tuple[int | str, ...], message: str, *, note: bool = False) -> Fault:
        """Fault of a key, with its line."""
        return Fault(self.file, ".".join(map(str, location)), line_of(self.text, location), message, note)


def check_project(
    folder: str | Path,
    *,
    today: dt.date | None = None,
    validate_contract: Callable[[Path, Sequence[str]], list[str]] | None = None,
) -> list[Fault]:
    """Everything that is wrong with a model project, in one go.

    ``model.toml``, the contract's YAML, the training code (imported in a process of its own, without secrets),
    its requirements, and the columns of the newest night.

    Parameters
    ----------
    folder : str or Path
        The folder that holds ``model.toml``.
    today : date, optional
        A night after it is noted: its file has a wrong name.
    validate_contract : callable, optional
        ``quality.contract_faults``, which takes the contract and the data's columns (empty if there are no data)
        and gives messages ``FILE:LINE: what is wrong``. Left out, the contract is read as YAML alone.

    Returns
    -------
    list of Fault
        Sound if every one of them is a ``note``, such as that there is no data yet.
    """
    folder = Path(folder).expanduser().resolve()
    draft = _Draft(folder)
    faults: list[Fault] = []
    try:
        load_project(folder)
    except ProjectFaults as found:
        faults += found.faults
    if not draft.file.is_file():
        return faults
    data_faults, columns = _faults_of_data(draft, today)
    faults += _faults_of_contract(draft, columns, validate_contract)
    faults += _faults_of_code(draft)
    return faults + data_faults


def _faults_of_contract(
    draft: _Draft, columns: Sequence[str], validate: Callable[[Path, Sequence[str]], list[str]] | None
) -> Iterator[Fault]:
    import yaml

    name = draft.says("quality", "contract")
    if name is None:
        return
    file = draft.folder / name
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError):
        yield Fault(file, "", None, "is missing; quality.contract names it, and no night is good without a contract")
    except UnicodeDecodeError as error:
        yield Fault(file, "", None, f"expected UTF-8 text: {error.reason}")
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        yield Fault(file, "", line, f"expected YAML: {error.problem}")
    except yaml.YAMLError as error:
        yield Fault(file, "", None, f"expected YAML: {error}")
    else:
        if not isinstance(content, dict):
            got = "nothing" if content is None else type(content).__name__
            yield Fault(file, "", None, f"expected a mapping with columns and checks, got {got}")
        elif validate is not None:
            yield from _validated(file, columns, validate)


def _validated(
    file: Path, columns: Sequence[str], validate: Callable[[Path, Sequence[str]], list[str]]
) -> Iterator[Fault]:
    try:
        require_installed("soda_core", "soda_duckdb", "duckdb", extra="soda")
        messages = validate(file, columns)
    except MissingExtra as error:
        yield Fault(file, "", None, f"was read as YAML alone: {error}", note=True)
        return
    for message in messages:
        rest = message.removeprefix(str(file)).removeprefix(":").lstrip()
        line, colon, text = rest.partition(": ")
        located = bool(colon) and line.isdigit()
        yield Fault(file, "", int(line) if located else None, text if located else rest)


def _faults_of_code(draft: _Draft) -> list[Fault]:
    entrypoint = draft.says("training", "entrypoint")
    requirements, faults = read_requirements(draft.folder / "requirements.txt")
    if entrypoint is None:
        return faults
    sources, unparsed = sources_of(draft.folder, entrypoint.partition(":")[0])
    faults += unparsed
    for source in sources:
        faults += faults_of_paths(source)
    if (draft.folder / "requirements.txt").is_file():
        faults += faults_of_imports(draft.folder, sources, requirements)
    try:
        require_installed("torch", "safetensors", extra="train")
    except MissingExtra as error:
        return [*faults, draft.fault(("training", "entrypoint"), f"was not imported: {error}", note=True)]
    # What does not parse does not import: that was said already, with its line.
    if not unparsed and (found := import_fault(draft.folder, entrypoint)):
        fault = draft.fault(("training", "entrypoint"), found.message)
        faults.append(fault._replace(file=found.file, line=found.line) if found.file else fault)
    return faults


def _faults_of_data(draft: _Draft, today: dt.date | None) -> tuple[list[Fault], Sequence[str]]:
    path = draft.says("data", "path")
    if path is None:
        return [], ()
    # Where the nights lie hangs on nothing else, so a fault in another part need not stop the look at the data.
    alone: dict[str, Any] = {"data": DataSpec.model_construct(path=path)}
    project = Project(draft.folder, ModelSpec.model_construct(**alone))
    key = ("data", "path")
    try:
        store = open_store(project.data_root)
        nights = nights_available(store, project)
        if not nights:
            none = f"no night lies in {project.data_root} yet: columns were not compared"
            return [draft.fault(key, none, note=True)], ()
        faults = [
            draft.fault(key, f"the night {night} lies after today, {today}: is its file's name right?", note=True)
            for night in nights
            if today is not None and night > today
        ]
        with tempfile.TemporaryDirectory() as scratch:
            for night in sorted(nights, reverse=True)[:_NIGHTS_TRIED]:
                try:
                    located = locate(store, project, night, Path(scratch))
                    if located is not None:
                        schema = pq.read_schema(located)
                        return faults + _faults_of_columns(draft, schema, night), schema.names
                except (pa.ArrowException, OSError, DataError) as error:
                    reason = str(error).partition("\n")[0]
                    faults.append(draft.fault(key, f"the night {night} is no readable Parquet: {reason}", note=True))
        return [*faults, draft.fault(key, f"none of the newest {_NIGHTS_TRIED} nights can be read")], ()
    except (RemoteError, OSError, ValueError) as error:
        # What could not be looked at is not sound; a ConfigError is a ValueError, as is a path that no system takes.
        return [draft.fault(key, f"columns were not compared: {error}")], ()


def _faults_of_columns(draft: _Draft, schema: pa.Schema, night: dt.date) -> list[Fault]:
    def fault(location: tuple[int | str, ...], name: str, *, time: bool = False) -> list[Fault]:
        if name not in schema.names:
            absent = missing_columns([name], schema.names)
            return [draft.fault(location, f"expected a column of the night {night}, {absent}")]
        kind = schema.field(name).type
        number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
        if time and not pa.types.is_temporal(kind):
            return [draft.fault(location, f"expected {name!r} to be a time, it is {kind} in the night {night}")]
        if not time and not number:
            return [draft.fault(location, f"expected {name!r} to be a number, it is {kind} in the night {night}")]
        return []

    faults = []
    for index, feature in enumerate(draft.says("features") or ()):
        faults += fault(("features", index), feature)
    if target := draft.says("target"):
        faults += fault(("target",), target)
    if time_column := draft.says("time_column"):
        faults += fault(("time_column",), time_column, time=True)
    return faults
