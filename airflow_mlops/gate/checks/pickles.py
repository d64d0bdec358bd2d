"""What unpickling some bytes would do, read from their opcodes alone. Nothing is ever unpickled.

A pickle is a program, and runs until its first fault: the bytes need not be a whole one to do harm. So they are read as
leniently as any unpickler reads them: ``pickletools.genops`` refuses arguments that ``pickle`` takes (``I0x10``), and
what it refuses it does not report.
"""

from __future__ import annotations

import pickletools
import re
from dataclasses import dataclass
from typing import Literal, NamedTuple

__all__ = ["Opcodes", "looks_pickled", "read_opcodes", "rebuilds_tensors_only"]

_HIGHEST_PROTOCOL = 5
_CALLS = frozenset({"REDUCE", "NEWOBJ", "NEWOBJ_EX", "BUILD"})
_EXTENSIONS = frozenset({"EXT1", "EXT2", "EXT4"})
_OPCODES = {ord(opcode.code): opcode for opcode in pickletools.opcodes}

# What the text argument of an opcode must look like for any unpickler, Python's or C's, to go on.
_LINES = {
    "INT": re.compile(rb"\s*[+-]?(0[xXoObB])?[0-9a-fA-F_]+\s*"),
    "LONG": re.compile(rb"\s*[+-]?(0[xXoObB])?[0-9a-fA-F_]+\s*L?\s*"),
    "FLOAT": re.compile(rb"\s*[+-]?(\d|\.|inf|nan)[\w.+-]*\s*", re.IGNORECASE),
    "STRING": re.compile(rb"\s*(['\"]).*\1\s*"),
    "GET": re.compile(rb"\s*[+-]?[\d_]+\s*"),
    "PUT": re.compile(rb"\s*[+-]?[\d_]+\s*"),
}
_DOTTED = re.compile(r"[\w.<>]+")

# What torch's own loader of weights lets through: storages, dtypes, and the functions that make a tensor of them.
_TENSORS = re.compile(
    r"collections\.(OrderedDict|Counter)|builtins\.(set|complex|bytearray)|__builtin__\.(set|complex|bytearray)"
    r"|_codecs\.encode|torch\.(\w+Storage|Size|device|Tensor|q?u?int\d+|float\w*|bfloat16|complex\w+|bool|half|double)"
    r"|torch\.storage\.(Typed|Untyped)Storage|torch\.nn\.parameter\.Parameter|torch\.serialization\._get_layout"
    r"|torch\._utils\._rebuild_(parameter|parameter_with_state|qtensor|tensor|tensor_v2|tensor_v3|sparse_tensor)"
)


@dataclass(frozen=True)
class Opcodes:
    """What a pickle machine would do with some bytes.

    Attributes
    ----------
    imports : tuple of str
        What it would import, such as ``os.system``; ``?`` where a name is put together while it runs.
    direct : bool
        Whether every import is named where it stands.
    calls : bool
        Whether it would call one of them.
    end : str
        How it ends: it stops, finds no opcode where one should be (``invalid``), or the bytes end first (``cut``).
    length : int
        Bytes that were read.
    """

    imports: tuple[str, ...]
    direct: bool
    calls: bool
    end: Literal["stop", "invalid", "cut"]
    length: int


