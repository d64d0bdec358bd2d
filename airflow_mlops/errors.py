"""The whole family of errors.

MLOpsError
├── ConfigError        what a person wrote is wrong (also a ValueError)      a retry cannot help
│   └── MissingExtra   an optional part is not installed                     a retry cannot help
├── DataError          the data is not what was promised                     a retry cannot help
├── LedgerError        the chain of records does not hold together           a retry cannot help
│   ├── TamperedRecord a record or an artefact differs from its digest
│   └── Conflict       somebody else moved the pointer first
└── RemoteError        something outside this process
    ├── RemoteUnavailable  did not answer, or has no room left               a retry can help
    ├── RemoteRejected     answered no                                       a retry cannot help
    └── RemoteJobFailed    ran and failed                                    a retry cannot help

Every message names the expected, the actual and the remedy.
"""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType
from typing import ClassVar

__all__ = [
    "ConfigError",
    "Conflict",
    "DataError",
    "LedgerError",
    "MLOpsError",
    "MissingExtra",
    "RemoteError",
    "RemoteJobFailed",
    "RemoteRejected",
    "RemoteUnavailable",
    "TamperedRecord",
    "require",
    "require_installed",
]


class MLOpsError(Exception):
    """Root of every error that this package raises on purpose."""

    retryable: ClassVar[bool] = False


class ConfigError(MLOpsError, ValueError):
    """What a person wrote (a model project, an argument, a connection) cannot be used."""


class MissingExtra(ConfigError):
    """A library that an optional extra brings is not installed."""


class DataError(MLOpsError):
    """The data is not what was promised: unreadable, empty, of another schema."""


class LedgerError(MLOpsError):
    """The chain of records does not hold together."""


class TamperedRecord(LedgerError):
    """A stored record or artefact no longer has the digest it was written with."""


class Conflict(LedgerError):
    """A pointer was moved by somebody else between the reading and the writing."""


class RemoteError(MLOpsError):
    """Something outside this process: a store, MLflow, a serving system, a child process."""


class RemoteUnavailable(RemoteError):
    """It did not answer, or has no room left; the same call can work later."""

    retryable: ClassVar[bool] = True


class RemoteRejected(RemoteError):
    """It answered, and the answer was no."""


class RemoteJobFailed(RemoteError):
    """It ran what was asked, and that failed."""


def require(module: str, *, extra: str) -> ModuleType:
    """Import an optional library, or say which pip command brings it.

    Parameters
    ----------
    module : str
        Dotted name of the module, such as ``"mlflow"``.
    extra : str
        The extra of this distribution that installs it.

    Raises
    ------
    MissingExtra
        If the module is not installed.

    Examples
    --------
    >>> require("json", extra="soda").__name__
    'json'
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        # A module that is there but whose own import fails is another fault: let that one through.
        if error.name is None or not (module == error.name or module.startswith(f"{error.name}.")):
            raise
        raise _missing(error.name, extra) from error


def require_installed(*modules: str, extra: str) -> None:
    """Say which pip command brings optional libraries, without importing them: another process will.

    Parameters
    ----------
    *modules : str
        Names of top-level modules, such as ``"torch"``.
    extra : str
        The extra of this distribution that installs them.

    Raises
    ------
    MissingExtra
        If one of them is not installed.

    Examples
    --------
    >>> require_installed("json", extra="train")
    """
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise _missing(module, extra)


def _missing(module: str, extra: str) -> MissingExtra:
    return MissingExtra(
        f"expected the library {module!r}, which is not installed here. "
        f"Run: pip install 'airflow-provider-mlops[{extra}]'"
    )
