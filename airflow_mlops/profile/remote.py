"""Objects in S3, read piece by piece and pinned: each request names the version that the first one saw."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from typing import Any, BinaryIO, cast

from airflow_mlops.errors import DataError
from airflow_mlops.store import StoreOptions

__all__ = ["open_objects"]

_EXCHANGED = ("PreconditionFailed", "412")
_GONE = ("NoSuchKey", "404", "NotFound")


class PinnedObject(io.RawIOBase):
    """A readable, seekable file over one version of an object.

    S3 answers each ranged request from the object as it is then. ``If-Match`` makes it refuse once the object was
    exchanged: half of one file and half of another would parse, now and then.
    """

    def __init__(self, store: Any, name: str, key: str) -> None:
        super().__init__()
        self._store, self.name, self._key = store, name, key
        with self._told():
            head = store._client.head_object(Bucket=store.bucket, Key=key)
        self._etag, self._size = head["ETag"], int(head["ContentLength"])
        self._at = 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """Where the next read starts."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go there; nothing is requested yet."""
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def size(self) -> int:
        """Bytes of the object."""
        return self._size

    def readinto(self, buffer: Any) -> int:
        """Request the next bytes."""
        end = min(self._at + len(buffer), self._size)
        if end <= self._at:
            return 0
        with self._told():
            answer = self._store._client.get_object(
                Bucket=self._store.bucket, Key=self._key, Range=f"bytes={self._at}-{end - 1}", IfMatch=self._etag
            )
            data = answer["Body"].read()
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        from botocore.exceptions import ClientError

        with self._store._translated(f"read {self.name}"):
            try:
                yield
            except ClientError as error:
                code = str(error.response.get("Error", {}).get("Code", ""))
                if code in _EXCHANGED:
                    raise DataError(
                        f"expected {self.name} to stay as it was while it is read, it was exchanged for another "
                        "version. Write each night's object once, then read it again."
                    ) from error
                if code in _GONE:
                    raise DataError(
                        f"expected an object at {self.name}, there is none. Wait until the data has arrived."
                    ) from error
                raise


@contextlib.contextmanager
def open_objects(address: str, options: StoreOptions, endings: tuple[str, ...]) -> Iterator[list[tuple[str, BinaryIO]]]:
    """Open the object at an address, or all those below it with such endings, in order of their names."""
    from airflow_mlops.store.s3 import S3Store

    bucket, _, path = address.removeprefix("s3://").partition("/")
    store = S3Store(f"s3://{bucket}", options)
    if path.endswith(endings):
        keys = [path]
    else:
        keys = [key for key in store.keys(f"{path.strip('/')}/" if path.strip("/") else "") if key.endswith(endings)]
    with contextlib.ExitStack() as stack:
        opened = []
        for key in keys:
            name = f"s3://{bucket}/{key}"
            opened.append((name, cast("BinaryIO", stack.enter_context(PinnedObject(store, name, key)))))
        yield opened
