"""File formats that hold numbers or text and nothing that runs, each known by its content.

Every function looks at an open file from its start and says whether it is whole; what it cannot vouch for is not it.
"""

from __future__ import annotations

import ast
import codecs
import json
import math
import re
from collections.abc import Callable
from typing import IO

import numpy as np

__all__ = ["INERT_FORMATS"]

# Of safetensors, and of numpy's own reader, in bytes.
_MAX_HEADER, _MAX_NUMPY_HEADER = 100_000_000, 10_000
_CHUNK = 1 << 20
_LENGTH_BYTES = 8
# Control characters that no text has; tab, line feed, form feed and carriage return are allowed.
_CONTROL = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f]")

# Fields of onnx.ModelProto, by number: whether they are plain integers (else they have a length).
_ONNX_FIELDS = {1: True, 2: False, 3: False, 4: False, 5: True, 6: False, 7: False, 8: False, 14: False, 20: False}
_ONNX_FIELDS |= {25: False, 26: False}
_ONNX_IR_VERSION, _ONNX_GRAPH = 1, 7


def _is_safetensors(stream: IO[bytes], size: int) -> bool:
    length = int.from_bytes(stream.read(_LENGTH_BYTES), "little")
    if not 2 <= length <= min(_MAX_HEADER, size - _LENGTH_BYTES):  # noqa: PLR2004  # "{}"
        return False
    try:
        header = json.loads(stream.read(length))
        spans = sorted(tuple(entry["data_offsets"]) for name, entry in header.items() if name != "__metadata__")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return False
    end = 0
    for span in spans:
        if len(span) != len(("from", "to")) or not all(type(at) is int for at in span):
            return False
        # Without a gap: nothing else is carried along.
        if span[0] != end or span[1] < span[0]:
            return False
        end = span[1]
    return _LENGTH_BYTES + length + end == size


def _is_text(stream: IO[bytes], size: int) -> bool:
    del size
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        while chunk := stream.read(_CHUNK):
            if _CONTROL.search(decoder.decode(chunk)):
                return False
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _is_numpy(stream: IO[bytes], size: int) -> bool:
    start = stream.read(8)
    width = {b"\x01\x00": 2, b"\x02\x00": 4, b"\x03\x00": 4}.get(start[6:])
    if start[:6] != b"\x93NUMPY" or width is None:
        return False
    length = int.from_bytes(stream.read(width), "little")
    if length > _MAX_NUMPY_HEADER:
        return False
    try:
        header = ast.literal_eval(stream.read(length).decode("utf-8").strip())
        dtype, shape = np.dtype(header["descr"]), header["shape"]
        data = math.prod(shape) * dtype.itemsize
    except (ValueError, KeyError, TypeError, SyntaxError, RecursionError, MemoryError):
        return False
    # Objects are pickled behind the header.
    return not dtype.hasobject and stream.tell() + data == size


def _is_onnx(stream: IO[bytes], size: int) -> bool:
    seen = set()
    at = 0
    while at < size:
        stream.seek(at)
        key, value, width = _protobuf_field(stream.read(2 * 10))
        number = key >> 3
        if number not in _ONNX_FIELDS or (key & 7) != (0 if _ONNX_FIELDS[number] else 2):
            return False
        at += width + (0 if _ONNX_FIELDS[number] else value)
        seen.add(number)
    return at == size and {_ONNX_IR_VERSION, _ONNX_GRAPH} <= seen


def _protobuf_field(data: bytes) -> tuple[int, int, int]:
    """Key, number behind it (a value or a length), bytes that both take; the key is 0 if there is none."""
    numbers = []
    at = 0
    for _ in range(2):
        number = shift = 0
        while at < len(data):
            number |= (data[at] & 0x7F) << shift
            shift, at = shift + 7, at + 1
            if not data[at - 1] & 0x80:
                numbers.append(number)
                break
    return (numbers[0], numbers[1], at) if len(numbers) == len(("key", "value")) else (0, 0, at)


def _is_xgboost(stream: IO[bytes], size: int) -> bool:
    # UBJSON: an object whose first key has a length of 64 bits, big-endian.
    head = stream.read(_CHUNK)
    stream.seek(max(size - 1, 0))
    return head.startswith(b"{L" + bytes(7)) and b"learner" in head and stream.read(1) == b"}"


def _is_catboost(stream: IO[bytes], size: int) -> bool:
    head = stream.read(_LENGTH_BYTES)
    return head.startswith(b"CBM1") and int.from_bytes(head[4:], "little") <= size - _LENGTH_BYTES


def _is_parquet(stream: IO[bytes], size: int) -> bool:
    head = stream.read(4)
    stream.seek(max(size - 4, 0))
    return head == stream.read(4) == b"PAR1"


INERT_FORMATS: dict[str, Callable[[IO[bytes], int], bool]] = {
    "safetensors": _is_safetensors,
    "npy": _is_numpy,
    "text": _is_text,
    "onnx": _is_onnx,
    "xgboost": _is_xgboost,
    "catboost": _is_catboost,
    "parquet": _is_parquet,
}
