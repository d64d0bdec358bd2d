"""The story of each run as its note: what the tasks told, one line each, what came of it first.

The page of a run shows the first line, and the others on a click; the grid marks the runs that have a note.

A listener: Airflow calls it in the scheduler (or in the api-server, when a person sets a state by hand), with the
session that it commits itself.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from airflow.listeners import hookimpl

if TYPE_CHECKING:
    from airflow.models.dagrun import DagRun
    from sqlalchemy.orm import Session

__all__ = ["on_dag_run_failed", "on_dag_run_success"]

# Length of the column that Airflow keeps a note in.
_NOTE_LENGTH = 1000
_TAG = "mlops"

log = logging.getLogger(__name__)


@hookimpl
def on_dag_run_success(dag_run: DagRun, msg: str) -> None:
    """Note what the tasks of a successful run told."""
    del msg
    _note(dag_run)


@hookimpl
def on_dag_run_failed(dag_run: DagRun, msg: str) -> None:
    """Note what the tasks of a failed run told, and which failed without a word."""
    del msg
    _note(dag_run)


def _note(dag_run: DagRun) -> None:
    try:
        from sqlalchemy.orm import object_session

        session = object_session(dag_run)
        if session is None:
            return
        # Reading must not write the half-made changes of whoever called us, nor is committing our business.
        with session.no_autoflush:
            if not any(tag.name == _TAG for tag in dag_run.dag_model.tags):
                return
            standing = dag_run.dag_run_note
            if standing is not None and standing.user_id is not None:
                return  # a person wrote it
            if told := _stories(dag_run, session):
                dag_run.note = "\n".join(_shortened(told))
    except Exception:  # the scheduler lives on, whatever is wrong with a note
        log.warning("No note for %r", dag_run, exc_info=True)


def _stories(dag_run: DagRun, session: Session) -> list[str]:
    """What the tasks told, latest first; before them the tasks that failed without a word."""
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.xcom import XComModel
    from sqlalchemy import select

    told = select(XComModel.task_id, XComModel.value).where(
        XComModel.dag_id == dag_run.dag_id, XComModel.run_id == dag_run.run_id, XComModel.key == "story"
    )
    stories = session.execute(told.order_by(XComModel.timestamp.desc())).all()
    failed = select(TaskInstance.task_id).where(
        TaskInstance.dag_id == dag_run.dag_id, TaskInstance.run_id == dag_run.run_id, TaskInstance.state == "failed"
    )
    spoke = {task for task, _ in stories}
    silent = [task for task in session.scalars(failed.order_by(TaskInstance.end_date.desc())) if task not in spoke]
    return [*(f"{task} failed" for task in silent), *(str(story) for _, story in stories)]


def _shortened(lines: list[str]) -> list[str]:
    """Lines that fit a note together; where they do not, each is cut to the same length."""
    if len("\n".join(lines)) <= _NOTE_LENGTH:
        return lines
    share = max(_NOTE_LENGTH // len(lines) - 1, 2)
    cut = [line if len(line) <= share else f"{line[: share - 1]}…" for line in lines]
    return cut[: _NOTE_LENGTH // (share + 1)]
