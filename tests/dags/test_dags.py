"""The example DAGs as Airflow reads them: no import errors, and exactly these tasks, edges and assets."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

# In a process of its own: a DAG file registers what it makes with the module that is being parsed.
_READ = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization

bag = DagBag(sys.argv[1])
answer = {"errors": bag.import_errors, "dags": {}}
for dag in bag.dags.values():
    DagSerialization.to_dict(dag)
    answer["dags"][dag.dag_id] = {
        "edges": {task.task_id: sorted(task.downstream_task_ids) for task in dag.tasks},
        "outlets": {task.task_id: [asset.name for asset in task.outlets] for task in dag.tasks if task.outlets},
        "schedule": type(dag.timetable).__name__,
        "waits_for": getattr(getattr(dag.timetable, "asset_condition", None), "name", None),
        "runs": dag.max_active_runs,
        "rules": {task.task_id: task.trigger_rule.value for task in dag.tasks if task.trigger_rule != "all_success"},
        "retries": sorted({task.retries for task in dag.tasks}),
        "catchup": dag.catchup,
    }
print("ANSWER", json.dumps(answer, default=str))
"""


def read(folder: Path, home: Path) -> dict[str, Any]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")}
    environment |= {"AIRFLOW_HOME": str(home)}
    ended = subprocess.run(
        [sys.executable, "-c", _READ, str(folder)], env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    (line,) = [line for line in ended.stdout.splitlines() if line.startswith("ANSWER")]
    found: dict[str, Any] = json.loads(line.removeprefix("ANSWER"))
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    answer = read(ROOT / "dags", tmp_path_factory.mktemp("airflow"))
    assert answer["errors"] == {}
    dags: dict[str, Any] = answer["dags"]
    return dags


def test_these_dags_and_no_other(found):
    assert set(found) == {
        "bike_demand_quality",
        "bike_demand_drift",
        "bike_demand_retrain",
        "bike_demand_deploy",
        "bike_demand_by_hand_watch",
        "bike_demand_by_hand_renew",
        "check_one_table",
        "nightly_quality",
    }
    assert not any(dag["catchup"] for dag in found.values())


SERVING = {
    "build_bento": ["roll_back", "stage_bento", "verify_answers"],
    "stage_bento": ["roll_back", "verify_answers"],
    "verify_answers": ["make_live", "roll_back"],
    "make_live": ["deployed", "roll_back"],
    "roll_back": [],
    "deployed": [],
}


@pytest.mark.parametrize(
    ("dag_id", "edges"),
    [
        ("bike_demand_quality", {"await_night": ["check_quality"], "check_quality": []}),
        ("bike_demand_drift", {"detect_drift": ["request_training"], "request_training": []}),
        (
            "bike_demand_retrain",
            {
                "train_model": ["evaluate_gate"],
                "evaluate_gate": ["request_approval"],
                "request_approval": ["promote_model"],
                "promote_model": [],
            },
        ),
        ("bike_demand_deploy", SERVING | {"build_bento": ["roll_back", "stage_bento"]}),
        (
            "bike_demand_by_hand_watch",
            {
                "await_night": ["check_quality"],
                "check_quality": ["detect_drift"],
                "detect_drift": ["request_training"],
                "request_training": [],
            },
        ),
        (
            "bike_demand_by_hand_renew",
            {
                "train_model": ["evaluate_gate"],
                "evaluate_gate": ["request_approval"],
                "request_approval": ["promote_model"],
                "promote_model": ["build_bento", "verify_answers"],
                **SERVING,
                "build_bento": ["roll_back", "stage_bento"],
            },
        ),
        ("check_one_table", {"check_quality": ["build_report"], "build_report": []}),
        ("nightly_quality", {"one_table.await_night": ["one_table.check_quality"], "one_table.check_quality": []}),
    ],
)
def test_tasks_and_edges(found, dag_id, edges):
    assert found[dag_id]["edges"] == edges


def test_assets_tie_the_four_together(found):
    chain = [("quality", "check_quality", "data"), ("drift", "request_training", "drift")]
    chain += [("retrain", "promote_model", "model")]
    for (stage, task, asset), follower in zip(chain, ("drift", "retrain", "deploy"), strict=True):
        assert found[f"bike_demand_{stage}"]["outlets"] == {task: [f"bike_demand/{asset}"]}
        assert found[f"bike_demand_{follower}"]["waits_for"] == f"bike_demand/{asset}"
    assert found["bike_demand_quality"]["schedule"] == "CronPartitionTimetable"
    assert found["bike_demand_deploy"]["outlets"] == {}


@pytest.mark.parametrize("dag_id", ["bike_demand_retrain", "bike_demand_deploy", "bike_demand_by_hand_renew"])
def test_one_retraining_and_one_deployment_at_a_time(found, dag_id):
    assert found[dag_id]["runs"] == 1


@pytest.mark.parametrize("dag_id", ["bike_demand_deploy", "bike_demand_by_hand_renew"])
def test_a_deployment_that_was_rolled_back_does_not_end_green(found, dag_id):
    """A run ends as its last tasks do: one of them must fail where the deployment did."""
    assert found[dag_id]["rules"] == {"roll_back": "one_failed"}
    last = {task for task, below in found[dag_id]["edges"].items() if not below}
    assert last == {"roll_back", "deployed"}


def test_tables_with_faults_show_as_an_import_error_that_lists_them(tmp_path):
    shutil.copytree(ROOT / "dags" / "tables", tmp_path / "dags" / "tables")
    shutil.copy(ROOT / "dags" / "nightly_quality.py", tmp_path / "dags")
    tables = tmp_path / "dags" / "tables" / "tables.yml"
    tables.write_text(tables.read_text().replace("time_column:", "time_colum:").replace("bike_hours\n", "Bike Hours\n"))
    answer = read(tmp_path / "dags", tmp_path / "airflow")
    (told,) = answer["errors"].values()
    assert answer["dags"] == {}
    assert all(word in told for word in ("tables.yml:5", "name", "tables.yml:7", "time_colum"))


def test_a_project_with_faults_shows_as_an_import_error_that_lists_them(tmp_path):
    (tmp_path / "dags").mkdir()
    (tmp_path / "model.toml").write_text('name = "Bad Name"\ntypo = 1\n')
    (tmp_path / "dags" / "loop.py").write_text(
        f"from airflow_mlops.loop import retrain_on_drift\n\nretrain_on_drift({str(tmp_path)!r})  # a DAG of airflow\n"
    )
    answer = read(tmp_path / "dags", tmp_path / "airflow")
    (told,) = answer["errors"].values()
    assert answer["dags"] == {}
    assert all(word in told for word in ("model.toml:1", "typo", "features"))
