"""Airflow connections of databases whose tables are checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops.errors import ConfigError
from airflow_mlops.hooks.store import connection_of

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from airflow_mlops.quality.sources import DatabaseAddress

__all__ = ["DatabaseHook"]

_OPTIONS = ("sslmode", "sslrootcert", "sslcert", "sslkey", "options", "target_session_attrs")


class DatabaseHook:
    """Reads the address of a database from its connection.

    Parameters
    ----------
    conn_id : str
        A connection of type ``postgres`` (host, port, login, password, schema as the name of the database; of its
        extra, libpq's ``sslmode`` and the like, and ``statement_timeout_seconds``), or ``duckdb`` (the file as the
        host, or as ``path`` of the extra).
    """

    def __init__(self, conn_id: str) -> None:
        self.conn_id = conn_id

    def address(self) -> DatabaseAddress:
        """Read the connection.

        Raises
        ------
        ConfigError
            If there is none, it is of another type, or it does not name a database.
        """
        connection = connection_of(self.conn_id, example="--conn-uri 'postgres://USER:PASSWORD@HOST:5432/DATABASE'")
        if connection.conn_type in ("postgres", "postgresql"):
            return self._postgres(connection)
        if connection.conn_type == "duckdb":
            return self._duckdb(connection)
        raise ConfigError(
            f"expected a connection of type postgres or duckdb, {self.conn_id!r} is of type {connection.conn_type!r}."
        )

    def _postgres(self, connection: Connection) -> DatabaseAddress:
        from airflow_mlops.quality.sources import DatabaseAddress

        if not connection.schema:
            raise ConfigError(f"expected the name of a database as the schema of the connection {self.conn_id!r}.")
        extra = connection.extra_dejson
        timeout = extra.get("statement_timeout_seconds", DatabaseAddress.statement_timeout_seconds)
        try:
            timeout = float(timeout)
        except (TypeError, ValueError):
            raise ConfigError(
                f"expected seconds as statement_timeout_seconds of the connection {self.conn_id!r}, got {timeout!r}."
            ) from None
        return DatabaseAddress(
            engine="postgres",
            database=connection.schema,
            host=connection.host or None,
            port=connection.port,
            user=connection.login or None,
            password=connection.password or None,
            statement_timeout_seconds=timeout,
            options={name: str(extra[name]) for name in _OPTIONS if extra.get(name)},
        )

    def _duckdb(self, connection: Connection) -> DatabaseAddress:
        from airflow_mlops.quality.sources import DatabaseAddress

        file = connection.extra_dejson.get("path") or connection.host
        if not file:
            raise ConfigError(f"expected a file as the host (or extra 'path') of the connection {self.conn_id!r}.")
        return DatabaseAddress(engine="duckdb", database=str(file))
