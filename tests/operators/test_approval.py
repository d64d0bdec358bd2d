"""Who is asked about what, what they are shown, and that their word is a record: given once, kept once."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException, TaskAwaitingInput

from airflow_mlops.errors import RemoteUnavailable
from airflow_mlops.operators.approval import RequestApprovalOperator
from airflow_mlops.records import Approval, Decision, RecordRef

PROMOTE, HOLD, REJECT = Decision


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The requests that Airflow's server would keep. (tests/e2e sends them to a real one.)"""
    requests: list[dict[str, Any]] = []
    monkeypatch.setattr(
        "airflow.providers.standard.operators.hitl.upsert_hitl_detail", lambda **request: requests.append(request)
    )
    return requests


def said(option: str | None, reason: str = "seen with the planners", name: str = "Ada") -> dict[str, Any]:
    """The event with which Airflow lets the task go on; no option is a time that ran out."""
    return {
        "chosen_options": [option or "Reject"],
        "params_input": {"reason": reason if option else ""},
        "responded_at": dt.datetime.now(dt.UTC),
        "responded_by_user": {"id": "7", "name": name} if option else None,
        "timedout": option is None,
    }


def approvals(judged: Any) -> list[Approval]:
    return list(judged.ledger.all(Approval, "bike_demand/"))


def mode(judged: Any, mode: str) -> None:
    judged.loop.configure(replace={"[gate]": f'[gate]\napproval = "{mode}"\napproval_hours = 5.0'})


def ask(judged: Any, verdict: str) -> None:
    with pytest.raises(TaskAwaitingInput) as waiting:
        judged.run(RequestApprovalOperator, verdict=verdict)
    assert waiting.value.method_name == "execute_complete"
    assert waiting.value.timeout == dt.timedelta(hours=5)


@pytest.mark.parametrize(
    ("approval", "decision", "what"),
    [
        ("hold", PROMOTE, "passes"),
        ("hold", HOLD, "asks"),
        ("hold", REJECT, "skips"),
        ("always", PROMOTE, "asks"),
        ("always", HOLD, "asks"),
        ("always", REJECT, "skips"),
        ("never", PROMOTE, "passes"),
        ("never", HOLD, "skips"),
        ("never", REJECT, "skips"),
    ],
)
def test_who_is_asked_about_what(judged, asked, approval, decision, what):
    mode(judged, approval)
    verdict = judged.verdict(judged.manifest("one"), decision)
    if what == "asks":
        ask(judged, verdict)
    elif what == "skips":
        with pytest.raises(AirflowSkipException, match=f"the gate's verdict is {decision}"):
            judged.run(RequestApprovalOperator, verdict=verdict)
    else:
        assert judged.run(RequestApprovalOperator, verdict=verdict) == verdict
    assert len(asked) == (what == "asks")
    assert approvals(judged) == []


def test_the_person_sees_the_verdicts_table(judged, asked):
    mode(judged, "hold")
    ask(judged, judged.verdict(judged.manifest("one"), HOLD, reason="too few rows | [click](http://x)"))
    (request,) = asked
    assert request["subject"] == "bike_demand, 2025-02-18: the gate says hold. Promote the model?"
    assert request["options"] == ["Approve", "Reject"]
    assert request["defaults"] == ["Reject"]
    assert request["params"]["reason"]["schema"]["type"] == "string"
    body = request["body"].splitlines()
    assert "The gate says **hold**." in body
    assert (
        "| rmse non_inferior, weathersit=1 | golden | hold | +1.90% | -1.00% to +4.80% | +2.00% | 0.310 | 120 | 3,400 |"
        in body
    )
    # What stands in the data does not draw a link.
    assert r"- too few rows \| \[click\](http://x)" in body
    assert body[-1].startswith("[The whole verdict](")
    assert "/mlops/records/verdict/bike_demand/" in body[-1]
    assert judged.loop.story == "2025-02-18: waiting for a person, up to 5 hours"


def test_an_approval_is_a_record_with_name_and_reason(judged, asked):
    mode(judged, "hold")
    verdict = judged.verdict(judged.manifest("one"), HOLD)
    ask(judged, verdict)
    assert judged.answer(RequestApprovalOperator, said("Approve"), verdict=verdict) == verdict
    (approval,) = approvals(judged)
    assert (approval.approved, approval.decided_by, approval.reason) == (True, "Ada", "seen with the planners")
    assert approval.verdict == RecordRef.parse(verdict)
    assert approval.rests_on == (RecordRef.parse(verdict),)
    assert judged.loop.story == "approved by Ada: seen with the planners"
    # Cleared, it neither asks again nor writes another; nor would another word now count.
    assert judged.run(RequestApprovalOperator, verdict=verdict) == verdict
    assert judged.answer(RequestApprovalOperator, said("Reject", name="Bob"), verdict=verdict) == verdict
    assert approvals(judged) == [approval]
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("option", "who", "why"),
    [("Reject", "Ada", "Ada rejected it: seen with the planners"), (None, None, "nobody decided in time")],
)
def test_a_rejection_and_a_silence_skip_what_follows(judged, asked, option, who, why):
    mode(judged, "hold")
    verdict = judged.verdict(judged.manifest("one"), HOLD)
    ask(judged, verdict)
    with pytest.raises(AirflowSkipException, match=why):
        judged.answer(RequestApprovalOperator, said(option), verdict=verdict)
    (approval,) = approvals(judged)
    assert (approval.approved, approval.decided_by) == (False, who)
    with pytest.raises(AirflowSkipException, match=why):
        judged.run(RequestApprovalOperator, verdict=verdict)
    assert len(asked) == 1


