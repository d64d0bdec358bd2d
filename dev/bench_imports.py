"""What an import adds to `import airflow.sdk`, which every DAG file pays: ours, the Kubernetes provider's, MLflow's.

Each measure is a fresh interpreter; rounds go through all of them in turn, so that a busy machine is unfair to none.
"""

from __future__ import annotations

import argparse
import os
import pkgutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence

from rich.console import Console
from rich.progress import track
from rich.table import Table

import airflow_mlops

# A DAG file of ours is to parse in the time that airflow.sdk takes, and no more than this many seconds.
_TARGET_SECONDS = 0.15
_ROOMS = ("operators", "sensors", "triggers")

_MEASURE = """
import importlib, sys, time
started = time.perf_counter()
import airflow.sdk
told = time.perf_counter()
for name in sys.argv[1:]:
    importlib.import_module(name)
print("SECONDS", told - started, time.perf_counter() - told)
"""


def our_modules() -> list[str]:
    """Every operator, sensor and trigger module of this provider."""
    names = [module.name for module in pkgutil.walk_packages(airflow_mlops.__path__, "airflow_mlops.")]
    return [name for name in names if name.split(".")[1] in _ROOMS]


def seconds_of(modules: Sequence[str], home: str) -> tuple[float, float]:
    """Import airflow.sdk, then modules, in a fresh interpreter; the seconds of both."""
    ended = subprocess.run(
        [sys.executable, "-c", _MEASURE, *modules],
        env=os.environ | {"AIRFLOW_HOME": home},
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = [line for line in ended.stdout.splitlines() if line.startswith("SECONDS")]
    _, sdk, added = line.split()
    return float(sdk), float(added)


def main() -> int:
    """Measure, print the table; 1 if ours adds more than it may."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="interpreters for each import (default: 7)")
    rounds = max(1, parser.parse_args().rounds)
    ours = f"airflow_mlops: {', '.join(_ROOMS)}"
    compared = {
        ours: our_modules(),
        "cncf.kubernetes' KubernetesPodOperator": ["airflow.providers.cncf.kubernetes.operators.pod"],
        "mlflow": ["mlflow"],
    }
    sdk: list[float] = []
    added: dict[str, list[float]] = {name: [] for name in compared}
    with tempfile.TemporaryDirectory() as home:
        # Once for nothing: it fills the disk's cache, and Airflow writes its configuration.
        for modules in compared.values():
            seconds_of(modules, home)
        for _ in track(range(rounds), description="importing", transient=True):
            for name, modules in compared.items():
                base, more = seconds_of(modules, home)
                sdk.append(base)
                added[name].append(more)
    table = Table(title=f"Seconds of importing, {rounds} fresh interpreters each")
    for title in ("import", "median", "least", "most", "times ours"):
        table.add_column(title, justify="left" if title == "import" else "right")
    table.add_row("airflow.sdk itself", *_figures(sdk), "")
    own = statistics.median(added[ours])
    for name, values in added.items():
        table.add_row(f"+ {name}", *_figures(values), f"{statistics.median(values) / own:.0f}")
    Console().print(table)
    fine = own < _TARGET_SECONDS
    print(f"ours adds {own:.3f} s, {'less' if fine else 'MORE'} than the {_TARGET_SECONDS} s that it may")
    return 0 if fine else 1


def _figures(values: Sequence[float]) -> tuple[str, str, str]:
    return f"{statistics.median(values):.3f}", f"{min(values):.3f}", f"{max(values):.3f}"


if __name__ == "__main__":
    sys.exit(main())
