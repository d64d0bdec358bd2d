"""What was decided about a challenger: by the gate, rule by rule, and by a person."""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Literal

from pydantic import Field

from airflow_mlops.records.record import PartitionPin, Record, RecordRef, Value, sha256_digest, short

__all__ = ["Approval", "Decision", "RuleResult", "Verdict", "WeakSpot"]


class Decision(StrEnum):
    """What becomes of a challenger."""

    PROMOTE = "promote"
    HOLD = "hold"
    REJECT = "reject"


class RuleResult(Value):
    """One rule of the gate on one set of rows.

    Attributes
    ----------
    rule, on, slice : str
        The rule, the set, and the slice (``region=north``) if it is about one.
    required : bool
        Whether the decision counts.
    rows, units : int
        Rows that were measured, and how many units (nights, clusters, queries) were drawn.
    method : str
        How the interval was found, such as ``BCa bootstrap``.
    scale : str
        What ``estimate`` is: ``value``, the challenger's figure itself; ``share``, challenger less champion as a share
        of the champion's; ``points``, challenger less champion.
    greater_is_better : bool
        In which direction the challenger wants to go.
    estimate, low, high : float
        The estimate, and one-sided bounds of it at the gate's alpha; NaN what could not be measured.
    bound : float
        What the estimate is held against, on its scale.
    p_value, p_worse : float or None
        Of the claim that would promote (the challenger keeps the bound), and of the claim that would reject (it does
        not), the latter adjusted for all rules and slices that were looked at (Holm).
    least_difference : float or None
        The least distance from the bound, on the scale, that these rows would have shown in four of five cases.
    rows_needed : int or None
        Where the evidence is too thin: rows with which it would be enough, were the estimate true.
    reason : str
        One sentence.
    """

    rule: str
    on: str
    slice: str | None = None
    decision: Decision
    required: bool = True
    rows: int
    units: int = 0
    method: str = ""
    scale: Literal["value", "share", "points"] = "share"
    greater_is_better: bool = False
    challenger: float
    champion: float | None
    estimate: float
    low: float
    high: float
    bound: float
    p_value: float | None = None
    p_worse: float | None = None
    least_difference: float | None = None
    rows_needed: int | None = None
    reason: str


class WeakSpot(Value):
    """A slice in which the challenger is worse than the champion: found by looking, so a hint and no verdict."""

    on: str
    slice: str
    metric: str
    rows: int
    challenger: float
    champion: float
    p_worse: float


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
    golden_uses: int = 0
    warnings: tuple[str, ...] = ()
    weak_spots: tuple[WeakSpot, ...] = ()
    run_fault: str | None = Field(
        default=None, description="What went wrong while the models were asked, and may not the next time."
    )

    @property
    def key(self) -> str:
        """Another challenger, champion, golden set, recent window, rule or fault of the run is another verdict."""
        parts = [self.manifest, self.champion, self.golden]
        digests = [part.digest if part else "-" for part in parts]
        digests += [self.rules_digest, *(pin.digest for pin in self.recent)]
        digests += [] if self.run_fault is None else [self.run_fault]
        return f"{self.model}/{short(sha256_digest(' '.join(digests).encode()))}"


class Approval(Record):
    """What a person decided about a verdict, or that nobody did in time."""

    kind: ClassVar[str] = "approval"

    verdict: RecordRef
    approved: bool
    decided_by: str | None
    reason: str

    @property
    def key(self) -> str:
        """A verdict is decided about once."""
        return f"{self.model}/{short(self.verdict.digest)}"
