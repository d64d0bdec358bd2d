"""What monitors catch with no contract: faults in nights of real data; and what they say of untouched nights.

Run by ``dev/bench quality faults --data hour.csv``. All columns of the table are looked at, with every default. An
alarm that quarantines its night keeps it out of what the nights after it learn from, as it does in the chain.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table
from stream import read_hours

from airflow_mlops.project.quality_spec import QualitySpec
from airflow_mlops.quality.monitors import PastNight, facts_of, judge_night
from airflow_mlops.quality.sources import open_table
from airflow_mlops.records import CheckOutcome, CheckResult
from benchmarks.planted_faults import FAULTS, with_weather_words
from benchmarks.stable_nights import stable_nights

__all__ = ["FIRST_NIGHTS", "Caught", "History", "caught", "main"]

FIRST_NIGHTS = 60
"""Nights that are learned from before the first is judged."""
_CAUGHT_SHARE = 0.8
_SEED = 4
_SPEC = QualitySpec()
# What arrives two hours after midnight UTC, give or take some minutes.
_ARRIVAL = dt.time(2)
_STABLE = ((24, 365), (5000, 365))


@dataclass
class History:
    """Nights counted and judged one after another.

    Attributes
    ----------
    past : list of PastNight
        All of them, as the nights after them see them.
    alarms : dict
        What was said, by night; of all that were judged.
    """

    time_column: str
    past: list[PastNight] = field(default_factory=list)
    alarms: dict[dt.date, list[CheckResult]] = field(default_factory=dict)

    def add(self, night: dt.date, rows: pa.Table, arrived: dt.datetime | None) -> list[CheckResult]:
        """Count and judge a night, the first sixty apart."""
        facts = _facts(night, rows, self.time_column)
        found = []
        if len(self.past) >= FIRST_NIGHTS:
            found = self.alarms[night] = _found(night, facts, self.past, arrived)
        # A distribution that moved is told and learned from: it is the drift check's to judge.
        quarantined = any(result.name != "distribution" for result in found)
        self.past.append(PastNight(night, facts, arrived, quiet=quarantined))
        return found


@dataclass(frozen=True)
class Caught:
    """A kind of fault: on how many nights it was caught, of how many, and by which monitors."""

    fault: str
    nights: int
    of: int
    monitors: tuple[str, ...]

    @property
    def is_caught(self) -> bool:
        """Whether on four of five nights."""
        return self.nights >= _CAUGHT_SHARE * self.of


def caught(nights: dict[dt.date, pa.Table], history: History, each: int, seed: int = _SEED) -> Iterable[Caught]:
    """Plant each fault into so many nights, drawn by the seed, each judged by the nights before it.

    A fault is caught if something is said of the night that is not said of it without the fault.
    """
    names = list(nights)
    chosen = np.random.default_rng(seed).choice(np.arange(FIRST_NIGHTS + 1, len(names)), each, replace=False)
    for kind, (fault, plant) in enumerate(FAULTS.items()):
        hits, monitors = 0, Counter[str]()
        for place in sorted(chosen.tolist()):
            night = names[place]
            random = np.random.default_rng([seed, kind, place])
            planted = plant(nights[night], nights[names[place - 1]], random)
            before = history.past[place]
            arrived = before.arrived and before.arrived + dt.timedelta(hours=planted.late_hours)
            facts = _facts(night, planted.rows, history.time_column)
            said = {(result.name, result.column) for result in _found(night, facts, history.past[:place], arrived)}
            said -= {(result.name, result.column) for result in history.alarms[night]}
            hits += bool(said)
            monitors.update({monitor for monitor, _ in said})
        yield Caught(fault, hits, each, tuple(monitor for monitor, _ in monitors.most_common()))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print tables."""
    parser = argparse.ArgumentParser(prog="dev/bench quality faults", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="hour.csv of the UCI bike sharing data")
    parser.add_argument("--nights", type=int, default=10, help="nights that each fault is planted into")
    parser.add_argument("--stable", action="store_true", help="also count alarms on nights on which nothing happens")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all of it there, too")
    asked = parser.parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 160)
    table = with_weather_words(read_hours(asked.data))
    day = table["dteday"].cast(pa.date32())
    nights = {night: table.filter(pc.equal(day, pa.scalar(night))) for night in sorted(pc.unique(day).to_pylist())}

    history = History("dteday")
    for (night, rows), arrived in zip(nights.items(), _arrivals(nights), strict=True):
        history.add(night, rows, arrived)
    alarms = {night: found for night, found in history.alarms.items() if found}
    console.print(f"{len(nights)} untouched nights, {len(history.alarms)} judged: {len(alarms)} alarms")
    for night, found in alarms.items():
        console.print(f"{night}: {_words(found)}", highlight=False, markup=False)

    console.print()
    shown = Table(title=f"Faults planted into {asked.nights} nights each", title_justify="left")
    for column in ("fault", "caught", "by"):
        shown.add_column(column)
    results = list(caught(nights, history, asked.nights))
    for one in results:
        shown.add_row(one.fault, f"{one.nights} of {one.of}", ", ".join(one.monitors))
    console.print(shown)
    console.print(f"{sum(one.is_caught for one in results)} of {len(results)} kinds caught on four of five nights")
    stable = list(_stable(console)) if asked.stable else []
    if asked.json:
        written: dict[str, Any] = {
            "alarms": {
                str(night): [result.model_dump(mode="json") for result in found] for night, found in alarms.items()
            },
            "faults": [[one.fault, one.nights, one.of, one.monitors] for one in results],
            "stable": stable,
        }
        asked.json.write_text(json.dumps(written, indent=1) + "\n")
    return 0


def _stable(console: Console) -> Iterable[tuple[int, int, int]]:
    for rows, nights in _STABLE:
        for seed in (1, 2):
            history = History("at")
            for night, table in stable_nights(nights, rows, seed):
                history.add(night, table, None)
            alarms = {night: found for night, found in history.alarms.items() if found}
            console.print(f"{nights} stable nights of {rows} rows (seed {seed}): {len(alarms)} alarms")
            for night, found in alarms.items():
                console.print(f"  {night}: {_words(found)}", highlight=False, markup=False)
            yield rows, seed, len(alarms)


def _arrivals(nights: Iterable[dt.date]) -> Iterable[dt.datetime]:
    random = np.random.default_rng(_SEED)
    for night in nights:
        due = dt.datetime.combine(night + dt.timedelta(days=1), _ARRIVAL, dt.UTC)
        yield due + dt.timedelta(minutes=float(random.lognormal(2.5, 0.6)))


def _facts(night: dt.date, rows: pa.Table, time_column: str) -> dict[str, Any]:
    with open_table(rows, night=night) as opened:
        return facts_of(opened, time_column=time_column)


def _found(
    night: dt.date, facts: dict[str, Any], past: Sequence[PastNight], arrived: dt.datetime | None
) -> list[CheckResult]:
    judged = judge_night(night, facts, past, spec=_SPEC, arrived=arrived)
    return [finding.result for finding in judged.findings if finding.result.outcome is not CheckOutcome.PASSED]


def _words(found: Sequence[CheckResult]) -> str:
    said = "; ".join(f"{result.name}: {result.actual} (expected {result.expected})" for result in found[:3])
    return said + (f"; and {len(found) - 3} more" if len(found) > 3 else "")  # noqa: PLR2004 - shown


if __name__ == "__main__":
    sys.exit(main())
