"""What the gate's verdicts are worth: error rates and power by simulation, speed, and other gates on the same models.

Parts: `errors` (challengers worse by exactly the margin), `power` (equal ones, beside the best known tests), `stress`
(what no test can see in few rows; no bar), `speed` (beside scipy.stats.bootstrap), `retrainings` (beside MLflow's
validation). Each bar that is missed is named at the end, and the command then ends with 1.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import gate_errors, gate_retrainings, gate_speed
from benchmarks.gate_errors import Cell, Tally
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from airflow_mlops.records import Decision

_PARTS = ("errors", "power", "stress", "speed", "retrainings")
# Promotions of challengers that are worse by exactly the margin, at alpha 5 %.
_MOST_IN_A_CELL, _MOST_OVER_ALL = 0.06, 0.052
_LESS_POWER = 0.02
# A rate of 5 % is above 6 % in one of fifty cells by chance: such a cell is judged again, this many times as often.
_AGAIN = 5
_COLUMNS = 160


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print tables; 1 if a bar is missed, 2 if nothing was asked."""
    asked = _asked(arguments)
    # A file or a pipe has no width.
    console = Console(width=None if sys.stdout.isatty() else _COLUMNS)
    report: dict[str, Any] = {"trials": asked.trials}
    missed: list[str] = []
    started = time.perf_counter()
    for part in asked.parts or [part for part in _PARTS if part != "stress"]:
        began = time.perf_counter()
        report[part] = _MEASURED[part](asked, console, missed)
        report[part]["seconds"] = time.perf_counter() - began
    report |= {"seconds": time.perf_counter() - started, "missed": missed}
    if asked.json:
        asked.json.write_text(json.dumps(report, indent=1) + "\n")
    for line in missed:
        console.print(f"MISSED: {line}", highlight=False, soft_wrap=True)
    console.print(f"{len(missed) or 'no'} bars missed, {report['seconds']:.0f} s", highlight=False)
    return 1 if missed else 0


def _asked(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="dev/bench gate", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(_PARTS)}; by default all but stress")
    parser.add_argument("--trials", type=int, default=2000, help="of a cell (default: 2000)")
    parser.add_argument(
        "--only", action="append", default=[], metavar="TEXT", help="cells whose name has it; give it twice to narrow"
    )
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes (default: one a core)")
    parser.add_argument("--retrainings", type=int, default=500, help="simulated for each metric (default: 500)")
    parser.add_argument("--rows", type=int, default=100_000, help="of the part `speed` (default: 100000)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there, too")
    asked = parser.parse_args(arguments)
    if unknown := [part for part in asked.parts if part not in _PARTS]:
        parser.error(f"expected parts of {', '.join(_PARTS)}, got {', '.join(unknown)}.")
    if min(asked.trials, asked.workers, asked.retrainings, asked.rows) < 1:
        parser.error("expected numbers of at least 1.")
    return asked


def _simulated(
    asked: argparse.Namespace, cells: Sequence[Cell], console: Console, *, fresh: bool = False
) -> dict[str, Tally]:
    trials = asked.trials * (_AGAIN if fresh else 1)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("judging", total=trials * len(cells))
        return gate_errors.simulate(
            cells,
            trials=trials,
            workers=asked.workers,
            fresh=fresh,
            told=lambda done: progress.advance(task, done),
        )


def _chosen(asked: argparse.Namespace, cells: Sequence[Cell]) -> list[Cell]:
    if chosen := [cell for cell in cells if all(text in cell.name for text in asked.only)]:
        return chosen
    print(
        f"dev/bench gate: error: expected cells such as {cells[0].name!r}, none has {' and '.join(asked.only)}.",
        file=sys.stderr,
    )
    raise SystemExit(2)


def _errors(asked: argparse.Namespace, console: Console, missed: list[str], *, stress: bool = False) -> dict[str, Any]:
    cells = _chosen(asked, gate_errors.error_cells(stress=stress))
    found = _simulated(asked, cells, console)
    doubted = [cell for cell in cells if not stress and found[cell.name].rate(Decision.PROMOTE) > _MOST_IN_A_CELL]
    again = _simulated(asked, doubted, console, fresh=True) if doubted else {}
    table = _table(
        f"Worse by exactly the margin, {asked.trials} trials a cell: promoted, %",
        *("metric", "shape", "which are worse", "200 rows", "1,000", "10,000", "rejected at most", "ms"),
    )
    lines: dict[tuple[str, ...], list[Cell]] = {}
    for cell in cells:
        lines.setdefault((cell.world.metric, cell.world.shape, cell.family), []).append(cell)
    for line, of_line in lines.items():
        rates = {cell.world.rows: _percent(found[cell.name].rate(Decision.PROMOTE)) for cell in of_line}
        rates |= {
            cell.world.rows: f"{rates[cell.world.rows]} (again {_percent(again[cell.name].rate(Decision.PROMOTE))})"
            for cell in of_line
            if cell.name in again
        }
        rejected = max(found[cell.name].rate(Decision.REJECT) for cell in of_line)
        cost = max(1000 * found[cell.name].seconds / found[cell.name].trials for cell in of_line)
        table.add_row(*line, *(rates.get(rows, "") for rows in (200, 1000, 10_000)), _percent(rejected), f"{cost:.1f}")
    console.print(table)
    over_all = {
        family: statistics.mean(found[cell.name].rate(Decision.PROMOTE) for cell in cells if cell.family == family)
        for family in dict.fromkeys(cell.family for cell in cells)
    }
    console.print("over all cells: " + ", ".join(f"{_percent(rate)} % ({name})" for name, rate in over_all.items()))
    if not stress:
        missed += [
            f"{cell.name}: promoted {_percent(found[cell.name].rate(Decision.PROMOTE))} % "
            f"({_percent(again[cell.name].rate(Decision.PROMOTE))} % of {again[cell.name].trials} more), "
            f"at most {_percent(_MOST_IN_A_CELL)} % allowed"
            for cell in doubted
        ]
        missed += [
            f"promoted over all cells ({name}): {100 * rate:.2f} %, at most {100 * _MOST_OVER_ALL:.1f} % allowed"
            for name, rate in over_all.items()
            if rate > _MOST_OVER_ALL
        ]
    return {
        "over_all": over_all,
        "cells": [found[cell.name].as_json(cell) for cell in cells],
        "again": [again[cell.name].as_json(cell) for cell in doubted],
    }


