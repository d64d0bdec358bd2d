"""A connection to PostgreSQL that can only read, and sees one state of the database."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from airflow_mlops.errors import ConfigError, MLOpsError, RemoteUnavailable, require
from airflow_mlops.quality.sources.address import DatabaseAddress
from airflow_mlops.quality.sources.errors import reason_of

__all__ = ["postgres_connection"]

_CONNECT_SECONDS = 10
# A server whose machine is gone says nothing: after a minute without a sign the connection counts as lost.
_UNLESS_SAID: dict[str, Any] = {
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
    "connect_timeout": _CONNECT_SECONDS,
    "application_name": "airflow-mlops",
}
# On these hangs how a row is written as text, and so the digest of a night.
_SETTINGS = {
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
}
# What a server that is up says when it cannot serve just now; anything else it says at the door is final.
_NOT_NOW = ("starting up", "shutting down", "recovery", "too many", "connection slots", "not yet accepting")


@contextlib.contextmanager
def postgres_connection(address: DatabaseAddress) -> Iterator[Any]:
    """Connect, in a transaction that is read-only and repeatable.

    A query that fails ends the transaction unless it stood in a savepoint; the next one begins another, which sees
    what was committed meanwhile.

    Parameters
    ----------
    address : DatabaseAddress
        Where.

    Raises
    ------
    ConfigError
        If the login is refused, or there is no such database.
    RemoteUnavailable
        If nobody answers.
    MissingExtra
        If psycopg is not installed.
    """
    psycopg = require("psycopg", extra="postgres")
    try:
        connection = psycopg.connect(
            host=address.host,
            port=address.port,
            user=address.user,
            password=address.password,
            dbname=address.database,
            autocommit=True,
            **_UNLESS_SAID | dict(address.options),
        )
    except psycopg.Error as error:
        raise _refused(error, address) from error
    with contextlib.closing(connection):
        timeout = {"statement_timeout": str(round(address.statement_timeout_seconds * 1000))}
        for name, value in (_SETTINGS | timeout).items():
            connection.execute("SELECT set_config(%s, %s, false)", (name, value))
        connection.autocommit = False
        connection.read_only = True
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        # Opens the transaction, so that all that follows stands within it.
        connection.execute("SELECT 1")
        yield connection


def _refused(error: Exception, address: DatabaseAddress) -> MLOpsError:
    reason = reason_of(error)
    secrets = [address.password, *(value for name, value in address.options.items() if "password" in name)]
    for secret in filter(None, secrets):
        reason = reason.replace(secret, "***")
    # libpq gives no code here, only the server's words: FATAL is said by a server that is there.
    if "FATAL" in reason and not any(word in reason for word in _NOT_NOW):
        return ConfigError(f"expected {address} to let us in, got: {reason}. Correct the connection.")
    if type(error).__name__ == "ProgrammingError" or ": invalid " in reason:
        return ConfigError(f"expected options of libpq in the connection to {address}, got: {reason}. Correct it.")
    return RemoteUnavailable(f"expected an answer from {address}, got: {reason}.")
