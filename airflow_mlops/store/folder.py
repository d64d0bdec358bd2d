"""A store in a local folder (or a shared one: it needs hard links and flock, as ext4, xfs and NFS 4 have)."""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from airflow_mlops.errors import ConfigError, RemoteUnavailable
from airflow_mlops.store import Stored, inside

# Files being written start so; a reader never sees them, and a killed writer leaves nothing else behind.
_UNFINISHED = ".unfinished-"
_LOCKS = ".locks"


class FolderStore:
    """Keys are files below ``root``.

    A file appears by hard link (put-if-absent: the kernel lets one link win) or by rename (replace, under a lock
    that the kernel drops when its holder dies), always from a finished and synced temporary.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().resolve()

    @property
    def uri(self) -> str:
        """The folder as a ``file://`` address."""
        return self.root.as_uri()

    def get(self, key: str) -> Stored | None:
        """Read a key whole; None if there is none."""
        path = self._path(key)
        try:
            with _translated(path):
                data = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return Stored(data, hashlib.sha256(data).hexdigest())

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write unless the key is there; True if this call wrote it."""
        path = self._path(key)
        with _translated(path):
            if path.exists():
                return False
        with _translated(path), self._finished(path, data) as finished:
            try:
                os.link(finished, path)
            except FileExistsError:
                return False
            _sync_folder(path.parent)
        return True

    def replace(self, key: str, data: bytes, *, etag: str) -> bool:
        """Write only over the bytes that ``etag`` names; True if this call wrote it."""
        path = self._path(key)
        with _translated(path), self._locked(key):
            found = self.get(key)
            if found is None or found.etag != etag:
                return False
            with self._finished(path, data) as finished:
                finished.replace(path)
            _sync_folder(path.parent)
        return True

    def put_file(self, key: str, path: Path) -> None:
        """Copy a file in unless the key is there."""
        target = self._path(key)
        if target.exists():
            return
        with _translated(target), self._finished(target, path) as finished:
            with contextlib.suppress(FileExistsError):
                os.link(finished, target)
            _sync_folder(target.parent)

    def local_path(self, key: str, scratch: Path) -> Path | None:
        """The file itself: nothing to fetch."""
        del scratch
        path = self._path(key)
        return path if path.is_file() else None

    def written_at(self, key: str) -> dt.datetime | None:
        """When the file was last written, UTC; None if absent."""
        try:
            return dt.datetime.fromtimestamp(self._path(key).stat().st_mtime, dt.UTC)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def keys(self, prefix: str) -> Iterator[str]:
        """Keys below a prefix, sorted; unfinished writes and locks are not keys."""
        # A prefix may end inside a name: walk from its last whole folder.
        start = self._path(prefix.rpartition("/")[0]) if "/" in prefix else self.root
        found = (
            path.relative_to(self.root).as_posix()
            for path in start.rglob("*")
            if path.is_file() and not path.name.startswith(_UNFINISHED)
        )
        return iter(sorted(key for key in found if key.startswith(prefix) and not key.startswith(_LOCKS)))

    def _path(self, key: str) -> Path:
        return self.root / inside(key)

    @contextlib.contextmanager
    def _finished(self, path: Path, content: bytes | Path) -> Iterator[Path]:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=_UNFINISHED, dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                if isinstance(content, Path):
                    with content.open("rb") as source:
                        shutil.copyfileobj(source, file, 1 << 20)
                else:
                    file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(name).chmod(0o644)
            yield Path(name)
        finally:
            with contextlib.suppress(FileNotFoundError):
                Path(name).unlink()

    @contextlib.contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        folder = self.root / _LOCKS
        folder.mkdir(parents=True, exist_ok=True)
        lock = folder / hashlib.sha256(key.encode()).hexdigest()[:16]
        with lock.open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RemoteUnavailable(
                f"expected room for {path.name} in {path.parent}, but the disk or the quota is full. "
                "Nothing was written; free some space and run the task again."
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise ConfigError(
                f"expected a store that this user may read and write, got {error.strerror!r} for {path}. "
                "Give the Airflow worker's user access, or name another folder in the connection."
            ) from error
        raise


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
