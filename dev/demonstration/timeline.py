"""What happened, a line a night: read from the records and the runs, shown as a table, written as JSON."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict, dataclass, field
from typing import Any

from rich.table import Table
from rich.text import Text

__all__ = ["Night", "Split", "table_of"]

# A line a night, in characters; the JSON and the record's page have every reason whole.
_WIDTHS = {"night": 14, "quality": 36, "drift": 36, "training": 22, "verdict": 36, "served": 12}
_COLOURS = {
    "passed": "green",
    "quarantined": "red",
    "stable": "green",
    "watch": "yellow",
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
    seconds: float = field(default=0.0, compare=False)

    def to_json(self) -> dict[str, Any]:
        """JSON-able form."""
        return {**asdict(self), "night": self.night.isoformat(), "seconds": round(self.seconds, 1)}


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
