"""What drift alarms are worth: how many nights are called watch or drift in vain, and how soon a change is found.

Parts: `false` (nothing happens), `found` (something does). Each bar that is missed is named at the end, and the command
then ends with 1.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from benchmarks.alerts import Alarms, Cell, Found, false_alarm_cells, finding_cells, simulate
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from airflow_mlops.calibrate import Budget

_COLUMNS = 160
# Nights that are called something, as shares of what the budget allows; and the 95th percentile at the default one.
_WATCH, _DRIFT, _MOST = (0.7, 1.3), 1.5, 3
_DEFAULT = Budget()
# Found as a watch within four nights, a ramp by the median night: what each stream must reach.
_ALL = 1.0
_BARS: dict[tuple[str, str], float] = {
    ("season", "0.25 sd"): 0.95,
    ("ar 0.9", "0.25 sd"): 0.90,
    ("ten odd nights", "0.5 sd"): 0.95,
    ("ten odd nights", "0.25 sd"): 0.50,
}
_NO_BAR = ("0.25 sd",)
# Found on the first night more often than not.
_AT_ONCE = ("new level", "nulls 2 to 6 %", "variance x 1.5", "unit", "correlation flips", "vanished")
# What has learned of many odd nights that they come, and then sees none, calls fewer than it might.
_MAY_BE_QUIETER = ("ten odd nights",)
_MOSTLY = 0.5
_RAMP, _RAMP_NIGHT = "ramp to 0.5 sd", 7
_BAR_ROWS = 5_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print tables; 1 if a bar is missed, 2 if nothing was asked."""
    asked = _asked(arguments)
    # A file or a pipe has no width.
    console = Console(width=None if sys.stdout.isatty() else _COLUMNS)
    report: dict[str, Any] = {"histories": asked.histories}
    missed: list[str] = []
    started = time.perf_counter()
    for part in asked.parts or _PARTS:
        began = time.perf_counter()
        report[part] = _PARTS[part](asked, console, missed)
        report[part]["seconds"] = time.perf_counter() - began
    report |= {"seconds": time.perf_counter() - started, "missed": missed}
    if asked.json:
        asked.json.write_text(json.dumps(report, indent=1) + "\n")
    for line in missed:
        console.print(f"MISSED: {line}", highlight=False, soft_wrap=True)
    console.print(f"{len(missed) or 'no'} bars missed, {report['seconds']:.0f} s", highlight=False)
    return 1 if missed else 0


def _asked(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="dev/bench alerts", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(_PARTS)}; by default both")
    parser.add_argument("--histories", type=int, default=40, help="of each stream (default: 40)")
    parser.add_argument(
        "--only", action="append", default=[], metavar="TEXT", help="streams whose name has it; give it twice to narrow"
    )
    parser.add_argument(
        "--false-alarms-per-year",
        type=float,
        default=3.65,
        help="a second budget, beside the default of 0.73 (default: 3.65, one night in 100 drift and one in 20 watch)",
    )
    parser.add_argument("--large", action="store_true", help="tables of 50,000 rows, too (an hour more)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there, too")
    asked = parser.parse_args(arguments)
    if unknown := [part for part in asked.parts if part not in _PARTS]:
        parser.error(f"expected parts of {', '.join(_PARTS)}, got {', '.join(unknown)}.")
    if min(asked.histories, asked.workers) < 1:
        parser.error("expected numbers of at least 1.")
    return asked


def _chosen(asked: argparse.Namespace, cells: Sequence[Cell]) -> list[Cell]:
    if chosen := [cell for cell in cells if all(text in cell.name for text in asked.only)]:
        return chosen
    print(
        f"dev/bench alerts: error: expected streams such as {cells[0].name!r}, none has {' and '.join(asked.only)}.",
        file=sys.stderr,
    )
    raise SystemExit(2)


def _simulated(asked: argparse.Namespace, cells: Sequence[Cell], console: Console, what: Any) -> dict[str, Any]:
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("judging", total=asked.histories * len(cells))
        return simulate(
            cells,
            what,
            histories=asked.histories,
            workers=asked.workers,
            told=lambda done: progress.advance(task, done),
        )


def _most(alarms: npt.NDArray[np.intp]) -> int:
    """95th percentile, as a number of nights that was seen."""
    return int(np.percentile(alarms, 95, method="inverted_cdf"))


