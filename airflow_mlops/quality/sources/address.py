"""Where a database answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["DatabaseAddress"]


@dataclass(frozen=True)
class DatabaseAddress:
    """A database, and how to log in.

    Attributes
    ----------
    engine : {"postgres", "duckdb"}
        What answers.
    host, port, user, password : optional
        Of PostgreSQL; the host may be the folder of a Unix socket. The password is in no repr.
    database : str
        Name of the database; of DuckDB its file.
    statement_timeout_seconds : float
        After which PostgreSQL gives up a query.
    options : mapping of str to str
        More of libpq's, such as ``sslmode``; in no repr.
    """

    engine: Literal["postgres", "duckdb"]
    database: str
    host: str | None = None
    port: int | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    statement_timeout_seconds: float = 600.0
    options: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        """For people, without the login."""
        if self.engine == "duckdb":
            return f"duckdb://{self.database}"
        port = f":{self.port}" if self.port else ""
        return f"postgres://{self.host or ''}{port}/{self.database}"
