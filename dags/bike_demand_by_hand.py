"""The loop of the bike demand model, wired by hand: what `retrain_on_drift` builds, in two DAGs instead of four.

For teams that want other steps between the stages: a branch, a notification or a second gate would stand beside
`request_approval`, where a person decides about what the gate holds.
"""

from datetime import timedelta
from pathlib import Path

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset, CronPartitionTimetable, PartitionedAssetTimetable

from airflow_mlops.operators.approval import RequestApprovalOperator
from airflow_mlops.operators.drift import DetectDriftOperator, RequestTrainingOperator
from airflow_mlops.operators.gate import EvaluateGateOperator
from airflow_mlops.operators.promotion import PromoteModelOperator
from airflow_mlops.operators.quality import CheckQualityOperator
from airflow_mlops.operators.serving import (
    BuildBentoOperator,
    DeployBentoOperator,
    RollbackDeploymentOperator,
    ShiftTrafficOperator,
    VerifyDeploymentOperator,
)
from airflow_mlops.operators.training import TrainModelOperator
from airflow_mlops.sensors import PartitionSensor

project = Path(__file__).parent / "bike_demand"
training_due = Asset("bike_demand_by_hand/drift", uri="mlops://bike_demand_by_hand/drift")
retries = {"retries": 2, "retry_delay": timedelta(seconds=30)}

with DAG(
    "bike_demand_by_hand_watch",
    schedule=CronPartitionTimetable("0 6 * * *", timezone="UTC", run_offset=-1, key_format="%Y-%m-%d"),
    catchup=False,
    default_args=retries,
    tags=["mlops", "example"],
):
    arrived = PartitionSensor(task_id="await_night", project=project)
    checked = CheckQualityOperator(task_id="check_quality", project=project)
    detected = DetectDriftOperator(task_id="detect_drift", project=project)
    asked = RequestTrainingOperator(
        task_id="request_training", project=project, drift=detected.output, outlets=[training_due]
    )
    arrived >> checked >> detected >> asked

with DAG(
    "bike_demand_by_hand_renew",
    schedule=PartitionedAssetTimetable(assets=training_due),
    catchup=False,
    max_active_runs=1,
    default_args=retries,
    tags=["mlops", "example"],
):
    trained = TrainModelOperator(task_id="train_model", project=project)
    judged = EvaluateGateOperator(task_id="evaluate_gate", project=project, manifest=trained.output)
    approved = RequestApprovalOperator(task_id="request_approval", project=project, verdict=judged.output)
    promoted = PromoteModelOperator(task_id="promote_model", project=project, verdict=approved.output)
    built = BuildBentoOperator(task_id="build_bento", project=project, verdict=promoted.output)
    staged = DeployBentoOperator(task_id="stage_bento", project=project, bento=built.output)
    verified = VerifyDeploymentOperator(
        task_id="verify_answers", project=project, bento=staged.output, verdict=promoted.output
    )
    live = ShiftTrafficOperator(task_id="make_live", project=project, deployment=verified.output)
    roll_back = RollbackDeploymentOperator(task_id="roll_back", project=project, to="live", trigger_rule="one_failed")
    [built, staged, verified, live] >> roll_back
    # The run ends as its last tasks do: without this one, a rollback that went well would turn it green.
    live >> EmptyOperator(task_id="deployed")
