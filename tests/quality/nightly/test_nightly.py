from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pyarrow as pa
import pytest

from airflow_mlops.chain import audit
from airflow_mlops.errors import ConfigError, DataError
from airflow_mlops.nights import good_nights, nights_checked, quality_of
from airflow_mlops.records import CheckOrigin, CheckOutcome, Facts, Notice, Policy

EMPTY = pa.nulls(24, pa.float64())
CONTRACT = """\
dataset: duckdb/bikes
columns:
  - name: temp
    checks:
      - missing:
"""


def outcomes(record: Any) -> dict[str, str]:
    return {check.label: check.outcome.value for check in record.checks}


def test_without_contract_and_monitors_only_what_every_night_must_hold_is_asked(nights: Any) -> None:
    nights.write(0)
    record = nights.check(0)
    assert set(outcomes(record)) == {"readable", "rows", "columns", "target:cnt", "time:dteday"}
    assert {check.origin for check in record.checks} == {CheckOrigin.SOUND}
    assert not record.faults
    assert (record.kept, record.sample, record.incident, record.past) == (None, None, None, None)
    assert record.partition.rows == 24
    assert not nights.keys("facts")


def test_a_night_is_checked_once(nights: Any) -> None:
    nights.write(0)
    assert nights.check(0) == nights.check(0)
    assert len(nights.keys()) == 1


def test_nights_before_are_checked_first(nights: Any) -> None:
    for place in (0, 1, 3, 5):
        nights.write(place)
    nights.check(3)
    assert nights_checked(nights.ledger, "bikes") == [nights.night(place) for place in (0, 1, 3)]


def test_since_is_the_first_night_that_is_checked(nights: Any) -> None:
    for place in range(4):
        nights.write(place)
    nights.quality["since"] = nights.night(2)
    nights.check(3)
    assert nights_checked(nights.ledger, "bikes") == [nights.night(2), nights.night(3)]
    with pytest.raises(ConfigError, match=r"expected a night of bikes since 2026-03-04, got 2026-03-03"):
        nights.check(1)


def test_a_night_without_data_is_not_recorded(nights: Any) -> None:
    nights.write(0)
    with pytest.raises(DataError, match=r"expected the night 2026-03-03 of bikes at .*, there is no data"):
        nights.check(1)
    assert not nights.keys()


def test_a_torn_night_fails_by_that_alone_and_is_kept(nights: Any) -> None:
    nights.quality |= {"contract": "contract.yml", "monitors": True}
    (nights.home / "contract.yml").write_text(CONTRACT)
    file = nights.tear(0)
    record = nights.check(0)
    assert outcomes(record) == {"readable": "failed"}
    assert record.quarantined
    assert record.partition.rows == 0
    assert nights.ledger.blob(record.kept) == file.read_bytes()
    assert record.kept == record.partition.digest
    assert not nights.keys("facts")


def test_a_contract_that_cannot_be_used_is_no_reason_to_quarantine(nights: Any) -> None:
    nights.quality["contract"] = "contract.yml"
    nights.write(0)
    with pytest.raises(ConfigError, match="expected a contract that can be evaluated"):
        nights.check(0)
    (nights.home / "contract.yml").write_text(CONTRACT.replace("missing", "mising"))
    with pytest.raises(ConfigError, match=r"contract.yml:5: unknown check 'mising'"):
        nights.check(0)
    assert not list(nights.ledger.store.keys(""))


def test_the_contract_is_held_against_the_night(nights: Any) -> None:
    nights.quality["contract"] = "contract.yml"
    (nights.home / "contract.yml").write_text(CONTRACT)
    nights.write(0)
    nights.write(1, temp=[None, None, *[1.0] * 22])
    assert not nights.check(0).faults
    record = nights.check(1)
    assert outcomes(record)["missing:temp"] == "failed"
    assert record.quarantined
    rows = json.loads(nights.ledger.blob(record.sample))["rows"]
    assert [(row["row"], row["checks"], row["values"]["temp"]) for row in rows] == [
        (1, ["missing:temp"], None),
        (2, ["missing:temp"], None),
    ]


def test_other_rules_are_another_record(nights: Any) -> None:
    nights.quality["contract"] = "contract.yml"
    contract = nights.home / "contract.yml"
    contract.write_text(CONTRACT)
    nights.write(0)
    before = nights.check(0)
    contract.write_text(f"# of another day\n{CONTRACT}")
    after = nights.check(0)
    assert after.replaces == before.ref
    assert quality_of(nights.ledger, "bikes", nights.night(0)) == after
    contract.write_text(CONTRACT)
    again = nights.check(0)
    assert again.replaces == after.ref
    assert len(nights.keys()) == 3


