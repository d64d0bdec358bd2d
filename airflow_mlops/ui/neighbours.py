"""What rests on a record: found by its digest in the text of the records that can name it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from airflow_mlops.ledger import Ledger
from airflow_mlops.records import Pointer, Quality, Record, RecordRef

__all__ = ["KINDS", "pointers_at", "references_in", "resting_on"]

KINDS: dict[str, type[Record]] = {kind.kind: kind for kind in Record.__subclasses__() if kind is not Pointer}

_FOLLOWERS = {
    "quality": ("quality", "alert", "profile", "score", "drift", "manifest"),
    "baseline": ("drift",),
    "drift": ("manifest",),
    "golden": ("manifest", "verdict"),
    "manifest": ("registration", "baseline", "score", "verdict"),
    "verdict": ("approval", "bento", "deployment"),
    "bento": ("deployment",),
}
# A page must open while somebody waits: no more records of a kind than this are searched.
_SEARCHED = 100


def references_in(record: Record) -> list[tuple[str, RecordRef]]:
    """What a record names: the fields that hold a reference, then the rest of what it rests on."""
    named = [(name.replace("_", " "), value) for name, value in record if isinstance(value, RecordRef)]
    known = {ref for _, ref in named}
    return named + [(ref.kind, ref) for ref in record.rests_on if ref not in known]


def resting_on(ledger: Ledger, record: Record) -> list[tuple[str, str]]:
    """Kind and key of the records that name this one (a night: also by its partition), among 100 of each kind."""
    needles = [record.ref.digest.encode()]
    if isinstance(record, Quality):
        needles.append(record.partition.digest.encode())
    found = []
    for kind in _FOLLOWERS.get(record.kind, ()):
        for path in islice(_candidates(ledger, kind, record), _SEARCHED):
            stored = ledger.store.get(path)
            if stored is not None and any(needle in stored.data for needle in needles):
                found.append((kind, path.removeprefix(f"records/{kind}/").removesuffix(".json")))
    return found


def pointers_at(ledger: Ledger, record: Record) -> list[Pointer]:
    """Pointers of the model that stand at a record."""
    names = (path.rpartition("/")[2].removesuffix(".json") for path in ledger.store.keys(f"pointers/{record.model}/"))
    pointers = (ledger.pointer(record.model, name) for name in names)
    return [pointer for pointer in pointers if pointer is not None and pointer.to == record.ref]


def _candidates(ledger: Ledger, kind: str, record: Record) -> Iterator[str]:
    """Keys of a kind in the order of their names; of nights, those that are not before the record's own."""
    prefix = f"records/{kind}/{record.model}/"
    night = getattr(record, "night", None)
    first = f"{prefix}{night}" if kind in ("quality", "profile", "score", "drift") and night else prefix
    own = f"records/{record.kind}/{record.key}.json"
    return (path for path in ledger.store.keys(prefix) if path >= first and path != own)
