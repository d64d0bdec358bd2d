"""Two years of bike rentals night by night: what we say, and what Evidently and NannyML say with their defaults."""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from bench_drift import cache_folder
from benchmarks.bike_sharing import FIRST_NIGHTS, draw, nights_of, seen_by_others, seen_by_us
from rich.console import Console
from rich.table import Table


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print tables; 3 if a program or its packages fail."""
    parser = argparse.ArgumentParser(prog="dev/bench bike", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="hour.csv of the UCI bike sharing data")
    parser.add_argument("--cache", type=Path, default=cache_folder(), help="where environments are kept")
    parser.add_argument("--picture", type=Path, metavar="FILE.png", help="draw it there")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every verdict there, too")
    asked = parser.parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 160)
    nights = nights_of(asked.data)
    try:
        seen = {"airflow-mlops": seen_by_us(nights), **seen_by_others(asked.data, asked.cache)}
    except RuntimeError as error:
        print(f"dev/bench bike: error: {error}", file=sys.stderr)
        return 3
    table = Table(title=f"{len(nights)} nights, the first {FIRST_NIGHTS} of them to learn from", title_justify="left")
    table.add_column("")
    for column in ("nights", "watch", "drift", "alarms per 100 nights"):
        table.add_column(column, justify="right")
    for name, verdicts in seen.items():
        counts = Counter(one.verdict for one in verdicts)
        alarms = 100 * counts["drift"] / len(verdicts)
        table.add_row(name, str(len(verdicts)), str(counts["watch"]), str(counts["drift"]), f"{alarms:.1f}")
    console.print(table)
    for one in seen["airflow-mlops"]:
        if one.verdict in ("watch", "drift"):
            console.print(f"{one.night} {one.verdict}: {one.words}", highlight=False, markup=False)
    if asked.picture:
        draw(nights, seen, asked.picture)
    if asked.json:
        said = {name: [[str(one.night), one.verdict, one.words] for one in all_of] for name, all_of in seen.items()}
        asked.json.write_text(json.dumps(said, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
