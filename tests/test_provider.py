"""What Airflow makes of the provider: its connections, forms, links and plugin."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from airflow_mlops.provider import get_provider_info

_FORMS = """
import json
from airflow.providers_manager import ProvidersManager
from airflow import plugins_manager

manager = ProvidersManager()
ours = lambda thing: "airflow_mlops" in str(thing)
hooks = {kind: hook.hook_class_name for kind, hook in manager.hooks.items() if hook and ours(hook.hook_class_name)}
fields = sorted(name for name, widget in manager.connection_form_widgets.items() if ours(widget))
print("ANSWER", json.dumps({
    "hooks": hooks, "fields": fields,
    "behaviour": {kind: manager.field_behaviours[kind] for kind in hooks},
    "links": [link for link in manager.extra_links_class_names if "airflow_mlops" in link],
}))
"""


def airflow(home: Path, *command: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    ended = subprocess.run(
        [sys.executable, *command],
        env=environment | {"AIRFLOW_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.slow
def test_airflow_lists_the_provider(tmp_path):
    listed = airflow(tmp_path, "-m", "airflow", "providers", "get", "airflow-provider-mlops", "--full", "-o", "json")
    (provider,) = json.loads(listed[listed.index("[") :])
    assert "Retrain on drift" in provider["description"] or "retrain on drift" in provider["description"]
    assert {one["connection-type"] for one in _read(provider["connection-types"])} == {
        "mlflow",
        "mlops_store",
        "bentocloud",
    }


def _read(value: object) -> list[dict[str, str]]:
    # The command prints what is nested as Python does.
    import ast

    found: list[dict[str, str]] = ast.literal_eval(value) if isinstance(value, str) else value  # type: ignore[assignment]
    return found


@pytest.mark.slow
def test_airflow_knows_the_connections_with_their_forms(tmp_path):
    told = airflow(tmp_path, "-c", _FORMS)
    answer = json.loads(next(line for line in told.splitlines() if line.startswith("ANSWER")).removeprefix("ANSWER"))
    assert answer["hooks"] == {
        "mlflow": "airflow_mlops.hooks.mlflow.MlflowHook",
        "mlops_store": "airflow_mlops.hooks.store.StoreHook",
        "bentocloud": "airflow_mlops.hooks.bentocloud.BentoCloudHook",
    }
    assert set(answer["fields"]) == {f"extra__mlflow__{name}" for name in ("ui_url", "token")} | {
        f"extra__mlops_store__{name}" for name in ("uri", "endpoint_url", "region")
    }
    assert answer["behaviour"]["bentocloud"]["relabeling"]["password"] == "API token"  # noqa: S105 - a label
    assert set(answer["links"]) == set(get_provider_info()["extra-links"])


def test_every_class_that_is_named_is_there_and_says_the_same():
    info = get_provider_info()
    for connection in info["connection-types"]:
        hook = _named(connection["hook-class-name"])
        assert (hook.conn_type, hook.hook_name) == (connection["connection-type"], connection["hook-name"])
        assert hook.default_conn_name == hook.conn_type
        assert callable(hook.test_connection)
    for name in info["extra-links"]:
        assert _named(name)


def _named(path: str) -> type:
    module, _, name = path.rpartition(".")
    found: type = getattr(import_module(module), name)
    return found


def test_entry_points():
    found = {
        (point.group, point.name): point.value
        for group in ("apache_airflow_provider", "airflow.plugins", "console_scripts")
        for point in entry_points(group=group)
        if "airflow_mlops" in point.value
    }
    assert found == {
        ("apache_airflow_provider", "provider_info"): "airflow_mlops.provider:get_provider_info",
        ("airflow.plugins", "airflow_mlops"): "airflow_mlops.ui:MLOpsPlugin",
        ("console_scripts", "airflow-mlops"): "airflow_mlops.cli:main",
    }
