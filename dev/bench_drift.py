"""How fast drift is found: beside a bare scan of the same file, and beside others that compare two tables.

Parts: `scan` (our profile of 5 and of 20 million rows, 30 columns, beside Polars), `pair` (a million rows twice, 20
columns, from files to verdict, beside NannyML and Evidently with their defaults). Others run in environments of their
own, made once below a cache folder. Each bar that is missed is named at the end, and the command then ends with 1.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.drift_speed import Timed, compare_pair, compare_scan
from rich.console import Console
from rich.table import Table

_PARTS = ("scan", "pair")
_SCANNED = (5_000_000, 20_000_000)
_PAIR = 1_000_000
_ROUNDS = {"scan": 5, "pair": 3}
_COLUMNS = 160
# Our profile may take this many times as long as the bare scan, and this much memory.
_MOST_TIMES, _MOST_MB = 1.3, 700.0
# The others take at least this many times as long as ours.
_LEAST_TIMES = {"NannyML": 10.0, "Evidently": 50.0}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print tables; 1 if a bar is missed, 2 if nothing was asked, 3 if a program or its packages fail."""
    asked = _asked(arguments)
    # A file or a pipe has no width.
    console = Console(width=None if sys.stdout.isatty() else _COLUMNS)
    report: dict[str, Any] = {"cores": len(os.sched_getaffinity(0)), "load": os.getloadavg()}
    missed: list[str] = []
    started = time.perf_counter()
    try:
        with tempfile.TemporaryDirectory(prefix="bench-drift-", dir=asked.folder) as folder:
            for part in asked.parts or _PARTS:
                report[part] = _MEASURED[part](asked, Path(folder), console, missed)
    except RuntimeError as error:
        print(f"dev/bench drift: error: {error}", file=sys.stderr)
        return 3
    report |= {"seconds": time.perf_counter() - started, "missed": missed}
    if asked.json:
        asked.json.write_text(json.dumps(report, indent=1) + "\n")
    for line in missed:
        console.print(f"MISSED: {line}", highlight=False, soft_wrap=True)
    console.print(f"{len(missed) or 'no'} bars missed, {report['seconds']:.0f} s", highlight=False)
    return 1 if missed else 0


def _asked(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="dev/bench drift", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(_PARTS)}; by default both")
    parser.add_argument("--rows", type=int, help="of every table, for a quick try (then no bar is missed)")
    parser.add_argument("--rounds", type=int, help=f"in turn (default: {_ROUNDS['scan']} and {_ROUNDS['pair']})")
    parser.add_argument("--folder", type=Path, help="where the tables are written: 6 GB (default: the temporary one)")
    parser.add_argument(
        "--cache", type=Path, default=cache_folder(), help="where environments are kept (default: %(default)s)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there, too")
    asked = parser.parse_args(arguments)
    if unknown := [part for part in asked.parts if part not in _PARTS]:
        parser.error(f"expected parts of {', '.join(_PARTS)}, got {', '.join(unknown)}.")
    if any(number is not None and number < 1 for number in (asked.rows, asked.rounds)):
        parser.error("expected numbers of at least 1.")
    return asked


def cache_folder() -> Path:
    """Where environments of other programs are kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "airflow-mlops-bench"


def _scan(asked: argparse.Namespace, folder: Path, console: Console, missed: list[str]) -> dict[str, Any]:
    table = _table("A profile in given edges, and a bare scan of the same file", "times the scan")
    found = {}
    for rows in [asked.rows] if asked.rows else _SCANNED:
        with console.status("") as status:
            ours, scan, frame = compare_scan(
                rows, rounds=asked.rounds or _ROUNDS["scan"], folder=folder, cache=asked.cache, told=status.update
            )
        times = ours.median / scan.median
        name = f"{rows / 1e6:g}M x 30"
        table.add_row(name, *_cells(ours), _ratio(times, ours.times(scan)))
        table.add_row(name, *_cells(scan), "1")
        table.add_row(name, *_cells(frame), _ratio(frame.median / scan.median, frame.times(scan)))
        if not asked.rows and times > _MOST_TIMES:
            missed.append(f"{name}: our profile takes {times:.2f} times as long as the scan, {_MOST_TIMES} allowed")
        if not asked.rows and ours.peak_mb > _MOST_MB:
            missed.append(f"{name}: our profile takes {ours.peak_mb:.0f} MB, {_MOST_MB:.0f} allowed")
        found[name] = {"times": times, "ours": ours.as_json(), "scan": scan.as_json(), "frame": frame.as_json()}
    console.print(table)
    return found


def _pair(asked: argparse.Namespace, folder: Path, console: Console, missed: list[str]) -> dict[str, Any]:
    rows = asked.rows or _PAIR
    with console.status("") as status:
        ours, *others = compare_pair(
            rows, rounds=asked.rounds or _ROUNDS["pair"], folder=folder, cache=asked.cache, told=status.update
        )
    name = f"{rows / 1e6:g}M x 20"
    table = _table("From two files to a verdict", "times ours")
    table.add_row(name, *_cells(ours), "1")
    for other in others:
        times = other.median / ours.median
        table.add_row(name, *_cells(other), _ratio(times, other.times(ours)))
        if not asked.rows and times < (wanted := _LEAST_TIMES[other.program.name]):
            missed.append(f"{name}: {other.program.name} takes {times:.1f} times as long as ours, {wanted:g} wanted")
    console.print(table)
    return {one.program.name: one.as_json() for one in (ours, *others)}


_MEASURED = {"scan": _scan, "pair": _pair}


def _table(title: str, last: str) -> Table:
    table = Table(title=title)
    for number, column in enumerate(
        ("table", "", "seconds (range)", "with imports", "peak MB", f"{last} (range of the rounds)")
    ):
        table.add_column(column, justify="right" if number > 1 else "left")
    return table


def _cells(timed: Timed) -> tuple[str, str, str, str]:
    seconds = f"{timed.median:.2f} ({min(timed.seconds):.2f} to {max(timed.seconds):.2f})"
    return timed.program.name, seconds, f"{timed.whole:.2f}", f"{timed.peak_mb:.0f}"


def _ratio(of_medians: float, by_round: Sequence[float]) -> str:
    digits = 2 if statistics.median(by_round) < 10 else 0  # noqa: PLR2004 - as many as there are
    return f"{of_medians:.{digits}f} ({min(by_round):.{digits}f} to {max(by_round):.{digits}f})"


if __name__ == "__main__":
    raise SystemExit(main())
