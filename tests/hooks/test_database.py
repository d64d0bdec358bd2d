from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_mlops.errors import ConfigError
from airflow_mlops.hooks.database import DatabaseHook
from airflow_mlops.quality.sources import DatabaseAddress


def address(patch: pytest.MonkeyPatch, **connection: Any) -> DatabaseAddress:
    patch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(connection))
    return DatabaseHook("warehouse").address()


def test_postgres(monkeypatch: pytest.MonkeyPatch) -> None:
    found = address(
        monkeypatch,
        conn_type="postgres",
        host="db",
        port=5433,
        login="ada",
        password="sesame",  # noqa: S106 - to be looked for
        schema="sales",
        extra={"sslmode": "require", "statement_timeout_seconds": 5, "cursor": "dictcursor"},
    )
    assert (found.engine, found.host, found.port, found.user, found.database) == (
        "postgres",
        "db",
        5433,
        "ada",
        "sales",
    )
    assert (found.password, found.options, found.statement_timeout_seconds) == ("sesame", {"sslmode": "require"}, 5.0)
    assert "sesame" not in f"{found!r} {found}"
    assert str(found) == "postgres://db:5433/sales"


@pytest.mark.parametrize("place", [{"host": "/srv/rides.duckdb"}, {"extra": {"path": "/srv/rides.duckdb"}}])
def test_duckdb(monkeypatch: pytest.MonkeyPatch, place: dict[str, Any]) -> None:
    assert str(address(monkeypatch, conn_type="duckdb", **place)) == "duckdb:///srv/rides.duckdb"


@pytest.mark.parametrize(
    ("connection", "message"),
    [
        ({"conn_type": "mysql", "host": "db"}, "of type postgres or duckdb, 'warehouse' is of type 'mysql'"),
        ({"conn_type": "postgres", "host": "db"}, "the name of a database as the schema of the connection"),
        ({"conn_type": "duckdb"}, "a file as the host"),
        (
            {"conn_type": "postgres", "schema": "sales", "extra": {"statement_timeout_seconds": "long"}},
            "expected seconds as statement_timeout_seconds .* got 'long'",
        ),
    ],
    ids=["type", "database", "file", "timeout"],
)
def test_connections_that_say_too_little(
    monkeypatch: pytest.MonkeyPatch, connection: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        address(monkeypatch, **connection)


def test_no_connection_at_all() -> None:
    with pytest.raises(ConfigError, match="airflow connections add nothing --conn-uri"):
        DatabaseHook("nothing").address()
