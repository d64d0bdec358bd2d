"""The loop in a real scheduler, disturbed on purpose: it ends with one manifest, one verdict, one deployment.

The scenarios share one Airflow and one ledger, and take the nights in turn: they run in this order.
"""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_mlops.chain import audit
from airflow_mlops.nights import quality_by_night
from airflow_mlops.records import (
    Approval,
    Decision,
    Deployment,
    Drift,
    DriftVerdict,
    Manifest,
    Quality,
    Verdict,
    short,
)

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def test_the_first_night_ends_with_a_served_model(stand):
    night = stand.next_night()
    stand.write(night)
    quality = stand.over(stand.trigger("quality", night))
    drift = stand.follow("drift", night)
    retrain = stand.follow("retrain", night)
    deploy = stand.follow("deploy", night)
    assert [run.state for run in (quality, drift, retrain, deploy)] == ["success"] * 4

    chain = stand.chain(night)
    assert chain.verdict.decision is Decision.PROMOTE
    assert chain.verdict.champion is None
    assert chain.manifest.trigger == stand.all(Drift)[-1].ref
    assert len(stand.all(Manifest)) == len(stand.all(Verdict)) == len(stand.all(Deployment)) == 1
    # The history was checked before anything was learned from it.
    checked = quality_by_night(stand.ledger, stand.project.name)
    assert {pin.night for pin in chain.manifest.snapshot} <= checked.keys()
    assert deploy.state_of("roll_back") == "skipped"

    for run, task, record in (
        (quality, "check_quality", quality_by_night(stand.ledger, stand.project.name)[night]),
        (drift, "detect_drift", stand.all(Drift)[-1]),
        (retrain, "train_model", chain.manifest),
        (retrain, "evaluate_gate", chain.verdict),
        (deploy, "verify_answers", chain.deployment),
    ):
        assert str(stand.links(run, task)["Record"]).endswith(f"/mlops/records/{record.kind}/{record.key}")
        assert stand.api.xcom(run, task, "story") in stand.note(run)
    assert chain.registration.run_url == stand.links(retrain, "train_model")["MLflow run"]
    assert stand.links(deploy, "make_live")["Endpoint"] == f"http://127.0.0.1:{stand.project.spec.serving.port}"


def test_a_bad_night_is_kept_out_until_it_is_corrected(stand):
    """The night comes late, and wrong, and is then corrected."""
    night = stand.next_night()
    run = stand.trigger("quality", night)
    stand.in_state(run, "await_night", "deferred")

    stand.write(night, corrupt="unit")
    run = stand.over(run)
    assert (run.state, run.state_of("await_night"), run.state_of("check_quality")) == ("failed", "success", "failed")
    # What is wrong stays wrong: it was not tried again.
    assert run.tasks["check_quality"]["try_number"] == 1
    bad = quality_by_night(stand.ledger, stand.project.name)[night]
    assert bad.quarantined
    assert "temp" in {check.column for check in bad.faults}
    assert not stand.runs("drift", night)

    stand.write(night)
    assert stand.over(stand.trigger("quality", night)).state == "success"
    good = quality_by_night(stand.ledger, stand.project.name)[night]
    assert not good.quarantined
    assert stand.follow("drift", night).state == "success"
    # Both records stand; the window was made of the corrected file.
    assert {bad.ref, good.ref} <= {record.ref for record in stand.all(Quality)}
    windows = {pin.digest for drift in stand.all(Drift) for pin in drift.window}
    assert good.partition.digest in windows
    assert bad.partition.digest not in windows


def test_a_worker_killed_while_training_and_its_training_killed_after_that(stand):
    night = stand.next_night()
    stand.write(night, temp=0.3)
    stand.hold()
    stand.over(stand.trigger("quality", night))
    assert stand.follow("drift", night).state == "success"
    drift = _drift(stand, night)
    assert drift.far is DriftVerdict.DRIFT, drift.reason
    training = stand.training()
    [retrain] = stand.runs("retrain", night)
    worker = stand.in_state(retrain, "train_model", "running")["pid"]

    stand.kill(worker)
    stand.gone(training)
    second = stand.training()
    assert stand.in_state(retrain, "train_model", "running")["try_number"] == 2

    stand.kill(second)
    stand.training()
    stand.release()
    assert stand.over(retrain).state == "success"
    assert stand.api.run(retrain.dag_id, retrain.run_id).tasks["train_model"]["try_number"] == 3
    assert stand.follow("deploy", night).state == "success"
    chain = stand.chain(night)
    assert chain.manifest.trigger == drift.ref
    assert chain.verdict.champion is not None


