"""The last nights against the champion's training window, and who asks for training."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from stream import generated_hours, write_night

from airflow_mlops.operators.drift import DetectDriftOperator, RequestTrainingOperator
from airflow_mlops.operators.profiles import ProfileTableOperator
from airflow_mlops.operators.promotion import PromoteModelOperator
from airflow_mlops.profile import Profile
from airflow_mlops.records import (
    Baseline,
    Channel,
    CheckOutcome,
    Drift,
    DriftVerdict,
    NightProfile,
    Notice,
    RecordRef,
    Score,
)

LAST = dt.date(2025, 2, 18)
HISTORY = [LAST - dt.timedelta(days=index) for index in range(17, -1, -1)]
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
    found = []
    for night in NEW:
        served.arrive(night, temp=0.5)
        found.append(detect(served, night))
    assert [drift.verdict for drift in found] == [DriftVerdict.DRIFT] * 3
    assert [drift.notice for drift in found] == [Notice.BEGAN, Notice.NONE, Notice.NONE]
    last = found[-1]
    assert last.wants_training
    assert last.far is DriftVerdict.DRIFT
    assert max(last.features, key=lambda one: one.distance / one.limit.drift).feature == "temp"
    assert [(one.feature, one.since) for one in last.news] == [("temp", NEW[0])]
    assert last.incident.began == NEW[0]
    assert last.judged_by == "history"
    # Looked at once more, with other words for what is usual: nobody is told again.
    served.configure(replace={"window_nights = 2": "window_nights = 2\nusual_since = 2025-02-02"})
    again = detect(served, NEW[0])
    assert again.ref != found[0].ref
    assert (again.verdict, again.notice) == (DriftVerdict.DRIFT, Notice.NONE)
    assert b"<svg" in served.ledger.store.get(f"blobs/sha256/{last.page.removeprefix('sha256:')}").data


@pytest.mark.slow
def test_an_expected_night_is_no_alarm(served):
    served.configure(replace={"window_nights = 2": f"window_nights = 2\nexpected = [{NEW[0]}]"})
    served.arrive(NEW[0], temp=0.5)
    drift = detect(served, NEW[0])
    assert drift.verdict is DriftVerdict.INSUFFICIENT
    assert drift.news == ()
    assert "was expected to be unusual" in drift.reason
    assert drift.incident is None


@pytest.mark.slow
def test_past_nights_are_profiled_once_and_not_read_again(served):
    """History costs nothing: with its profile in the ledger a past night may go."""
    detect(served)
    profiled = served.records()["profile"]
    for night in HISTORY[:-2]:
        served.file(night).unlink()
    served.arrive(NEW[0])
    drift = detect(served, NEW[0])
    assert served.records()["profile"] == profiled + 1
    assert drift.judged_by == "history"
    assert not [note for note in drift.notes if "not known any more" in note]


@pytest.mark.slow
def test_a_night_in_parts_is_their_sum(served):
    """Mapped over the parts of a night, and merged."""
    import pyarrow.parquet as pq

    served.arrive(NEW[0])
    whole = pq.read_table(served.file(NEW[0]))
    parts = []
    for place in range(3):
        part = served.home / f"part-{place}.parquet"
        pq.write_table(whole[8 * place : 8 * place + 8], part)
        parts.append(served.run(ProfileTableOperator, night=str(NEW[0]), part=str(part)))
    drift = served.ledger.read(
        Drift, RecordRef.parse(served.run(DetectDriftOperator, night=str(NEW[0]), profiles=parts))
    )
    (kept,) = [
        one for one in served.ledger.all(NightProfile, f"bike_demand/{NEW[0]}/") if one.partition == drift.window[-1]
    ]
    assert Profile.from_json(kept.profile).rows == 24
    served.arrive(NEW[1])
    with pytest.raises(AirflowFailException, match="expected profiles of"):
        served.run(DetectDriftOperator, night=str(NEW[1]), profiles=parts)


def test_there_are_no_bins_before_the_first_champion(loop):
    with pytest.raises(AirflowSkipException, match="no champion yet"):
        loop.run(ProfileTableOperator, night=str(LAST))


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
    served.arrive(NEW[0])
    served.file(NEW[0]).write_bytes(served.file(LAST).read_bytes())
    with pytest.raises(AirflowFailException, match=r"as it was checked .* Run the quality DAG for this night again"):
        detect(served, NEW[0])


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


@pytest.mark.slow
def test_a_champion_that_no_feature_betrays_is_found_out_by_its_labels(served):
    """The features are as ever; what they mean is not."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    served.configure(replace={"window_nights = 2": 'window_nights = 2\nperformance = "mae"'})
    hours = generated_hours(dt.date(2025, 2, 1), nights=60, seed=7)
    nights = [LAST + dt.timedelta(days=day) for day in range(1, 22)]
    for night in nights[:16]:
        write_night(hours, night, served.data)
        served.approve(night)
    # Caught up with at once.
    assert detect(served, nights[15]).verdict is not DriftVerdict.DRIFT
    told: list[Drift] = []
    for night in nights[16:]:
        file = write_night(hours, night, served.data)
        table = pq.read_table(file)
        place = table.column_names.index("cnt")
        pq.write_table(table.set_column(place, "cnt", pc.multiply(table["cnt"], 6)), file)
        served.approve(night)
        told.append(detect(served, night))
    assert {opinion.channel for opinion in told[-1].opinions} == {Channel.FEATURES, Channel.REALISED}
    # Seven nights of 24 rows were held out.
    assert "no performance is estimated: expected at least 256" in " ".join(told[-1].notes)
    drifted = [drift for drift in told if drift.verdict is DriftVerdict.DRIFT]
    assert drifted
    assert "realised mae" in drifted[0].reason
    assert drifted[0].wants_training
    assert drifted[0].opinions[0].verdict is not DriftVerdict.DRIFT
    scores = list(served.ledger.all(Score, "bike_demand/"))
    assert len(scores) == 21
    assert set(scores[0].importance) == set(served.project.spec.features)
    assert scores[0].importance == scores[-1].importance


@pytest.mark.slow
def test_a_champion_that_cannot_predict_the_night_is_a_note_and_not_a_failure(served):
    import pyarrow.parquet as pq

    served.configure(replace={"window_nights = 2": 'window_nights = 2\nperformance = "mae"'})
    served.arrive(NEW[0])
    pq.write_table(pq.read_table(served.file(NEW[0])).drop_columns(["temp"]), served.file(NEW[0]))
    served.approve(NEW[0])
    drift = detect(served, NEW[0])
    assert drift.verdict is DriftVerdict.DRIFT
    assert "performance is not known" in " ".join(drift.notes)
