"""A webhook and a mail server on loopback, which keep what they are sent, and Airflow's connections to them."""

from __future__ import annotations

import email
import email.policy
import json
import socketserver
import threading
from collections.abc import Iterator
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, NamedTuple

import pytest

TOKEN = "T000/B000/not-a-real-token"  # noqa: S105 - the tests look for it in every log


class Sent(NamedTuple):
    """What arrived: messages of the webhook, mails."""

    messages: list[dict[str, Any]]
    mails: list[EmailMessage]


class Webhook(BaseHTTPRequestHandler):
    """Answers as Slack's incoming webhooks do; with ``status`` another code."""

    status = 200
    messages: list[dict[str, Any]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.status == 200 and self.path == f"/{TOKEN}":
            self.messages.append(json.loads(body))
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(b"ok" if self.status == 200 else b"no_service")

    def log_message(self, *_: Any) -> None:
        pass


class Mail(socketserver.StreamRequestHandler):
    """As much SMTP (RFC 5321) as a client needs to hand over a mail."""

    mails: list[EmailMessage]

    def handle(self) -> None:
        self.wfile.write(b"220 loopback\r\n")
        for line in self.rfile:
            verb = line.strip().upper()[:4]
            if verb == b"DATA":
                self.wfile.write(b"354 go on\r\n")
                self.mails.append(self._mail())
            self.wfile.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 ok\r\n")
            if verb == b"QUIT":
                return

    def _mail(self) -> EmailMessage:
        lines = []
        while (line := self.rfile.readline()) != b".\r\n":
            lines.append(line.removeprefix(b"."))
        found = email.message_from_bytes(b"".join(lines), policy=email.policy.default)
        assert isinstance(found, EmailMessage)
        return found


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sent]:
    """Both servers, running."""
    found = Sent([], [])
    monkeypatch.setattr(Webhook, "messages", found.messages, raising=False)
    monkeypatch.setattr(Webhook, "status", 200)
    monkeypatch.setattr(Mail, "mails", found.mails, raising=False)
    with HTTPServer(("127.0.0.1", 0), Webhook) as web, socketserver.TCPServer(("127.0.0.1", 0), Mail) as mail:
        for server in (web, mail):
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        connections = {
            "SLACK_DEFAULT": {
                "conn_type": "slackwebhook",
                "host": f"http://127.0.0.1:{web.server_port}",
                "password": TOKEN,
            },
            "SMTP_DEFAULT": {
                "conn_type": "smtp",
                "host": "127.0.0.1",
                "port": mail.server_address[1],
                "extra": {"disable_ssl": True, "disable_tls": True, "from_email": "airflow@example.org"},
            },
        }
        for name, connection in connections.items():
            monkeypatch.setenv(f"AIRFLOW_CONN_{name}", json.dumps(connection))
        yield found
        web.shutdown()
        mail.shutdown()


@pytest.fixture
def webhook(sent: Sent) -> type[Webhook]:
    """For tests that let it answer otherwise."""
    return Webhook
