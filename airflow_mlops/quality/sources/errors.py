"""What engines say when something breaks, in this package's own errors: the one place that knows their families."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from airflow_mlops.errors import ConfigError, DataError, MLOpsError, RemoteUnavailable

__all__ = ["database_errors", "disk_errors", "reason_of"]

_LENGTH = 300
# Classes of SQLSTATE that a later try can help: no connection, too little room, a timeout, a restart.
_LATER = ("08", "53", "57", "58", "40")
_LOGIN = "28"
# DuckDB tells a torn file by these, or by an error of no kind at all; of InvalidInputException most are the query's.
_TORN = ("IOException", "SerializationException", "InternalException", "FatalException")
_INVALID = "InvalidInputException"
_LOCKED = "Could not set lock"
_NO_MEMORY, _NO_SPACE = "OutOfMemoryException", "No space left"


@contextlib.contextmanager
def database_errors(where: str = "the table") -> Iterator[None]:
    """Translate what breaks around a query; a query that is wrong in itself raises the engine's own error, as it did.

    Parameters
    ----------
    where : str
        What is read, for people; holds no secret.

    Raises
    ------
    RemoteUnavailable
        If the connection was lost, the server restarts, a timeout struck, or memory or disk are full.
    ConfigError
        If the login is refused.
    DataError
        If the file that DuckDB reads is torn.
    """
    try:
        yield
    except MLOpsError:
        raise
    except Exception as error:
        if (ours := _translated(error, where)) is None:
            raise
        raise ours from error


@contextlib.contextmanager
def disk_errors(where: str) -> Iterator[None]:
    """Translate what breaks while a file is read.

    Raises
    ------
    DataError
        If it is not there.
    ConfigError
        If this user may not read it.
    RemoteUnavailable
        If the disk does not answer, or has no room left.
    """
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(f"expected a file at {where}, it is gone. Wait until the night's data has arrived.") from error
    except PermissionError as error:
        raise ConfigError(
            f"expected a file that this user may read, got {where}: permission denied. Give it read access."
        ) from error
    except OSError as error:
        raise RemoteUnavailable(f"expected to read {where}, the disk did not answer: {error.strerror}.") from error


def reason_of(error: BaseException) -> str:
    """First line of what an engine says, without the SQL that follows."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:_LENGTH].rstrip(".")


def _translated(error: Exception, where: str) -> MLOpsError | None:
    # SQLAlchemy wraps the driver's own error.
    cause: Any = getattr(error, "orig", None) or error
    family = type(cause).__module__.partition(".")[0]
    if family == "psycopg":
        return _of_postgres(cause, where)
    return _of_duckdb(cause, where) if family in ("duckdb", "_duckdb") else None


def _of_postgres(error: Any, where: str) -> MLOpsError | None:
    state, kinds = error.sqlstate, {kind.__name__ for kind in type(error).__mro__}
    if state is None and kinds & {"OperationalError", "InterfaceError"}:
        return RemoteUnavailable(f"expected an answer from {where}, the connection was lost: {reason_of(error)}.")
    if state is not None and state.startswith(_LATER):
        return RemoteUnavailable(f"expected an answer from {where}, it could give none: {reason_of(error)}.")
    if state is not None and state.startswith(_LOGIN):
        return ConfigError(f"expected {where} to let us in, it said: {reason_of(error)}. Correct the connection.")
    return None


def _of_duckdb(error: Any, where: str) -> MLOpsError | None:
    kind, reason = type(error).__name__, reason_of(error)
    if kind == _NO_MEMORY or _NO_SPACE in str(error):
        return RemoteUnavailable(
            f"expected memory and disk enough to read {where}, they are full: {reason}. Free some, or run fewer tasks "
            "at once."
        )
    if _LOCKED in str(error):
        return RemoteUnavailable(f"expected {where} to be free, another process is writing to it: {reason}.")
    if kind in (*_TORN, "Error") or (kind == _INVALID and " file " in str(error)):
        return DataError(f"expected {where} in one piece, got: {reason}. Write the night again.")
    return None
