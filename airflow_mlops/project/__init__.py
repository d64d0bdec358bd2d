"""A model project: the folder that a data scientist hands over, with ``model.toml`` in it.

Reading it needs neither the data nor the training code: a DAG file is parsed with it. ``project.check`` looks deeper.
"""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import unquote

from pydantic import ValidationError

from airflow_mlops.project.faults import Fault, ProjectFaults, faults_of_validation, line_of
from airflow_mlops.project.night_path import key_of, root_of
from airflow_mlops.project.spec import ModelSpec
from airflow_mlops.project.tables import TableSpec

__all__ = ["Fault", "ModelSpec", "Project", "ProjectFaults", "load_project"]

_TOML_LINE = "(at line "
_CODE = frozenset({".json", ".py", ".toml", ".txt", ".yaml", ".yml"})


@dataclass(frozen=True)
class Project:
    """A folder and what its ``model.toml`` says."""

    folder: Path
    spec: ModelSpec

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.spec.name

    @property
    def contract(self) -> Path:
        """The contract that every night is held against."""
        return self.folder / (self.spec.quality.contract or "contract.yml")

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that the model needs: time, features, target."""
        return tuple(dict.fromkeys((self.spec.time_column, *self.spec.features, self.spec.target)))

    @property
    def data_root(self) -> str:
        """Address of the folder (or S3 prefix) that the nights lie below."""
        return root_of(self.spec.data.path, self.folder)

    @property
    def table(self) -> TableSpec:
        """The model's data as a table that is checked every night."""
        return TableSpec(
            name=self.name,
            folder=self.folder,
            path=self.spec.data.path,
            time_column=self.spec.time_column,
            columns=self.columns,
            target=self.spec.target,
            quality=self.spec.quality,
        )

    def code_files(self) -> dict[str, Path]:
        """Files that make the model what it is, by their name in the folder.

        Hidden files, the data and virtual environments are left out: what is kept in the store is kept for good, and
        may be no secret.
        """
        found = {}
        for place, folders, names in os.walk(self.folder):
            folders[:] = [name for name in folders if self._may_hold_code(Path(place, name))]
            for path in (Path(place, name) for name in names):
                if path.suffix in _CODE and not path.name.startswith(".") and path.is_file():
                    found[path.relative_to(self.folder).as_posix()] = path
        return dict(sorted(found.items()))

    def _may_hold_code(self, folder: Path) -> bool:
        data = Path(unquote(self.data_root.removeprefix("file://"))).resolve()
        return not (folder.name.startswith((".", "__")) or folder == data or (folder / "pyvenv.cfg").exists())

    def data_key(self, night: object) -> str:
        """Key of a night's file below ``data_root``."""
        return key_of(self.spec.data.path, night)


def load_project(folder: str | Path) -> Project:
    """Read a model project.

    Parameters
    ----------
    folder : str or Path
        The folder that holds ``model.toml``.

    Raises
    ------
    ProjectFaults
        With everything that is wrong in ``model.toml``, each with key and line.
    """
    folder = Path(folder).expanduser().resolve()
    file = folder / "model.toml"
    try:
        text = file.read_text(encoding="utf-8")
        raw = tomllib.loads(text)
    except (FileNotFoundError, NotADirectoryError):
        missing = Fault(file, "", None, "is missing; a model project is a folder with a model.toml in it")
        no_folder = Fault(folder, "", None, f"is a file; give the folder that it lies in, {folder.parent}")
        raise ProjectFaults([no_folder if folder.is_file() else missing]) from None
    except OSError as error:
        raise ProjectFaults([Fault(file, "", None, f"cannot be read: {error.strerror}")]) from error
    except UnicodeDecodeError as error:
        raise ProjectFaults([Fault(file, "", None, f"expected UTF-8 text: {error.reason}")]) from error
    except tomllib.TOMLDecodeError as error:
        line = str(error).partition(_TOML_LINE)[2].partition(",")[0]
        raise ProjectFaults(
            [Fault(file, "", int(line) if line.isdigit() else None, f"expected TOML: {error}")]
        ) from error
    try:
        return Project(folder, ModelSpec.model_validate(raw))
    except ValidationError as error:
        raise ProjectFaults(faults_of_validation(error, ModelSpec, file, partial(line_of, text))) from error
