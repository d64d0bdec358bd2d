from __future__ import annotations

import contextlib
import http.client
import socket
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from airflow_mlops.errors import ConfigError, MissingExtra, MLOpsError, RemoteRejected, RemoteUnavailable
from airflow_mlops.store import Store, StoreOptions, open_store

ASKING = ("get", "put_if_absent", "replace", "put_file", "local_path", "keys")


@contextlib.contextmanager
def listening(handler: type[BaseHTTPRequestHandler]) -> Iterator[StoreOptions]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield StoreOptions(f"http://127.0.0.1:{server.server_address[1]}", "loopback", "not-a-secret", "us-east-1")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def ask(store: Store, what: str, tmp_path: Path) -> object:
    source = tmp_path / "source"
    source.write_bytes(b"x")
    return {
        "get": lambda: store.get("a"),
        "put_if_absent": lambda: store.put_if_absent("a", b"x"),
        "replace": lambda: store.replace("a", b"x", etag='"0"'),
        "put_file": lambda: store.put_file("a", source),
        "local_path": lambda: store.local_path("a", tmp_path),
        "keys": lambda: list(store.keys("")),
    }[what]()


@pytest.mark.parametrize("what", ASKING)
def test_an_endpoint_that_is_down_can_be_retried(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # One try instead of four: how long the SDK waits between them is not what is tested.
    monkeypatch.setattr("airflow_mlops.store.s3._ATTEMPTS", 1)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"
        store = open_store("s3://chain/x", StoreOptions(endpoint, "loopback", "not-a-secret", "us-east-1"))
        with pytest.raises(RemoteUnavailable, match="EndpointConnectionError") as caught:
            ask(store, what, tmp_path)
    assert caught.value.retryable
    assert "not-a-secret" not in str(caught.value)


@pytest.mark.parametrize("what", ASKING)
def test_a_missing_bucket_is_refused(what: str, tmp_path: Path, s3_options: StoreOptions) -> None:
    with pytest.raises(RemoteRejected, match="NoSuchBucket"):
        ask(open_store("s3://nowhere/x", s3_options), what, tmp_path)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (503, "SlowDown", RemoteUnavailable),
        (500, "InternalError", RemoteUnavailable),
        (409, "ConditionalRequestConflict", RemoteUnavailable),
        (403, "AccessDenied", RemoteRejected),
        (403, "SignatureDoesNotMatch", RemoteRejected),
    ],
)
def test_what_an_answer_means(
    status: int, code: str, expected: type[MLOpsError], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_mlops.store.s3._ATTEMPTS", 1)

    class Answers(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  http.server's name
            pass

    with listening(Answers) as options:
        store = open_store("s3://chain/x", options)
        with pytest.raises(expected, match=code):
            store.put_if_absent("a", b"x")


@pytest.mark.parametrize("endpoint", ["nonsense", "127.0.0.1:9000"])
def test_an_endpoint_that_is_no_address_is_refused(endpoint: str) -> None:
    with pytest.raises(ConfigError, match="endpoint"):
        open_store("s3://chain/x", StoreOptions(endpoint, "loopback", "not-a-secret", "us-east-1"))


@pytest.mark.parametrize("library", ["boto3", "botocore.config"])
def test_without_boto3_it_names_the_pip_command(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtra, match=r"pip install 'airflow-provider-mlops\[s3\]'"):
        open_store("s3://chain/x", StoreOptions("nonsense"))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (StoreOptions(None, None, None, "bad region!"), "InvalidRegionError.* 'bad region!'"),
        (StoreOptions(None, "loopback"), "login and password .* missing: aws_secret_access_key"),
        (StoreOptions(None, None, "not-a-secret"), "login and password .* missing: aws_access_key_id"),
    ],
)
def test_settings_that_no_client_can_be_made_from_are_refused(options: StoreOptions, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        open_store("s3://chain/x", options._replace(endpoint_url="http://127.0.0.1:9"))
    assert "endpoint" not in str(caught.value)
    assert "not-a-secret" not in str(caught.value)


def test_a_profile_of_the_environment_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(ConfigError, match=r"ProfileNotFound.* AWS_\* variables"):
        open_store("s3://chain/x")


@pytest.mark.parametrize("what", ASKING)
def test_a_name_that_no_bucket_has_is_refused(what: str, tmp_path: Path, s3_options: StoreOptions) -> None:
    with pytest.raises(ConfigError, match=r'Invalid bucket name "my bucket"\. Correct the address') as caught:
        ask(open_store("s3://my bucket/x", s3_options), what, tmp_path)
    assert not caught.value.retryable


@pytest.fixture
def losing_answers(s3_options: StoreOptions) -> Iterator[StoreOptions]:
    """The S3, behind a line that carries the first PUT of each key there and loses the answer."""
    assert s3_options.endpoint_url is not None
    behind = urlsplit(s3_options.endpoint_url).netloc
    lost: set[str] = set()

    class Line(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _carry(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            line = http.client.HTTPConnection(behind)
            line.request(self.command, self.path, body, {k: v for k, v in self.headers.items() if k != "Expect"})
            answer = line.getresponse()
            data = answer.read()
            line.close()
            if self.command == "PUT" and self.path not in lost:
                lost.add(self.path)
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("server", "date", "connection", "content-length"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_PUT = do_HEAD = _carry  # noqa: N815  http.server's names

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  http.server's name
            pass

    with listening(Line) as options:
        yield options
    assert lost


def test_a_pointer_whose_answer_was_lost_was_moved_all_the_same(losing_answers: StoreOptions) -> None:
    import datetime as dt

    from airflow_mlops.ledger import Ledger
    from airflow_mlops.records import RecordRef

    ledger = Ledger(open_store("s3://chain/lost-answers", losing_answers))
    now = dt.datetime(2011, 3, 5, tzinfo=dt.UTC)
    to = RecordRef(kind="manifest", key="demand/a", digest="sha256:" + "a" * 64)
    moved = ledger.move("demand", "champion", to, seen=None, reason="first", now=now)
    assert ledger.pointer("demand", "champion") == moved