def _false(asked: argparse.Namespace, console: Console, missed: list[str]) -> dict[str, Any]:
    cells = _chosen(asked, false_alarm_cells(large=asked.large))
    budgets = (_DEFAULT, Budget.of(asked.false_alarms_per_year))
    results: dict[str, Alarms] = _simulated(asked, cells, console, "alarms")
    table = Table(title=f"Nothing happens: nights of 100, mean over {asked.histories} histories / 95th percentile")
    table.add_column("stream")
    for budget in budgets:
        table.add_column(f"watch, {100 * budget.watch:g} allowed", justify="right")
        table.add_column(f"drift, {100 * budget.drift:g} allowed", justify="right")
    table.add_column("unmistakable", justify="right")
    for cell in cells:
        alarms = results[cell.name]
        row = []
        for budget in budgets:
            watch, drift = alarms.within(budget.watch), alarms.within(budget.drift)
            row += [f"{watch.mean():.2f} / {_most(watch)}", f"{drift.mean():.2f} / {_most(drift)}"]
        table.add_row(cell.name, *row, f"{np.mean(alarms.faults):.2f}")
        missed += _missed_alarms(cell.name, alarms, budgets)
    console.print(table)
    return {
        name: {
            "faults": alarms.faults,
            **{f"watch {b.watch:g}": alarms.within(b.watch).tolist() for b in budgets},
            **{f"drift {b.drift:g}": alarms.within(b.drift).tolist() for b in budgets},
        }
        for name, alarms in results.items()
    }


def _missed_alarms(name: str, alarms: Alarms, budgets: Sequence[Budget]) -> list[str]:
    missed = []
    for budget in budgets:
        watch, drift = alarms.within(budget.watch), alarms.within(budget.drift)
        low, high = (100 * budget.watch * share for share in _WATCH)
        if any(kind in name for kind in _MAY_BE_QUIETER):
            low = 0.0
        if not low <= watch.mean() <= high:
            error = watch.std() / np.sqrt(watch.size)
            missed.append(
                f"{name}: watch on {watch.mean():.2f} nights of 100 (standard error {error:.2f}), "
                f"{low:.1f} to {high:.1f} wanted"
            )
        if drift.mean() > 100 * _DRIFT * budget.drift:
            error = drift.std() / np.sqrt(drift.size)
            missed.append(
                f"{name}: drift on {drift.mean():.2f} nights of 100 (standard error {error:.2f}), "
                f"at most {100 * _DRIFT * budget.drift:.1f} wanted"
            )
    if (high := _most(alarms.within(_DEFAULT.watch))) > _MOST:
        missed.append(f"{name}: watch on {high} nights of 100 in the 95th percentile, at most {_MOST} wanted")
    if any(alarms.faults):
        missed.append(f"{name}: {np.mean(alarms.faults):.2f} nights of 100 unmistakable, 0 wanted")
    return missed


def _found(asked: argparse.Namespace, console: Console, missed: list[str]) -> dict[str, Any]:
    cells = _chosen(asked, finding_cells())
    results: dict[str, dict[str, Found]] = _simulated(asked, cells, console, "found")
    table = Table(
        title=f"From night 57 on something happens: found by night 1 and by night 4, %, {asked.histories} histories"
    )
    for column in ("stream", "what happens"):
        table.add_column(column)
    for column in ("watch, night 1", "watch, night 4", "drift, night 4", "median night"):
        table.add_column(column, justify="right")
    for cell in cells:
        for change, found in results[cell.name].items():
            shares = (found.within(1), found.within(4), found.within(4, "drift"))
            table.add_row(cell.name, change, *(f"{100 * share:.0f}" for share in shares), f"{found.median:g}")
            if cell.rows == _BAR_ROWS:
                missed += _missed_change(cell, change, found)
        table.add_section()
    console.print(table)
    return {
        name: {change: {"watch": found.watch, "drift": found.drift} for change, found in of_cell.items()}
        for name, of_cell in results.items()
    }


def _missed_change(cell: Cell, change: str, found: Found) -> list[str]:
    if change == _RAMP:
        late = found.median > _RAMP_NIGHT
        return [f"{cell.name}: {change} found by night {found.median:g} (median), {_RAMP_NIGHT} wanted"] if late else []
    bar = _BARS.get((cell.kind, change), 0.0 if change in _NO_BAR else _ALL)
    missed = []
    if (share := found.within(4)) < bar:
        missed.append(f"{cell.name}: {change} found in {share:.0%} within 4 nights, {bar:.0%} wanted")
    if change in _AT_ONCE and (share := found.within(1)) <= _MOSTLY:
        missed.append(f"{cell.name}: {change} found in {share:.0%} on night 1, more than {_MOSTLY:.0%} wanted")
    return missed


_PARTS = {"false": _false, "found": _found}

if __name__ == "__main__":
    raise SystemExit(main())
