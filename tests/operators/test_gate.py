"""A verdict on real predictions: what is judged, what stands, and what a model at fault leads to."""

from __future__ import annotations

import datetime as dt
import pickle
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airflow_mlops.golden import read_golden
from airflow_mlops.operators.evidence import rules_digest_of
from airflow_mlops.operators.gate import EvaluateGateOperator
from airflow_mlops.operators.promotion import PromoteModelOperator
from airflow_mlops.operators.training import TrainModelOperator
from airflow_mlops.project import load_project
from airflow_mlops.records import Artefact, Decision, Manifest, RecordRef, Verdict, sha256_digest

pytestmark = pytest.mark.slow

NEW = [dt.date(2025, 2, 19) + dt.timedelta(days=index) for index in range(3)]
BESIDES = ["artefact scan", "leakage", "signature"]


def verdict_of(loop: Any, reference: str) -> Verdict:
    found: Verdict = loop.ledger.read(Verdict, RecordRef.parse(reference))
    return found


def judged(loop: Any, manifest: RecordRef | str) -> Verdict:
    return verdict_of(loop, loop.run(EvaluateGateOperator, manifest=str(manifest)))


def champion(loop: Any) -> str | None:
    pointer = loop.ledger.pointer("bike_demand", "champion")
    return str(pointer.to) if pointer else None


def another(loop: Any, **changes: Any) -> Manifest:
    """A training like the one there is, but for some fields."""
    manifest = loop.ledger.read(Manifest, RecordRef.parse(loop.manifest))
    return loop.ledger.write(
        manifest.model_copy(update={"fingerprint": sha256_digest(str(changes).encode()), **changes})
    )


def with_file(loop: Any, name: str, content: bytes) -> Artefact:
    manifest = loop.ledger.read(Manifest, RecordRef.parse(loop.manifest))
    return Artefact(files={**manifest.artefact.files, name: loop.ledger.put_blob(content)})


def crowned(loop: Any, manifest: Manifest) -> None:
    """Make a model the champion that no gate ever saw."""
    verdict = verdict_of(loop, loop.verdict)
    forged = loop.ledger.write(verdict.model_copy(update={"manifest": manifest.ref})).ref
    now = dt.datetime.now(dt.UTC)
    loop.ledger.move("bike_demand", "champion", forged, seen=None, reason="forged", now=now)


def said(verdict: Verdict) -> str:
    return " ".join(verdict.reasons)


def test_the_first_model_needs_only_its_absolute_rules(trained):
    verdict = verdict_of(trained, trained.verdict)
    assert verdict.decision is Decision.PROMOTE
    assert verdict.champion is None
    assert [rule.rule for rule in verdict.rules] == ["rmse absolute", *BESIDES]
    assert "left out" in said(verdict)
    assert verdict.golden_uses == 0


def test_a_verdict_that_stands_is_not_given_again(trained, monkeypatch):
    monkeypatch.setattr("airflow_mlops.training.process.run_prediction", _never)
    assert trained.run(EvaluateGateOperator, manifest=trained.manifest) == trained.verdict
    # Also when it has made its model the champion: it is not judged against itself.
    trained.run(PromoteModelOperator, verdict=trained.verdict)
    assert trained.run(EvaluateGateOperator, manifest=trained.manifest) == trained.verdict
    assert trained.records()["verdict"] == 1


def _never(*_: Any, **__: Any) -> Any:
    raise AssertionError("expected no prediction")


RULES = """rules = [
  { metric = "rmse", kind = "absolute", on = "golden", max = 0.001, min_rows = 24 },
  { metric = "rmse", kind = "absolute", on = "golden", max = 5000.0, min_rows = 24, slice = "weathersit" },
  { metric = "own_metrics.worst", kind = "absolute", on = "golden", max = 9000.0, min_rows = 24 },
  { metric = "size_mb", kind = "absolute", max = 100.0 },
  { metric = "p99_latency_ms", kind = "absolute", max = 5000.0, required = false },
]
behaviour = [
  { name = "a hair warmer", feature = "temp", add = 1e-6, expect = "same", tolerance = 1e3 },
  { name = "always less", feature = "temp", add = 0.2, expect = "not_more", max_violations = 0.0, required = false },
]
"""


def test_other_rules_are_another_verdict_and_everything_is_judged(trained):
    toml = (trained.folder / "model.toml").read_text()
    start, end = toml.index("rules = ["), toml.index("[serving]")
    (trained.folder / "model.toml").write_text(toml[:start] + RULES + toml[end:])
    (trained.folder / "own_metrics.py").write_text(
        "def worst(y_true, y_pred):\n    return abs(y_true - y_pred).max()\n"
    )

    second = judged(trained, trained.manifest)
    assert second.decision is Decision.REJECT
    assert trained.records()["verdict"] == 2
    rules = {(rule.rule, rule.slice): rule for rule in second.rules}
    assert rules["rmse absolute", None].decision is Decision.REJECT
    assert {name for name, part in rules if part} == {"rmse absolute"}
    assert {part.partition("=")[0] for _, part in rules if part} == {"weathersit"}
    assert rules["own_metrics.worst absolute", None].decision is Decision.PROMOTE
    assert 0 < rules["size_mb absolute", None].challenger < 100
    assert rules["p99_latency_ms absolute", None].rows >= 1000
    assert rules["behaviour: a hair warmer", None].decision is Decision.PROMOTE
    assert rules["behaviour: always less", None].rows > 0
    # The same model again: that wears nothing out.
    assert second.golden_uses == 0
    assert judged(trained, trained.manifest).ref == second.ref
    # A metric that measures something else is another rule.
    own = trained.folder / "own_metrics.py"
    own.write_text(own.read_text() + "# another\n")
    assert rules_digest_of(load_project(trained.folder)) != second.rules_digest
    with pytest.raises(AirflowSkipException, match="the gate's verdict is reject"):
        trained.run(PromoteModelOperator, verdict=str(second.ref))
    assert champion(trained) is None