def _stress(asked: argparse.Namespace, console: Console, missed: list[str]) -> dict[str, Any]:
    return _errors(asked, console, missed, stress=True)


def _power(asked: argparse.Namespace, console: Console, missed: list[str]) -> dict[str, Any]:
    cells = _chosen(asked, gate_errors.power_cells())
    found = _simulated(asked, cells, console)
    table = _table(
        f"Promoted on 1,000 rows, {asked.trials} trials, %",
        *("metric", "shape", "truth", "margin", "ours", "best known", "its name", "our method"),
    )
    for cell in cells:
        tally = found[cell.name]
        ours, best = tally.rate(Decision.PROMOTE), tally.reference / tally.trials
        truth = "equal" if cell.world.handicap == 0 else f"better by {-cell.world.handicap:g}"
        margin = "superior" if cell.margin is None else f"{cell.margin:g}"
        methods = ", ".join(tally.methods)
        table.add_row(
            cell.world.metric, cell.world.shape, truth, margin, _percent(ours), _percent(best), tally.test, methods
        )
        if best - ours > _LESS_POWER:
            missed.append(f"{cell.name}: power {_percent(ours)} %, {tally.test} has {_percent(best)} %")
    console.print(table)
    return {"cells": [found[cell.name].as_json(cell) for cell in cells]}


def _speed(asked: argparse.Namespace, console: Console, missed: list[str]) -> dict[str, Any]:
    found = gate_speed.compare(rows=asked.rows)
    table = _table(
        f"{found['rows']:,} rows, {found['comparisons']} comparisons, {found['resamples']:,} resamples",
        *("", "seconds", "peak MB", "times ours"),
    )
    table.add_row("ours", f"{found['ours_seconds']:.2f}", f"{found['ours_peak_mb']:.0f}", "1")
    times = f"{found['times_faster']:.0f}"
    table.add_row("scipy, looped", f"{found['scipy_seconds']:.1f}", f"{found['scipy_peak_mb']:.0f}", times)
    console.print(table)
    console.print(
        f"our methods: {', '.join(found['methods'])}; bounds at most {found['bounds_apart']:.2f} half widths apart"
    )
    if found["times_faster"] < gate_speed.SPEEDUP:
        missed.append(f"{found['times_faster']:.1f} times faster than scipy, {gate_speed.SPEEDUP:.0f} wanted")
    if found["ours_peak_mb"] > gate_speed.MEMORY_MB:
        missed.append(f"peak memory {found['ours_peak_mb']:.0f} MB, at most {gate_speed.MEMORY_MB:.0f} allowed")
    return found


def _retrainings(asked: argparse.Namespace, console: Console, missed: list[str]) -> dict[str, Any]:
    del missed  # a comparison, no bar
    settings = []
    for setting in gate_retrainings.SETTINGS:
        found = gate_retrainings.retrain(setting, asked.retrainings)
        truths = [f"{-100 * handicap:+g} %" if handicap else "equal" for handicap in setting.handicaps]
        table = _table(
            f"{setting.world.metric}, {asked.retrainings} retrainings: promoted (held), % by the true gain",
            *("judge", *truths, "worse let through", "better kept out"),
        )
        for name, decisions in found.items():
            shares = []
            for handicap in setting.handicaps:
                counts = decisions[handicap]
                promoted, held = (
                    counts[kind.value] / max(1, counts.total()) for kind in (Decision.PROMOTE, Decision.HOLD)
                )
                shares.append(_percent(promoted) + (f" ({_percent(held)})" if held else ""))
            told = gate_retrainings.summary(decisions)
            out = f"{_percent(told['better_rejected'])}, held {_percent(told['better_held'])}"
            table.add_row(name, *shares, _percent(told["worse_promoted"]), out)
        console.print(table)
        settings.append(gate_retrainings.as_json(setting, found))
    return {"settings": settings}


_MEASURED = {"errors": _errors, "power": _power, "stress": _stress, "speed": _speed, "retrainings": _retrainings}


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    return table


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


if __name__ == "__main__":
    sys.exit(main())