def test_what_makes_no_difference_to_the_night_makes_no_other_record(nights: Any) -> None:
    for place in range(2):
        nights.write(place)
    record = nights.check(1)
    nights.quality["since"] = nights.night(1)
    assert nights.check(1) == record


def test_a_blocked_night_is_quarantined_too_and_a_warned_one_is_not(nights: Any) -> None:
    for place in (0, 1, 2):
        nights.write(place, cnt=[None, *range(23)])
    assert not nights.check(0).blocked
    nights.quality["policy"] = {"target:cnt": "block"}
    blocked = nights.check(1)
    assert blocked.blocked
    assert blocked.quarantined
    nights.quality["policy"] = {"target": "warn", "default": "block"}
    warned = nights.check(2)
    assert outcomes(warned)["target:cnt"] == "warned"
    assert not warned.quarantined
    assert warned.kept is None
    assert warned.sample is not None


def test_a_corrected_night_takes_its_place_and_ends_what_it_began(nights: Any) -> None:
    nights.write(0)
    nights.write(1, cnt=[None, *range(23)])
    bad = nights.check(1)
    assert (bad.notice, bad.incident.checks) == (Notice.BEGAN, ("target:cnt",))
    assert [one.night for one in good_nights(nights.ledger, "bikes", until=dt.date.max)] == [nights.night(0)]
    nights.write(1)
    good = nights.check(1)
    assert good.replaces == bad.ref
    assert (good.notice, good.incident.ended) == (Notice.ENDED, nights.night(1))
    assert [one.partition for one in good_nights(nights.ledger, "bikes", until=dt.date.max)][-1] == good.partition
    assert nights.check(1) == good


def test_a_night_that_is_put_back_is_checked_again(nights: Any) -> None:
    nights.write(0)
    first = nights.check(0)
    nights.write(0, temp=[1.0] * 24)
    second = nights.check(0)
    nights.write(0)
    third = nights.check(0)
    assert third.partition == first.partition
    assert third.replaces == second.ref
    assert quality_of(nights.ledger, "bikes", nights.night(0)) == third


def test_the_record_that_stands_is_the_last_of_the_chain_whatever_the_clock_said(nights: Any) -> None:
    nights.write(0)
    first = nights.check(0)
    nights.write(0, temp=[1.0] * 24)
    nights.stamp = lambda *refs: {"recorded_at": dt.datetime(2001, 1, 1, tzinfo=dt.UTC), "rests_on": refs}
    second = nights.check(0)
    assert second.recorded_at < first.recorded_at
    assert quality_of(nights.ledger, "bikes", nights.night(0)) == second
    assert [one.partition for one in good_nights(nights.ledger, "bikes", until=dt.date.max)] == [second.partition]


def test_monitors_learn_from_nights_before(watched: Any) -> None:
    watched.write(30, temp=EMPTY)
    record = watched.check(30)
    check = next(one for one in record.faults if one.label == "nulls:temp")
    assert (check.origin, check.policy, check.outcome) == (
        CheckOrigin.MONITOR,
        Policy.QUARANTINE,
        CheckOutcome.FAILED,
    )
    assert record.past is not None
    assert record.lacking is None
    assert len(watched.keys("facts")) == 31
    facts = [ref for ref in record.rests_on if ref.kind == "facts"]
    assert watched.ledger.read(Facts, facts[0]).night == record.night
    early = quality_of(watched.ledger, "bikes", watched.night(0))
    assert early is not None
    assert early.lacking


def test_monitors_that_were_turned_on_later_learn_from_all_nights(nights: Any) -> None:
    for place in range(20):
        nights.write(place)
    nights.tear(7)
    nights.check(19)
    assert not nights.keys("facts")
    nights.quality["monitors"] = True
    nights.write(20, temp=None)
    assert "schema" in {one.name for one in nights.check(20).faults}
    assert len(nights.keys("facts")) == 20
    assert len(nights.keys()) == 21


def test_a_quarantined_night_teaches_nothing(watched: Any) -> None:
    for place in range(30, 36):
        watched.write(place, temp=EMPTY)
    records = [watched.check(place) for place in range(30, 36)]
    assert all(any(one.label == "nulls:temp" for one in record.faults) for record in records)


def test_an_expected_night_is_not_judged_and_neither_prolongs_nor_calms(watched: Any) -> None:
    watched.write(30, temp=EMPTY)
    watched.write(31, temp=EMPTY)
    watched.quality["expected"] = (watched.night(31),)
    assert watched.check(30).notice is Notice.BEGAN
    record = watched.check(31)
    assert not record.faults
    assert (record.notice, record.incident.calm_nights, record.incident.ended) == (Notice.NONE, 0, None)


def test_the_ledger_of_checked_nights_holds_together(watched: Any) -> None:
    watched.write(30, temp=EMPTY)
    watched.tear(31)
    watched.check(31)
    assert not audit(watched.ledger).faults
