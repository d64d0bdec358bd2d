"""The port that never changes: an HTTP/1.1 proxy that sends each request to the version that is live at that moment.

Run as a file, ``python -I -S router.py FOLDER PORT``, with nothing but the standard library: it is up in a tenth of a
second and depends on nothing that an upgrade could break. Each request is routed by itself, over a connection of its
own to the server. So a client's kept-alive connection outlives the switch to another version, no request is ever sent
on a connection that a retiring server may be closing, and what was sent to the old version is answered by it.

Files in FOLDER, read anew for each request: ``live`` (a version), ``versions/VERSION.json`` (its port).
"""

from __future__ import annotations

import asyncio
import json
import sys
from http import HTTPStatus
from pathlib import Path
from typing import NamedTuple

_PIECE = 65_536
# Of the connection between two parties, not of the request: each side has its own.
_HOP_BY_HOP = (b"connection", b"keep-alive", b"proxy-connection", b"te", b"upgrade", b"expect")
_NO_BODY = ([b"204"], [b"304"])


class Refused(Exception):
    """The proxy itself has to answer, with a status and a sentence."""

    def __init__(self, status: HTTPStatus, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Head(NamedTuple):
    """First line and headers of a request or an answer."""

    line: bytes
    headers: list[tuple[bytes, bytes]]

    def get(self, name: bytes) -> bytes | None:
        """Value of a header, in small letters; of several, the last."""
        return next((value.strip().lower() for key, value in reversed(self.headers) if key.lower() == name), None)

    def passed_on(self, *extra: tuple[bytes, bytes]) -> bytes:
        """Bytes for the other side, without what concerned this side's connection."""
        kept = [(key, value) for key, value in self.headers if key.lower() not in _HOP_BY_HOP]
        lines = [self.line, *(key + b":" + value for key, value in (*kept, *extra))]
        return b"\r\n".join(lines) + b"\r\n\r\n"


async def read_head(reader: asyncio.StreamReader) -> Head | None:
    """Read a head; None if the other side has hung up before one."""
    try:
        text = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial.strip():
            raise Refused(
                HTTPStatus.BAD_REQUEST, "expected a whole request head, the connection ended in it"
            ) from error
        return None
    except asyncio.LimitOverrunError as error:
        raise Refused(
            HTTPStatus.BAD_REQUEST, f"expected a request head of at most {_PIECE} bytes, got a longer one"
        ) from error
    line, *rest = text.lstrip(b"\r\n").split(b"\r\n")
    headers = [(key, value) for key, colon, value in (entry.partition(b":") for entry in rest) if colon]
    return Head(line, headers)


def body_length(head: Head) -> int | None:
    """Bytes of the body; None if it comes in chunks. Both at once is how requests are smuggled."""
    length, coding = head.get(b"content-length"), head.get(b"transfer-encoding")
    if coding is not None:
        if length is not None or coding != b"chunked":
            raise Refused(HTTPStatus.BAD_REQUEST, "expected either content-length or transfer-encoding: chunked")
        return None
    if length is not None and not length.isdigit():
        raise Refused(
            HTTPStatus.BAD_REQUEST, f"expected a number as content-length, got {length.decode(errors='replace')!r}"
        )
    return int(length or 0)


async def copy_bytes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter | None, count: int) -> None:
    """Copy a number of bytes, never holding more than a piece; without a writer they are dropped."""
    while count:
        piece = await reader.read(min(count, _PIECE))
        if not piece:
            raise asyncio.IncompleteReadError(b"", count)
        count -= len(piece)
        if writer is not None:
            writer.write(piece)
            await writer.drain()


async def copy_body(reader: asyncio.StreamReader, writer: asyncio.StreamWriter | None, length: int | None) -> None:
    """Copy a body of known length, or one in chunks up to the empty line that ends it."""
    if length is not None:
        await copy_bytes(reader, writer, length)
        return
    size = 1
    while size:
        line = await reader.readuntil(b"\r\n")
        size = int(line.split(b";")[0], 16)
        if writer is not None:
            writer.write(line)
        if size:
            await copy_bytes(reader, writer, size + 2)
    while True:
        line = await reader.readuntil(b"\r\n")
        if writer is not None:
            writer.write(line)
            await writer.drain()
        if line == b"\r\n":
            return


