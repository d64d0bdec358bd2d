"""Programs on the same files, in turn, so that what else the machine does meets all of them alike."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.drift_programs import PAIR, SCAN, Program, Run, environment, run

__all__ = ["Timed", "compare_pair", "compare_scan"]

_SCANNED_COLUMNS, _PAIR_COLUMNS = 30, 20
_MOVED_SD = 1.0
_TABLES = Path(__file__).with_name("drift_tables.py")
_EDGES = """
import json, sys
from airflow_mlops.profile import edges_of
json.dump(edges_of(sys.argv[1]), open(sys.argv[2], "w"))
print("{}")
"""


@dataclass
class Timed:
    """A program's runs."""

    program: Program
    runs: list[Run] = field(default_factory=list)

    @property
    def seconds(self) -> list[float]:
        """Of the work alone, of each run."""
        return [float(one.found["seconds"]) for one in self.runs]

    @property
    def median(self) -> float:
        """Of the seconds."""
        return statistics.median(self.seconds)

    @property
    def whole(self) -> float:
        """Median seconds of the whole process, with imports."""
        return statistics.median(one.wall_seconds for one in self.runs)

    @property
    def peak_mb(self) -> float:
        """Of the run that took most."""
        return max(one.peak_mb for one in self.runs)

    def times(self, other: Timed) -> list[float]:
        """How many times as long as the other it took, round by round."""
        return [mine / its for mine, its in zip(self.seconds, other.seconds, strict=False)]

    def as_json(self) -> dict[str, Any]:
        """Every figure."""
        return {
            "seconds": self.seconds,
            "whole_seconds": [one.wall_seconds for one in self.runs],
            "cpu_seconds": [one.cpu_seconds for one in self.runs],
            "peak_mb": [one.peak_mb for one in self.runs],
            "found": self.runs[-1].found,
        }


def compare_scan(rows: int, *, rounds: int, folder: Path, cache: Path, told: Callable[[str], None]) -> list[Timed]:
    """Our profile of a file in given edges; a bare Polars scan of the same file; and Polars reading it into a frame."""
    told(f"writing {rows:,} x {_SCANNED_COLUMNS}")
    file, edges = folder / f"{rows}.parquet", folder / "edges.json"
    _write(file, rows, _SCANNED_COLUMNS, seed=1)
    run(Program("edges", _EDGES), Path(sys.executable), file, edges)
    timed = _in_turn(SCAN, [file, edges], rounds=rounds, cache=cache, told=told)
    file.unlink()
    return timed


def compare_pair(rows: int, *, rounds: int, folder: Path, cache: Path, told: Callable[[str], None]) -> list[Timed]:
    """A reference and a current file, to the verdict: ours and others."""
    told(f"writing {rows:,} x {_PAIR_COLUMNS}, twice")
    reference, current = folder / "reference.parquet", folder / "current.parquet"
    _write(reference, rows, _PAIR_COLUMNS, seed=2)
    _write(current, rows, _PAIR_COLUMNS, seed=3, shift=_MOVED_SD)
    return _in_turn(PAIR, [reference, current], rounds=rounds, cache=cache, told=told)


def _in_turn(
    programs: Sequence[Program],
    files: Sequence[Path],
    *,
    rounds: int,
    cache: Path,
    told: Callable[[str], None],
) -> list[Timed]:
    pythons = []
    for program in programs:
        told(f"environment of {program.name}")
        pythons.append(environment(program, cache))
    timed = [Timed(program) for program in programs]
    for number in range(rounds):
        for one, python in zip(timed, pythons, strict=True):
            told(f"round {number + 1} of {rounds}: {one.program.name}")
            one.runs.append(run(one.program, python, *files))
    return timed


def _write(file: Path, rows: int, columns: int, *, seed: int, shift: float = 0.0) -> None:
    subprocess.run([sys.executable, _TABLES, file, *map(str, (rows, columns, seed, shift))], check=True)
