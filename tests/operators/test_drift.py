"""The last nights against the champion's training window, and who asks for training."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airflow_mlops.operators.drift import DetectDriftOperator, RequestTrainingOperator
from airflow_mlops.operators.promotion import PromoteModelOperator
from airflow_mlops.records import Baseline, CheckOutcome, Drift, DriftVerdict, RecordRef

LAST = dt.date(2025, 2, 18)
NEW = [LAST + dt.timedelta(days=index + 1) for index in range(3)]


def detect(loop: Any, night: dt.date = LAST) -> Drift:
    found: Drift = loop.ledger.read(Drift, RecordRef.parse(loop.run(DetectDriftOperator, night=str(night))))
    return found


@pytest.fixture
def served(trained):
    """A champion, trained on the history."""
    trained.run(PromoteModelOperator, verdict=trained.verdict)
    return trained


def test_without_a_champion_enough_nights_ask_for_training(loop):
    drift = detect(loop)
    assert drift.verdict is DriftVerdict.INSUFFICIENT
    assert drift.baseline is None
    assert drift.wants_training


def test_golden_and_recent_nights_do_not_count_as_nights_to_train_on(loop):
    """18 good nights, of which 4 are golden and 2 recent: 12 are left, as the training will find."""
    loop.configure(replace={"min_nights = 8": "min_nights = 13"})
    drift = detect(loop)
    assert not drift.wants_training
    assert "12 good nights" in drift.reason
    loop.configure(replace={"min_nights = 8": "min_nights = 12"})
    loop.arrive(NEW[0])
    assert detect(loop, NEW[0]).wants_training


def test_quarantined_nights_are_not_looked_at(loop):
    loop.arrive(NEW[0])
    loop.file(NEW[1]).write_bytes(loop.file(NEW[0]).read_bytes())
    loop.approve(NEW[1], CheckOutcome.FAILED)
    assert [pin.night for pin in detect(loop, NEW[1]).window] == [LAST, NEW[0]]


@pytest.mark.slow
def test_the_baseline_is_made_once(served):
    first = detect(served)
    served.arrive(NEW[0])
    second = detect(served, NEW[0])
    assert first.baseline == second.baseline
    assert served.records()["baseline"] == 1
    baseline = served.ledger.read(Baseline, first.baseline)
    assert baseline.columns == ("temp", "hum", "windspeed")


@pytest.mark.slow
def test_a_shift_is_drift_and_asks_for_training(served):
    assert not detect(served).wants_training
    for night in NEW:
        served.arrive(night, temp=0.5)
    drift = detect(served, NEW[-1])
    assert drift.verdict is DriftVerdict.DRIFT
    assert drift.wants_training
    assert max(drift.features, key=lambda one: one.distance / one.limit.drift).feature == "temp"


@pytest.mark.slow
def test_a_column_that_vanished_is_drift_not_a_crash(served):
    import pyarrow.parquet as pq

    for night in NEW[:2]:
        served.arrive(night)
        pq.write_table(pq.read_table(served.file(night)).drop_columns(["temp"]), served.file(night))
        served.approve(night)
    drift = detect(served, NEW[1])
    assert drift.verdict is DriftVerdict.DRIFT
    assert "temp" in drift.reason


@pytest.mark.slow
def test_before_the_first_good_night_there_is_nothing_to_say(served):
    drift = detect(served, dt.date(2024, 1, 1))
    assert drift.verdict is DriftVerdict.INSUFFICIENT
    assert not drift.wants_training
    assert drift.reason == "no good night up to 2024-01-01"


@pytest.mark.slow
def test_a_window_that_changed_after_its_check_is_an_error(served):
    served.file(LAST).write_bytes(served.file(dt.date(2025, 2, 1)).read_bytes())
    with pytest.raises(AirflowFailException, match=r"as it was checked .* Run the quality DAG for this night again"):
        detect(served)


def test_the_same_window_twice_is_one_record(loop):
    assert detect(loop).ref == detect(loop).ref
    assert loop.records()["drift"] == 1


def test_request_hands_the_drift_record_to_its_asset(loop):
    asset = Asset("bike_demand/drift")
    reference = str(detect(loop).ref)
    assert loop.run(RequestTrainingOperator, drift=reference, outlets=[asset]) == reference
    assert loop.context["outlet_events"][asset].extra["drift"] == reference
    assert "asks for training" in loop.story


def test_request_skips_where_nothing_drifted(loop):
    loop.configure(replace={"min_nights = 8": "min_nights = 13"})
    reference = str(detect(loop).ref)
    with pytest.raises(AirflowSkipException, match="insufficient"):
        loop.run(RequestTrainingOperator, drift=reference)
    assert "asks for no training" in loop.story


@pytest.mark.parametrize("reference", ["", "drift/x", "verdict/bike_demand/ab@sha256:00", "None"])
def test_request_of_what_is_no_drift_record(loop, reference):
    with pytest.raises(AirflowFailException, match="LedgerError: expected a reference"):
        loop.run(RequestTrainingOperator, drift=reference)
