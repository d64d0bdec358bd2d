"""The models of a store, one line each; reads the newest records alone, however long the chain is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from airflow_mlops.errors import LedgerError
from airflow_mlops.ledger import Ledger
from airflow_mlops.records import Deployment, Drift, Manifest, Pointer, Quality, Record, Verdict

__all__ = ["Overview", "is_known", "models_of", "overview_of"]

R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class Overview:
    """Where a model stands; ``fault`` says why nothing else is known."""

    model: str
    champion: Pointer | None = None
    trained: Manifest | None = None
    live: Deployment | None = None
    quality: Quality | None = None
    drift: Drift | None = None
    verdict: Verdict | None = None
    fault: str = ""

    @property
    def records(self) -> tuple[Record | None, ...]:
        """What the line shows, to know who may read it; a pointer is moved by those who wrote the rest."""
        return (self.trained, self.live, self.quality, self.drift, self.verdict)


def models_of(ledger: Ledger) -> list[str]:
    """Names of the models that have a record or a pointer."""
    records = {key.split("/")[2] for key in ledger.store.keys("records/")}
    return sorted(records | {key.split("/")[1] for key in ledger.store.keys("pointers/")})


def is_known(ledger: Ledger, model: str) -> bool:
    """Whether a model has a pointer, or a night was ever looked at for it."""
    prefixes = (f"pointers/{model}/", f"records/quality/{model}/")
    return any(next(iter(ledger.store.keys(prefix)), None) is not None for prefix in prefixes)


def overview_of(ledger: Ledger, model: str) -> Overview:
    """Read where a model stands; one broken record does not hide the other models."""
    try:
        champion, live = ledger.pointer(model, "champion"), ledger.pointer(model, "live")
        promoted = ledger.read(Verdict, champion.to) if champion else None
        return Overview(
            model=model,
            champion=champion,
            trained=ledger.read(Manifest, promoted.manifest) if promoted else None,
            live=ledger.read(Deployment, live.to) if live else None,
            quality=_of_last_night(ledger, Quality, model),
            drift=_of_last_night(ledger, Drift, model),
            verdict=max(ledger.all(Verdict, f"{model}/"), key=lambda verdict: verdict.recorded_at, default=None),
        )
    except LedgerError as error:
        return Overview(model=model, fault=str(error))


def _of_last_night(ledger: Ledger, kind: type[R], model: str) -> R | None:
    *_, last = ["", *ledger.store.keys(f"records/{kind.kind}/{model}/")]
    if not last:
        return None
    night = last.split("/")[3]
    return max(ledger.all(kind, f"{model}/{night}/"), key=lambda record: record.recorded_at)
