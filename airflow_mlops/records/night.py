"""What is known of a night: its quality, and how the last nights lie to what the champion was trained on."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, ClassVar

from airflow_mlops.records.record import PartitionPin, Record, RecordRef, Value, sha256_digest, short

__all__ = ["Baseline", "CheckOutcome", "CheckResult", "Drift", "DriftLimit", "DriftVerdict", "FeatureDrift", "Quality"]


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


class DriftVerdict(StrEnum):
    """How the last nights lie to the champion's training window."""

    STABLE = "stable"
    WATCH = "watch"
    DRIFT = "drift"
    INSUFFICIENT = "insufficient"


class DriftLimit(Value):
    """How far windows of one feature strayed in the past, and the distances that are too far.

    ``watch`` and ``drift`` are in the distance's unit (standard deviations of the reference).
    """

    median: float
    watch: float
    drift: float


class Baseline(Record):
    """What the champion was trained on, as a profile, with the limits learned from its past nights."""

    kind: ClassVar[str] = "baseline"

    manifest: RecordRef
    columns: tuple[str, ...]
    nights: tuple[dt.date, ...]
    window_nights: int
    false_alarms_per_year: float
    profile: dict[str, Any]
    limits: dict[str, DriftLimit]

    @property
    def key(self) -> str:
        """One for each champion and each way to look at it."""
        return self.key_of(self.model, self.manifest, self.columns, self.window_nights, self.false_alarms_per_year)

    @staticmethod
    def key_of(
        model: str, manifest: RecordRef, columns: Sequence[str], window_nights: int, false_alarms_per_year: float
    ) -> str:
        """Key under which the baseline of a champion is found."""
        watched = ",".join(columns)
        identity = sha256_digest(f"{manifest.digest} {watched} {window_nights} {false_alarms_per_year}".encode())
        return f"{model}/{short(identity)}"


class FeatureDrift(Value):
    """How one feature's window lies to the reference; distance in reference standard deviations."""

    feature: str
    distance: float
    limit: DriftLimit
    verdict: DriftVerdict
    reference_mean: float
    current_mean: float


class Drift(Record):
    """The last nights against the champion's training window."""

    kind: ClassVar[str] = "drift"

    night: dt.date
    window: tuple[PartitionPin, ...]
    baseline: RecordRef | None
    verdict: DriftVerdict
    features: tuple[FeatureDrift, ...]
    wants_training: bool
    reason: str

    @property
    def key(self) -> str:
        """Another window or another champion is another record."""
        pins = " ".join(pin.digest for pin in self.window)
        identity = sha256_digest(f"{pins} {self.baseline.digest if self.baseline else '-'}".encode())
        return f"{self.model}/{self.night}/{short(identity)}"
