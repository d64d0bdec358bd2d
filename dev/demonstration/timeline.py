"""What happened, a line a night: read from the records and the runs, shown as a table, written as JSON."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.table import Table
from rich.text import Text

__all__ = ["Night", "Split", "faults_of", "table_of"]

# From the drift event to the new version served, the stages' own work left out.
_ORCHESTRATION_SECONDS = 60.0
# A line a night, in characters; the JSON and the record's page have every reason whole.
_WIDTHS = {"night": 14, "quality": 36, "drift": 36, "training": 22, "verdict": 36, "served": 12}
_COLOURS = {
    "passed": "green",
    "quarantined": "red",
    "stable": "green",
    "watch": "yellow",
    "far": "yellow",
    "drift": "red",
    "promote": "green",
    "hold": "yellow",
    "reject": "red",
}


@dataclass
class Split:
    """From the drift event to the new version served, in seconds: the stages' own work, and orchestration."""

    work_seconds: float
    orchestration_seconds: float
    tasks: dict[str, float]

    def __str__(self) -> str:
        work = ", ".join(f"{name} {seconds:.0f}" for name, seconds in self.tasks.items())
        return f"{self.work_seconds:.0f} s of work ({work}) + {self.orchestration_seconds:.0f} s of orchestration"


@dataclass
class Night:
    """What the loop made of one night."""

    night: dt.date
    corrupted: str | None = None
    quality: str = ""
    quality_reason: str = ""
    drift: str = ""
    drift_reason: str = ""
    training: str = ""
    verdict: str = ""
    verdict_reason: str = ""
    champion: str | None = None
    served: str | None = None
    split: Split | None = None
    # Runs that did not end as they should.
    faults: list[str] = field(default_factory=list)
    seconds: float = field(default=0.0, compare=False)

    def to_json(self) -> dict[str, Any]:
        """JSON-able form."""
        return {**asdict(self), "night": self.night.isoformat(), "seconds": round(self.seconds, 1)}


def faults_of(nights: Sequence[Night], *, champion: str | None, served: str | None) -> list[str]:
    """Say what was not as it should be; an empty list is a demo that went well.

    Whether the data drifted is no matter here: a short play may be a quiet one.

    Parameters
    ----------
    nights : sequence of Night
        What was played.
    champion, served : str, optional
        Versions at the end.

    Examples
    --------
    >>> faults_of([Night(dt.date(2011, 2, 15), corrupted="unit", quality="passed")], champion="ab12", served="ab12")
    ['2011-02-15: expected quarantine, it was corrupted on purpose (unit); its quality is passed']
    """
    faults = []
    for line in nights:
        faults += [f"{line.night}: {fault}" for fault in line.faults]
        if line.corrupted and line.quality != "quarantined":
            faults.append(
                f"{line.night}: expected quarantine, it was corrupted on purpose ({line.corrupted}); "
                f"its quality is {line.quality or 'unknown'}"
            )
        elif not line.quality:
            faults.append(f"{line.night}: expected a quality record, there is none")
        if line.split and line.split.orchestration_seconds > _ORCHESTRATION_SECONDS:
            faults.append(
                f"{line.night}: expected at most {_ORCHESTRATION_SECONDS:.0f} s of orchestration, "
                f"it took {line.split.orchestration_seconds:.0f} s"
            )
    if champion is None:
        faults.append("expected a champion, no model was promoted")
    elif champion != served:
        faults.append(f"expected the champion {champion} to be served, {served or 'nothing'} is")
    return faults


def table_of(nights: list[Night], *, title: str) -> Table:
    """Draw the timeline."""
    table = Table(title=title, title_justify="left", header_style="bold", expand=False)
    for column, width in _WIDTHS.items():
        table.add_column(column, no_wrap=True, overflow="ellipsis", width=width)
    for night in nights:
        why = f"corrupted on purpose ({night.corrupted}): {night.quality_reason}" if night.corrupted else ""
        table.add_row(
            f"{night.night:%a %Y-%m-%d}",
            _coloured(night.quality, why or night.quality_reason),
            _coloured(night.drift, "" if night.drift == "stable" else night.drift_reason),
            night.training,
            _coloured(night.verdict, night.verdict_reason),
            night.served or "-",
        )
    return table


def _coloured(word: str, reason: str) -> Text:
    text = Text(word, style=_COLOURS.get(word, ""))
    if reason:
        text.append(f" {reason}", style="dim")
    return text
