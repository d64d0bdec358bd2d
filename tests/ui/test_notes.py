"""The note of a run, with Airflow's own tables, and in its own session."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Iterator

import pytest
from airflow.listeners.listener import get_listener_manager
from airflow.utils.sqlalchemy import prohibit_commit

from airflow_mlops.ui import notes

NOW = dt.datetime(2011, 1, 25, 6, tzinfo=dt.UTC)


@pytest.fixture
def session(airflow_tables: None) -> Iterator[object]:
    from airflow import settings

    with settings.Session() as opened:
        yield opened
        opened.rollback()


@pytest.fixture
def run_of(session) -> Callable[..., object]:
    """A finished run whose tasks told stories; an empty story is a task that failed without a word."""
    from airflow.models.dag import DagModel, DagTag
    from airflow.models.dag_version import DagVersion
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.xcom import XComModel
    from airflow.providers.standard.operators.empty import EmptyOperator
    from airflow.serialization.serialized_objects import create_scheduler_operator
    from airflow.utils.state import DagRunState
    from airflow.utils.types import DagRunTriggeredByType, DagRunType

    def made(stories: dict[str, str], *, tags: tuple[str, ...] = ("mlops",), note: object = None) -> DagRun:
        session.add(DagBundleModel(name="bundle"))
        session.flush()
        model = DagModel(dag_id="bike_demand_drift", bundle_name="bundle")
        model.tags = [DagTag(name=tag) for tag in tags]
        version = DagVersion(dag_id=model.dag_id, version_number=1, bundle_name="bundle")
        run = DagRun(
            dag_id=model.dag_id,
            run_id="night",
            run_type=DagRunType.MANUAL,
            run_after=NOW,
            state=DagRunState.SUCCESS,
            triggered_by=DagRunTriggeredByType.TEST,
        )
        if note is not None:
            run.note = note
        session.add_all([model, version, run])
        session.flush()
        for number, (task_id, story) in enumerate(stories.items()):
            at = NOW + dt.timedelta(minutes=number)
            operator = create_scheduler_operator(EmptyOperator(task_id=task_id))
            instance = TaskInstance(operator, dag_version_id=version.id, run_id=run.run_id)
            instance.dag_id = model.dag_id
            instance.state, instance.end_date = ("success" if story else "failed"), at
            session.add(instance)
            session.flush()
            if story:
                session.add(
                    XComModel(
                        dag_run_id=run.id,
                        task_id=task_id,
                        key="story",
                        value=story,
                        timestamp=at,
                        dag_id=run.dag_id,
                        run_id=run.run_id,
                        map_index=-1,
                    )
                )
        session.flush()
        return run

    return made


def told(run) -> None:
    notes.on_dag_run_success(dag_run=run, msg="success")


def test_what_came_of_it_stands_first(run_of) -> None:
    run = run_of(
        {"train_model": "trained on 20 nights", "evaluate_gate": "promote", "promote_model": "champion is new"}
    )
    told(run)
    assert run.note == "champion is new\npromote\ntrained on 20 nights"


def test_it_is_written_with_the_session_that_the_scheduler_commits(run_of, session) -> None:
    from airflow.models.dagrun import DagRunNote
    from sqlalchemy import select

    run = run_of({"detect_drift": "stable"})
    # As the scheduler does it: whoever else commits here breaks its locks.
    with prohibit_commit(session):
        told(run)
        session.flush()
    content = session.scalar(select(DagRunNote.content).where(DagRunNote.dag_run_id == run.id))
    assert content == "stable"


def test_airflow_calls_it_through_its_own_listeners(run_of) -> None:
    assert get_listener_manager().pm.is_registered(notes)
    run = run_of({"detect_drift": "stable"})
    run.notify_dagrun_state_changed(msg="success")
    assert run.note == "stable"


def test_a_task_that_failed_without_a_word_is_named(run_of) -> None:
    run = run_of({"train_model": "trained on 20 nights", "evaluate_gate": ""})
    notes.on_dag_run_failed(dag_run=run, msg="task_failure")
    assert run.note == "evaluate_gate failed\ntrained on 20 nights"


def test_a_long_story_leaves_room_for_the_others(run_of, session) -> None:
    run = run_of({"check_quality": "x" * 1500, "next": "", "last": "y" * 1500})
    told(run)
    lines = run.note.split("\n")
    assert len(run.note) <= 1000
    assert [line[:3] for line in lines] == ["nex", "yyy", "xxx"]
    assert lines[1].endswith("…")


def test_more_stories_than_a_note_holds_are_cut_off(run_of) -> None:
    run = run_of({f"task_{number}": "z" * 9 for number in range(600)})
    told(run)
    assert 900 < len(run.note) <= 1000


def test_a_story_told_again_takes_the_place_of_the_note(run_of, session) -> None:
    run = run_of({"detect_drift": "stable"}, note="what an earlier try told")
    told(run)
    assert run.note == "stable"


def test_what_a_person_wrote_stays(run_of) -> None:
    run = run_of({"detect_drift": "stable"}, note=("looked at by ada", "ada"))
    told(run)
    assert run.note == "looked at by ada"


def test_other_dags_are_left_alone(run_of) -> None:
    run = run_of({"detect_drift": "stable"}, tags=("etl",))
    told(run)
    assert run.note is None


def test_no_story_no_note(run_of) -> None:
    run = run_of({})
    told(run)
    assert run.note is None


def test_whatever_goes_wrong_the_scheduler_goes_on(run_of, session, caplog: pytest.LogCaptureFixture) -> None:
    run = run_of({"detect_drift": "stable"})
    with caplog.at_level(logging.WARNING):
        session.connection().exec_driver_sql("ALTER TABLE xcom RENAME TO gone")
        try:
            told(run)
        finally:
            session.connection().exec_driver_sql("ALTER TABLE gone RENAME TO xcom")
    assert "No note for <DagRun bike_demand_drift" in caplog.text
    assert run.note is None
    # A run that no session knows, and one that is no run at all.
    session.expunge(run)
    told(run)
    told(object())
