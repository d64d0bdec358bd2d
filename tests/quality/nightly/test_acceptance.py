from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from airflow_mlops.chain import audit
from airflow_mlops.errors import ConfigError
from airflow_mlops.nights import good_nights, quality_of
from airflow_mlops.quality import accept
from airflow_mlops.records import Acceptance, Notice, Quality

NOW = dt.datetime(2026, 5, 1, 8, tzinfo=dt.timezone(dt.timedelta(hours=2)))
HALF_NULL = [None] * 12 + [20.0] * 12


def accepted(nights: Any, place: int, **changes: Any) -> Quality:
    arguments = {"reason": "the sensor was being replaced", "by": "ada", "now": NOW} | changes
    return accept(nights.ledger, "bikes", nights.night(place), **arguments)


def test_an_accepted_night_is_let_through(nights: Any) -> None:
    nights.write(0)
    nights.write(1, cnt=[None, *range(23)])
    bad = nights.check(1)
    record = accepted(nights, 1)
    assert not record.quarantined
    assert not record.blocked
    assert (record.checks, record.partition, record.kept) == (bad.checks, bad.partition, bad.kept)
    assert record.replaces == bad.ref
    assert (record.incident, record.notice) == (None, Notice.NONE)
    answer = nights.ledger.read(Acceptance, record.accepted)
    assert (answer.by, answer.reason, answer.quality) == ("ada", "the sensor was being replaced", bad.ref)
    assert [one.night for one in good_nights(nights.ledger, "bikes", until=dt.date.max)][-1] == nights.night(1)
    assert quality_of(nights.ledger, "bikes", nights.night(1)) == record
    assert nights.check(1) == record
    assert not audit(nights.ledger).faults


def test_accepting_twice_changes_nothing(nights: Any) -> None:
    nights.write(0, cnt=[None, *range(23)])
    nights.check(0)
    assert accepted(nights, 0) == accepted(nights, 0, by="bo", reason="again", now=dt.datetime.now(dt.UTC))
    assert len(nights.keys("acceptance")) == 1
    assert len(nights.keys()) == 2


def test_what_cannot_be_accepted(nights: Any) -> None:
    nights.write(0)
    nights.check(0)
    with pytest.raises(ConfigError, match=r"expected a night of bikes that did not pass, 2026-03-02 passed"):
        accepted(nights, 0)
    with pytest.raises(ConfigError, match=r"expected a night of bikes that was checked, there is no record of 2026"):
        accepted(nights, 1)
    with pytest.raises(ConfigError, match="expected a reason"):
        accepted(nights, 0, reason="  ")
    assert not nights.keys("acceptance")


def test_monitors_learn_from_an_accepted_night(watched: Any) -> None:
    for place in (30, 31, 32):
        watched.write(place, temp=HALF_NULL)
    for place in (30, 31):
        assert "nulls:temp" in {check.label for check in watched.check(place).faults}
    for place in (30, 31):
        accepted(watched, place)
    assert "nulls:temp" not in {check.label for check in watched.check(32).faults}


def test_the_incident_of_nights_before_goes_on(nights: Any) -> None:
    nights.write(0)
    nights.write(1, cnt=[None, *range(23)])
    nights.write(2, temp=None)
    nights.check(2)
    record = accepted(nights, 2)
    assert (record.incident.noticed, record.incident.calm_nights) == (nights.night(1), 0)
    assert record.incident.checks == ("target:cnt",)
    assert record.incident.followed == nights.night(2)


def test_a_person_s_word_outlives_a_change_of_the_rules(nights: Any) -> None:
    nights.write(0, cnt=[None, *range(23)])
    nights.check(0)
    answer = accepted(nights, 0).accepted
    nights.quality["sensitive"] = ["temp"]
    again = nights.check(0)
    assert again.replaces is not None
    assert (again.accepted, again.quarantined, again.incident) == (answer, False, None)
    # Of other data nobody said anything.
    nights.write(0, cnt=[None, None, *range(22)])
    assert nights.check(0).quarantined


def test_what_cannot_be_read_cannot_be_accepted(nights: Any) -> None:
    nights.write(0)
    nights.tear(0)
    assert nights.check(0).quarantined
    with pytest.raises(ConfigError, match="cannot: there is nothing to learn from"):
        accepted(nights, 0)
