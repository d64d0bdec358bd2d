"""Against a server that answers as BentoCloud's API does when it is asked whose token it is."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from airflow_mlops.errors import ConfigError, RemoteRejected, RemoteUnavailable
from airflow_mlops.hooks.bentocloud import BentoCloudHook

TOKEN = "hunter2-hunter2"  # noqa: S105 - the tests look for it in every message


class Cloud(BaseHTTPRequestHandler):
    status = 200
    body = b'{"name": "acme"}'

    def do_GET(self) -> None:
        known = self.path == "/api/v1/auth/current" and self.headers["X-YATAI-API-TOKEN"] == TOKEN
        self.send_response(self.status if known else 401)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def cloud() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Cloud) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def connect(patch: pytest.MonkeyPatch, host: str | None, password: str | None = TOKEN) -> BentoCloudHook:
    connection = {"conn_type": "bentocloud", "host": host, "password": password}
    patch.setenv("AIRFLOW_CONN_BENTOCLOUD", json.dumps({name: value for name, value in connection.items() if value}))
    return BentoCloudHook()


def test_it_knows_whose_token_it_is(cloud, monkeypatch):
    assert connect(monkeypatch, cloud).test_connection() == (True, "BentoCloud knows this token as 'acme'.")


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, b"", RemoteRejected),
        (503, b"", RemoteUnavailable),
        (200, b"<html>a portal</html>", RemoteRejected),
        (200, b"[]", RemoteRejected),
    ],
)
def test_any_other_answer_is_an_error_of_ours(cloud, monkeypatch, status, body, kind):
    monkeypatch.setattr(Cloud, "status", status)
    monkeypatch.setattr(Cloud, "body", body)
    hook = connect(monkeypatch, cloud)
    with pytest.raises(kind, match="expected") as caught:
        hook.organisation()
    fine, told = hook.test_connection()
    assert (fine, told) == (False, str(caught.value))
    assert TOKEN not in told + repr(hook)


def test_a_wrong_token_is_not_shown(cloud, monkeypatch):
    with pytest.raises(RemoteRejected, match="HTTP 401") as caught:
        connect(monkeypatch, cloud, "another-secret").organisation()
    assert "another-secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("host", "kind"),
    [
        ("http://127.0.0.1:9", RemoteUnavailable),
        ("gopher://x", ConfigError),
        ("http://x:port", ConfigError),
        (None, ConfigError),
    ],
)
def test_down_or_no_address(monkeypatch, host, kind):
    with pytest.raises(kind):
        connect(monkeypatch, host).organisation()


def test_no_token(monkeypatch, cloud):
    with pytest.raises(ConfigError, match="password"):
        connect(monkeypatch, cloud, None).organisation()
