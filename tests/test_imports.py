"""What importing costs, in modules; `dev/bench imports` tells it in seconds."""

from __future__ import annotations

import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import airflow_mlops

ROOT = Path(__file__).parents[1]
HEAVY = (
    "mlflow", "torch", "bentoml", "soda_core", "pandas", "numpy", "pyarrow", "scipy", "kubernetes", "boto3", "duckdb"
)  # fmt: skip
ROOMS = (
    "operators", "sensors", "triggers", "notifications", "hooks", "loop", "assets", "links", "boundary", "polling",
    "provider",
)  # fmt: skip
DOMAIN = (
    "approval",
    "quality", "drift", "gate", "training", "serving", "profile", "calibrate", "table", "ledger", "project", "store",
    "records", "errors", "nights", "golden", "chain",
)  # fmt: skip

_HEAVY_AFTER = """
import sys
{imports}
print("HEAVY", *[name for name in {heavy!r} if name in sys.modules])
"""

_BLOCKED = """
import importlib, sys

class NoAirflow:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "airflow":
            raise ImportError(f"the domain imported {{name}}")

sys.meta_path.insert(0, NoAirflow())
for name in {modules!r}:
    importlib.import_module(name)
try:
    import airflow
except ImportError:
    print("BLOCKED", len({modules!r}))
"""


def modules_of(rooms: tuple[str, ...]) -> list[str]:
    """Every module of some rooms, those that are run and not imported left out."""
    names = [module.name for module in pkgutil.walk_packages(airflow_mlops.__path__, "airflow_mlops.")]
    return [name for name in names if name.split(".")[1] in rooms and not name.endswith("__main__")]


def said(code: str, word: str, home: Path) -> list[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    environment |= {"AIRFLOW_HOME": str(home), "BIKE_DEMAND_DATA": str(home)}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    (line,) = [line for line in ended.stdout.splitlines() if line.startswith(word)]
    return line.split()[1:]


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What airflow.sdk itself brings, with the one operator of Airflow's that the loop uses."""
    code = _HEAVY_AFTER.format(imports="import airflow.sdk, airflow.providers.standard.operators.empty", heavy=HEAVY)
    return said(code, "HEAVY", tmp_path_factory.mktemp("airflow"))


def test_no_operator_sensor_trigger_or_hook_imports_anything_heavy(tmp_path, before):
    imports = "\n".join(f"import {name}" for name in modules_of(ROOMS))
    assert "import airflow_mlops.operators.serving" in imports
    assert said(_HEAVY_AFTER.format(imports=imports, heavy=HEAVY), "HEAVY", tmp_path) == before


@pytest.mark.parametrize("file", sorted((ROOT / "dags").glob("*.py")), ids=lambda path: path.stem)
def test_no_dag_file_imports_anything_heavy_where_it_is_parsed(tmp_path, before, file):
    code = _HEAVY_AFTER.format(imports=f"import runpy; runpy.run_path({str(file)!r})", heavy=HEAVY)
    assert said(code, "HEAVY", tmp_path) == before


@pytest.mark.slow
def test_the_domain_is_a_stranger_to_airflow(tmp_path):
    modules = modules_of(DOMAIN)
    assert {name.split(".")[1] for name in modules} == set(DOMAIN)
    assert said(_BLOCKED.format(modules=modules), "BLOCKED", tmp_path) == [str(len(modules))]