def test_a_cleared_task_finds_what_it_did(stand):
    night = max(manifest.night for manifest in stand.all(Manifest))
    before, chain = stand.records(), stand.chain(night)
    [retrain] = stand.runs("retrain", night)

    for cleared, task in enumerate(("train_model", "evaluate_gate"), start=2):
        stand.api.clear(retrain, task)
        assert stand.over(retrain).state == "success"
        deploy = stand.follow("deploy", night, runs=cleared)
        assert deploy.state == "success"
    stand.api.clear(deploy, "build_bento")
    assert stand.over(deploy).state == "success"
    assert stand.records() == before
    assert stand.chain(night) == chain


def test_a_night_triggered_twice_at_once_and_once_more(stand):
    night = stand.next_night()
    stand.write(night, hum=-0.3)
    with ThreadPoolExecutor(2) as both:
        runs = list(both.map(lambda _: stand.trigger("quality", night), range(2)))
    assert [stand.over(run).state for run in runs] == ["success"] * 2
    stand.follow("drift", night)
    stand.follow("retrain", night)
    stand.follow("deploy", night)
    chain = stand.chain(night)
    assert len([record for record in stand.all(Quality) if record.night == night]) == 1

    before = stand.records()
    stand.settled()
    stand.over(stand.trigger("quality", night))
    stand.settled()
    assert stand.chain(night) == chain
    # The night is now held against the new champion: that drift record is new, and so are the profiles, in bins that
    # hold what it was trained on; everything else stands.
    new = stand.records().keys() - before.keys()
    assert {path.partition("/")[0] for path in new} <= {"drift", "baseline", "profile"}, sorted(new)
    assert {path: content for path, content in stand.records().items() if path in before} == before


def test_a_scheduler_killed_while_training(stand):
    night = stand.next_night()
    stand.write(night, windspeed=0.4)
    stand.hold()
    stand.over(stand.trigger("quality", night))
    stand.training()
    [retrain] = stand.runs("retrain", night)
    stand.kill_service("scheduler", with_children=False)
    stand.start_again("scheduler")
    # Its worker dies some seconds after it; the new scheduler finds the orphan and lets it be trained again.
    stand.training()
    stand.release()
    assert stand.over(retrain).state == "success"
    assert stand.follow("deploy", night).state == "success"
    stand.chain(night)


def test_mlflow_away_while_training(stand):
    """Forced by hand, too, as by the button in the UI: without drift, without the name of a night."""
    night = stand.next_night()
    stand.write(night)
    stand.over(stand.trigger("quality", night))
    stand.follow("drift", night)
    stand.hold()
    deployed = len(stand.runs("deploy"))
    retrain = stand.trigger("retrain", None, force=True)
    stand.training()
    stand.kill_service("mlflow", with_children=True)
    stand.release()
    stand.in_state(retrain, "train_model", "up_for_retry")
    # What was trained is kept: the retry has only to register it.
    [manifest] = [found for found in stand.all(Manifest) if found.night == night]
    assert stand.served() is not None
    stand.start_again("mlflow")
    assert stand.over(retrain).state == "success"
    assert stand.follow("deploy", None, runs=deployed + 1).state == "success"
    assert stand.chain(night).manifest == manifest


