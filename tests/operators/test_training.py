"""One thing is trained once, and nothing is lost when MLflow is away."""

from __future__ import annotations

import datetime as dt
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from airflow_mlops.operators.drift import DetectDriftOperator
from airflow_mlops.operators.training import TrainModelOperator
from airflow_mlops.records import Manifest, RecordRef, Registration

pytestmark = pytest.mark.slow

NEW = [dt.date(2025, 2, 19) + dt.timedelta(days=index) for index in range(5)]


def manifests(loop: Any) -> list[Manifest]:
    return list(loop.ledger.all(Manifest, "bike_demand/"))


def versions() -> list[Any]:
    from airflow_mlops.hooks.mlflow import MlflowHook

    return list(MlflowHook().client.search_model_versions("name = 'bike_demand'"))


def away(patch: pytest.MonkeyPatch) -> None:
    patch.setenv("AIRFLOW_CONN_MLFLOW", json.dumps({"conn_type": "mlflow", "host": "http://127.0.0.1:9"}))
    patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


def test_the_manifest_pins_all_it_takes(trained):
    manifest = trained.ledger.read(Manifest, RecordRef.parse(trained.manifest))
    golden = {pin.night for pin in trained.ledger.find(*_golden(trained)).partitions}
    nights = {pin.night for pin in manifest.snapshot}
    assert len(nights) >= 8
    assert not nights & golden
    assert not nights & {pin.night for pin in manifest.recent}
    assert {"model.pt2", "weights.safetensors", "signature.json"} <= manifest.artefact.files.keys()
    assert manifest.code.files.keys() >= {"train.py", "model.toml", "contract.yml", "requirements.txt"}
    assert manifest.metrics


def _golden(loop: Any) -> tuple[Any, str]:
    from airflow_mlops.records import Golden

    return Golden, f"bike_demand/{loop.project.spec.gate.golden}"


def test_a_manifest_rests_on_the_drift_that_asked_for_it_and_on_no_other(trained):
    drift = trained.run(DetectDriftOperator, night="2025-02-18")
    asked = trained.run(TrainModelOperator, run_id="asked", force=True, events=[{"drift": drift}])
    by_hand = trained.run(TrainModelOperator, run_id="by hand", force=True)
    answer, unasked = (trained.ledger.read(Manifest, RecordRef.parse(each)) for each in (asked, by_hand))
    assert str(answer.trigger) == drift
    assert answer.trigger in answer.rests_on
    # The drift record still says that it wants a training; this one was a person's wish.
    assert unasked.trigger is None


def test_a_second_run_finds_what_the_first_one_trained(trained, monkeypatch):
    monkeypatch.setattr("airflow_mlops.training.process.run_training", _never)
    assert trained.run(TrainModelOperator, run_id="another") == trained.manifest
    assert len(manifests(trained)) == len(versions()) == 1


def _never(*_: Any, **__: Any) -> Any:
    raise AssertionError("expected no training")


def test_a_training_that_comes_too_early_is_skipped(trained, monkeypatch):
    monkeypatch.setattr("airflow_mlops.training.process.run_training", _never)
    trained.arrive(NEW[0])
    with pytest.raises(AirflowSkipException, match="cooling down until the night 2025-02-21"):
        trained.run(TrainModelOperator)
    assert "cooling down" in trained.story
    assert len(manifests(trained)) == 1


def test_force_trains_again_and_gives_the_same_weights(trained):
    first = trained.ledger.read(Manifest, RecordRef.parse(trained.manifest))
    forced = trained.ledger.read(
        Manifest, RecordRef.parse(trained.run(TrainModelOperator, force="True", run_id="forced"))
    )
    assert forced.ref != first.ref
    assert forced.artefact == first.artefact
    # A retry of the forced run finds its own.
    assert trained.run(TrainModelOperator, force="True", run_id="forced") == str(forced.ref)
    assert len(manifests(trained)) == len(versions()) == 2


def test_after_the_cooldown_it_trains_on_what_has_come(trained):
    for night in NEW[:3]:
        trained.arrive(night)
    manifest = trained.ledger.read(Manifest, RecordRef.parse(trained.run(TrainModelOperator)))
    assert manifest.night == NEW[2]
    assert len(manifests(trained)) == 2


def test_too_few_good_nights(loop, monkeypatch):
    monkeypatch.setattr("airflow_mlops.training.process.run_training", _never)
    loop.configure(replace={"min_nights = 8": "min_nights = 20"})
    with pytest.raises(AirflowFailException, match="expected at least 20 good nights to train on"):
        loop.run(TrainModelOperator)
    assert "manifest" not in loop.records()


@pytest.mark.parametrize("fault", ["changed", "gone"])
def test_a_file_that_is_not_what_was_checked_is_not_trained_on(loop, monkeypatch, fault):
    monkeypatch.setattr("airflow_mlops.training.process.run_training", _never)
    night, other = sorted(loop.qualities())[:2]
    if fault == "changed":
        shutil.copy(loop.file(other), loop.file(night))
    else:
        loop.file(night).unlink()
    with pytest.raises(AirflowFailException, match=rf"DataError: expected the night {night} at"):
        loop.run(TrainModelOperator)
    assert "manifest" not in loop.records()


def test_without_a_golden_set_it_says_how_to_freeze_one(loop):
    shutil.rmtree(Path(loop.store) / "records" / "golden")
    with pytest.raises(AirflowFailException, match="airflow-mlops golden freeze"):
        loop.run(TrainModelOperator)


def test_code_that_fails_leaves_its_last_lines_and_no_manifest(loop):
    (loop.folder / "train.py").write_text("def train(context):\n    raise RuntimeError('no convergence')\n")
    with pytest.raises(AirflowFailException, match="no convergence"):
        loop.run(TrainModelOperator)
    assert "manifest" not in loop.records()


def test_while_mlflow_is_away_nothing_is_lost(trained, monkeypatch):
    for path in (Path(trained.store) / "records" / "registration").rglob("*.json"):
        path.unlink()
    for night in NEW[:3]:
        trained.arrive(night)
    with pytest.MonkeyPatch.context() as patch:
        away(patch)
        with pytest.raises(AirflowException, match="RemoteUnavailable: expected MLflow") as caught:
            trained.run(TrainModelOperator)
        assert not isinstance(caught.value, AirflowFailException)
        assert len(manifests(trained)) == 2
        assert "registration" not in trained.records()
    monkeypatch.setattr("airflow_mlops.training.process.run_training", _never)
    retried = trained.run(TrainModelOperator)
    registered = list(trained.ledger.all(Registration, "bike_demand/"))
    assert [str(one.manifest) for one in registered] == [retried]
    assert len(versions()) == 2


def test_a_training_that_mlflow_never_heard_of_is_carried_on_with_on_the_next_night(trained, monkeypatch):
    """Retries run out while MLflow is away; the next night's run would otherwise cool down and forget it."""
    for path in (Path(trained.store) / "records" / "registration").rglob("*.json"):
        path.unlink()
    trained.arrive(NEW[0])
    monkeypatch.setattr("airflow_mlops.training.process.run_training", _never)
    assert trained.run(TrainModelOperator, run_id="next-night") == trained.manifest
    assert trained.records()["registration"] == len(versions()) == 1


def test_the_links_lead_to_record_and_run(trained):
    trained.run(TrainModelOperator)
    links = trained.context["task"].links
    assert links["Record"].endswith(f"/mlops/records/manifest/{RecordRef.parse(trained.manifest).key}")
    # An address without a server has no page.
    assert "MLflow run" not in links
