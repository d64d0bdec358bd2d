"""Whether a model's files can run code when they are loaded: each is judged by its content, whatever its name says.

Formats of numbers and text pass, and so do archives of nothing else. A pickle is a program, and is refused unless its
digest was allowed; so is what is not recognised. Nothing is unpickled or imported on the way.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import re
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from airflow_mlops.errors import MissingExtra, require
from airflow_mlops.gate.checks.formats import INERT_FORMATS
from airflow_mlops.gate.checks.pickles import looks_pickled, read_opcodes, rebuilds_tensors_only
from airflow_mlops.gate.checks.torch_program import program_fault
from airflow_mlops.ledger import digest_of_file
from airflow_mlops.records import Decision, RuleResult

__all__ = ["scan_artefact"]

# Bytes that are followed for opcodes, and kept in memory of anything that is unpacked.
_WINDOW = 1 << 20
_IN_MEMORY = 16 << 20
# What may come out of an archive: this much, or so many times its size.
_UNPACKED_BYTES, _UNPACKED_RATIO = 64 << 20, 100
_MAX_FILES, _MAX_DEPTH = 10_000, 4
_NAMED = 5

# Members of a torch archive that hold a tensor's bytes as they lie in memory, or a version's number.
_RAW_TENSORS = re.compile(r"(.*/)?data/(\d+|weights/weight_\d+|constants/tensor_\d+)")
_TORCH_MARKS = ("data.pkl", "archive_format")
_SKOPS_MARK = "schema.json"
_TAR_MARK_AT = 257


def scan_artefact(folder: Path, *, allowed_pickles: Collection[str]) -> RuleResult:
    """Look for what would run when the artefact is loaded.

    Safetensors, JSON and text, npy without objects, ONNX, XGBoost, CatBoost and Parquet files pass; a skops file if
    skops trusts every type in it; a torch archive if its pickles only put tensors together and its program calls
    registered operators alone; other zip, tar, gzip, bzip2 and xz files if what is in them passes.

    Parameters
    ----------
    folder : Path
        The artefact.
    allowed_pickles : collection of str
        Digests, written ``sha256:<64 hex digits>``, of files that pass whatever they hold.

    Returns
    -------
    RuleResult
        Named ``artefact scan``; its estimate is the number of refused files.
    """
    files = 0
    faults: list[str] = []
    for path in _paths(folder):
        files += 1
        if files > _MAX_FILES:
            faults.append(f"it holds more than {_MAX_FILES} files")
            break
        if fault := _file_fault(path, folder, allowed_pickles):
            faults.append(f"{path.relative_to(folder)} {fault}")
    if not files:
        faults.append(f"expected the files of a model, {folder.name} holds none")
    more = f" and {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
    why = (
        f"{'; '.join(faults[:_NAMED])}{more}. Save weights as safetensors and scikit-learn models with skops, or put "
        "the digest of a file that you trust under gate.allowed_pickles"
        if faults
        else f"nothing in {files} files runs when they are loaded"
    )
    decision = Decision.REJECT if faults else Decision.PROMOTE
    count = float(len(faults))
    return RuleResult(
        rule="artefact scan",
        on="model",
        decision=decision,
        rows=0,
        units=files,
        method="by content",
        scale="value",
        challenger=count,
        champion=None,
        estimate=count,
        low=count,
        high=count,
        bound=0.0,
        reason=f"artefact scan: {why}: {decision}",
    )


def _paths(folder: Path) -> Iterator[Path]:
    # os.walk tells links to folders apart and does not follow them: they would lead out, or round and round.
    for here, folders, files in os.walk(folder):
        links = [name for name in folders if (Path(here) / name).is_symlink()]
        yield from (Path(here) / name for name in sorted([*files, *links]))


def _file_fault(path: Path, folder: Path, allowed_pickles: Collection[str]) -> str | None:
    try:
        if path.is_symlink() and not path.resolve(strict=True).is_relative_to(folder.resolve()):
            return "is a link that leads out of the artefact"
        if path.is_dir():
            return None
        if not path.is_file():
            return "is no plain file"
        with path.open("rb") as stream:
            size = path.stat().st_size
            budget = _Budget(max(_UNPACKED_BYTES, _UNPACKED_RATIO * size))
            fault = _content_fault(_Content(stream, size), budget)
        if fault is None or (digest := digest_of_file(path)) in allowed_pickles:
            return None
    except (OSError, RuntimeError) as error:
        # A link that leads nowhere or to itself, a file that this user may not read.
        return f"cannot be read ({type(error).__name__})"
    return f"{fault} ({digest})"


class _Bomb(Exception):
    """More comes out of an archive than a model would hold."""


@dataclass
class _Budget:
    """Bytes that may yet be unpacked."""

    remaining: int

    def spend(self, size: int) -> None:
        self.remaining -= size
        if self.remaining < 0:
            raise _Bomb


@dataclass(frozen=True)
class _Content:
    """An open file, or what came out of one."""

    stream: IO[bytes]
    size: int
    depth: int = 0
    in_torch: bool = False
    raw: bool = False

    def head(self) -> bytes:
        self.stream.seek(0)
        return self.stream.read(_WINDOW)


def _content_fault(content: _Content, budget: _Budget) -> str | None:
    """What is wrong with a file, if anything is; a clause that follows its name."""
    if not content.size:
        return None
    if content.depth > _MAX_DEPTH:
        return f"is packed more than {_MAX_DEPTH} times over"
    try:
        return _opened_fault(content, budget)
    except _Bomb:
        return "unpacks to far more than it holds, like a zip bomb"
    except (zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, zlib.error, OSError, EOFError, ValueError) as error:
        return f"is a damaged archive ({type(error).__name__}: {str(error)[:80]})"
    except (NotImplementedError, RuntimeError) as error:
        # Encrypted, or packed in a way that the standard library does not know.
        return f"is an archive that cannot be opened ({str(error)[:80]})"


def _opened_fault(content: _Content, budget: _Budget) -> str | None:
    head = content.head()
    # First of all: an archive may begin like a pickle, by the name of its first file.
    if looks_pickled(head):
        return _pickle_fault(content, head)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return _zip_fault(content, budget)
    if opened := _decompressed(head, content.stream):
        with opened as inner, _spooled(inner, budget) as (stream, size):
            return _inside("", _content_fault(_Content(stream, size, content.depth + 1), budget))
    if head[_TAR_MARK_AT:].startswith(b"ustar"):
        return _tar_fault(content, budget)
    return _leaf_fault(content, head)


def _pickle_fault(content: _Content, head: bytes) -> str | None:
    # Only a torch archive's own pickles are short enough to be read whole, and do no more than make tensors.
    if content.in_torch and content.size <= len(head) and rebuilds_tensors_only(head):
        return None
    imports = list(dict.fromkeys(read_opcodes(head).imports))
    named = f" that imports {', '.join(imports[:_NAMED])}" if imports else ""
    return f"is a pickle{named}"


def _leaf_fault(content: _Content, head: bytes) -> str | None:
    if content.raw:
        return None
    for is_format in INERT_FORMATS.values():
        content.stream.seek(0)
        if is_format(content.stream, content.size):
            content.stream.seek(0)
            # A zip file is read from its end: what stands before it may be another file's beginning.
            return "is a zip archive behind something else" if zipfile.is_zipfile(content.stream) else None
    if head.startswith(b"\x93NUMPY"):
        return "is an array of objects, which are pickled, or is damaged"
    return f"is of no known format (it begins with {head[:8]!r})"


def _zip_fault(content: _Content, budget: _Budget) -> str | None:
    with zipfile.ZipFile(content.stream) as archive:
        members = [member for member in archive.infolist() if member.file_size or not member.is_dir()]
        names = [member.filename for member in members]
        if len(members) > _MAX_FILES:
            return f"is an archive of more than {_MAX_FILES} files"
        if len(set(names)) < len(names):
            return "is an archive with two files of one name: loaders differ in which they read"
        if members and min(member.header_offset for member in members) > 0:
            return "is a zip archive behind something else"
        if sum(member.file_size for member in members) > budget.remaining:
            raise _Bomb
        in_skops = _SKOPS_MARK in names
        in_torch = any(name.rpartition("/")[2] in _TORCH_MARKS for name in names) and not in_skops
        for member in members:
            name = member.filename
            raw = in_skops or (in_torch and _RAW_TENSORS.fullmatch(name) is not None)
            with archive.open(member) as inner, _spooled(inner, budget) as (stream, size):
                part = _Content(stream, size, content.depth + 1, in_torch or content.in_torch, raw)
                fault = _content_fault(part, budget)
                if fault is None and in_torch and not raw and part.head().startswith(b"{"):
                    stream.seek(0)
                    fault = program_fault(stream.read())
            if fault:
                return _inside(name, fault)
    return _skops_fault(content) if in_skops else None


def _tar_fault(content: _Content, budget: _Budget) -> str | None:
    content.stream.seek(0)
    with tarfile.open(fileobj=content.stream, mode="r:") as archive:
        for count, member in enumerate(archive):
            if count > _MAX_FILES:
                return f"is an archive of more than {_MAX_FILES} files"
            if member.isdir():
                continue
            opened = archive.extractfile(member) if member.isreg() else None
            if opened is None:
                return f"holds {member.name}, which is a link or a device"
            with opened as inner, _spooled(inner, budget) as (stream, size):
                fault = _content_fault(_Content(stream, size, content.depth + 1), budget)
            if fault:
                return _inside(member.name, fault)
    return None


def _skops_fault(content: _Content) -> str | None:
    try:
        skops = require("skops.io", extra="mlflow")
    except MissingExtra as error:
        return f"is a skops file, which cannot be checked here: {error}"
    content.stream.seek(0)
    try:
        untrusted = skops.get_untrusted_types(data=content.stream.read())
    except Exception as error:  # noqa: BLE001  # whatever skops stumbles over, it does not vouch for
        return f"is a skops file that skops cannot read ({type(error).__name__}: {str(error)[:80]})"
    return f"is a skops file with the types {', '.join(untrusted[:_NAMED])}, which nobody trusts" if untrusted else None


def _inside(name: str, fault: str | None) -> str | None:
    return fault and f"holds {name or 'something'} that {fault}"


def _decompressed(head: bytes, stream: IO[bytes]) -> IO[bytes] | None:
    stream.seek(0)
    if head.startswith(b"\x1f\x8b"):
        return cast("IO[bytes]", gzip.GzipFile(fileobj=stream, mode="rb"))
    if head.startswith(b"BZh"):
        return bz2.BZ2File(stream)
    if head.startswith(b"\xfd7zXZ\x00"):
        return lzma.LZMAFile(stream)
    return None


@contextmanager
def _spooled(source: IO[bytes], budget: _Budget) -> Iterator[tuple[IO[bytes], int]]:
    """What comes out of an archive, bounded, where it can be read more than once."""
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as stream:
        while chunk := source.read(_WINDOW):
            budget.spend(len(chunk))
            stream.write(chunk)
        yield cast("IO[bytes]", stream), stream.tell()
