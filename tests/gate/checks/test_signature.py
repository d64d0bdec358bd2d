from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from airflow_mlops.gate.checks.signature import signature_result
from airflow_mlops.records import Artefact, Decision, Manifest, RecordRef

NOW = dt.datetime(2026, 3, 5, tzinfo=dt.UTC)


def manifest(*features: str, target: str = "cnt") -> Manifest:
    fields: dict[str, Any] = {
        "model": "bike_demand",
        "recorded_at": NOW,
        "night": NOW.date(),
        "fingerprint": "sha256:" + "0" * 64,
        "trigger": None,
        "snapshot": (),
        "recent": (),
        "golden": RecordRef(kind="golden", key="bike_demand/v1", digest="sha256:" + "1" * 64),
        "code": Artefact(files={}),
        "entrypoint": "train:train",
        "seed": 7,
        "runner": "local",
        "environment": {},
        "started_at": NOW,
        "finished_at": NOW,
        "metrics": {},
        "artefact": Artefact(files={}),
    }
    return Manifest(features=features, target=target, **fields)


def test_the_same_columns_are_fine() -> None:
    result = signature_result(manifest("hr", "temp"), manifest("hr", "temp"))
    assert result.decision is Decision.PROMOTE
    assert result.estimate == 0.0
    assert result.required


def test_a_first_model_sets_the_signature() -> None:
    assert signature_result(manifest("hr"), None).decision is Decision.PROMOTE


@pytest.mark.parametrize(
    ("challenger", "words"),
    [
        (manifest("hr", "temp", "rain"), "also takes rain"),
        (manifest("hr"), "no longer takes temp"),
        (manifest("temp", "hr"), "in the order temp, hr, the champion in hr, temp"),
        (manifest("hr", "temp", target="casual"), "predicts casual, the champion cnt"),
        (manifest("hr", "rain"), "also takes rain; no longer takes temp"),
        (manifest("hr", "Temp"), "also takes Temp; no longer takes temp"),
        (manifest("hr", "temp", "hr"), "in the order hr, temp, hr"),
    ],
)
def test_what_callers_must_change_holds(challenger: Manifest, words: str) -> None:
    result = signature_result(challenger, manifest("hr", "temp"))
    assert result.decision is Decision.HOLD
    assert words in result.reason
    assert result.estimate > 0


def test_a_thousand_new_features_make_one_readable_sentence() -> None:
    result = signature_result(manifest(*(f"f{i}" for i in range(1000))), manifest("f0"))
    assert "and 991 more" in result.reason
    assert len(result.reason) < 300
