"""The chain of records as a reader wants it: night by night, and link by link."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel

from airflow_mlops.errors import LedgerError
from airflow_mlops.ledger import Ledger
from airflow_mlops.records import (
    Bento,
    Deployment,
    Drift,
    Golden,
    Manifest,
    Notice,
    Pointer,
    Quality,
    Record,
    RecordRef,
    Verdict,
)

__all__ = [
    "Audit",
    "Chain",
    "LedgerFault",
    "NightOfChain",
    "audit",
    "chain_of",
    "champion_manifest",
    "drift_before",
    "was_told",
]

_KINDS: dict[str, type[Record]] = {kind.kind: kind for kind in Record.__subclasses__() if kind is not Pointer}

R = TypeVar("R", bound=Record)


@dataclass
class NightOfChain:
    """What became of one night: the newest record of each stage, None where the chain did not go so far."""

    night: dt.date
    quality: Quality | None = None
    drift: Drift | None = None
    manifest: Manifest | None = None
    verdict: Verdict | None = None
    deployment: Deployment | None = None


@dataclass(frozen=True)
class Chain:
    """Everything of one model: where its pointers stand, and its nights, oldest first."""

    model: str
    pointers: tuple[Pointer, ...]
    nights: tuple[NightOfChain, ...]


@dataclass(frozen=True)
class LedgerFault:
    """A record or pointer that does not hold; ``path`` is its key in the store."""

    path: str
    reason: str


@dataclass(frozen=True)
class Audit:
    """What the reading of a whole ledger found; ``records`` counts records and pointers."""

    records: int
    faults: tuple[LedgerFault, ...]


def chain_of(ledger: Ledger, model: str) -> Chain:
    """Read the chain of a model.

    Raises
    ------
    LedgerError
        If a record was edited, or a verdict rests on a manifest that is not there.
    """
    nights: dict[dt.date, NightOfChain] = {}

    def on(night: dt.date) -> NightOfChain:
        return nights.setdefault(night, NightOfChain(night))

    # In the order of their writing, so that the newest stands at last.
    for quality in _in_time(ledger, Quality, model):
        on(quality.night).quality = quality
    for drift in _in_time(ledger, Drift, model):
        on(drift.night).drift = drift
    night_of: dict[str, dt.date] = {}
    for manifest in _in_time(ledger, Manifest, model):
        on(manifest.night).manifest = manifest
        night_of[manifest.key] = manifest.night
    for verdict in _in_time(ledger, Verdict, model):
        night = night_of.get(verdict.manifest.key)
        if night is None:
            raise LedgerError(
                f"expected the record {verdict.manifest} that verdict/{verdict.key} rests on in {ledger.store.uri}, "
                "there is none. Restore it from a backup."
            )
        on(night).verdict = verdict
        night_of[verdict.key] = night
    for deployment in _in_time(ledger, Deployment, model):
        if (night := night_of.get(deployment.verdict.key)) is not None:
            on(night).deployment = deployment
    paths = ledger.store.keys(f"pointers/{model}/")
    names = [path.rpartition("/")[2].removesuffix(".json") for path in paths]
    pointers = (ledger.pointer(model, name) for name in names)
    return Chain(
        model=model,
        pointers=tuple(pointer for pointer in pointers if pointer is not None),
        nights=tuple(nights[night] for night in sorted(nights)),
    )


def champion_manifest(ledger: Ledger, model: str) -> Manifest | None:
    """Manifest of the model in service, or None before the first promotion."""
    pointer = ledger.pointer(model, "champion")
    if pointer is None:
        return None
    return ledger.read(Manifest, ledger.read(Verdict, pointer.to).manifest)


def drift_before(ledger: Ledger, model: str, night: dt.date) -> Drift | None:
    """Newest drift record of the last night before one; the others are not read."""
    nights = {path.split("/")[3] for path in ledger.store.keys(f"records/{Drift.kind}/{model}/")}
    before = max((other for other in nights if other < str(night)), default=None)
    if before is None:
        return None
    return max(ledger.all(Drift, f"{model}/{before}/"), key=lambda drift: drift.recorded_at)


def was_told(ledger: Ledger, model: str, night: dt.date, notice: Notice) -> bool:
    """Whether a notice of a night was given already, or comes too late: a later night was judged without it."""
    paths = ledger.store.keys(f"records/{Drift.kind}/{model}/")
    if any(path.split("/")[3] > str(night) for path in paths):
        return True
    return any(one.notice is notice for one in ledger.all(Drift, f"{model}/{night}/"))


def audit(ledger: Ledger) -> Audit:
    """Read every record and pointer, prove its digest, and follow every reference that it holds.

    Artefacts and pinned nights have to be there; their bytes are proved when they are fetched.

    Returns
    -------
    Audit
        With a fault for each file that was edited, moved or replaced, or that rests on a record or a blob that is gone.
    """
    faults: dict[str, str] = {}
    standing: set[RecordRef] = set()
    resting: list[tuple[str, RecordRef]] = []
    needed: list[tuple[str, str]] = []
    paths = [*ledger.store.keys("records/"), *ledger.store.keys("pointers/")]
    for path in paths:
        try:
            record = _proved(ledger, path)
        except LedgerError as error:
            faults[path] = str(error)
        else:
            standing.add(record.ref)
            resting += [(path, ref) for ref in _references(record)]
            needed += [(path, digest) for digest in dict.fromkeys(_blobs_of(record))]
    reasons: dict[RecordRef, str] = {}
    for path, ref in resting:
        # One that is not among those read may have been written since: then it is there now.
        if ref in standing or f"records/{ref.kind}/{ref.key}.json" in faults:
            continue
        if ref not in reasons:
            reasons[ref] = _why_absent(ledger, ref)
        if reasons[ref]:
            faults.setdefault(path, f"{path}: rests on what does not hold. {reasons[ref]}")
    # Listed after the records were read: a blob is written before any record names it.
    kept = ledger.blobs()
    gone = [
        (path, f"{path}: expected the blob {digest} in {ledger.store.uri}, there is none. Restore it from a backup.")
        for path, digest in needed
        if digest not in kept
    ]
    return Audit(len(paths), tuple(LedgerFault(path, reason) for path, reason in sorted([*faults.items(), *gone])))


def _in_time(ledger: Ledger, kind: type[R], model: str) -> list[R]:
    return sorted(ledger.all(kind, f"{model}/"), key=lambda record: record.recorded_at)


def _proved(ledger: Ledger, path: str) -> Record:
    family, _, rest = path.removesuffix(".json").partition("/")
    name, _, key = rest.partition("/")
    kind: type[Record] | None = Pointer
    if family == "records":
        kind = _KINDS.get(name)
    else:
        key = rest
    if kind is None:
        raise LedgerError(
            f"{path}: expected a kind among {', '.join(sorted(_KINDS))}. Upgrade airflow-provider-mlops to the "
            "release that wrote it."
        )
    found = ledger.store.get(path)
    if found is None:
        raise LedgerError(f"{path}: was deleted while the ledger was read. Records are never deleted: restore it.")
    try:
        record = kind.from_json(found.data, name=path)
    except ValueError as error:  # pydantic's: the digest holds, the fields do not
        raise LedgerError(f"{path}: expected the fields of a {kind.kind} record: {error}") from error
    if record.key != key:
        raise LedgerError(
            f"{path}: expected the record of this key, got that of {record.key}. Somebody copied the file: restore "
            "what stood here from a backup, or delete the copy if nothing did."
        )
    return record


def _references(value: object) -> Iterator[RecordRef]:
    if isinstance(value, RecordRef):
        yield value
    elif isinstance(value, BaseModel):
        for _, part in value:
            yield from _references(part)
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from _references(part)
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _references(part)


def _blobs_of(record: Record) -> Iterator[str]:
    """Digests of what a record keeps in the store; a night that was only looked at stays where it lies."""
    if isinstance(record, Golden):
        yield from (pin.digest for pin in record.partitions)
    elif isinstance(record, Manifest):
        yield from (pin.digest for pin in (*record.snapshot, *record.recent))
        yield from (*record.code.files.values(), *record.artefact.files.values())
    elif isinstance(record, Verdict) and record.predictions_digest:
        yield record.predictions_digest
    elif isinstance(record, Drift) and record.page:
        yield record.page
    elif isinstance(record, Quality):
        yield from (digest for digest in (record.sample, record.kept) if digest)
    elif isinstance(record, Bento):
        yield record.archive_digest


def _why_absent(ledger: Ledger, ref: RecordRef) -> str:
    kind = _KINDS.get(ref.kind)
    if kind is None:
        return f"No release writes records of the kind {ref.kind!r}."
    try:
        ledger.read(kind, ref)
    except LedgerError as error:
        return str(error)
    return ""
