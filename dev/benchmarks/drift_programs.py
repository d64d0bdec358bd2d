"""What runs against each other, each as a program in a process and an environment of its own.

A program prints one line of JSON. ``seconds`` in it are those of the work alone, from files to the answer, without
imports; the whole process is timed from outside, too.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["EVIDENTLY", "NANNYML", "OURS", "PAIR", "PROFILE", "SCAN", "Program", "Run", "environment", "run"]

_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Program:
    """Code that is handed files; ``needs`` are packages of an environment made for it, none for the project's own."""

    name: str
    code: str
    needs: tuple[str, ...] = ()
    # What a package asks for and this program does not need, for its size.
    leave_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Run:
    """One process: what it printed, how long it took from start to end, of what cores' time, and its peak memory."""

    found: dict[str, Any]
    wall_seconds: float
    cpu_seconds: float
    peak_mb: float


PROFILE = Program(
    "our profile",
    """
import json, sys, time
from airflow_mlops.profile import Profile, profile
edges = json.loads(open(sys.argv[2]).read())
started = time.perf_counter()
found = profile(sys.argv[1], edges=edges)
seconds = time.perf_counter() - started
print(json.dumps({"seconds": seconds, "rows": found.rows}))
""",
)

# The least that reads every value of every column, in Polars' streaming engine: sums of numbers, bytes of text.
POLARS = Program(
    "Polars, streaming scan",
    """
import json, sys, time
import polars as pl
started = time.perf_counter()
table = pl.scan_parquet(sys.argv[1])
kinds = table.collect_schema()
text = [name for name, kind in kinds.items() if kind == pl.String]
found = table.select(
    pl.col([name for name in kinds if name not in text]).sum(), pl.col(text).str.len_bytes().sum()
).collect(engine="streaming")
seconds = time.perf_counter() - started
print(json.dumps({"seconds": seconds}))
""",
    ("polars==2.1.0",),
)

# The same file into a frame in memory, as most programs begin.
POLARS_FRAME = Program(
    "Polars, into a frame",
    """
import json, sys, time
import polars as pl
started = time.perf_counter()
found = pl.scan_parquet(sys.argv[1]).collect()
seconds = time.perf_counter() - started
print(json.dumps({"seconds": seconds, "rows": found.height}))
""",
    POLARS.needs,
)

OURS = Program(
    "airflow-mlops drift check",
    """
import contextlib, io, json, sys, time
import airflow_mlops.cli.windows, airflow_mlops.drift.comparable, airflow_mlops.drift.compare, airflow_mlops.profile
import airflow_mlops.terminal
from airflow_mlops.cli import main
sys.argv = ["airflow-mlops", "drift", "check", sys.argv[2], "--reference", sys.argv[1]]
printed = io.StringIO()
started = time.perf_counter()
with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
    main()
seconds = time.perf_counter() - started
print(json.dumps({"seconds": seconds, "verdict": printed.getvalue().split()[-1]}))
""",
)

# Its defaults: Jensen-Shannon distance of every column, in ten chunks.
NANNYML = Program(
    "NannyML",
    """
import json, sys, time
import nannyml, pandas
started = time.perf_counter()
reference, current = (pandas.read_parquet(path) for path in sys.argv[1:3])
found = nannyml.UnivariateDriftCalculator(column_names=list(reference.columns)).fit(reference).calculate(current)
table = found.filter(period="analysis").to_df(multilevel=False)
alarms = sum(bool(table[name].any()) for name in table.columns if name.endswith("_alert"))
print(json.dumps({"seconds": time.perf_counter() - started, "alarms": alarms}))
""",
    # What was current when it came out: it asks for no upper bounds, and breaks with pandas 3.
    (
        "nannyml==0.13.1",
        "category-encoders==2.6.4",
        "numpy==1.26.4",
        "pandas==2.2.3",
        "pyarrow==18.1.0",
        "scikit-learn==1.5.2",
        "scipy==1.14.1",
        "statsmodels==0.14.4",
    ),
    ("nvidia-nccl-cu12",),
)

# Its preset, which picks a test or distance for each column by its kind and the number of rows.
EVIDENTLY = Program(
    "Evidently",
    """
import json, sys, time
import pandas
from evidently import Dataset, Report
from evidently.presets import DataDriftPreset
started = time.perf_counter()
reference, current = (Dataset.from_pandas(pandas.read_parquet(path)) for path in sys.argv[1:3])
found = Report([DataDriftPreset()]).run(current, reference).dict()
seconds = time.perf_counter() - started
print(json.dumps({"seconds": seconds, "alarms": found["metrics"][0]["value"]["count"]}))
""",
    ("evidently==0.7.23", "numpy==2.4.6", "pandas==3.0.6", "scipy==1.17.1", "scikit-learn==1.9.1", "pyarrow==25.0.1"),
)

SCAN = (PROFILE, POLARS, POLARS_FRAME)
PAIR = (OURS, NANNYML, EVIDENTLY)


def environment(program: Program, cache: Path) -> Path:
    """Python that a program runs with; its environment is made if it is not there yet.

    Raises
    ------
    RuntimeError
        If a package does not come.
    """
    if not program.needs:
        return Path(sys.executable)
    wanted = json.dumps([program.needs, program.leave_out, sys.version_info[:2]])
    home = cache / f"{program.needs[0].replace('==', '-')}-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
    python = home / "bin" / "python"
    if (home / ".complete").exists():
        return python
    uv = Path(sys.executable).with_name("uv")
    places = {"UV_FIND_LINKS": os.environ.get("UV_FIND_LINKS") or os.environ.get("PIP_FIND_LINKS", "")}
    settings = os.environ | {name: value for name, value in places.items() if value}
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as overrides:
        overrides.writelines(f"{name}; sys_platform == 'nowhere'\n" for name in program.leave_out)
        overrides.flush()
        # Compiled now, lest the first round pays for it.
        options = ["--quiet", "--compile-bytecode", "--python", str(python), "--overrides", overrides.name]
        for command in (
            ["venv", "--quiet", "--clear", "--python", sys.executable, str(home)],
            ["pip", "install", *options, *program.needs],
        ):
            ended = subprocess.run([uv, *command], env=settings, stderr=subprocess.PIPE, text=True, check=False)
            if ended.returncode:
                raise RuntimeError(f"expected {', '.join(program.needs)}, uv said: {ended.stderr.strip()[-600:]}")
    (home / ".complete").touch()
    return python


def run(program: Program, python: Path, *arguments: str | Path) -> Run:
    """Run it in a process of its own.

    Raises
    ------
    RuntimeError
        If it fails.
    """
    settings = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    # Nobody is told of it: that would take time, too.
    settings |= {"DO_NOT_TRACK": "1", "NML_DISABLE_USAGE_LOGGING": "1"}
    settings |= {"PYTHONPATH": str(_ROOT)} if not program.needs else {}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        started = time.perf_counter()
        child = subprocess.Popen(
            [python, "-c", program.code, *map(str, arguments)], stdout=out, stderr=err, env=settings
        )
        _, status, used = os.wait4(child.pid, 0)
        wall = time.perf_counter() - started
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if child.returncode or not (printed := out.read().strip()):
            raise RuntimeError(f"{program.name} ended with {child.returncode}: {err.read().decode()[-600:]}")
    # A child's peak begins with the size of who started it: so the bench itself loads nothing large.
    found = json.loads(printed[printed.index(b"{") :])
    return Run(found, wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024.0)
