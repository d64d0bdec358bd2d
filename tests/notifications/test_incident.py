"""What is told of bad nights, and that it is told once, whatever dies in the middle."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from airflow_mlops.ledger import Ledger
from airflow_mlops.notifications import alert_due, headline, incident_text
from airflow_mlops.records import (
    AffectedModel,
    Alert,
    CheckResult,
    Notice,
    PartitionPin,
    Policy,
    Quality,
    QualityIncident,
    RecordRef,
    sha256_digest,
)

FIRST = dt.date(2026, 11, 1)
MANIFEST = RecordRef(kind="manifest", key="bike_demand/1", digest=sha256_digest(b"m"))
VOLUME = CheckResult(
    name="volume", outcome="failed", expected="20 to 28 rows", actual="3 rows", policy=Policy.BLOCK, failing_rows=None
)
NULLS = CheckResult(
    name="missing", column="temp", outcome="warned", expected="none", actual="4 of 24 rows", failing_rows=4
)


def incident(**changes: Any) -> QualityIncident:
    night = FIRST
    return QualityIncident(
        **{
            "checks": ("volume", "missing:temp"),
            "columns": ("temp",),
            "began": night,
            "noticed": night,
            "latest": night,
            "followed": night,
            **changes,
        }
    )


def quality(day: int, *checks: CheckResult, **fields: Any) -> Quality:
    night = FIRST + dt.timedelta(days=day)
    return Quality(
        model="orders",
        night=night,
        location=f"file:///srv/night={night}.parquet",
        partition=PartitionPin(night=night, digest=sha256_digest(str(night).encode()), rows=3),
        rules_digest=sha256_digest(b"rules"),
        checks=checks,
        recorded_at=dt.datetime(2026, 12, 1, tzinfo=dt.UTC),
        **fields,
    )


def told(ledger: Ledger, record: Quality, notice: Notice) -> None:
    assert record.incident is not None
    ledger.write(
        Alert(
            model=record.model,
            night=record.night,
            noticed=record.incident.noticed,
            notice=notice,
            quality=record.ref,
            told=("SlackWebhookNotifier",),
            recorded_at=record.recorded_at,
        )
    )


@pytest.fixture
def ledger(store: Any) -> Ledger:
    return Ledger(store)


def test_it_says_what_since_when_and_who_eats_it():
    models = (AffectedModel(model="bike_demand", manifest=MANIFEST, nights=90, champion=True, live=True),)
    open_one = incident(before=("the column temp became text on 2026-11-01",), models=models)
    record = quality(0, VOLUME, NULLS, incident=open_one, notice=Notice.BEGAN)
    assert incident_text(record, Notice.BEGAN, "http://127.0.0.1/mlops/records/x").splitlines() == [
        "orders: 2026-11-01 blocked",
        "- failed: volume: expected 20 to 28 rows, got 3 rows",
        "- warned: missing of temp: expected none, got 4 of 24 rows, 4 rows",
        "Since 2026-11-01. Just before: the column temp became text on 2026-11-01.",
        "Trained on this table: bike_demand (champion, live, 90 nights).",
        "Data: file:///srv/night=2026-11-01.parquet",
        "http://127.0.0.1/mlops/records/x",
    ]
    over = quality(4, incident=incident(latest=FIRST + dt.timedelta(days=1), ended=FIRST + dt.timedelta(days=4)))
    assert headline(over, Notice.ENDED) == "orders: good nights again since 2026-11-02"
    assert "lasted from 2026-11-01 to 2026-11-02" in incident_text(over, Notice.ENDED)


def test_it_stays_short_whatever_the_night_holds():
    checks = [CheckResult(name=f"c{n}", outcome="failed", expected="e" * 9000, actual="a " * 9000) for n in range(500)]
    text = incident_text(quality(0, *checks, incident=incident()), Notice.BEGAN)
    assert len(text) < 8000
    assert "- and 490 more" in text


def test_each_incident_is_told_once_when_it_begins_and_once_when_it_is_over(ledger):
    bad = ledger.write(quality(0, VOLUME, incident=incident()))
    assert alert_due(ledger, bad) is Notice.BEGAN
    # It died before it told, or while it did: the retry does it again.
    assert alert_due(ledger, bad) is Notice.BEGAN
    told(ledger, bad, Notice.BEGAN)
    assert alert_due(ledger, bad) is Notice.NONE
    again = ledger.write(quality(1, VOLUME, incident=incident()))
    assert alert_due(ledger, again) is Notice.NONE
    over = ledger.write(quality(4, incident=incident(ended=FIRST + dt.timedelta(days=4))))
    assert alert_due(ledger, over) is Notice.ENDED
    told(ledger, over, Notice.ENDED)
    assert alert_due(ledger, over) is Notice.NONE
    later = ledger.write(quality(5, incident=over.incident))
    assert alert_due(ledger, later) is Notice.NONE
    other = ledger.write(quality(20, VOLUME, incident=incident(noticed=FIRST + dt.timedelta(days=20))))
    assert alert_due(ledger, other) is Notice.BEGAN


def test_what_nobody_was_told_in_its_night_is_told_on_the_next_bad_one(ledger):
    ledger.write(quality(0, VOLUME, incident=incident()))
    calm = ledger.write(quality(1, incident=incident(calm_nights=1)))
    assert alert_due(ledger, calm) is Notice.NONE
    worse = ledger.write(quality(2, VOLUME, incident=incident()))
    assert alert_due(ledger, worse) is Notice.BEGAN


def test_nobody_is_told_of_the_end_of_what_he_was_not_told_of(ledger):
    over = ledger.write(quality(4, incident=incident(ended=FIRST + dt.timedelta(days=4))))
    assert alert_due(ledger, over) is Notice.NONE


def test_a_task_of_an_old_night_that_is_cleared_wakes_nobody(ledger):
    old = ledger.write(quality(0, VOLUME, incident=incident()))
    ledger.write(quality(3))
    assert alert_due(ledger, old) is Notice.NONE


def test_an_accepted_night_wakes_nobody(ledger):
    accepted = ledger.write(quality(0, VOLUME, incident=incident(), accepted=MANIFEST))
    assert alert_due(ledger, accepted) is Notice.NONE
    assert alert_due(ledger, quality(0, VOLUME)) is Notice.NONE