def read_opcodes(data: bytes) -> Opcodes:
    r"""Follow the opcodes from the first byte on, up to where an unpickler would stop or fail.

    Parameters
    ----------
    data : bytes
        A file, or its first megabyte.

    Examples
    --------
    >>> read_opcodes(b"cos\nsystem\n(S'id'\ntR.")
    Opcodes(imports=('os.system',), direct=True, calls=True, end='stop', length=21)
    >>> read_opcodes(b"certifi==2026.1\nclick==8.3\n").end
    'invalid'
    """
    imports: list[str] = []
    texts: list[str] = []
    direct, calls, marked = True, False, False
    pushed = at = 0
    while at < len(data):
        opcode = _OPCODES.get(data[at])
        # What a text persistent id stands for only an unpickler of one's own knows; torch's takes none, others fail.
        if opcode is None or opcode.name == "PERSID":
            return Opcodes(tuple(imports), direct, calls, "invalid", at)
        argument = _argument(opcode, data, at + 1)
        if not isinstance(argument, _Argument):
            return Opcodes(tuple(imports), direct, calls, argument, at)
        at = argument.end
        if opcode.name in ("GLOBAL", "INST"):
            name = b".".join(argument.lines).decode("utf-8", errors="replace")
            if not _DOTTED.fullmatch(name) or (opcode.name == "INST" and not marked):
                return Opcodes(tuple(imports), direct, calls, "invalid", at)
            imports.append(name)
            calls |= opcode.name == "INST"
        elif opcode.name == "STACK_GLOBAL":
            imports.append(".".join(texts[-2:]) if len(texts) > 1 else "?")
            direct = False
        elif opcode.name in _EXTENSIONS:
            imports.append("?")
            direct = False
        elif opcode.name == "STOP":
            return Opcodes(tuple(imports), direct, calls, "stop", at)
        # More is counted than an unpickler would have on its stack: what it can call is never missed.
        calls |= bool(imports) and (
            (opcode.name in _CALLS and pushed > 1) or (opcode.name == "OBJ" and marked and pushed > 0)
        )
        marked |= opcode.name == "MARK"
        pushed += len(opcode.stack_after)
        if opcode.name.endswith(("UNICODE", "UNICODE8", "STRING")):
            texts.append(argument.text)
    return Opcodes(tuple(imports), direct, calls, "cut", at)


def looks_pickled(data: bytes) -> bool:
    """Whether an unpickler would make something of the bytes, or do something on the way.

    Examples
    --------
    >>> import pickle
    >>> looks_pickled(pickle.dumps([1, 2])), looks_pickled(b'{"trees": []}')
    (True, False)
    """
    found = read_opcodes(data)
    if found.calls or (found.imports and found.end != "invalid"):
        return True
    return data[:1] == b"\x80" and len(data) > 1 and 0 < data[1] <= _HIGHEST_PROTOCOL and found.end != "invalid"


def rebuilds_tensors_only(data: bytes) -> bool:
    """Whether a whole pickle does no more than torch's loader of weights allows, whichever loader reads it."""
    found = read_opcodes(data)
    named = all(_TENSORS.fullmatch(name) for name in found.imports)
    return named and found.direct and found.end == "stop" and found.length == len(data)


class _Argument(NamedTuple):
    end: int
    lines: tuple[bytes, ...]
    text: str


def _argument(opcode: pickletools.OpcodeInfo, data: bytes, at: int) -> _Argument | Literal["invalid", "cut"]:
    if opcode.arg is None:
        return _Argument(at, (), "")
    size = opcode.arg.n
    if size == pickletools.UP_TO_NEWLINE:
        return _lines(opcode.name, data, at)
    if size < 0:
        width = {
            pickletools.TAKEN_FROM_ARGUMENT1: 1,
            pickletools.TAKEN_FROM_ARGUMENT8U: 8,
        }.get(size, 4)
        if at + width > len(data):
            return "cut"
        size = int.from_bytes(data[at : at + width], "little", signed=opcode.arg.n == pickletools.TAKEN_FROM_ARGUMENT4)
        at += width
        if size < 0:
            return "invalid"
    elif opcode.name == "PROTO" and data[at : at + 1] > bytes([_HIGHEST_PROTOCOL]):
        return "invalid"
    if at + size > len(data):
        return "cut"
    return _Argument(at + size, (), data[at : at + size].decode("utf-8", errors="replace"))


def _lines(name: str, data: bytes, at: int) -> _Argument | Literal["invalid", "cut"]:
    lines: list[bytes] = []
    for _ in range(2 if name in ("GLOBAL", "INST") else 1):
        end = data.find(b"\n", at)
        if end < 0:
            return "cut"
        lines.append(data[at:end])
        at = end + 1
    if name in _LINES and not _LINES[name].fullmatch(lines[0]):
        return "invalid"
    return _Argument(at, tuple(lines), lines[0].decode("utf-8", errors="replace").strip("'\""))
