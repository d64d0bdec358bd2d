"""A table that is checked every night: of a model project, or of a ``tables.yml`` for teams that only check."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator

from airflow_mlops.errors import ConfigError
from airflow_mlops.project.faults import Fault, Location, faults_of_validation
from airflow_mlops.project.night_path import expanded, key_of, root_of, with_night
from airflow_mlops.project.quality_spec import QualitySpec
from airflow_mlops.project.section import Section
from airflow_mlops.project.yaml_file import YamlFile, read_yaml

__all__ = ["TableSpec", "TablesFaults", "read_tables"]


def _pattern_after_night(path: str) -> str:
    if "*" in path.partition("{night}")[0]:
        raise ValueError(f"expected * only after {{night}}, got {path!r}: the folder of the nights is one")
    return path


class TableSpec(Section):
    """A table, where its nights lie, and what they must hold.

    Either ``path`` (with ``{night}``), or ``connection`` and ``table``.
    """

    name: str = Field(pattern=r"^[a-z]([a-z0-9_]*[a-z0-9])?$", description="Under which its records are kept.")
    folder: Path = Field(
        strict=False, description="What relative paths are relative to; by default that of the file this is read from."
    )
    path: (
        Annotated[str, AfterValidator(expanded), AfterValidator(with_night), AfterValidator(_pattern_after_night)]
        | None
    ) = Field(
        default=None,
        description="Parquet or CSV of a night: a file, a folder (ending in /) or a pattern with *, local or s3://; "
        "{night} is its date, ${NAME:-default} an environment variable.",
    )
    connection: str | None = Field(default=None, description="Airflow connection of a PostgreSQL or DuckDB database.")
    table: str | None = Field(
        default=None,
        pattern=r'^[^."\s][^."]*(\.[^."]+)?$',
        description="SCHEMA.TABLE in that database; spelt as the database spells it, without quotes.",
    )
    time_column: str | None = Field(default=None, description="Column that says when a row happened.")
    columns: tuple[str, ...] = Field(default=(), strict=False, description="Columns that every night must have.")
    target: str | None = Field(default=None, description="Column that has to be a finite number in every row.")
    quality: QualitySpec = QualitySpec(contract=None)

    @property
    def contract(self) -> Path | None:
        """The contract, if there is one."""
        return None if self.quality.contract is None else self.folder / self.quality.contract

    @property
    def data_root(self) -> str:
        """Address of the folder (or S3 prefix) that the nights lie below.

        Raises
        ------
        ConfigError
            If they lie in a database.
        """
        return root_of(self._path, self.folder)

    def data_key(self, night: object) -> str:
        """Key of a night's file below ``data_root``; of its folder, or a pattern, as the path has it."""
        return key_of(self._path, night)

    @property
    def _path(self) -> str:
        if self.path is None:
            raise ConfigError(f"expected a table of files, {self.name} lies in the connection {self.connection!r}.")
        return self.path

    @field_validator("quality", mode="before")
    @classmethod
    def _no_contract_unless_named(cls, quality: Any) -> Any:
        # A model project has a contract.yml; a table of its own may do with monitors.
        return {"contract": None, **quality} if isinstance(quality, dict) else quality

    @model_validator(mode="after")
    def _lies_in_one_place(self) -> Self:
        if self.path is not None and (self.connection or self.table):
            raise ValueError("expected either a path, or a connection and a table, got both")
        if self.path is None and not (self.connection and self.table):
            raise ValueError("expected a path with {night} in it, or a connection and a table")
        if self.path is None and not self.time_column:
            raise ValueError("needs time_column: which night a row of a database is of, that column says")
        return self


class TablesFaults(ConfigError):
    """Everything that is wrong with a ``tables.yml``, at once."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(["expected tables that can be checked:", *(f"  {fault}" for fault in faults)]))


def read_tables(file: str | Path) -> tuple[TableSpec, ...]:
    r"""Read a ``tables.yml``: a list ``tables``, and ``defaults`` that each of them has.

    Raises
    ------
    TablesFaults
        With everything that is wrong in it, each with its line.

    Examples
    --------
    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "tables.yml"
    >>> _ = file.write_text("tables:\n- {name: orders, path: 'data/{night}.csv'}")
    >>> [table.name for table in read_tables(file)]
    ['orders']
    """
    file = Path(file).expanduser().absolute()
    written = read_yaml(file)
    if written.faults:
        raise TablesFaults(written.faults)
    said = written.content if isinstance(written.content, dict) else {}
    faults = [
        Fault(file, str(key), written.line_of((key,)), "unknown key; known are tables, defaults")
        for key in said
        if key not in ("tables", "defaults")
    ]
    entries, defaults = said.get("tables"), said.get("defaults", {})
    if not isinstance(defaults, dict):
        faults.append(Fault(file, "defaults", written.line_of(("defaults",)), "expected keys that every table has"))
        defaults = {}
    if not isinstance(entries, list) or not entries:
        line = written.line_of(("tables",)) or 1
        raise TablesFaults([*faults, Fault(file, "tables", line, "expected a list of at least one table")])
    tables = []
    for place, entry in enumerate(entries):
        try:
            tables.append(_table(entry, defaults, file))
        except ValidationError as error:
            faults += _faults(error, written, place)
    faults += _alike(entries, written)
    if faults:
        # What is wrong with the defaults is wrong with every table.
        raise TablesFaults(list(dict.fromkeys(faults)))
    return tuple(tables)


def _table(entry: Any, defaults: dict[str, Any], file: Path) -> TableSpec:
    if isinstance(entry, dict):
        entry = _merged(defaults, entry)
        folder = entry.get("folder", ".")
        entry["folder"] = file.parent / folder if isinstance(folder, str) else folder
    return TableSpec.model_validate(entry)


def _merged(defaults: dict[str, Any], entry: dict[str, Any]) -> dict[str, Any]:
    both = {
        key
        for key in defaults.keys() & entry.keys()
        if isinstance(defaults[key], dict) and isinstance(entry[key], dict)
    }
    return defaults | entry | {key: _merged(defaults[key], entry[key]) for key in both}


def _faults(error: ValidationError, written: YamlFile, place: int) -> list[Fault]:
    found: list[Location] = []

    def line_of(location: Location) -> int | None:
        own, default = ("tables", place, *location), ("defaults", *location)
        found.append(default if location and not written.has(own) and written.has(default) else own)
        return written.line_of(found[-1])

    faults = faults_of_validation(error, TableSpec, written.file, line_of)
    return [fault._replace(key=".".join(map(str, where))) for fault, where in zip(faults, found, strict=True)]


def _alike(entries: list[Any], written: YamlFile) -> list[Fault]:
    names = [entry.get("name") if isinstance(entry, dict) else None for entry in entries]
    count = Counter(name for name in names if isinstance(name, str))
    return [
        Fault(
            written.file,
            f"tables.{place}.name",
            written.line_of(("tables", place, "name")),
            f"stands {count[name]} times: records are kept under the name, give each table one of its own",
        )
        for place, name in enumerate(names)
        if isinstance(name, str) and count[name] > 1 and names.index(name) < place
    ]
