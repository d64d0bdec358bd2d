"""What is known of a night: its quality."""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from typing import ClassVar

from airflow_mlops.records.record import PartitionPin, Record, RecordRef, Value, sha256_digest, short

__all__ = ["CheckOutcome", "CheckResult", "Quality"]


class CheckOutcome(StrEnum):
    """What one check said; ``ERROR`` means that it could not be evaluated, which is never a pass."""

    PASSED = "passed"
    WARNED = "warned"
    FAILED = "failed"
    ERROR = "error"


class CheckResult(Value):
    """One check of one night."""

    name: str
    column: str | None = None
    outcome: CheckOutcome
    expected: str
    actual: str


class Quality(Record):
    """A night against its contract. One that did not pass is quarantined: it never becomes training data."""

    kind: ClassVar[str] = "quality"

    night: dt.date
    location: str
    partition: PartitionPin
    rules_digest: str
    checks: tuple[CheckResult, ...]
    replaces: RecordRef | None = None

    @property
    def key(self) -> str:
        """A corrected night, or other rules, is another record; so is a night that was put back as it once was."""
        before = self.replaces.digest if self.replaces else "-"
        identity = sha256_digest(f"{self.partition.digest} {self.rules_digest} {before}".encode())
        return f"{self.model}/{self.night}/{short(identity)}"

    @property
    def quarantined(self) -> bool:
        """Whether the night is kept out of training and of every baseline."""
        return any(check.outcome in (CheckOutcome.FAILED, CheckOutcome.ERROR) for check in self.checks)

    @property
    def faults(self) -> tuple[CheckResult, ...]:
        """The checks that did not pass."""
        return tuple(check for check in self.checks if check.outcome is not CheckOutcome.PASSED)
