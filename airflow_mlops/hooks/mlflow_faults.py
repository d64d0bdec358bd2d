"""What can go wrong between us and MLflow, told in our own errors and without any secret."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import TypeVar

from airflow_mlops.errors import MLOpsError, RemoteRejected, RemoteUnavailable

__all__ = ["or_none", "translated", "without_credentials"]

_Answer = TypeVar("_Answer")

# A missing alias, and a deleted run, are INVALID_PARAMETER_VALUE, a missing model RESOURCE_DOES_NOT_EXIST.
_ABSENT = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
# Codes of MLflow for which the same call can work later.
_TRANSIENT = frozenset({"TEMPORARILY_UNAVAILABLE", "INTERNAL_ERROR", "REQUEST_LIMIT_EXCEEDED", "ABORTED", "IO_ERROR"})
# As in a query, or in key=value pairs of a database driver, whose values may be quoted.
_SECRET_VALUE = re.compile(
    r"([\w.-]*(?:password|passwd|pwd|token|secret|key|credential|signature|sig))=('[^']*'|\"[^\"]*\"|[^&\s]*)",
    re.IGNORECASE,
)
_TRANSIENT_STATUS = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS)


@contextlib.contextmanager
def translated(expected: str) -> Iterator[None]:
    """Turn what MLflow's client raises into errors of ours.

    Parameters
    ----------
    expected : str
        Beginning of the message: who was expected to do what.

    Raises
    ------
    RemoteUnavailable
        If the same call can work later.
    RemoteRejected
        If it cannot.
    """
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except MlflowException as error:
        # Two that write the same at once: a server tells the database's refusal in words only.
        passes = error.error_code in _TRANSIENT or "IntegrityError" in str(error)
        kind: type[MLOpsError] = RemoteUnavailable if passes else RemoteRejected
        told = f"{expected}, got {error.error_code}: {_first_line(error)}. See that it runs."
        raise kind(without_credentials(told)) from _fit_to_be_told(error)
    # What the network and the disk raise, HTTP answers of the artefact store among it, is an OSError.
    except (OSError, SQLAlchemyError) as error:
        passes = _may_pass(error)
        kind = RemoteUnavailable if passes else RemoteRejected
        remedy = "Start it, then run the task again." if passes else "See what it lets this connection do."
        told = f"{expected}, got {type(error).__name__}: {_first_line(error)}. {remedy}"
        raise kind(without_credentials(told)) from _fit_to_be_told(error)


def or_none(ask: Callable[[], _Answer]) -> _Answer | None:
    """The answer; None where what is asked about is not there, or no longer."""
    from mlflow.exceptions import MlflowException

    try:
        return ask()
    except MlflowException as error:
        if error.error_code in _ABSENT:
            return None
        raise


def _may_pass(error: Exception) -> bool:
    """Whether the same call can work later."""
    from requests.exceptions import HTTPError
    from sqlalchemy.exc import OperationalError

    if isinstance(error, HTTPError) and error.response is not None:
        return (
            error.response.status_code in _TRANSIENT_STATUS
            or error.response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR
        )
    if isinstance(error, OSError):
        # A full disk among them, which comes without its number where a folder is copied.
        return not isinstance(error, PermissionError)
    return isinstance(error, OperationalError)


def _fit_to_be_told(error: Exception) -> Exception | None:
    """The cause of an error of ours, unless it or a cause of its own tells credentials: logs show the whole chain."""
    link: BaseException | None = error
    while link is not None:
        if without_credentials(str(link)) != str(link):
            return None
        link = link.__cause__ or link.__context__
    return error


def _first_line(error: Exception) -> str:
    # Before it is cut: of an address that lost its end, nothing tells where the credentials are.
    return without_credentials((str(error).splitlines() or [""])[0])[:300]


def without_credentials(text: str) -> str:
    """Take user and password out of every address in a text: it is shown, logged or recorded.

    Up to the last @, for a password may hold one, or a slash that makes a path of the rest. Of a query, and of what
    a driver says in its manner, the values that are called a secret.

    Examples
    --------
    >>> without_credentials("no answer of http://me:p@ss/word@127.0.0.1:5000 at /word@127.0.0.1:5000/api")
    'no answer of http://127.0.0.1:5000 at 127.0.0.1:5000/api'
    >>> without_credentials("postgresql://db/mlflow?user=me&password=p@ss&sslmode=require")
    'postgresql://&sslmode=require'
    >>> without_credentials("postgresql://db/mlflow?user=me&password=word&sslmode=require")
    'postgresql://db/mlflow?user=me&password=***&sslmode=require'
    """
    # First, and an @ in a value stays: cut at it, the rest of a password would be left.
    masked = _SECRET_VALUE.sub(lambda found: f"{found[1]}=***{'@' if '@' in found[0] else ''}", text)
    return re.sub(r"(\S*?://)?\S*@", r"\1", masked)
