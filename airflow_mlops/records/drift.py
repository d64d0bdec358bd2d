"""What is known of the last nights: their profiles, what is news, how they lie to the champion's training."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, ClassVar, Literal

from airflow_mlops.records.incident import Incident, Notice
from airflow_mlops.records.record import PartitionPin, Record, RecordRef, Value, sha256_digest, short

__all__ = [
    "Baseline",
    "Channel",
    "Drift",
    "DriftLimit",
    "DriftVerdict",
    "FeatureDrift",
    "FeatureNews",
    "NightProfile",
    "Opinion",
    "Score",
]


class DriftVerdict(StrEnum):
    """Whether something happened."""

    STABLE = "stable"
    WATCH = "watch"
    DRIFT = "drift"
    INSUFFICIENT = "insufficient"


class NightProfile(Record):
    """A night, or a part of one, boiled down to counts in the bins of a baseline."""

    kind: ClassVar[str] = "profile"

    night: dt.date
    partition: PartitionPin
    edges_digest: str
    profile: dict[str, Any]

    @property
    def key(self) -> str:
        """Another file, or other bins, is another profile."""
        return self.key_of(self.model, self.partition, self.edges_digest)

    @staticmethod
    def key_of(model: str, partition: PartitionPin, edges_digest: str) -> str:
        """Key under which the profile of a pinned file is found."""
        identity = sha256_digest(f"{partition.digest} {edges_digest}".encode())
        return f"{model}/{partition.night}/{short(identity)}"


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
    """How one feature's window lies to the champion's training; distance in standard deviations of the reference."""

    feature: str
    distance: float
    limit: DriftLimit
    verdict: DriftVerdict
    reference_mean: float
    current_mean: float


class FeatureNews(Value):
    """What is unusual about one feature tonight, in words, and since which night.

    ``p_value`` is how likely a night with anything as unusual is when nothing happened.
    """

    feature: str
    verdict: DriftVerdict
    p_value: float
    words: str
    since: dt.date | None = None


class Channel(StrEnum):
    """Who speaks of a night."""

    FEATURES = "features"
    ESTIMATED = "estimated"
    REALISED = "realised"


class Opinion(Value):
    """What one of those who look at a night says: at its features, at the performance estimated, or realised.

    ``estimate`` and ``expected`` are in the unit of the metric that ``words`` name, ``error`` is the standard error of
    their difference. ``probability`` bounds the share of nights on which as much would be said if nothing had happened.
    """

    channel: Channel
    verdict: DriftVerdict
    words: str
    estimate: float | None = None
    expected: float | None = None
    error: float | None = None
    probability: float | None = None


class Score(Record):
    """How the champion did on a night: estimated (an ``EstimatedPerformance``), and realised (a ``NightLoss``).

    ``reference`` is what it cost on nights that were held out from its training, the oldest first; ``importance`` how
    much its loss grows on held-out rows where a feature tells nothing; ``lacking`` why nothing could be estimated.

    Labels that come later come with a corrected file, which is another partition, and so another score.
    """

    kind: ClassVar[str] = "score"

    night: dt.date
    partition: PartitionPin
    manifest: RecordRef
    metric: str
    estimated: dict[str, Any] | None
    realised: dict[str, Any] | None
    reference: tuple[dict[str, Any], ...] = ()
    importance: dict[str, float] | None = None
    lacking: str | None = None

    @property
    def key(self) -> str:
        """Another file, another champion or another metric is another score."""
        return self.key_of(self.model, self.partition, self.manifest, self.metric)

    @staticmethod
    def key_of(model: str, partition: PartitionPin, manifest: RecordRef, metric: str) -> str:
        """Key under which the score of a pinned file is found."""
        identity = sha256_digest(f"{partition.digest} {manifest.digest} {metric}".encode())
        return f"{model}/{partition.night}/{short(identity)}"


class Drift(Record):
    """A night among its own past, and the last nights against the champion's training window.

    The ``verdict`` is on the news: what is unusual tonight, within the budget of false alarms. ``far`` says of the last
    nights how they lie to what the champion was trained on, ``features`` by how much: no news, and no alarm, but a
    reason to train. ``page`` is the digest of the HTML with its plots, ``past`` that of all profiles judged by.
    """

    kind: ClassVar[str] = "drift"

    night: dt.date
    window: tuple[PartitionPin, ...]
    baseline: RecordRef | None
    verdict: DriftVerdict
    features: tuple[FeatureDrift, ...]
    wants_training: bool
    reason: str
    far: DriftVerdict | None = None
    judged_by: Literal["history", "reference"] | None = None
    past: str | None = None
    news: tuple[FeatureNews, ...] = ()
    opinions: tuple[Opinion, ...] = ()
    notes: tuple[str, ...] = ()
    least_effect: float | None = None
    incident: Incident | None = None
    notice: Notice = Notice.NONE
    page: str | None = None

    @property
    def key(self) -> str:
        """Another window, another past or another champion is another record."""
        pins = " ".join(pin.digest for pin in self.window)
        past = f" {self.past}" if self.past else ""
        identity = sha256_digest(f"{pins} {self.baseline.digest if self.baseline else '-'}{past}".encode())
        return f"{self.model}/{self.night}/{short(identity)}"
