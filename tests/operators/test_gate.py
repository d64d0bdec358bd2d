"""A verdict stands, and promotion moves pointer and alias together, once."""

from __future__ import annotations

import datetime as dt
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from airflow_mlops.operators.gate import EvaluateGateOperator, PromoteModelOperator
from airflow_mlops.operators.training import TrainModelOperator
from airflow_mlops.records import Artefact, Decision, Manifest, RecordRef, Verdict

pytestmark = pytest.mark.slow

NEW = [dt.date(2025, 2, 19) + dt.timedelta(days=index) for index in range(3)]


def verdict_of(loop: Any, reference: str) -> Verdict:
    found: Verdict = loop.ledger.read(Verdict, RecordRef.parse(reference))
    return found


def champion(loop: Any) -> str | None:
    pointer = loop.ledger.pointer("bike_demand", "champion")
    return str(pointer.to) if pointer else None


def challenger(loop: Any) -> str:
    """A second training, judged against today's champion."""
    for night in NEW:
        loop.arrive(night)
    manifest = loop.run(TrainModelOperator, run_id="second")
    return str(loop.run(EvaluateGateOperator, run_id="second", manifest=manifest))


def twin(loop: Any, reference: str, **changes: Any) -> str:
    """A verdict like another, but for some fields."""
    verdict = verdict_of(loop, reference)
    return str(loop.ledger.write(verdict.model_copy(update=changes)).ref)


def test_the_first_model_needs_only_its_absolute_rules(trained):
    verdict = verdict_of(trained, trained.verdict)
    assert verdict.decision is Decision.PROMOTE
    assert verdict.champion is None
    assert [rule.rule for rule in verdict.rules] == ["rmse absolute"]
    assert "left out" in " ".join(verdict.reasons)


def test_a_verdict_that_stands_is_not_given_again(trained, monkeypatch):
    monkeypatch.setattr("airflow_mlops.training.process.run_prediction", _never)
    assert trained.run(EvaluateGateOperator, manifest=trained.manifest) == trained.verdict
    # Also when it has made its model the champion: it is not judged against itself.
    trained.run(PromoteModelOperator, verdict=trained.verdict)
    assert trained.run(EvaluateGateOperator, manifest=trained.manifest) == trained.verdict
    assert trained.records()["verdict"] == 1


def _never(*_: Any, **__: Any) -> Any:
    raise AssertionError("expected no prediction")


def test_other_rules_are_another_verdict(trained):
    trained.configure(replace={"max = 5000.0": "max = 0.001"})
    second = verdict_of(trained, trained.run(EvaluateGateOperator, manifest=trained.manifest))
    assert second.decision is Decision.REJECT
    assert trained.records()["verdict"] == 2
    with pytest.raises(AirflowSkipException, match="the gate's verdict is reject"):
        trained.run(PromoteModelOperator, verdict=str(second.ref))
    assert champion(trained) is None
    assert trained.alias() is None


def test_promotion_moves_pointer_and_alias_and_hands_the_verdict_on(trained):
    asset = Asset("bike_demand/model")
    assert trained.run(PromoteModelOperator, verdict=trained.verdict, outlets=[asset]) == trained.verdict
    assert champion(trained) == trained.verdict
    assert trained.alias() == "1"
    assert trained.context["outlet_events"][asset].extra["verdict"] == trained.verdict
    # A cleared task finds it done.
    trained.run(PromoteModelOperator, verdict=trained.verdict)
    assert trained.ledger.pointer("bike_demand", "champion").moves == 1


def test_dry_run_moves_nothing(trained):
    trained.run(PromoteModelOperator, verdict=trained.verdict, dry_run=True)
    assert champion(trained) is None
    assert trained.alias() is None
    assert trained.story.startswith("dry run: would promote")


def test_a_challenger_takes_the_champions_place(trained):
    trained.run(PromoteModelOperator, verdict=trained.verdict)
    second = challenger(trained)
    verdict = verdict_of(trained, second)
    assert str(verdict.champion) == trained.manifest
    assert [rule.rule for rule in verdict.rules] == ["rmse absolute", "rmse non_inferior"]
    trained.run(PromoteModelOperator, verdict=second)
    assert champion(trained) == second
    assert trained.alias() == "2"
    assert [str(ref) for ref in trained.ledger.pointer("bike_demand", "champion").history] == [trained.verdict]
    # The old run, cleared, neither judges its model anew nor takes the new champion's place.
    assert trained.run(EvaluateGateOperator, manifest=trained.manifest) == trained.verdict
    with pytest.raises(AirflowSkipException, match="was replaced since"):
        trained.run(PromoteModelOperator, verdict=trained.verdict)
    assert champion(trained) == second