def test_a_silence_never_approves_whatever_airflow_says(judged, asked):
    """An answer without a person, as an older triggerer or a changed default would give it."""
    mode(judged, "hold")
    verdict = judged.verdict(judged.manifest("one"), HOLD)
    event = said("Approve") | {"responded_by_user": None}
    with pytest.raises(AirflowSkipException):
        judged.answer(RequestApprovalOperator, event, verdict=verdict)
    assert [approval.approved for approval in approvals(judged)] == [False]


def test_a_store_that_is_away_when_the_answer_comes_costs_no_second_question(judged, asked, monkeypatch):
    from airflow_mlops.ledger import Ledger

    mode(judged, "hold")
    verdict = judged.verdict(judged.manifest("one"), HOLD)
    ask(judged, verdict)
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "write", _away)
        with pytest.raises(AirflowException, match="RemoteUnavailable") as caught:
            judged.answer(RequestApprovalOperator, said("Approve"), verdict=verdict)
        assert not isinstance(caught.value, AirflowFailException)
    assert judged.run(RequestApprovalOperator, verdict=verdict) == verdict
    assert [approval.decided_by for approval in approvals(judged)] == ["Ada"]
    assert len(asked) == 1
    # What was kept is about that verdict only.
    another = judged.verdict(judged.manifest("two"), HOLD)
    ask(judged, another)


def test_a_task_that_is_tried_again_before_anybody_answered_asks_again(judged, asked):
    """Airflow does so of itself where an answer comes within a second of the question; the answer is gone then."""
    mode(judged, "hold")
    verdict = judged.verdict(judged.manifest("one"), HOLD)
    ask(judged, verdict)
    ask(judged, verdict)
    assert len(asked) == 2
    judged.answer(RequestApprovalOperator, said("Approve"), verdict=verdict)
    assert [approval.decided_by for approval in approvals(judged)] == ["Ada"]


def _away(*_: Any, **__: Any) -> Any:
    raise RemoteUnavailable("expected the store to answer. Try again.")


@pytest.mark.parametrize(
    ("event", "match"),
    [
        (said("Maybe"), "Maybe"),
        (said("Approve") | {"params_input": {"other": "x"}}, "does not match params"),
        ({"error": "gone", "error_type": "timeout"}, "gone"),
    ],
)
def test_an_answer_that_makes_no_sense_is_none(judged, event, match):
    verdict = judged.verdict(judged.manifest("one"), HOLD)
    with pytest.raises(Exception, match=match):
        judged.answer(RequestApprovalOperator, event, verdict=verdict)
    assert approvals(judged) == []


def test_a_reason_is_as_long_as_a_person_reads(judged):
    verdict = judged.verdict(judged.manifest("one"), HOLD)
    judged.answer(RequestApprovalOperator, said("Approve", reason="x" * 10_000), verdict=verdict)
    other = judged.verdict(judged.manifest("two"), HOLD)
    judged.answer(RequestApprovalOperator, said("Approve", reason="  "), verdict=other)
    assert sorted(len(approval.reason) for approval in approvals(judged)) == [len("no reason given"), 2000]


def test_a_verdict_that_is_not_there_is_not_asked_about(judged, asked):
    verdict = judged.verdict(judged.manifest("one"), HOLD)
    with pytest.raises(AirflowFailException, match="LedgerError"):
        judged.run(RequestApprovalOperator, verdict=verdict.replace("/bike_demand/", "/bike_demand/x"))
    assert asked == []


def test_in_a_dag_it_asks_for_a_reason_and_for_nothing_that_the_dag_asks_for():
    with DAG("d", params={"force": False}, default_args={"execution_timeout": dt.timedelta(seconds=1)}) as dag:
        RequestApprovalOperator(task_id="ask", project="p", verdict="v")
    task = dag.get_task("ask")
    assert set(task.serialized_params) == {"reason"}
    # What a task may take to work is not what a person may take to answer.
    assert task.response_timeout > dt.timedelta(hours=1)
