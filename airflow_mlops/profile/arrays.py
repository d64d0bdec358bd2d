"""How arrays of a profile are written: a row of numbers that a person can read, or packed bytes where size counts.

Both are one string in the JSON, so that indenting a record costs nothing a number.
"""

from __future__ import annotations

import base64
import json
import zlib
from typing import Annotated, Any

import numpy as np
from pydantic import BeforeValidator, PlainSerializer

__all__ = ["Counts", "Floats", "PackedCounts", "PackedFloats", "PackedLevels"]


def _spaced(values: tuple[float, ...]) -> str:
    return " ".join(repr(value).removesuffix(".0") for value in values)


def _split(values: Any) -> Any:
    return values.split() if isinstance(values, str) else values


def _packed(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, 9)).decode()


def _unpacked(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text))


def _packer(kind: str) -> PlainSerializer:
    def pack(values: tuple[float, ...]) -> str:
        return _packed(np.asarray(values, dtype=kind).tobytes())

    return PlainSerializer(pack, return_type=str, when_used="json")


def _unpacker(kind: str) -> BeforeValidator:
    def unpack(values: Any) -> Any:
        if isinstance(values, str):
            return np.frombuffer(_unpacked(values), dtype=kind).tolist()
        return values

    return BeforeValidator(unpack)


def _pack_levels(levels: dict[str, int]) -> str:
    return _packed(json.dumps(levels).encode()) if levels else ""


def _unpack_levels(levels: Any) -> Any:
    return (json.loads(_unpacked(levels)) if levels else {}) if isinstance(levels, str) else levels


_SPACED = (BeforeValidator(_split), PlainSerializer(_spaced, return_type=str, when_used="json"))

Floats = Annotated[tuple[float, ...], *_SPACED]
"""Numbers side by side, in full precision: ``"0.5 1 2.25"``."""
Counts = Annotated[tuple[int, ...], *_SPACED]
"""Whole numbers side by side."""
PackedFloats = Annotated[tuple[float, ...], _unpacker("<f8"), _packer("<f8")]
"""Little-endian float64, zlib, base64."""
PackedCounts = Annotated[tuple[int, ...], _unpacker("<i8"), _packer("<i8")]
"""Little-endian int64, zlib, base64."""
PackedLevels = Annotated[
    dict[str, int], BeforeValidator(_unpack_levels), PlainSerializer(_pack_levels, return_type=str, when_used="json")
]
"""Rows of each level, as JSON, zlib, base64: of the many that nobody reads one by one."""
