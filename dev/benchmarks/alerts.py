"""How often a night is called watch or drift when nothing happened, and how soon when something did.

A history is 56 nights that are only learned from, and 100 that are judged, each by the nights before it alone. With
rows (`alerts_rows`) a night is a table that is profiled; drawn (`alerts_drawn`), it is the statistics that rows would
have given. Either way it is `airflow_mlops.calibrate.replay` that judges, as `judge` does for the last night.
"""

from __future__ import annotations

import itertools
import multiprocessing
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from airflow_mlops.calibrate import Budget, replay
from airflow_mlops.drift.change import column_changes
from airflow_mlops.drift.series import new_levels, nightly_series
from airflow_mlops.profile import Profile, merge
from benchmarks import alerts_drawn, alerts_rows
from benchmarks.alerts_drawn import HISTORY, Change

__all__ = ["NIGHTS", "SHIFTS", "Alarms", "Cell", "Found", "false_alarm_cells", "finding_cells", "simulate"]

Floats = npt.NDArray[np.float64]
NIGHTS = 100
ROWS = (500, 5_000, 50_000)
_WITHIN = 4
_RAMP = tuple((0.05 * np.arange(1, 11)).tolist())
SHIFTS = (
    Change("0.5 sd", shift=(0.5,)),
    Change("0.25 sd", shift=(0.25,)),
    Change("variance x 1.5", spread=1.5**0.5),
    Change("nulls 2 to 6 %", nulls=(0.02, 0.06)),
    Change("ramp to 0.5 sd", shift=_RAMP),
)


@dataclass(frozen=True)
class Cell:
    """A stream of nights, and how its nights come about."""

    source: Literal["drawn", "rows"]
    kind: str
    rows: int

    @property
    def name(self) -> str:
        """What ``--only`` looks for."""
        return f"{self.source}: {self.kind}, {self.rows} rows"


@dataclass
class Alarms:
    """Of each history the probability of each of its 100 nights, and on how many something was unmistakable."""

    probability: list[Floats] = field(default_factory=list)
    faults: list[int] = field(default_factory=list)

    def within(self, share: float) -> npt.NDArray[np.intp]:
        """Of each history, how many nights were called what this share of nights may be called."""
        return np.array([(nights <= share).sum() for nights in self.probability])


@dataclass
class Found:
    """Of each history, on which night a change was first called watch and drift; 0 for never in the time given."""

    watch: list[int] = field(default_factory=list)
    drift: list[int] = field(default_factory=list)

    def within(self, nights: int, verdict: Literal["watch", "drift"] = "watch") -> float:
        """Share of histories in which it was found by that night."""
        found = np.array(getattr(self, verdict))
        return float(((found > 0) & (found <= nights)).mean())

    @property
    def median(self) -> float:
        """Night on which half of the histories had called it watch."""
        return float(np.median([night or np.inf for night in self.watch]))


def false_alarm_cells(*, large: bool) -> list[Cell]:
    """Streams in which nothing happens: all drawn ones, and those whose rows matter; ``large``: of 50,000 rows, too."""
    cells = [Cell("drawn", kind, rows) for kind, rows in itertools.product(alerts_drawn.KINDS, ROWS)]
    counts = ROWS if large else ROWS[:2]
    return cells + [Cell("rows", kind, rows) for kind, rows in itertools.product(alerts_rows.KINDS, counts)]


def finding_cells() -> list[Cell]:
    """Streams in which something happens, at 5,000 rows; 0.25 sd at 500 rows, too."""
    cells = [Cell("drawn", kind, ROWS[1]) for kind in alerts_drawn.KINDS]
    return [
        *cells,
        Cell("drawn", "season", ROWS[0]),
        Cell("rows", "season", ROWS[1]),
        Cell("rows", "clusters", ROWS[1]),
    ]


