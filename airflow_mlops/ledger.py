"""Where records, pointers and artefacts are kept, and the rules by which they are written.

records/<kind>/<key>.json    written once
pointers/<model>/<name>.json moved by compare-and-swap
blobs/sha256/<hex>           files, named by their digest
"""

from __future__ import annotations

import datetime as dt
import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from airflow_mlops.errors import Conflict, LedgerError, TamperedRecord
from airflow_mlops.records import Artefact, Pointer, Record, RecordRef, sha256_digest
from airflow_mlops.store import Store, inside

__all__ = ["Ledger", "digest_of_file"]

# A pointer keeps this many earlier references: a year of weekly deployments.
_HISTORY = 52

R = TypeVar("R", bound=Record)


def digest_of_file(path: Path) -> str:
    """Digest of a file's bytes, read in pieces.

    Returns
    -------
    str
        ``sha256:<64 hex digits>``.
    """
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


class Ledger:
    """The chain of records over a store.

    Parameters
    ----------
    store : Store
        A folder or S3.
    """

    def __init__(self, store: Store) -> None:
        self.store = store

    def write(self, record: R) -> R:
        """Write a record unless one of its key is there, and return the one that stands.

        Two workers that did the same work both get the record of the one that came first.
        """
        if self.store.put_if_absent(_path_of(record), record.to_json()):
            return record
        standing = self.find(type(record), record.key)
        if standing is None:
            raise LedgerError(
                f"expected the record {record.kind}/{record.key} to stand, but it was deleted meanwhile. "
                "Records are never deleted while the loop runs; run the task again."
            )
        return standing

    def find(self, kind: type[R], key: str) -> R | None:
        """Read the record of a key, or None."""
        path = _record_path(kind.kind, key)
        found = self.store.get(path)
        return None if found is None else _parsed(kind, path, found.data)

    def read(self, kind: type[R], ref: RecordRef) -> R:
        """Read the very record that a reference names.

        Raises
        ------
        LedgerError
            If there is none, or the reference is to another kind.
        TamperedRecord
            If the record is not the one that the reference was made for.
        """
        if ref.kind != kind.kind:
            raise LedgerError(f"expected a reference to a {kind.kind} record, got {ref}.")
        record = self.find(kind, ref.key)
        if record is None:
            raise LedgerError(
                f"expected the record {ref} in {self.store.uri}, there is none. "
                "Check that the connection names the store that the rest of the chain is in."
            )
        if record.ref != ref:
            raise TamperedRecord(
                f"{_record_path(ref.kind, ref.key)}: expected digest {ref.digest}, got {record.ref.digest}. "
                "The record was replaced after others were built on it: restore it from a backup."
            )
        return record

    def all(self, kind: type[R], prefix: str) -> Iterator[R]:
        """Records whose key starts with a prefix, in the order of their keys."""
        for path in self.store.keys(f"records/{kind.kind}/{prefix}"):
            found = self.store.get(path)
            if found is not None:
                yield _parsed(kind, path, found.data)

    def pointer(self, model: str, name: str) -> Pointer | None:
        """Where a pointer stands; None if it was never set."""
        path = _pointer_path(model, name)
        found = self.store.get(path)
        return None if found is None else _parsed(Pointer, path, found.data)

    def move(
        self, model: str, name: str, to: RecordRef, *, seen: Pointer | None, reason: str, now: dt.datetime
    ) -> Pointer:
        """Move a pointer from where it was seen; where it already stands there, nothing is written.

        Raises
        ------
        Conflict
            If it no longer stands where ``seen`` says.
        """
        if seen is not None and seen.to == to:
            return seen
        history = () if seen is None else (seen.to, *seen.history)[:_HISTORY]
        return self._swap(model, name, to, history=history, seen=seen, reason=reason, now=now)

    def step_back(self, seen: Pointer, *, reason: str, now: dt.datetime) -> Pointer:
        """Move a pointer back to where it stood before; the reference that it leaves is forgotten.

        Raises
        ------
        LedgerError
            If it never stood anywhere else.
        Conflict
            If it no longer stands where ``seen`` says.
        """
        if not seen.history:
            raise LedgerError(f"expected an earlier {seen.name} of {seen.model} to go back to, {seen.to} is the first.")
        to, *history = seen.history
        return self._swap(seen.model, seen.name, to, history=tuple(history), seen=seen, reason=reason, now=now)

    def _swap(
        self,
        model: str,
        name: str,
        to: RecordRef,
        *,
        history: tuple[RecordRef, ...],
        seen: Pointer | None,
        reason: str,
        now: dt.datetime,
    ) -> Pointer:
        pointer = Pointer(
            model=model,
            recorded_at=now,
            name=name,
            to=to,
            history=history,
            moves=1 if seen is None else seen.moves + 1,
            reason=reason,
        )
        path = _pointer_path(model, name)
        if seen is None:
            moved = self.store.put_if_absent(path, pointer.to_json())
        else:
            found = self.store.get(path)
            unmoved = found is not None and _parsed(Pointer, path, found.data) == seen
            moved = unmoved and found is not None and self.store.replace(path, pointer.to_json(), etag=found.etag)
        # A lost answer makes the S3 client send a write again, which then loses against itself: look who won.
        if not moved and self.pointer(model, name) != pointer:
            raise Conflict(
                f"expected the pointer {name} of {model} to stand at {seen.to if seen else 'nothing'}, but it "
                "was moved meanwhile. Read it again and decide anew."
            )
        return pointer

    def put_blob(self, content: Path | bytes) -> str:
        """Keep a file or bytes under their digest, and return that."""
        if isinstance(content, bytes):
            digest = sha256_digest(content)
            self.store.put_if_absent(_blob_path(digest), content)
            return digest
        digest = digest_of_file(content)
        self.store.put_file(_blob_path(digest), content)
        return digest

    def blob(self, digest: str) -> bytes:
        """Bytes of a small blob, proved by their digest.

        Raises
        ------
        LedgerError
            If it is not there.
        TamperedRecord
            If its bytes are not those that the digest names.
        """
        with tempfile.TemporaryDirectory() as scratch:
            return self.fetch_blob(digest, Path(scratch) / "blob").read_bytes()

    def fetch_blob(self, digest: str, target: Path) -> Path:
        """Copy a blob to ``target`` and prove its digest.

        Raises
        ------
        LedgerError
            If it is not there.
        TamperedRecord
            If its bytes are not those that the digest names.
        """
        target.parent.mkdir(parents=True, exist_ok=True)
        # Beside the target: it appears by a rename, whole and proved, or not at all.
        with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=target.parent) as scratch:
            source = self.store.local_path(_blob_path(digest), Path(scratch))
            if source is None:
                raise LedgerError(f"expected {digest} in {self.store.uri}, there is none. Restore it from a backup.")
            copy = Path(shutil.copyfile(source, Path(scratch) / "copy"))
            actual = digest_of_file(copy)
            if actual != digest:
                raise TamperedRecord(
                    f"{_blob_path(digest)}: expected digest {digest}, got {actual}. Restore it from a backup."
                )
            return copy.replace(target)

    def blobs(self) -> frozenset[str]:
        """Digests of all files that are kept; their bytes are not read."""
        return frozenset(f"sha256:{key.rpartition('/')[2]}" for key in self.store.keys(_blob_path("")))

    def put_folder(self, folder: Path) -> Artefact:
        """Keep every file below a folder."""
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return Artefact(files={path.relative_to(folder).as_posix(): self.put_blob(path) for path in files})

    def fetch_folder(self, artefact: Artefact, folder: Path) -> Path:
        """Lay the files of an artefact into a folder, each proved by its digest."""
        for name, digest in artefact.files.items():
            self.fetch_blob(digest, folder / inside(name))
        return folder


def _parsed(kind: type[R], path: str, data: bytes) -> R:
    record = kind.from_json(data, name=path)
    # The digest proves the content, not its place: a copy under another name is as wrong as an edit.
    if path != _path_of(record):
        raise TamperedRecord(
            f"{path}: expected the record of this name, got {record.kind}/{record.key}. Restore it from a backup."
        )
    return record


def _path_of(record: Record) -> str:
    if isinstance(record, Pointer):
        return _pointer_path(record.model, record.name)
    return _record_path(record.kind, record.key)


def _record_path(kind: str, key: str) -> str:
    return f"records/{kind}/{key}.json"


def _pointer_path(model: str, name: str) -> str:
    return f"pointers/{model}/{name}.json"


def _blob_path(digest: str) -> str:
    return f"blobs/sha256/{digest.removeprefix('sha256:')}"
