"""What is known of a model: how it was trained, where it is registered, how it was judged."""

from __future__ import annotations

import datetime as dt
import json
from enum import StrEnum
from typing import ClassVar

from airflow_mlops.records.record import Instant, PartitionPin, Record, RecordRef, Value, sha256_digest, short

__all__ = ["Artefact", "Decision", "Golden", "Manifest", "Registration", "RuleResult", "Verdict"]


class Artefact(Value):
    """The files of a trained model, each kept in the store under its digest."""

    files: dict[str, str]

    @property
    def digest(self) -> str:
        """Digest over names and digests of the files."""
        return sha256_digest(json.dumps(self.files, sort_keys=True).encode())


class Manifest(Record):
    """All it takes to train the same model again, and what came out."""

    kind: ClassVar[str] = "manifest"

    night: dt.date
    fingerprint: str
    trigger: RecordRef | None
    snapshot: tuple[PartitionPin, ...]
    recent: tuple[PartitionPin, ...]
    golden: RecordRef
    code: Artefact
    entrypoint: str
    features: tuple[str, ...]
    target: str
    seed: int
    runner: str
    environment: dict[str, str]
    started_at: Instant
    finished_at: Instant
    metrics: dict[str, float]
    artefact: Artefact

    @property
    def key(self) -> str:
        """One fingerprint (data, code, config, seed) is trained once."""
        return f"{self.model}/{short(self.fingerprint)}"


class Registration(Record):
    """Where MLflow keeps a trained model."""

    kind: ClassVar[str] = "registration"

    manifest: RecordRef
    experiment_id: str
    run_id: str
    registered_model: str
    registered_version: str
    run_url: str | None

    @property
    def key(self) -> str:
        """One for each manifest."""
        return f"{self.model}/{short(self.manifest.digest)}"


class Golden(Record):
    """The golden set: whole nights, frozen once, that no training ever sees."""

    kind: ClassVar[str] = "golden"

    name: str
    partitions: tuple[PartitionPin, ...]

    @property
    def key(self) -> str:
        """Frozen once under its name."""
        return f"{self.model}/{self.name}"


class Decision(StrEnum):
    """What becomes of a challenger."""

    PROMOTE = "promote"
    HOLD = "hold"
    REJECT = "reject"


class RuleResult(Value):
    """One rule of the gate on one set of rows.

    ``estimate`` is the metric itself for an absolute rule and, for a comparison, the challenger's loss less the
    champion's as a share of the champion's; ``low`` and ``high`` are its interval at the rule's confidence, and
    ``bound`` is what it is held against.
    """

    rule: str
    on: str
    decision: Decision
    rows: int
    challenger: float
    champion: float | None
    estimate: float
    low: float
    high: float
    bound: float
    reason: str


class Verdict(Record):
    """A challenger against the champion, rule by rule. Nothing is deployed that no verdict names."""

    kind: ClassVar[str] = "verdict"

    decision: Decision
    manifest: RecordRef
    champion: RecordRef | None
    artefact_digest: str
    rules_digest: str
    golden: RecordRef
    recent: tuple[PartitionPin, ...]
    rules: tuple[RuleResult, ...]
    reasons: tuple[str, ...]
    predictions_digest: str | None

    @property
    def key(self) -> str:
        """Another challenger, champion, golden set, recent window or rule is another verdict."""
        parts = [self.manifest, self.champion, self.golden]
        digests = [part.digest if part else "-" for part in parts]
        digests += [self.rules_digest, *(pin.digest for pin in self.recent)]
        return f"{self.model}/{short(sha256_digest(' '.join(digests).encode()))}"