def simulate(
    cells: Sequence[Cell],
    what: Literal["alarms", "found"],
    *,
    histories: int,
    workers: int,
    told: Callable[[int], object],
) -> dict[str, Any]:
    """Histories of each cell, in processes: of ``alarms`` an `Alarms`, of ``found`` a `Found` for each change."""
    results: dict[str, Any] = {cell.name: Alarms() if what == "alarms" else {} for cell in cells}
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        work: Callable[[Cell, int], Any] = _alarms if what == "alarms" else _found
        running = {pool.submit(work, cell, seed): cell for cell in cells for seed in range(histories)}
        for done in as_completed(running):
            result = results[running.pop(done).name]
            if what == "alarms":
                probability, faults = done.result()
                result.probability.append(probability)
                result.faults.append(faults)
            else:
                for change, (watch, drift) in done.result().items():
                    found = result.setdefault(change, Found())
                    found.watch.append(watch)
                    found.drift.append(drift)
            told(1)
    return results


def _generator(cell: Cell, seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(cell.name.encode())])


def _alarms(cell: Cell, seed: int) -> tuple[Floats, int]:
    rng, nights = _generator(cell, seed), HISTORY + NIGHTS
    if cell.source == "drawn":
        values = alerts_drawn.drawn(cast("alerts_drawn.Kind", cell.kind), cell.rows, nights, rng)
        return _judged(values, np.ones_like(values), alerts_drawn.LAYOUT), 0
    world = alerts_rows.World(cast("alerts_rows.Kind", cell.kind), cell.rows, nights, rng)
    profiles, _ = world.profiles(nights)
    series = nightly_series(profiles)
    past = merge(profiles[:HISTORY])
    faults = 0
    for night in profiles[HISTORY:]:
        faults += _is_fault(past, night)
        past = merge([past, night])
    return _judged(series.values, series.errors, series.layout), faults


def _judged(values: Floats, errors: Floats, layout: Any) -> Floats:
    """Probability of each night after the history; 1 where nothing could be said."""
    return np.asarray(np.nan_to_num(replay(values, errors, layout).probability[HISTORY:], nan=1.0))


def _is_fault(past: Profile, night: Profile) -> bool:
    """Whether something is unmistakable, with no need of a past to compare it with."""
    return bool(new_levels(past, night)) or any(
        one.unmistakable
        for name, column in past.columns.items()
        for one in column_changes(name, column, night.columns.get(name))
    )


def _found(cell: Cell, seed: int) -> dict[str, tuple[int, int]]:
    rng = _generator(cell, seed)
    if cell.source == "drawn":
        return {
            change.name: _first(_after(cell, change, rng, nights=max(len(change.shift), _WITHIN))) for change in SHIFTS
        }
    world = alerts_rows.World(cast("alerts_rows.Kind", cell.kind), cell.rows, HISTORY + _WITHIN, rng)
    history, edges = world.profiles(HISTORY)
    past = merge(history)
    found: dict[str, tuple[int, int]] = {}
    for change in alerts_rows.CHANGES:
        nights = world.changed(change, _WITHIN, edges)
        series = nightly_series([*history, *nights])
        probability = _judged(series.values, series.errors, series.layout)
        faults = np.array([_is_fault(past, night) for night in nights])
        found[change] = _first(np.where(faults, 0.0, probability))
    return found


def _after(cell: Cell, change: Change, rng: np.random.Generator, *, nights: int) -> Floats:
    values = alerts_drawn.drawn(cast("alerts_drawn.Kind", cell.kind), cell.rows, HISTORY + nights, rng, change)
    return _judged(values, np.ones_like(values), alerts_drawn.LAYOUT)


def _first(probability: Floats) -> tuple[int, int]:
    """Night of the first watch and of the first drift, from 1; 0 for none."""
    budget = Budget()
    watch, drift = probability <= budget.watch, probability <= budget.drift
    return int(watch.argmax() + 1) * bool(watch.any()), int(drift.argmax() + 1) * bool(drift.any())
