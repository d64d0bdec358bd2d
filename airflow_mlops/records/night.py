"""What is known of a night: its quality."""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from typing import Any, ClassVar

from airflow_mlops.records.incident import Notice, QualityIncident
from airflow_mlops.records.record import Instant, PartitionPin, Record, RecordRef, Value, sha256_digest, short

__all__ = ["Acceptance", "CheckOrigin", "CheckOutcome", "CheckResult", "Facts", "Policy", "Quality"]


class CheckOutcome(StrEnum):
    """What one check said; ``ERROR`` means that it could not be evaluated, which is never a pass."""

    PASSED = "passed"
    WARNED = "warned"
    FAILED = "failed"
    ERROR = "error"


_BAD = (CheckOutcome.FAILED, CheckOutcome.ERROR)


class CheckOrigin(StrEnum):
    """Who asked: what every night must hold, a person's contract, or what history taught."""

    SOUND = "sound"
    CONTRACT = "contract"
    MONITOR = "monitor"


class Policy(StrEnum):
    """What a check that does not pass does to its night.

    ``QUARANTINE`` keeps it out of training and of every baseline; ``BLOCK`` does so and also fails the task, whatever
    its ``on_failure`` says; ``WARN`` is told, and nothing more.
    """

    BLOCK = "block"
    QUARANTINE = "quarantine"
    WARN = "warn"


class CheckResult(Value):
    """One check of one night.

    ``policy`` is None in records of releases before policies: they quarantined. ``failing_rows`` counts the rows that
    do not hold, where rows can be told apart. ``since`` is the night since which a monitor has seen it, ``probability``
    bounds how often a night is as unusual when nothing happened.
    """

    name: str
    column: str | None = None
    outcome: CheckOutcome
    expected: str
    actual: str
    origin: CheckOrigin = CheckOrigin.CONTRACT
    policy: Policy | None = None
    failing_rows: int | None = None
    since: dt.date | None = None
    probability: float | None = None

    @property
    def label(self) -> str:
        """``NAME`` or ``NAME:COLUMN``."""
        return self.name if self.column is None else f"{self.name}:{self.column}"


class Quality(Record):
    """A night against its contract and its own past. A quarantined one never becomes training data.

    Attributes
    ----------
    replaces : RecordRef or None
        The record of the same night that this one takes the place of: its file was corrected, its rules were changed,
        or a person accepted it.
    arrived : datetime or None
        When the night's data was written, if that is known.
    past : str or None
        Digest of the nights that its monitors judged it by; None without monitors.
    lacking : str or None
        Why monitors could say nothing, or not all.
    notes : tuple of str
        What else there is to say: of the sample, of what was kept.
    incident : QualityIncident or None
        As it stands after this night.
    notice : Notice
        What the task of this night tells of it.
    sample : str or None
        Blob of failing rows: JSON, sensitive columns masked.
    kept : str or None
        Blob of the quarantined night itself.
    accepted : RecordRef or None
        The acceptance that let it through.
    trained_meanwhile : tuple of RecordRef
        Manifests that were written while what it replaces stood, and that lack this night as it is now.
    """

    kind: ClassVar[str] = "quality"

    night: dt.date
    location: str
    partition: PartitionPin
    rules_digest: str
    checks: tuple[CheckResult, ...]
    replaces: RecordRef | None = None
    arrived: Instant | None = None
    past: str | None = None
    lacking: str | None = None
    notes: tuple[str, ...] = ()
    incident: QualityIncident | None = None
    notice: Notice = Notice.NONE
    sample: str | None = None
    kept: str | None = None
    accepted: RecordRef | None = None
    trained_meanwhile: tuple[RecordRef, ...] = ()

    @property
    def key(self) -> str:
        """A corrected night, or other rules, is another record; so is a night that was put back as it once was."""
        return self.key_of(self.model, self.partition, self.rules_digest, self.replaces)

    @staticmethod
    def key_of(model: str, partition: PartitionPin, rules_digest: str, replaces: RecordRef | None) -> str:
        """Key under which the record of a night is found."""
        before = replaces.digest if replaces else "-"
        identity = sha256_digest(f"{partition.digest} {rules_digest} {before}".encode())
        return f"{model}/{partition.night}/{short(identity)}"

    @property
    def quarantined(self) -> bool:
        """Whether the night is kept out of training and of every baseline."""
        return self.accepted is None and any(check.outcome in _BAD for check in self.checks)

    @property
    def blocked(self) -> bool:
        """Whether it also fails its task, whatever that task does with a quarantined night."""
        blocking = (check.outcome in _BAD and check.policy is Policy.BLOCK for check in self.checks)
        return self.quarantined and any(blocking)

    @property
    def faults(self) -> tuple[CheckResult, ...]:
        """The checks that did not pass."""
        return tuple(check for check in self.checks if check.outcome is not CheckOutcome.PASSED)


class Facts(Record):
    """A night boiled down to the numbers that monitors learn from: a pure function of its rows.

    ``scope`` is the digest of what was counted: of the version of the facts, and of which columns.
    """

    kind: ClassVar[str] = "facts"

    night: dt.date
    partition: PartitionPin
    scope: str
    facts: dict[str, Any]

    @property
    def key(self) -> str:
        """Another file, or facts of another kind, are other facts."""
        return self.key_of(self.model, self.partition, self.scope)

    @staticmethod
    def key_of(model: str, partition: PartitionPin, scope: str) -> str:
        """Key under which the facts of a night are found."""
        identity = sha256_digest(f"{partition.digest} {scope}".encode())
        return f"{model}/{partition.night}/{short(identity)}"


class Acceptance(Record):
    """A person's "this was fine" of a night as it was checked: it is let through, and history learns from it."""

    kind: ClassVar[str] = "acceptance"

    night: dt.date
    quality: RecordRef
    reason: str
    by: str

    @property
    def key(self) -> str:
        """One answer to one record."""
        return f"{self.model}/{self.night}/{short(self.quality.digest)}"