async def copy_to_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy until the other side hangs up: the body of an answer that states no length."""
    while piece := await reader.read(_PIECE):
        writer.write(piece)
        await writer.drain()


async def connect(folder: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect to the live version; asked again once, because it may have been switched in between."""
    said = ""
    for _ in range(2):
        try:
            version = (folder / "live").read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "no version of this model has been made live yet") from None
        try:
            port = json.loads((folder / "versions" / f"{version}.json").read_text(encoding="utf-8"))["port"]
            return await asyncio.open_connection("127.0.0.1", port, limit=_PIECE)
        except OSError as error:
            said = error.strerror or str(error)
    raise Refused(
        HTTPStatus.SERVICE_UNAVAILABLE, f"version {version} is live but does not answer ({said}); stage it again"
    )


async def answer(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: Head, length: int | None, folder: Path
) -> bool:
    """Have one request answered; True if the client's connection can carry another."""
    try:
        server_reader, server_writer = await connect(folder)
    except Refused:
        # Take what the client is still sending, or it would lose the answer with a reset.
        await copy_body(reader, None, length)
        raise
    if request.get(b"expect") == b"100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    server_writer.write(request.passed_on((b"Connection", b" close")))
    upload = asyncio.create_task(copy_body(reader, server_writer, length))
    try:
        try:
            head = await read_head(server_reader)
        except (OSError, Refused) as error:
            raise Refused(HTTPStatus.BAD_GATEWAY, f"the server did not answer in HTTP: {error}") from error
        if head is None:
            raise Refused(HTTPStatus.BAD_GATEWAY, "the server ended before it answered")
        framed = head.get(b"content-length") is not None or head.get(b"transfer-encoding") is not None
        bodiless = request.line.startswith(b"HEAD ") or head.line.split(b" ")[1:2] in _NO_BODY
        size = 0 if bodiless else body_length(head)
        keep = (framed or bodiless) and request.get(b"connection") != b"close" and request.line.endswith(b"HTTP/1.1")
        writer.write(head.passed_on(*(() if keep else ((b"Connection", b" close"),))))
        if framed or bodiless:
            await copy_body(server_reader, writer, size)
        else:
            await copy_to_end(server_reader, writer)
        await writer.drain()
        # A server may answer before it has read everything; the rest is not the head of a next request.
        return keep and upload.done() and upload.exception() is None
    finally:
        upload.cancel()
        await asyncio.gather(upload, return_exceptions=True)
        server_writer.close()


def refusal(error: Refused, *, keep: bool) -> bytes:
    """Write an answer of the proxy itself."""
    body = json.dumps({"error": str(error)}).encode()
    head = Head(
        f"HTTP/1.1 {error.status} {error.status.phrase}".encode(),
        [(b"Content-Type", b" application/json"), (b"Content-Length", f" {len(body)}".encode())],
    )
    return head.passed_on(*(() if keep else ((b"Connection", b" close"),))) + body


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, folder: Path) -> None:
    """Answer a client until it hangs up."""
    keep = True
    try:
        while keep:
            try:
                request = await read_head(reader)
                if request is None:
                    return
                keep = await answer(reader, writer, request, body_length(request), folder)
            except Refused as error:
                keep = error.status is HTTPStatus.SERVICE_UNAVAILABLE
                writer.write(refusal(error, keep=keep))
                await writer.drain()
    # Either side hung up in the middle, or spoke nonsense: the client must not take half an answer for a whole one.
    except (OSError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        writer.transport.abort()
    finally:
        writer.close()


async def main(folder: Path, port: int) -> None:
    """Serve until the process is ended."""
    server = await asyncio.start_server(
        lambda reader, writer: serve(reader, writer, folder), "127.0.0.1", port, limit=_PIECE
    )
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
    except OSError as error:
        sys.exit(f"expected port {sys.argv[2]} to be free: {error.strerror}")
