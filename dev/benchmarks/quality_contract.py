"""A contract of 50 checks on a large Parquet file, beside the same aggregates as one query of DuckDB's own."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

NIGHT = dt.date(2026, 3, 5)
NUMBERS, COUNTS, LEVELS = range(10), range(6), range(2)
COLUMNS = 20
MEMORY_LIMIT = "600MB"


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="dev/bench quality contract", description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="folder of the data, written if it is not there")
    # What a child process measures; not for people.
    parser.add_argument("--measure", choices=_PARTS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(_measured(given.measure, given.keep)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = given.keep or Path(scratch)
        _write(folder, given.rows)
        size = (folder / "night.parquet").stat().st_size / 1e6
        print(
            f"{given.rows:,} rows, {COLUMNS} columns, {size:,.0f} MB of Parquet; {CHECKS} checks; {given.rounds} rounds"
        )
        seconds: dict[str, list[float]] = {part: [] for part in _PARTS}
        memory = dict.fromkeys(_PARTS, 0.0)
        # Turn about: a busy machine is busy for both.
        for _ in range(given.rounds):
            for part in _PARTS:
                command = [sys.executable, "-m", "benchmarks.quality_contract", "--measure", part, "--keep", folder]
                said = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
                seconds[part].append(said["seconds"])
                memory[part] = max(memory[part], said["peak_mb"])
    middle = {part: statistics.median(taken) for part, taken in seconds.items()}
    for part, words in _PARTS.items():
        print(
            f"{words:<58} {middle[part]:6.2f} s {middle[part] / middle['query']:5.2f} x {memory[part]:6.0f} MB at most"
        )


def _measured(part: str, folder: Path) -> dict[str, float]:
    measure = {"query": _query, "contract": _contract}[part]
    start = time.perf_counter()
    taken = measure(folder) or time.perf_counter() - start
    return {"seconds": taken, "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


_PARTS = {"query": "the aggregates, one query of DuckDB's own", "contract": "the contract, from file to results"}


def _write(folder: Path, rows: int) -> None:
    import duckdb

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "contract.yml").write_text(CONTRACT)
    file = folder / "night.parquet"
    if file.exists() and duckdb.execute(f"SELECT count(*) FROM '{file}'").fetchall() == [(rows,)]:
        return
    random = "(hash(i, {0}) % 1000000) / 1e6"
    columns = ["i AS id", f"TIMESTAMP '{NIGHT}' + INTERVAL (i * 86399 // {rows}) SECOND AS moment"]
    columns += [f"CASE WHEN hash(i, {n}) % 97 = 0 THEN NULL ELSE {random.format(n)} END AS x{n}" for n in NUMBERS]
    columns += [f"(hash(i, {100 + n}) % 1000)::INTEGER AS n{n}" for n in COUNTS]
    columns += [f"'level ' || hash(i, {200 + n}) % 20 AS c{n}" for n in LEVELS]
    duckdb.execute(f"COPY (SELECT {', '.join(columns)} FROM range({rows}) AS r(i)) TO '{file}' (FORMAT parquet)")


def _contract(folder: Path) -> float:
    from airflow_mlops.quality import check_contract, contract_faults
    from airflow_mlops.quality.sources import open_table

    # Soda's import and the contract's parsing are the same for any number of rows: the clock starts after them.
    faults = contract_faults(folder / "contract.yml")
    start = time.perf_counter()
    with open_table(str(folder / "night.parquet"), night=NIGHT) as night:
        found = check_contract(night, folder / "contract.yml")
    taken = time.perf_counter() - start
    outcomes = {finding.result.outcome.value for finding in found}
    if faults or len(found) != CHECKS or outcomes != {"passed"}:
        raise SystemExit(f"expected {CHECKS} checks passed, got {len(found)}: {outcomes} {faults} {found}")
    return taken


def _query(folder: Path) -> float:
    import duckdb

    config: dict[str, Any] = {"memory_limit": MEMORY_LIMIT, "temp_directory": str(folder / "spilled")}
    with duckdb.connect(":memory:", config=config) as connection:
        start = time.perf_counter()
        connection.execute(f"SELECT {', '.join(AGGREGATES)} FROM '{folder / 'night.parquet'}'").fetchall()
        return time.perf_counter() - start


def _written() -> tuple[str, list[str]]:
    """Write the contract, and the same by hand: NaN counts as missing in both."""
    aggregates = ["count(*)", "count(DISTINCT id)", "max(moment)", "count(*) FILTER (WHERE n0 < 0 AND n1 < 0)"]
    lines = ["dataset: duckdb/night", "checks:", "  - schema:", "  - row_count:"]
    lines += ["  - freshness: {column: moment, threshold: {must_be_less_than: 2}}"]
    lines += ["  - failed_rows: {name: negative, expression: n0 < 0 AND n1 < 0}", "columns:"]

    def column(name: str, kind: str, *checks: str, **valid: Any) -> None:
        lines.extend([f"  - name: {name}", f"    data_type: {kind}"])
        lines.extend(f"    {key}: {value}" for key, value in valid.items())
        if checks:
            lines.extend(["    checks:", *(f"      - {check}" for check in checks)])

    column("id", "bigint", "missing:", "duplicate:")
    column("moment", "timestamp")
    few = "missing: {threshold: {metric: percent, must_be_less_than: 2}}"
    mean = "aggregate: {function: avg, threshold: {must_be_between: {greater_than: 0.4, less_than: 0.6}}}"
    aggregates += ["count(*) FILTER (WHERE id IS NULL)"]
    for number in NUMBERS:
        name = f"x{number}"
        column(name, "double", few, "invalid:", mean, valid_min=0, valid_max=1)
        aggregates += [
            f"count(*) FILTER (WHERE {name} IS NULL OR isnan({name}))",
            f"count(*) FILTER (WHERE {name} < 0 OR ({name} > 1 AND NOT isnan({name})))",
            f"avg({name}) FILTER (WHERE NOT isnan({name}))",
        ]
    for count in COUNTS:
        name = f"n{count}"
        column(name, "integer", "missing:", "invalid:", valid_min=0, valid_max=999)
        aggregates += [
            f"count(*) FILTER (WHERE {name} IS NULL)",
            f"count(*) FILTER (WHERE {name} NOT BETWEEN 0 AND 999)",
        ]
    levels = ", ".join(f"level {level}" for level in range(20))
    quoted = ", ".join(f"'level {level}'" for level in range(20))
    for level in LEVELS:
        name = f"c{level}"
        column(name, "varchar", "invalid:", valid_values=f"[{levels}]")
        aggregates += [f"count(*) FILTER (WHERE {name} IS NULL)", f"count(*) FILTER (WHERE {name} NOT IN ({quoted}))"]
    return "\n".join(lines) + "\n", aggregates


CONTRACT, AGGREGATES = _written()
CHECKS = sum(line.lstrip().startswith("- ") and "- name:" not in line for line in CONTRACT.splitlines())

if __name__ == "__main__":
    main()
