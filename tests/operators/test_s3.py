"""Records and data both in S3, behind one connection, whose secrets go nowhere."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException
from stream import generated_hours, write_night

from airflow_mlops.ledger import Ledger
from airflow_mlops.nights import quality_by_night
from airflow_mlops.operators.drift import DetectDriftOperator
from airflow_mlops.operators.quality import CheckQualityOperator
from airflow_mlops.records import Drift, Quality, RecordRef
from airflow_mlops.store import Store, open_store

SECRETS = ("AKIAOFTHETEST", "hunter2-hunter2")
NIGHTS = [dt.date(2025, 2, 15) + dt.timedelta(days=index) for index in range(5)]
BAD, LAST = NIGHTS[1], NIGHTS[-1]


@pytest.fixture
def store(loop, s3_address, monkeypatch) -> Store:
    """The bucket: five nights, one of them bad, and a golden set; no night was checked yet."""
    hours = generated_hours(dt.date(2025, 2, 1), nights=24, seed=7)
    data, records = (open_store(f"{s3_address.uri}/{part}", s3_address.options) for part in ("data", "chain"))
    for night in NIGHTS:
        path = write_night(hours, night, loop.data, "unit" if night == BAD else None)
        data.put_file(path.name, path)
    made = open_store(loop.store)
    for key in (*made.keys("records/golden/"), *made.keys("blobs/")):
        records.put_file(key, made.local_path(key, loop.home))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    connection = {
        "conn_type": "mlops_store",
        "login": SECRETS[0],
        "password": SECRETS[1],
        "extra": {"uri": records.uri, "endpoint_url": s3_address.options.endpoint_url, "region": "us-east-1"},
    }
    monkeypatch.setenv("AIRFLOW_CONN_MLOPS_STORE", json.dumps(connection))
    # The project's data path begins with this variable.
    monkeypatch.setenv("BIKE_DEMAND_DATA", data.uri)
    return records


def told_by(loop: Any) -> Iterator[str]:
    """Whatever a task leaves where people read: fields as rendered, story, XComs, links, events."""
    task = loop.context["task"]
    yield from (str(getattr(task, name)) for name in task.template_fields)
    yield from (loop.story, json.dumps(loop.xcoms, default=str), repr(loop.context["outlet_events"]))
    yield from (link.get_link(task, ti_key=None) for link in task.operator_extra_links)
    yield from task.links.values()


def test_quality_and_drift_of_nights_in_a_bucket(loop, store, capsys):
    ledger = Ledger(store)
    quality = RecordRef.parse(loop.run(CheckQualityOperator, night=str(LAST)))
    told = [*told_by(loop)]
    record = ledger.read(Quality, quality)
    assert record.location == f"{store.uri.removesuffix('chain')}data/night={LAST}.parquet"
    known = quality_by_night(ledger, "bike_demand")
    assert [night for night in known if not known[night].quarantined] == [NIGHTS[0], *NIGHTS[2:]]
    assert BAD in known

    drift = RecordRef.parse(loop.run(DetectDriftOperator, night=str(LAST)))
    told += told_by(loop)
    assert [pin.night for pin in ledger.read(Drift, drift).window] == NIGHTS[-2:]

    with pytest.raises(AirflowFailException, match="expected the night 2025-03-01 of bike_demand at s3://") as missing:
        loop.run(CheckQualityOperator, night="2025-03-01")
    told += [str(missing.value), capsys.readouterr().out]
    kept = {key: found.data.decode(errors="replace") for key in store.keys("") if (found := store.get(key))}
    assert len([key for key in kept if key.startswith("records/quality/")]) == len(NIGHTS)
    assert loop.records() == {"quality": 18, "golden": 1}  # those of the folder, as they were
    assert all(told)
    for secret in SECRETS:
        assert not [text for text in (*told, *kept, *kept.values()) if secret in text]
