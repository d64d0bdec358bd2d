"""What every record is: a frozen value with a key, a digest, and the digests that it rests on."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from abc import ABC, abstractmethod
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from airflow_mlops.errors import LedgerError, TamperedRecord

__all__ = ["Instant", "PartitionPin", "Record", "RecordRef", "Value", "sha256_digest", "short"]


def sha256_digest(data: bytes) -> str:
    """Digest of bytes, written ``sha256:<64 hex digits>``.

    Examples
    --------
    >>> sha256_digest(b"")[:19]
    'sha256:e3b0c44298fc'
    """
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def short(digest: str) -> str:
    """First twelve hex digits of a digest: enough for a key that a person reads.

    Examples
    --------
    >>> short("sha256:e3b0c44298fc1c149afbf4c8")
    'e3b0c44298fc'
    """
    return digest.removeprefix("sha256:")[:12]


def _in_utc(value: dt.datetime) -> dt.datetime:
    if value.tzinfo is None:
        raise ValueError("expected a time with a time zone, got a naive one")
    return value.astimezone(dt.UTC)


Instant = Annotated[dt.datetime, AfterValidator(_in_utc)]


class Value(BaseModel):
    """A frozen value; an unknown field is an error, NaN and infinity survive the JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class RecordRef(Value):
    """Names one record by kind, key and digest; its text form travels in asset events and XComs."""

    kind: str
    key: str
    digest: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.key}@{self.digest}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the text form.

        Raises
        ------
        LedgerError
            If the text is not ``kind/key@sha256:...``.
        """
        path, at, digest = text.rpartition("@")
        kind, slash, key = path.partition("/")
        if not (at and slash and digest.startswith("sha256:")):
            raise LedgerError(f"expected a reference like 'verdict/demand/ab12@sha256:...', got {text!r}.")
        return cls(kind=kind, key=key, digest=digest)


class Record(Value, ABC):
    """What every record has: the model it is about, when it was written, what it rests on."""

    kind: ClassVar[str]
    version: ClassVar[int] = 1

    model: str
    recorded_at: Instant
    rests_on: tuple[RecordRef, ...] = ()
    dag_run: str | None = None

    @property
    @abstractmethod
    def key(self) -> str:
        """Identity of the record inside its kind, without the suffix ``.json``."""

    @classmethod
    def schema_name(cls) -> str:
        """Name and version of the JSON, such as ``airflow-mlops/verdict/1``."""
        return f"airflow-mlops/{cls.kind}/{cls.version}"

    @property
    def ref(self) -> RecordRef:
        """Reference to this very content."""
        digest = _content_digest(self.schema_name(), self._body())
        return RecordRef(kind=self.kind, key=self.key, digest=digest)

    def to_json(self) -> bytes:
        """The file's content: schema, digest, then the record, indented for a person to read."""
        body = self._body()
        envelope = {
            "schema": self.schema_name(),
            "digest": _content_digest(self.schema_name(), body),
            "record": body,
        }
        return (json.dumps(envelope, indent=2, ensure_ascii=False) + "\n").encode()

    def _body(self) -> Any:
        # A field that a later release adds with a default was never set in a record from before: left out, that record
        # keeps its digest, and the chain holds.
        return json.loads(self.model_dump_json(exclude_unset=True))

    @classmethod
    def from_json(cls, data: bytes, *, name: str) -> Self:
        """Read a record back and prove that nobody edited it.

        Parameters
        ----------
        data : bytes
            What ``to_json`` gave.
        name : str
            Where it was found; errors say it.

        Raises
        ------
        TamperedRecord
            If the content does not have the digest that it states.
        LedgerError
            If it is no JSON, of another kind, or of a version that this release does not know.
        """
        try:
            envelope: dict[str, Any] = json.loads(data)
            schema, stated, body = envelope["schema"], envelope["digest"], envelope["record"]
        except (ValueError, KeyError, TypeError) as error:
            raise LedgerError(
                f"{name}: expected a record with schema, digest and record, got {data[:60]!r}. "
                "Restore it from a backup."
            ) from error
        actual = _content_digest(schema, body)
        if actual != stated:
            raise TamperedRecord(
                f"{name}: expected content with digest {stated}, got {actual}. Records are never edited: "
                "restore it from a backup."
            )
        if schema != cls.schema_name():
            raise LedgerError(
                f"{name}: expected schema {cls.schema_name()}, got {schema}. "
                "Upgrade airflow-provider-mlops to the release that wrote it."
            )
        try:
            return cls.model_validate_json(json.dumps(body))
        except ValidationError as error:
            raise LedgerError(
                f"{name}: expected the fields of {schema}, got others: {error}. "
                "Use the release that wrote it, or restore it from a backup."
            ) from error


def _content_digest(schema: str, body: Any) -> str:
    canonical = json.dumps([schema, body], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sha256_digest(canonical.encode())


class PartitionPin(Value):
    """One night of data, pinned by the digest of its bytes."""

    night: dt.date
    digest: str
    rows: int
