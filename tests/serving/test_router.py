import contextlib
import http.client
import json
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from airflow_mlops.serving import router


class _Echo(BaseHTTPRequestHandler):
    """A server that says its version and how much it was sent; the path chooses how it says it."""

    protocol_version = "HTTP/1.1"
    version = ""

    def do_POST(self) -> None:
        if self.headers.get("transfer-encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path == "/slow":
            time.sleep(0.5)
        answer = json.dumps({"version": self.version, "bytes": len(body)}).encode()
        self.send_response(200)
        if self.path == "/chunked":
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for piece in (answer[:5], answer[5:]):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\n\r\n")
        elif self.path == "/until-closed":
            self.close_connection = True
            self.end_headers()
            self.wfile.write(answer)
        elif self.path == "/torn":
            self.close_connection = True
            self.send_header("content-length", str(len(answer) + 10))
            self.end_headers()
            self.wfile.write(answer)
        else:
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("content-length", "5")
        self.end_headers()

    def log_message(self, *args: object) -> None: ...


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *args: object) -> None: ...


@contextlib.contextmanager
def _serving(server: socketserver.BaseServer) -> Iterator[int]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _echo(version: str) -> contextlib.AbstractContextManager[int]:
    return _serving(_Server(("127.0.0.1", 0), type("Echo", (_Echo,), {"version": version})))


def _publish(folder: Path, version: str, port: int) -> None:
    (folder / "versions").mkdir(exist_ok=True)
    (folder / "versions" / f"{version}.json").write_text(json.dumps({"port": port}))


def _make_live(folder: Path, version: str) -> None:
    (folder / ".live").write_text(version)
    (folder / ".live").replace(folder / "live")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def routed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    folder, port = tmp_path_factory.mktemp("router"), free_port()
    process = subprocess.Popen([sys.executable, "-I", "-S", router.__file__, str(folder), str(port)])
    started = time.monotonic()
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        assert time.monotonic() - started < 10
        time.sleep(0.01)
    yield folder, port
    process.kill()
    process.wait()


@pytest.fixture
def live(routed: tuple[Path, int]) -> Iterator[int]:
    folder, port = routed
    with _echo("v1") as server:
        _publish(folder, "v1", server)
        _make_live(folder, "v1")
        yield port


def _post(connection: http.client.HTTPConnection, path: str = "/", body: object = b"abc", **kwargs: object) -> dict:
    connection.request("POST", path, body=body, **kwargs)
    answer = connection.getresponse()
    return {"status": answer.status, **json.loads(answer.read())}


@pytest.fixture
def client(live: int) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", live, timeout=10)
    yield connection
    connection.close()


@pytest.mark.parametrize("path", ["/", "/chunked", "/until-closed"])
def test_every_framing_of_an_answer(client, path):
    for _ in range(3):
        assert _post(client, path) == {"status": 200, "version": "v1", "bytes": 3}


def test_one_connection_carries_many_requests(client):
    _post(client)
    first = client.sock
    for _ in range(50):
        _post(client, "/chunked")
    assert client.sock is first


def test_large_and_chunked_uploads(client):
    assert _post(client, body=b"x" * 20_000_000)["bytes"] == 20_000_000
    pieces = [b"a" * 100_000] * 30
    assert _post(client, body=iter(pieces), encode_chunked=True)["bytes"] == 3_000_000
    assert _post(client)["bytes"] == 3


def test_head_has_no_body(client):
    for _ in range(2):
        client.request("HEAD", "/")
        answer = client.getresponse()
        assert (answer.status, answer.headers["content-length"], answer.read()) == (200, "5", b"")
    assert _post(client)["status"] == 200


def test_torn_answer_is_never_taken_for_a_whole_one(client):
    with pytest.raises((http.client.IncompleteRead, ConnectionError)):
        _post(client, "/torn")


def _raw(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        received = b""
        while piece := connection.recv(65_536):
            received += piece
    return received


def test_client_that_closes_its_half_gets_its_answer(live):
    received = _raw(live, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi")
    assert received.startswith(b"HTTP/1.1 200")
    assert b'"bytes": 2' in received


def test_expect_continue_is_answered(live):
    received = _raw(live, b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi")
    assert received.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -3\r\n\r\n",
        b"POST / HTTP/1.1\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nHos",
    ],
)
def test_nonsense_gives_400(live, request_bytes):
    received = _raw(live, request_bytes)
    assert received.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert received.count(b"HTTP/1.1") == 1
    assert b"HTTP/1.1 200" in _raw(live, b"POST / HTTP/1.1\r\nHost: x\r\n\r\n")


def test_http_1_0_client_is_told_by_the_close(live):
    assert b'"v1"' in _raw(live, b"POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\nhi")


def test_server_that_hangs_up_gives_502(routed):
    class _HangUp(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(1000)

    folder, port = routed
    with _serving(socketserver.ThreadingTCPServer(("127.0.0.1", 0), _HangUp)) as server:
        _publish(folder, "v1", server)
        _make_live(folder, "v1")
        assert _raw(port, b"POST / HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 502")


def test_nothing_behind_it_gives_503_with_a_sentence_and_recovers(routed):
    folder, port = routed
    (folder / "live").unlink(missing_ok=True)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    assert "no version of this model" in _post(connection)["error"]
    _publish(folder, "gone", free_port())
    _make_live(folder, "gone")
    assert "gone is live but does not answer" in _post(connection, body=b"x" * 5_000_000)["error"]
    with _echo("v2") as server:
        _publish(folder, "v2", server)
        _make_live(folder, "v2")
        assert _post(connection)["version"] == "v2"
    connection.close()


def test_port_in_use_is_an_error_with_a_sentence(routed, tmp_path):
    command = [sys.executable, "-I", "-S", router.__file__, str(tmp_path), str(routed[1])]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 1
    assert done.stderr.startswith(f"expected port {routed[1]} to be free: ")


def test_switches_under_load_lose_nothing(routed):
    folder, port = routed
    with contextlib.ExitStack() as stack:
        for version in ("v1", "v2"):
            _publish(folder, version, stack.enter_context(_echo(version)))
        _make_live(folder, "v1")
        stop, faults, counts = threading.Event(), [], []

        def ask(*, keep: bool) -> None:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            count = 0
            while not stop.is_set():
                try:
                    assert _post(connection, "/chunked" if count % 2 else "/")["status"] == 200
                except Exception as error:  # noqa: BLE001 - whatever it is, it is what the test must report
                    faults.append(error)
                if not keep:
                    connection.close()
                count += 1
            connection.close()
            counts.append(count)

        threads = [threading.Thread(target=ask, kwargs={"keep": keep}) for keep in (True, False)]
        for thread in threads:
            thread.start()
        for number in range(40):
            time.sleep(0.02)
            _make_live(folder, f"v{number % 2 + 1}")
        stop.set()
        for thread in threads:
            thread.join()
    assert faults == []
    assert min(counts) > 40


def test_what_was_sent_to_the_old_version_is_answered_by_it(routed):
    folder, port = routed
    with _echo("v1") as first, _echo("v2") as second:
        _publish(folder, "v1", first)
        _publish(folder, "v2", second)
        _make_live(folder, "v1")
        answers: list[dict] = []
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        slow = threading.Thread(target=lambda: answers.append(_post(connection, "/slow")))
        slow.start()
        time.sleep(0.2)
        _make_live(folder, "v2")
        other = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        assert _post(other)["version"] == "v2"
        slow.join()
        # The same kept-alive connection gets the new one with its next request.
        answers.append(_post(connection))
        connection.close()
        other.close()
    assert [answer["version"] for answer in answers] == ["v1", "v2"]
