"""The frozen values that cross rooms, with their JSON and its version.

A record is written once and names, by digest, the records that it rests on:

    quality -> drift -> manifest -> verdict -> bento -> deployment

Its ``key`` is its identity (what it is about), its ``digest`` its content. Two workers that do the same work
make records of one key, so that one of them is kept.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from airflow_mlops.errors import LedgerError, TamperedRecord

__all__ = [
    "Artefact",
    "Baseline",
    "Bento",
    "CheckOutcome",
    "CheckResult",
    "Decision",
    "Deployment",
    "Drift",
    "DriftLimit",
    "DriftVerdict",
    "FeatureDrift",
    "Golden",
    "Manifest",
    "PartitionPin",
    "Pointer",
    "Quality",
    "Record",
    "RecordRef",
    "Registration",
    "RuleResult",
    "Verdict",
    "sha256_digest",
    "short",
]


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
        digest = _content_digest(self.schema_name(), json.loads(self.model_dump_json()))
        return RecordRef(kind=self.kind, key=self.key, digest=digest)

    def to_json(self) -> bytes:
        """The file's content: schema, digest, then the record, indented for a person to read."""
        body = json.loads(self.model_dump_json())
        envelope = {
            "schema": self.schema_name(),
            "digest": _content_digest(self.schema_name(), body),
            "record": body,
        }
        return (json.dumps(envelope, indent=2, ensure_ascii=False) + "\n").encode()

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
                "Restore the file from a backup, or delete it to do the work again."
            ) from error
        actual = _content_digest(schema, body)
        if actual != stated:
            raise TamperedRecord(
                f"{name}: expected content with digest {stated}, got {actual}. Records are never edited: "
                "restore the file from a backup, or delete it to do the work again."
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
                "Delete it to do the work again, or use the release that wrote it."
            ) from error


def _content_digest(schema: str, body: Any) -> str:
    canonical = json.dumps([schema, body], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return sha256_digest(canonical.encode())


class PartitionPin(Value):
    """One night of data, pinned by the digest of its bytes."""

    night: dt.date
    digest: str
    rows: int


# ── quality ──────────────────────────────────────────────────────────────────────────────────────


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
    contract_digest: str
    checks: tuple[CheckResult, ...]

    @property
    def key(self) -> str:
        """A corrected night, or a new contract, is another record."""
        identity = sha256_digest(f"{self.partition.digest} {self.contract_digest}".encode())
        return f"{self.model}/{self.night}/{short(identity)}"

    @property
    def quarantined(self) -> bool:
        """Whether the night is kept out of training and of every baseline."""
        return any(check.outcome in (CheckOutcome.FAILED, CheckOutcome.ERROR) for check in self.checks)

    @property
    def faults(self) -> tuple[CheckResult, ...]:
        """The checks that did not pass."""
        return tuple(check for check in self.checks if check.outcome is not CheckOutcome.PASSED)


# ── drift ────────────────────────────────────────────────────────────────────────────────────────


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


# ── training ─────────────────────────────────────────────────────────────────────────────────────


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


# ── gate ─────────────────────────────────────────────────────────────────────────────────────────


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
    champion's as a share of the champion's; ``low`` and ``high`` bound it at the rule's confidence.
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


# ── serving ──────────────────────────────────────────────────────────────────────────────────────


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


# ── pointers ─────────────────────────────────────────────────────────────────────────────────────


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
