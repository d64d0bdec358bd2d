"""What Airflow loads in every process must cost it nothing."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

_IMPORTED = """
import sys, json, time
import airflow.plugins_manager
before = set(sys.modules)
start = time.perf_counter()
import airflow_mlops.ui
print(json.dumps([time.perf_counter() - start, sorted(set(sys.modules) - before)]))
"""


@pytest.mark.slow
def test_the_plugin_brings_no_library_into_the_scheduler() -> None:
    done = subprocess.run([sys.executable, "-c", _IMPORTED], capture_output=True, text=True, check=True)
    seconds, modules = json.loads(done.stdout.splitlines()[-1])
    # Not even our own records: the plugin, the notes, and the name of Airflow's hook.
    assert {name for name in modules if not name.startswith(("airflow.", "airflow_mlops"))} == set()
    assert {name for name in modules if name.startswith("airflow_mlops.")} == {
        "airflow_mlops.ui",
        "airflow_mlops.ui.notes",
    }
    assert seconds < 0.05


def test_airflow_finds_plugin_listener_and_views() -> None:
    from importlib.metadata import entry_points

    from airflow.plugins_manager import is_valid_plugin

    (found,) = [point for point in entry_points(group="airflow.plugins") if point.name == "airflow_mlops"]
    plugin = found.load()
    assert is_valid_plugin(plugin)
    assert [listener.__name__ for listener in plugin.listeners] == ["airflow_mlops.ui.notes"]
    assert {view["destination"]: view["href"] for view in plugin.external_views} == {
        "nav": "/mlops/",
        "dag": "/mlops/dag/{DAG_ID}",
    }
    assert len({view["url_route"] for view in plugin.external_views}) == 2
