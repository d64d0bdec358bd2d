"""The page of a bad night: the incident, the rows that do not hold, and what was trained meanwhile."""

from __future__ import annotations

import datetime as dt
import json
import re
import shutil
from pathlib import Path

from airflow_mlops.ledger import Ledger
from airflow_mlops.records import (
    AffectedModel,
    Alert,
    CheckOrigin,
    CheckResult,
    Manifest,
    Notice,
    Policy,
    Quality,
    QualityIncident,
)
from airflow_mlops.store import open_store

NIGHT = dt.date(2011, 1, 20)


def spoiled(month: Path, home: Path) -> tuple[Ledger, Quality]:
    """A copy of the month in which a night is checked again, with all that a record of it can say."""
    ledger = Ledger(open_store(str(shutil.copytree(month, home))))
    before = max(ledger.all(Quality, f"bike_demand/{NIGHT}/"), key=lambda record: record.recorded_at)
    manifest = next(iter(ledger.all(Manifest, "bike_demand/")))
    rows = [
        {"row": 3, "checks": ["range:temp"], "values": {"temp": "<i>41</i>", "email": "***", "hum": None}},
        {"row": None, "checks": ["range:temp", "missing:hum"], "values": {"temp": 42, "email": "***", "hum": 0.5}},
    ]
    incident = QualityIncident(
        checks=("range:temp",),
        columns=("temp",),
        began=NIGHT - dt.timedelta(days=2),
        noticed=NIGHT,
        latest=NIGHT,
        followed=NIGHT,
        before=("the column temp became text on 2011-01-18",),
        models=(AffectedModel(model="bike_demand", manifest=manifest.ref, nights=14, champion=True),),
    )
    check = CheckResult(
        name="range",
        column="temp",
        outcome="failed",
        expected="0 to 1",
        actual="24 rows of 41 degrees",
        origin=CheckOrigin.MONITOR,
        policy=Policy.BLOCK,
        failing_rows=1024,
        since=NIGHT - dt.timedelta(days=2),
    )
    record = ledger.write(
        before.model_copy(
            update={
                "checks": (check,),
                "replaces": before.ref,
                "arrived": dt.datetime(2011, 1, 21, 2, 10, tzinfo=dt.UTC),
                "lacking": "distribution has 5 nights before it",
                "notes": ("the night was kept as it lies",),
                "incident": incident,
                "notice": Notice.BEGAN,
                "sample": ledger.put_blob(json.dumps({"masked": ["email"], "rows": rows}).encode()),
                "trained_meanwhile": (manifest.ref,),
            }
        )
    )
    ledger.write(
        Alert(
            model=record.model,
            night=NIGHT,
            noticed=NIGHT,
            notice=Notice.BEGAN,
            quality=record.ref,
            told=("SlackWebhookNotifier",),
            recorded_at=record.recorded_at,
        )
    )
    return ledger, record


def text_of(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page.partition("<h1>")[2]).split())


def test_it_says_all_that_is_known_of_a_bad_night(visit, month, tmp_path):
    _, record = spoiled(month, tmp_path / "own")
    page = visit(store=tmp_path / "own").get(f"/mlops/records/quality/{record.key}?view=report")
    assert page.status_code == 200, page.text[-300:]
    told = text_of(page.text)
    for words in (
        "blocked The night 2011-01-20 held",
        "written 2011-01-21 02:10 UTC",
        "takes the place of an earlier record",
        "Monitors: distribution has 5 nights before it",
        "Incident began Since 2011-01-18",
        "Just before the column temp became text on 2011-01-18",
        "Trained on it bike_demand : 14 of its nights champion",
        "failed range monitor temp 0 to 1 24 rows of 41 degrees 1,024 2011-01-18 block",
        "2 of them, by their number in the file; masked: email",
        "3 range:temp &lt;i&gt;41&lt;/i&gt; *** null",
        "Trained meanwhile",
        "the night was kept as it lies",
    ):
        assert words in told, words


def test_a_record_knows_what_took_its_place_and_that_people_were_told(visit, month, tmp_path):
    ledger, record = spoiled(month, tmp_path / "own")
    visitor = visit(store=tmp_path / "own")
    assert record.replaces is not None
    old = visitor.get(f"/mlops/records/quality/{record.replaces.key}").text
    assert f'/mlops/records/quality/{record.key}"' in old
    assert f'quality: <a href="/mlops/records/quality/{record.replaces.key}"' not in old
    (alert,) = ledger.all(Alert, "bike_demand/")
    assert f'/mlops/records/alert/{alert.key}"' in visitor.get(f"/mlops/records/quality/{record.key}").text
    assert "SlackWebhookNotifier" in visitor.get(f"/mlops/records/alert/{alert.key}").text
