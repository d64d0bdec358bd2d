"""A store in S3, or in anything that speaks its conditional writes (If-None-Match, If-Match)."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import shutil
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops.errors import ConfigError, MLOpsError, RemoteRejected, RemoteUnavailable, require
from airflow_mlops.store import Stored, StoreOptions, inside

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

_LOST = ("PreconditionFailed", "412")
_ABSENT = ("NoSuchKey", "404", "NotFound")
# 409 is S3's answer to a conditional write while another is in flight: neither won nor lost, ask again.
_ASK_AGAIN = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.CONFLICT)
# The SDK's own minute a try, five tries, would keep a worker's slot for five minutes on a dead endpoint.
_CONNECT_SECONDS = 10
_ATTEMPTS = 4
_PIECE_BYTES = 1 << 20


class S3Store:
    """Keys are objects below ``s3://bucket/prefix``."""

    def __init__(self, uri: str, options: StoreOptions) -> None:
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        if not bucket:
            raise ConfigError(f"expected s3://BUCKET/PREFIX for the store, got {uri!r}.")
        self.bucket = bucket
        self.prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._client = _client_of(options)

    @property
    def uri(self) -> str:
        """The root as an ``s3://`` address."""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/")

    def get(self, key: str) -> Stored | None:
        """Read a key whole; None if there is none."""
        with self._translated(f"read {key}"):
            try:
                answer = self._client.get_object(Bucket=self.bucket, Key=self._key(key))
                return Stored(answer["Body"].read(), answer["ETag"])
            except self._client.exceptions.NoSuchKey:
                return None

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Write unless the key is there; True if this call wrote it."""
        return self._put(key, data, IfNoneMatch="*")

    def replace(self, key: str, data: bytes, *, etag: str) -> bool:
        """Write only over the bytes that ``etag`` names; True if this call wrote it."""
        return self._put(key, data, IfMatch=etag)

    def put_file(self, key: str, path: Path) -> None:
        """Upload a file (in parts if it is large) unless the key is there."""
        with self._translated(f"write {key}"):
            if self._head(key) is None:
                # Visible only when complete; two uploads of one key carry the same bytes (it is their digest).
                # Not upload_file: that hides the server's answer in an error of its own family.
                with path.open("rb") as file:
                    self._client.upload_fileobj(file, self.bucket, self._key(key))

    def local_path(self, key: str, scratch: Path) -> Path | None:
        """Fetch the object into ``scratch``; None if there is none."""
        name = hashlib.sha256(key.encode()).hexdigest()[:16] + Path(key).suffix
        target = scratch / name
        with self._translated(f"read {key}"):
            try:
                body = self._client.get_object(Bucket=self.bucket, Key=self._key(key))["Body"]
            except self._client.exceptions.NoSuchKey:
                return None
            with target.open("wb") as file:
                shutil.copyfileobj(body, file, _PIECE_BYTES)
        return target

    def written_at(self, key: str) -> dt.datetime | None:
        """When the object was last written, UTC; None if absent."""
        with self._translated(f"look at {key}"):
            head = self._head(key)
        return head["LastModified"].astimezone(dt.UTC) if head else None

    def keys(self, prefix: str) -> Iterator[str]:
        """Keys below a prefix, sorted (as S3 lists them)."""
        with self._translated(f"list {prefix}"):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self._key(prefix))
            for page in pages:
                for item in page.get("Contents", ()):
                    yield str(item["Key"]).removeprefix(self.prefix)

    def _key(self, key: str) -> str:
        return self.prefix + inside(key)

    def _head(self, key: str) -> dict[str, Any] | None:
        from botocore.exceptions import ClientError

        try:
            head: dict[str, Any] = self._client.head_object(Bucket=self.bucket, Key=self._key(key))
        except ClientError as error:
            if _code(error) in _ABSENT:
                return None
            raise
        return head

    def _put(self, key: str, data: bytes, **condition: Any) -> bool:
        from botocore.exceptions import ClientError

        with self._translated(f"write {key}"):
            try:
                self._client.put_object(Bucket=self.bucket, Key=self._key(key), Body=data, **condition)
            except ClientError as error:
                if _code(error) in (*_LOST, *_ABSENT):
                    return False
                raise
        return True

    @contextlib.contextmanager
    def _translated(self, doing: str) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError, ParamValidationError

        try:
            yield
        except ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            kind: type[MLOpsError] = (
                RemoteUnavailable
                if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _ASK_AGAIN
                else RemoteRejected
            )
            raise kind(
                f"expected {self.uri} to {doing}, it answered {_code(error)} (HTTP {status}). "
                "Check the bucket's name and the credentials of the connection."
            ) from error
        except ParamValidationError as error:
            # Found before anything is sent; the second line is what is wrong, followed by the pattern of a name.
            wrong = str(error).splitlines()[-1].partition(": ")[0]
            raise ConfigError(
                f"expected {self.uri} to {doing}, but that cannot be asked of S3: {wrong}. "
                "Correct the address s3://BUCKET/PREFIX in the connection or in model.toml."
            ) from error
        except BotoCoreError as error:
            raise RemoteUnavailable(
                f"expected an answer from {self.uri} to {doing}, got {type(error).__name__}: {error}. "
                "Check the endpoint and the credentials of the connection, then run the task again."
            ) from error


def _client_of(options: StoreOptions) -> Any:
    boto3, config = require("boto3", extra="s3"), require("botocore.config", extra="s3")
    from botocore.exceptions import BotoCoreError, PartialCredentialsError

    try:
        return boto3.client(
            "s3",
            endpoint_url=options.endpoint_url,
            aws_access_key_id=options.access_key_id,
            aws_secret_access_key=options.secret_access_key,
            region_name=options.region,
            config=config.Config(
                connect_timeout=_CONNECT_SECONDS, retries={"mode": "standard", "total_max_attempts": _ATTEMPTS}
            ),
        )
    except PartialCredentialsError as error:
        raise ConfigError(
            "expected an access key and its secret (login and password of the connection), got only one of them: "
            f"{error}. Give both, or neither to use the worker's own."
        ) from error
    except BotoCoreError as error:
        # A region that is none, a profile of the environment that is not there.
        raise ConfigError(
            f"expected settings that an S3 client can be made from, got {type(error).__name__}: {error}. "
            "Correct the connection, or the worker's AWS_* variables."
        ) from error
    except ValueError as error:
        raise ConfigError(
            f"expected an address such as http://127.0.0.1:9000 as the endpoint, got {options.endpoint_url!r}. "
            "Correct it in the connection."
        ) from error


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
