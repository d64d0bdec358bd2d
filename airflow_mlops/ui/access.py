"""Who may read a page: whoever may read the runs of the DAGs that wrote what stands on it."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.models.dag import DagModel
from fastapi import HTTPException

from airflow_mlops.records import Record

if TYPE_CHECKING:
    from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
    from airflow.api_fastapi.auth.managers.models.batch_apis import IsAuthorizedDagRequest

__all__ = ["ALL_DAGS", "dags_of", "may_read", "require_access"]

# A record that no DAG wrote is read by those who may read every DAG: that is how Airflow asks for it.
ALL_DAGS: tuple[None] = (None,)


def dags_of(records: Iterable[Record | None]) -> set[str | None]:
    """DAGs that wrote the records; None among them for a record that none wrote."""
    return {record.dag_run.partition("/")[0] if record.dag_run else None for record in records if record is not None}


def may_read(user: BaseUser, dag_ids: Collection[str | None]) -> bool:
    """Whether a user may read the runs of all these DAGs; of no DAG means of every DAG."""
    asked = set(dag_ids) or set(ALL_DAGS)
    teams = DagModel.get_dag_id_to_team_name_mapping([dag_id for dag_id in asked if dag_id])
    requests: list[IsAuthorizedDagRequest] = [
        {
            "method": "GET",
            "access_entity": DagAccessEntity.RUN,
            "details": DagDetails(id=dag_id, team_name=teams.get(dag_id) if dag_id else None),
        }
        for dag_id in asked
    ]
    return get_auth_manager().batch_is_authorized_dag(requests, user=user)


def require_access(user: BaseUser, dag_ids: Collection[str | None]) -> None:
    """Let the user pass, or not.

    Raises
    ------
    HTTPException
        403, with a sentence that names the DAGs.
    """
    if not may_read(user, dag_ids):
        named = ", ".join(sorted(dag_id for dag_id in dag_ids if dag_id)) or "every DAG"
        raise HTTPException(HTTPStatus.FORBIDDEN, f"This page needs read access to the runs of {named}.")
