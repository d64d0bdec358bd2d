"""The incident of a table: what is wrong since when, what came just before, and which models eat of it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from airflow_mlops.errors import LedgerError
from airflow_mlops.incident import Sign, follow
from airflow_mlops.ledger import Ledger
from airflow_mlops.records import (
    AffectedModel,
    CheckOrigin,
    CheckOutcome,
    CheckResult,
    Deployment,
    Manifest,
    Notice,
    PartitionPin,
    Quality,
    QualityIncident,
    RecordRef,
    Verdict,
)

__all__ = ["Training", "affected_models", "carried_on", "trained_meanwhile", "trainings_on", "what_came_before"]

_MOST_BEFORE = 5


class Training(NamedTuple):
    """A training that read nights of the table: its manifest, and the nights of that table that it holds."""

    model: str
    manifest: RecordRef
    recorded_at: dt.datetime
    night: dt.date
    first: dt.date
    digests: frozenset[str]


def carried_on(
    incident: QualityIncident | None,
    night: dt.date,
    faults: Sequence[CheckResult],
    *,
    unknown: bool,
    context: Callable[[QualityIncident], QualityIncident],
) -> tuple[QualityIncident | None, Notice]:
    """Carry an incident on by a night: it begins with one that is quarantined.

    Warnings begin none, and prolong one only if they are of its own checks: what is warned of every night must not
    hide the night on which something breaks.

    Parameters
    ----------
    incident : QualityIncident or None
        As it stood after the night before.
    night : date
        Tonight.
    faults : sequence of CheckResult
        Those that did not pass.
    unknown : bool
        Whether passing says nothing: of an expected night monitors are silent.
    context : callable
        Adds to an incident that begins what came before it and which models there are.
    """
    grave = [check for check in faults if check.outcome is not CheckOutcome.WARNED]
    lasting = [check for check in faults if incident is not None and check.label in incident.checks]
    told = grave or lasting
    tonight = QualityIncident(
        checks=tuple(dict.fromkeys(check.label for check in told)),
        columns=tuple(dict.fromkeys(check.column for check in told if check.column is not None)),
        began=min([night, *(check.since for check in told if check.since is not None)]),
        noticed=night,
        latest=night,
        followed=night,
    )
    sign = Sign.BAD if grave else Sign.UNEASY if lasting else Sign.UNKNOWN if unknown else Sign.CALM
    followed, notice = follow(incident, tonight, sign)
    if notice is Notice.BEGAN and followed is not None:
        followed = context(followed)
    return followed, notice


def what_came_before(
    began: dt.date,
    past: Sequence[Quality],
    *,
    partition: PartitionPin,
    rules_digest: str,
    arrived: dt.datetime | None,
    checks: Iterable[CheckResult],
) -> tuple[str, ...]:
    """Say what came just before an incident: another schema, other rules, nights without data, the file itself.

    Parameters
    ----------
    began : date
        Night on which it began.
    past : sequence of Quality
        Records of the nights before tonight, oldest first.
    partition, rules_digest, arrived, checks
        Tonight's.
    """
    tonight = partition.night
    earlier = [record for record in past if record.night < began]
    before = earlier[-1] if earlier else None
    around = [record for record in past if record.night >= (before.night if before else began)]
    told = [f"{record.night}: {words}" for record in around for words in _schema_changes(record.checks)]
    told += [f"{tonight}: {words}" for words in _schema_changes(checks)]
    if before is not None:
        told += _since(before, tonight, began, partition.rows, rules_digest)
    if arrived is not None:
        told.append(f"{tonight}: the data was written {arrived:%Y-%m-%d %H:%M} UTC")
    return tuple(told[:_MOST_BEFORE])


def trainings_on(ledger: Ledger, table: str, digests: Collection[str]) -> tuple[Training, ...]:
    """Trainings that read nights of a table: of the model of its name, or on a night of one of these digests.

    Reads every manifest once, so ask only when something happened.
    """
    found = []
    known = frozenset(digests)
    for manifest in ledger.all(Manifest, ""):
        pins = (*manifest.snapshot, *manifest.recent)
        held = frozenset(pin.digest for pin in pins if manifest.model == table or pin.digest in known)
        if held:
            first = min(pin.night for pin in pins)
            found.append(Training(manifest.model, manifest.ref, manifest.recorded_at, manifest.night, first, held))
    return tuple(found)


def affected_models(ledger: Ledger, trainings: Iterable[Training]) -> tuple[AffectedModel, ...]:
    """Models that were trained on the table, by name, with what is champion and what is live of them."""
    by_model: dict[str, list[Training]] = {}
    for training in sorted(trainings, key=lambda one: (one.model, one.recorded_at)):
        by_model.setdefault(training.model, []).append(training)
    return tuple(
        AffectedModel(
            model=model,
            manifest=ones[-1].manifest,
            nights=len(ones[-1].digests),
            champion=_stands(ledger, model, "champion", ones),
            live=_stands(ledger, model, "live", ones),
        )
        for model, ones in by_model.items()
    )


def trained_meanwhile(trainings: Iterable[Training], replaced: Quality, pin: PartitionPin) -> tuple[RecordRef, ...]:
    """Manifests of trainings that ran while the replaced record stood, and lack the night as it is now.

    Those whose window of nights did not reach the night are no business of its.
    """
    later = [
        training.manifest
        for training in trainings
        if training.recorded_at > replaced.recorded_at
        and training.first <= pin.night <= training.night
        and pin.digest not in training.digests
    ]
    return tuple(dict.fromkeys((*replaced.trained_meanwhile, *later)))


def ended_by_correction(replaced: Quality) -> tuple[QualityIncident, Notice] | None:
    """The incident that bad data began on a night, over since the night was corrected; None if it began none."""
    incident = replaced.incident
    if incident is None or incident.ended is not None or incident.noticed != replaced.night:
        return None
    return incident.model_copy(update={"ended": replaced.night}), Notice.ENDED


def _schema_changes(checks: Iterable[CheckResult]) -> Iterator[str]:
    for check in checks:
        if check.name == "schema" and check.origin is CheckOrigin.MONITOR and check.outcome != "passed":
            of = "" if check.column is None else f" of {check.column}"
            yield f"another schema{of}: {check.actual}, expected {check.expected}"


def _since(before: Quality, tonight: dt.date, began: dt.date, rows: int, rules_digest: str) -> Iterator[str]:
    if before.rules_digest != rules_digest:
        yield f"after {before.night}: other rules, the contract or what the table's checks are set to"
    if (gap := (began - before.night).days - 1) > 0:
        yield f"after {before.night}: {gap} nights without data"
    if rows != before.partition.rows:
        yield f"{tonight}: {rows} rows, {before.partition.rows} on {before.night}"


def _stands(ledger: Ledger, model: str, pointer: str, trainings: Sequence[Training]) -> bool:
    """Whether the version that a pointer names was trained on the table."""
    found = ledger.pointer(model, pointer)
    if found is None:
        return False
    try:
        to = ledger.read(Deployment, found.to).verdict if found.to.kind == Deployment.kind else found.to
        return ledger.read(Verdict, to).manifest in {training.manifest for training in trainings}
    except LedgerError:
        # What is wrong with a model's chain is told by its audit, and keeps no night from being checked.
        return False
