"""The four DAGs of one model, tied by assets.

    <model>_quality   nightly        the night arrives -> quality check     -> asset MODEL/data
    <model>_drift     on MODEL/data  drift -> a training is asked for       -> asset MODEL/drift
    <model>_retrain   on MODEL/drift train -> gate -> approval -> promote   -> asset MODEL/model
    <model>_deploy    on MODEL/model build -> stage -> verify -> make live -> deployed, or roll back

A night is a partition: it is the key of the runs in all four, so the grid tells which night a run is about.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, BaseNotifier, CronPartitionTimetable, Param, PartitionedAssetTimetable, TriggerRule

from airflow_mlops.assets import assets_of
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
from airflow_mlops.project import load_project
from airflow_mlops.sensors import PartitionSensor

__all__ = ["LoopDags", "retrain_on_drift"]

_NIGHT_FORMAT = "%Y-%m-%d"


class LoopDags(NamedTuple):
    """The four DAGs of a model."""

    quality: DAG
    drift: DAG
    retrain: DAG
    deploy: DAG


def retrain_on_drift(
    project: str | Path,
    *,
    cron: str = "0 6 * * *",
    timezone: str = "UTC",
    dry_run: bool = False,
    wait_seconds: float = 6 * 3600.0,
    poll_seconds: float = 60.0,
    notifiers: Sequence[BaseNotifier] = (),
    default_args: dict[str, Any] | None = None,
) -> LoopDags:
    """Build the four DAGs of a model.

    Parameters
    ----------
    project : str or Path
        Folder of the model project.
    cron, timezone : str
        When the night before is looked at.
    dry_run : bool
        Run the whole loop, and move no alias and no traffic.
    wait_seconds, poll_seconds : float
        How long, and how often, a night's data is waited for.
    notifiers : sequence of BaseNotifier
        Whom to tell that bad nights began, and that they are over: ``{{ incident }}``.
    default_args : dict, optional
        For every task; by default two retries, 30 seconds apart.

    Returns
    -------
    LoopDags
        They register themselves with Airflow where they are made: the line alone in a DAG file does. (Airflow reads
        only files in which the words ``airflow`` and ``dag`` both stand; a comment will do.)

    Raises
    ------
    ProjectFaults
        If ``model.toml`` has faults: the DAG file shows as an import error that lists them.
    """
    loaded = load_project(project)
    folder, name = str(loaded.folder), loaded.name
    assets = assets_of(name)
    common: dict[str, Any] = {
        "catchup": False,
        "tags": ["mlops", name],
        "default_args": {"retries": 2, "retry_delay": dt.timedelta(seconds=30), **(default_args or {})},
    }
    nightly = CronPartitionTimetable(cron, timezone=timezone, run_offset=-1, key_format=_NIGHT_FORMAT)

    with DAG(
        f"{name}_quality",
        schedule=nightly,
        description=f"Hold each night of {name} against its contract",
        **common,
    ) as quality:
        arrived = PartitionSensor(
            task_id="await_night", project=folder, timeout_seconds=wait_seconds, poll_seconds=poll_seconds
        )
        checked = CheckQualityOperator(
            task_id="check_quality", project=folder, notifiers=notifiers, outlets=[assets.data]
        )
        arrived >> checked

    with DAG(
        f"{name}_drift",
        schedule=PartitionedAssetTimetable(assets=assets.data),
        description=f"Judge each night of {name} by those before it, and by what the champion was trained on",
        # An incident is carried on from night to night.
        max_active_runs=1,
        **common,
    ) as drift:
        detected = DetectDriftOperator(task_id="detect_drift", project=folder)
        RequestTrainingOperator(
            task_id="request_training", project=folder, drift=detected.output, outlets=[assets.drift]
        )

    with DAG(
        f"{name}_retrain",
        schedule=PartitionedAssetTimetable(assets=assets.drift),
        description=f"Train a challenger of {name}, judge it, promote it",
        max_active_runs=1,
        params={"force": Param(False, type="boolean", description="Train also where nothing changed.")},
        **common,
    ) as retrain:
        trained = TrainModelOperator(task_id="train_model", project=folder, force="{{ params.force }}")
        judged = EvaluateGateOperator(task_id="evaluate_gate", project=folder, manifest=trained.output)
        approved = RequestApprovalOperator(task_id="request_approval", project=folder, verdict=judged.output)
        PromoteModelOperator(
            task_id="promote_model",
            project=folder,
            verdict=approved.output,
            dry_run=dry_run,
            outlets=[assets.champion],
        )

    with DAG(
        f"{name}_deploy",
        schedule=PartitionedAssetTimetable(assets=assets.champion),
        description=f"Serve the champion of {name}, proved by its answers",
        max_active_runs=1,
        **common,
    ) as deploy:
        built = BuildBentoOperator(task_id="build_bento", project=folder)
        staged = DeployBentoOperator(task_id="stage_bento", project=folder, bento=built.output)
        verified = VerifyDeploymentOperator(
            task_id="verify_answers",
            project=folder,
            bento=staged.output,
            verdict="{{ ti.xcom_pull('build_bento', key='verdict') }}",
        )
        live = ShiftTrafficOperator(task_id="make_live", project=folder, deployment=verified.output, dry_run=dry_run)
        RollbackDeploymentOperator(
            task_id="roll_back",
            project=folder,
            to="live",
            reason="the promoted model could not be deployed",
            dry_run=dry_run,
            trigger_rule=TriggerRule.ONE_FAILED,
        ) << [built, staged, verified, live]
        # The run ends as its last tasks do: without this one, a rollback that went well would turn it green.
        live >> EmptyOperator(task_id="deployed")

    return LoopDags(quality, drift, retrain, deploy)