def test_a_challenger_takes_the_champions_place(trained):
    trained.run(PromoteModelOperator, verdict=trained.verdict)
    for night in NEW:
        trained.arrive(night)
    manifest = trained.run(TrainModelOperator, run_id="second")
    verdict = judged(trained, manifest)
    assert str(verdict.champion) == trained.manifest
    assert verdict.golden_uses == 1
    names = [rule.rule for rule in verdict.rules if rule.on == "golden"]
    assert names == ["rmse absolute", "rmse non_inferior", "leakage"]
    assert verdict.decision is Decision.PROMOTE, said(verdict)
    trained.run(PromoteModelOperator, verdict=str(verdict.ref))
    assert (champion(trained), trained.alias()) == (str(verdict.ref), "2")
    # The old run, cleared, does not judge its model anew.
    assert trained.run(EvaluateGateOperator, manifest=trained.manifest) == trained.verdict


def test_a_prediction_that_takes_too_long_rejects(trained, monkeypatch):
    trained.configure(
        replace={"cooldown_nights = 3": "cooldown_nights = 3\n[training.resources]\ntimeout_minutes = 0.001"}
    )
    broken = another(trained, seed=1)
    verdict = judged(trained, broken.ref)
    assert verdict.decision is Decision.REJECT
    assert "the challenger cannot predict: expected the prediction of" in verdict.reasons[0]
    assert verdict.predictions_digest is None
    # It was the machine, or the limit: with neither mended, and with either, the model is asked again.
    assert "to end within" in str(verdict.run_fault)
    with monkeypatch.context() as patch:
        patch.setattr("airflow_mlops.training.process.python_for", lambda *_, **__: Path("/bin/false"))
        assert "status 1" in said(judged(trained, broken.ref))
    trained.configure()
    mended = judged(trained, broken.ref)
    assert (mended.decision, mended.run_fault) == (Decision.PROMOTE, None)
    assert judged(trained, broken.ref).ref == mended.ref


def test_what_would_run_code_is_not_loaded(trained, monkeypatch):
    monkeypatch.setattr("airflow_mlops.training.process.run_prediction", _never)
    refused = another(trained, artefact=with_file(trained, "extra.pkl", pickle.dumps(dt.date)))
    verdict = judged(trained, refused.ref)
    assert verdict.decision is Decision.REJECT
    assert "was not loaded, for what its artefact holds" in verdict.reasons[0]
    assert "is a pickle that imports datetime.date" in said(verdict)


def test_golden_rows_among_those_trained_on_reject(trained):
    golden = read_golden(trained.ledger, trained.project)
    manifest = trained.ledger.read(Manifest, RecordRef.parse(trained.manifest))
    verdict = judged(trained, another(trained, snapshot=(*manifest.snapshot, golden.partitions[0])).ref)
    assert verdict.decision is Decision.REJECT
    assert "24 of" in said(verdict)
    assert "by what it knows by heart" in said(verdict)


@pytest.mark.parametrize("fault", ["gone", "edited", "late"])
def test_a_champion_that_cannot_answer_holds(trained, fault):
    """Nothing is known of whether the challenger is worse: a person must look."""
    other = another(trained, artefact=with_file(trained, "notes.txt", b"not there"))
    crowned(trained, other)
    blob = trained.home / "store" / "blobs" / "sha256" / other.artefact.files["notes.txt"].removeprefix("sha256:")
    content = blob.read_bytes()
    if fault == "gone":
        blob.unlink()
    elif fault == "edited":
        blob.chmod(0o644)
        blob.write_bytes(b"other")
    else:
        torn = another(trained, artefact=with_file(trained, "model.pt2", b"torn"))
        trained.ledger.move(
            "bike_demand",
            "champion",
            trained.ledger.write(verdict_of(trained, trained.verdict).model_copy(update={"manifest": torn.ref})).ref,
            seen=trained.ledger.pointer("bike_demand", "champion"),
            reason="forged",
            now=dt.datetime.now(dt.UTC),
        )
    held = judged(trained, trained.manifest)
    assert held.decision is Decision.HOLD
    what = {"gone": "cannot be fetched: expected sha256:", "edited": "cannot be fetched: ", "late": "cannot predict"}[
        fault
    ]
    assert f"the champion {what}" in said(held)
    assert f"the champion {what}" in str(held.run_fault)
    if fault == "gone":
        # Back from a backup: what was held for it is judged anew, by the same rules.
        blob.write_bytes(content)
        again = judged(trained, trained.manifest)
        assert (again.rules_digest, again.run_fault) == (held.rules_digest, None)
        assert any(rule.rule == "rmse non_inferior" and rule.units for rule in again.rules)


def test_the_golden_set_is_the_one_that_is_pinned(trained, monkeypatch):
    monkeypatch.setattr("airflow_mlops.training.process.run_prediction", _never)
    trained.configure(replace={"[gate]": f'[gate]\ngolden_digest = "{sha256_digest(b"another")}"'})
    with pytest.raises(AirflowFailException, match=r"ConfigError: expected the golden set .* that model.toml pins"):
        trained.run(EvaluateGateOperator, manifest=trained.manifest)
    assert trained.records()["verdict"] == 1
