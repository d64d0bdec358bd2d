from __future__ import annotations

import datetime as dt
from typing import Any

import pytest

from airflow_mlops.quality import accept
from airflow_mlops.records import Artefact, Decision, Manifest, Notice, PartitionPin, RecordRef, Verdict, sha256_digest

NULLS = [None, *range(23)]


def trained(nights: Any, model: str, pins: list[PartitionPin], *, at: dt.datetime, seed: int = 0) -> Manifest:
    """A manifest as a training leaves it."""
    return nights.ledger.write(
        Manifest(
            model=model,
            recorded_at=at,
            night=max(pin.night for pin in pins),
            fingerprint=sha256_digest(f"{model} {seed}".encode()),
            trigger=None,
            snapshot=tuple(pins[:-1]),
            recent=tuple(pins[-1:]),
            golden=RecordRef(kind="golden", key=f"{model}/golden", digest=sha256_digest(b"")),
            code=Artefact(files={}),
            entrypoint="train:train",
            features=("temp",),
            target="cnt",
            seed=seed,
            runner="local",
            environment={},
            started_at=at,
            finished_at=at,
            metrics={},
            artefact=Artefact(files={}),
        )
    )


def promoted(nights: Any, manifest: Manifest) -> None:
    verdict = nights.ledger.write(
        Verdict(
            model=manifest.model,
            recorded_at=manifest.recorded_at,
            decision=Decision.PROMOTE,
            manifest=manifest.ref,
            champion=None,
            artefact_digest=manifest.artefact.digest,
            rules_digest=sha256_digest(b""),
            golden=manifest.golden,
            recent=(),
            rules=(),
            reasons=(),
            predictions_digest=None,
        )
    )
    nights.ledger.move(manifest.model, "champion", verdict.ref, seen=None, reason="better", now=manifest.recorded_at)


def soon(record: Any, minutes: int = 1) -> dt.datetime:
    return record.recorded_at + dt.timedelta(minutes=minutes)


def test_it_is_told_once_and_once_more_when_it_is_over(nights: Any) -> None:
    for place in range(9):
        nights.write(place, cnt=NULLS if place in (1, 2, 4) else None)
        if place not in (1, 2, 4):
            nights.write(place)
    records = [nights.check(place) for place in range(9)]
    assert [record.notice.value for record in records] == ["none", "began", *["none"] * 5, "ended", "none"]
    over = records[7].incident
    assert (over.began, over.latest, over.ended) == (nights.night(1), nights.night(4), nights.night(7))
    assert (over.checks, over.columns) == (("target:cnt",), ("cnt",))


def test_it_says_what_came_just_before(nights: Any) -> None:
    nights.write(0)
    nights.check(0)
    nights.write(3, rows=12, temp=None)
    nights.quality["policy"] = {"rows": "block"}
    before = nights.check(3).incident.before
    assert "after 2026-03-02: other rules, the contract or what the table's checks are set to" in before
    assert "after 2026-03-02: 2 nights without data" in before
    assert "2026-03-05: 12 rows, 24 on 2026-03-02" in before
    assert "2026-03-05: the data was written 2026-03-06 03:00 UTC" in before


def test_it_says_that_the_schema_changed_the_night_before(watched: Any) -> None:
    watched.quality["policy"] = {"schema": "warn"}
    watched.write(30, temp=[str(value) for value in range(24)])
    began = watched.check(30)
    assert not began.quarantined
    watched.write(31, temp=[str(value) for value in range(24)], cnt=NULLS)
    incident = watched.check(31).incident
    # A warning begins no incident; it is what came just before one.
    assert began.incident is None
    assert any(one.startswith(f"{began.night}: another schema of temp: string") for one in incident.before)


def test_it_names_the_models_that_eat_the_table(nights: Any) -> None:
    for place in range(3):
        nights.write(place)
    pins = [nights.check(place).partition for place in range(3)]
    now = dt.datetime.now(dt.UTC)
    champion = trained(nights, "demand", pins, at=now)
    promoted(nights, champion)
    trained(nights, "bikes", [PartitionPin(night=nights.night(0), digest="sha256:elsewhere", rows=1)], at=now)
    trained(nights, "fraud", [PartitionPin(night=nights.night(0), digest="sha256:another", rows=1)], at=now)
    nights.write(3, cnt=NULLS)
    models = {one.model: one for one in nights.check(3).incident.models}
    assert sorted(models) == ["bikes", "demand"]
    assert (models["demand"].manifest, models["demand"].nights) == (champion.ref, 3)
    assert (models["demand"].champion, models["demand"].live) == (True, False)
    assert not models["bikes"].champion


@pytest.mark.parametrize("how", ["corrected", "accepted"])
def test_what_was_trained_meanwhile_is_listed(nights: Any, how: str) -> None:
    for place in range(3):
        nights.write(place)
    early = [nights.check(place) for place in range(3)]
    nights.write(3, cnt=NULLS)
    bad = nights.check(3)
    nights.write(4)
    pins = [record.partition for record in (*early, nights.check(4))]
    before = bad.recorded_at - dt.timedelta(minutes=1)
    trained(nights, "demand", pins, at=before, seed=1)
    lacks = trained(nights, "demand", pins, at=soon(bad), seed=2)
    trained(nights, "demand", pins[:3], at=soon(bad), seed=3)
    if how == "accepted":
        record = accept(nights.ledger, "bikes", nights.night(3), reason="fine", by="ada", now=soon(bad, 2))
    else:
        nights.write(3)
        record = nights.check(3)
    assert record.trained_meanwhile == (lacks.ref,)


def test_a_night_that_was_taken_back_names_the_models_that_hold_it(nights: Any) -> None:
    nights.write(0)
    nights.write(1)
    good = [nights.check(place) for place in range(2)]
    holds = trained(nights, "demand", [one.partition for one in good], at=soon(good[1]))
    nights.write(1, cnt=NULLS)
    bad = nights.check(1)
    assert bad.trained_meanwhile == (holds.ref,)
    nights.write(1, temp=[1.0] * 24)
    assert nights.check(1).trained_meanwhile == (holds.ref,)


def test_a_night_corrected_after_later_ones_ends_nothing(nights: Any) -> None:
    for place in range(3):
        nights.write(place, **({"cnt": NULLS} if place == 1 else {}))
    nights.check(2)
    nights.write(1)
    record = nights.check(1)
    assert (record.notice, record.incident) == (Notice.NONE, None)


def test_what_is_warned_of_every_night_hides_no_bad_night(nights: Any) -> None:
    nights.quality["policy"] = {"target": "warn"}
    for place in range(3):
        nights.write(place, cnt=[None, *range(23)])
    warned = nights.check(1)
    assert {check.outcome.value for check in warned.faults} == {"warned"}
    assert (warned.incident, warned.notice) == (None, Notice.NONE)
    nights.tear(2)
    bad = nights.check(2)
    assert (bad.notice, bad.incident.checks) == (Notice.BEGAN, ("readable",))