def test_a_model_that_cannot_predict_is_judged_all_the_same(trained):
    """The challenger is rejected; the champion cannot be compared with, so that a person must look."""
    manifest = trained.ledger.read(Manifest, RecordRef.parse(trained.manifest))
    files = {**manifest.artefact.files, "model.pt2": trained.ledger.put_blob(b"torn")}
    changes = {"fingerprint": "sha256:" + "cd" * 32, "artefact": Artefact(files=files)}
    broken = trained.ledger.write(manifest.model_copy(update=changes)).ref
    rejected = verdict_of(trained, trained.run(EvaluateGateOperator, manifest=str(broken)))
    assert rejected.decision is Decision.REJECT
    assert "the challenger cannot predict" in rejected.reasons[0]
    forged = RecordRef.parse(twin(trained, trained.verdict, manifest=broken))
    now = dt.datetime.now(dt.UTC)
    trained.ledger.move("bike_demand", "champion", forged, seen=None, reason="forged", now=now)
    held = verdict_of(trained, trained.run(EvaluateGateOperator, manifest=trained.manifest))
    assert held.decision is Decision.HOLD
    assert "the champion cannot predict" in " ".join(held.reasons)


def test_a_verdict_against_another_champion_is_refused(trained):
    """Judged while there was none; meanwhile another became champion."""
    manifest = trained.ledger.read(Manifest, RecordRef.parse(trained.manifest))
    other = str(trained.ledger.write(manifest.model_copy(update={"fingerprint": "sha256:" + "ab" * 32})).ref)
    stale = twin(trained, trained.verdict, manifest=RecordRef.parse(other))
    trained.run(PromoteModelOperator, verdict=trained.verdict)
    with pytest.raises(AirflowFailException, match=r"Conflict: expected the champion .* Run the gate again"):
        trained.run(PromoteModelOperator, verdict=stale)
    assert champion(trained) == trained.verdict
    assert trained.alias() == "1"


def test_promotion_while_mlflow_is_away_is_finished_by_the_retry(trained):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_MLFLOW", json.dumps({"conn_type": "mlflow", "host": "http://127.0.0.1:9"}))
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        with pytest.raises(AirflowException, match="RemoteUnavailable") as caught:
            trained.run(PromoteModelOperator, verdict=trained.verdict)
        assert not isinstance(caught.value, AirflowFailException)
    assert champion(trained) == trained.verdict
    assert trained.alias() is None
    trained.run(PromoteModelOperator, verdict=trained.verdict)
    assert trained.alias() == "1"
    assert trained.ledger.pointer("bike_demand", "champion").moves == 1


def test_of_two_promotions_at_once_one_wins(trained, monkeypatch):
    """Both look before either moves."""
    from airflow_mlops.ledger import Ledger

    manifest = trained.ledger.read(Manifest, RecordRef.parse(trained.manifest))
    other = trained.ledger.write(manifest.model_copy(update={"fingerprint": "sha256:" + "ab" * 32}))
    rival = twin(trained, trained.verdict, manifest=other.ref)
    ready, move = threading.Barrier(2), Ledger.move

    def together(*args: Any, **kwargs: Any) -> Any:
        ready.wait(30)
        return move(*args, **kwargs)

    monkeypatch.setattr(Ledger, "move", together)
    # Prepared here: two tasks are two processes, each with a context of its own.
    ended: dict[str, str] = {}

    def promote(verdict: str) -> None:
        try:
            loop = type(trained)(trained.home)
            loop.run(PromoteModelOperator, verdict=verdict)
            ended[verdict] = "won"
        except AirflowFailException as error:
            ended[verdict] = str(error)

    threads = [threading.Thread(target=promote, args=(verdict,)) for verdict in (trained.verdict, rival)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    (winner,) = [verdict for verdict, end in ended.items() if end == "won"]
    (loser,) = set(ended) - {winner}
    assert ended[loser].startswith("Conflict")
    assert champion(trained) == winner


def test_an_edited_verdict_promotes_nothing(trained):
    (path,) = (Path(trained.store) / "records" / "verdict").rglob("*.json")
    path.write_text(path.read_text().replace('"rows": ', '"rows": 9'))
    with pytest.raises(AirflowFailException, match=r"TamperedRecord: .*verdict"):
        trained.run(PromoteModelOperator, verdict=trained.verdict)
    assert champion(trained) is None
