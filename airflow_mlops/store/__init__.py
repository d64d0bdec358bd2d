"""Where bytes are kept: a local folder or S3. A backend is one file; the ledger gives the bytes a meaning.

Every write is all or nothing, whatever is killed in the middle of it, and the two conditional writes are atomic
between processes (and, on S3, between machines).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol
from urllib.parse import unquote

from airflow_mlops.errors import ConfigError

__all__ = ["Store", "StoreOptions", "Stored", "inside", "open_store"]


class Stored(NamedTuple):
    """Bytes as they were found, and the tag that a compare-and-swap names them by."""

    data: bytes
    etag: str


class StoreOptions(NamedTuple):
    """What an S3-compatible store needs beside its address; None leaves it to the SDK's own chain."""

    endpoint_url: str | None = None
    access_key_id: str | None = None
    secret_access_key: str | None = None
    region: str | None = None

    def __repr__(self) -> str:
        """Leave the secret out: a repr reaches logs."""
        return f"StoreOptions(endpoint_url={self.endpoint_url!r}, region={self.region!r})"


class Store(Protocol):
    """A place for bytes under keys such as ``records/quality/demand/2011-03-05/ab12.json``."""

    @property
    def uri(self) -> str:
        """Address of the root, without credentials."""

    def get(self, key: str) -> Stored | None:
        """Read a key whole; None if there is none."""

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write unless the key is there; True if this call wrote it."""

    def replace(self, key: str, data: bytes, *, etag: str) -> bool:
        """Write only over the bytes that ``etag`` names; True if this call wrote it.

        The tag names content: whoever writes must change it, as a pointer's count of moves does.
        """

    def put_file(self, key: str, path: Path) -> None:
        """Upload a file unless the key is there: for content that is named by its digest."""

    def local_path(self, key: str, scratch: Path) -> Path | None:
        """A readable file with the key's bytes, in ``scratch`` if it has to be fetched; None if absent."""

    def written_at(self, key: str) -> dt.datetime | None:
        """When the key was last written, UTC; None if absent."""

    def keys(self, prefix: str) -> Iterator[str]:
        """Keys below a prefix, sorted."""


def inside(key: str) -> str:
    """Return the key itself, if it stays inside the store.

    Raises
    ------
    ConfigError
        For an absolute key, or one with ``..`` in it.

    Examples
    --------
    >>> inside("records/verdict/demand/ab12.json")
    'records/verdict/demand/ab12.json'
    """
    path = PurePosixPath(key)
    if path.is_absolute() or ".." in path.parts:
        raise ConfigError(f"expected a key inside the store, got {key!r}. Leave out the leading / and every '..'.")
    return key


def open_store(uri: str, options: StoreOptions | None = None) -> Store:
    """Open the store at an address.

    Parameters
    ----------
    uri : str
        A local path, ``file:///path`` or ``s3://bucket/prefix``.
    options : StoreOptions, optional
        For S3.

    Raises
    ------
    ConfigError
        For any other scheme.
    """
    if uri.startswith("s3://"):
        from airflow_mlops.store.s3 import S3Store

        return S3Store(uri, options or StoreOptions())
    scheme, separator, rest = uri.partition("://")
    if separator and scheme != "file":
        raise ConfigError(f"expected a folder, file:// or s3:// address for the store, got {scheme}://.")
    from airflow_mlops.store.folder import FolderStore

    return FolderStore(Path(unquote(rest) if separator else uri))
