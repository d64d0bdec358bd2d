"""What is served: the Bento, the proved deployment; and the pointers that move."""

from __future__ import annotations

from typing import ClassVar

from airflow_mlops.records.record import Record, RecordRef, sha256_digest, short

__all__ = ["Bento", "Deployment", "Pointer"]


class Bento(Record):
    """What was built from a promoted model; ``archive_digest`` names the exported file in the store."""

    kind: ClassVar[str] = "bento"

    verdict: RecordRef
    tag: str
    artefact_digest: str
    archive_digest: str

    @property
    def key(self) -> str:
        """One for each version, which comes from the artefact's digest."""
        return f"{self.model}/{self.tag.rpartition(':')[2]}"


class Deployment(Record):
    """A Bento that was staged and proved by its answers before any user got one."""

    kind: ClassVar[str] = "deployment"

    bento: RecordRef
    verdict: RecordRef
    target: str
    served_version: str
    rows_verified: int
    largest_difference: float
    tolerance: float

    @property
    def key(self) -> str:
        """One for each Bento, verdict and target."""
        identity = sha256_digest(f"{self.bento.digest} {self.verdict.digest}".encode())
        return f"{self.model}/{self.target}/{short(identity)}"


class Pointer(Record):
    """A name that moves: champion, live deployment. Moved by compare-and-swap; remembers where it stood.

    ``history`` holds earlier references, newest first.
    """

    kind: ClassVar[str] = "pointer"

    name: str
    to: RecordRef
    history: tuple[RecordRef, ...] = ()
    moves: int = 1
    reason: str

    @property
    def key(self) -> str:
        """Its name below its model."""
        return f"{self.model}/{self.name}"