def test_a_dry_run_moves_nothing(stand):
    model, night = "rehearsal", max(manifest.night for manifest in stand.all(Manifest))
    assert stand.over(stand.trigger("quality", night, model=model)).state == "success"
    for stage in ("drift", "retrain", "deploy"):
        assert stand.follow(stage, night, model=model).state == "success"
    # All the work was done ...
    [verdict] = stand.ledger.all(Verdict, f"{model}/")
    [deployment] = stand.ledger.all(Deployment, f"{model}/")
    assert verdict.decision is Decision.PROMOTE
    assert deployment.verdict == verdict.ref
    # ... and nobody would notice.
    assert stand.ledger.pointer(model, "champion") is None
    assert stand.ledger.pointer(model, "live") is None
    assert stand.alias(model) is None
    assert not stand.serving(model)


def test_what_the_gate_holds_waits_for_a_person(stand):
    """Nobody answers in time; then one says no, and, by other rules, yes."""
    night = stand.next_night()
    awaited = stand.trigger_dag("verdict_awaited", night=str(night))
    stand.in_state(awaited, "await_verdict", "deferred")
    stand.rewrite("margin = 0.99\nmin_rows = 48", "margin = 0.99\nmin_rows = 100000")
    stand.rewrite("approval_hours = 72.0", "approval_hours = 0.001")
    stand.write(night, temp=0.3, hum=-0.3, windspeed=0.4)
    assert stand.over(stand.trigger("quality", night)).state == "success"
    champion = stand.ledger.pointer(stand.project.name, "champion")
    assert champion is not None

    retrain = stand.follow("retrain", night)
    assert (retrain.state, retrain.state_of("promote_model")) == ("success", "skipped")
    (silence,) = stand.all(Approval)
    assert (silence.approved, silence.decided_by, silence.reason) == (False, None, "nobody decided in time")
    assert stand.api.xcom(stand.over(awaited), "await_verdict") == str(silence.verdict)

    stand.rewrite("approval_hours = 0.001", "approval_hours = 1.0")
    stand.api.clear(retrain, "evaluate_gate")
    stand.in_state(retrain, "request_approval", "awaiting_input")
    request = stand.request(retrain)
    assert request["subject"] == f"{stand.project.name}, {night}: the gate says hold. Promote the model?"
    assert "| rmse non_inferior | golden | hold |" in request["body"]
    assert f"/mlops/records/verdict/{stand.project.name}/" in request["body"]
    stand.answer(retrain, "Reject", "the season is over")
    retrain = stand.over(retrain)
    assert [retrain.state_of(task) for task in ("request_approval", "promote_model")] == ["skipped"] * 2
    assert "Anonymous rejected it: the season is over" in stand.api.xcom(retrain, "request_approval", "story")
    assert stand.ledger.pointer(stand.project.name, "champion") == champion

    stand.rewrite("approval_hours = 1.0", "approval_hours = 2.0")
    stand.api.clear(retrain, "evaluate_gate")
    stand.in_state(retrain, "request_approval", "awaiting_input")
    stand.answer(retrain, "Approve", "seen with the planners")
    retrain = stand.over(retrain)
    assert (retrain.state, retrain.state_of("promote_model")) == ("success", "success")
    verdict = max(stand.all(Verdict), key=lambda verdict: verdict.recorded_at)
    assert verdict.decision is Decision.HOLD
    (approval,) = [found for found in stand.all(Approval) if found.verdict == verdict.ref]
    assert (approval.approved, approval.decided_by, approval.reason) == (True, "Anonymous", "seen with the planners")
    assert stand.ledger.pointer(stand.project.name, "champion").to == verdict.ref
    assert len(stand.all(Approval)) == 3

    # What a person let through is served like any other; and the asset of the alias has been woken.
    assert stand.follow("deploy", night).state == "success"
    assert stand.served() == short(verdict.artefact_digest)
    woken = stand.wait(lambda: stand.api.runs("alias_changed")[-1:] or None, "a run of alias_changed")
    assert stand.over(woken[0]).state == "success"


def test_the_chain_holds_together(stand):
    """After all that: every record has its digest, and everything that it rests on."""
    assert stand.serving(stand.project.name)
    assert audit(stand.ledger).faults == ()


def _drift(stand, night: dt.date) -> Drift:
    return max((drift for drift in stand.all(Drift) if drift.night == night), key=lambda drift: drift.recorded_at)
