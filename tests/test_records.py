"""One battery over every record: JSON and back, by its digest."""

from __future__ import annotations

import datetime as dt
import json
import math
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
from pydantic import ValidationError

from airflow_mlops import records
from airflow_mlops.errors import LedgerError, TamperedRecord
from airflow_mlops.records import Quality, Record, RecordRef, Value, sha256_digest

NOW = dt.datetime(2011, 3, 5, 6, 30, 0, 123456, tzinfo=dt.UTC)
KINDS = [
    value
    for value in vars(records).values()
    if isinstance(value, type) and issubclass(value, Record) and value is not Record
]


def sample(kind: Any, number: float = 1.5) -> Any:
    """A value of any type that records are made of."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Literal:
        return inner[0]
    if origin is Annotated:
        return sample(inner[0], number)
    if origin is tuple:
        return (sample(inner[0], number),)
    if origin is dict:
        return {"name": sample(inner[1], number)}
    if origin is Union or (inner and type(None) in inner):
        return sample(inner[0], number)
    if isinstance(kind, type) and issubclass(kind, Value):
        return kind(**{name: sample(field.annotation, number) for name, field in kind.model_fields.items()})
    if isinstance(kind, type) and issubclass(kind, Enum):
        return next(iter(kind))
    plain = {
        str: "text, ünïcode",
        int: 3,
        float: number,
        bool: True,
        dt.date: dt.date(2011, 3, 5),
        dt.datetime: NOW,
        Any: [1, 2.5, "x", None],
    }
    return plain[kind]


def test_all_is_true() -> None:
    defined = {
        name
        for name, value in vars(records).items()
        if getattr(value, "__module__", "").startswith(f"{records.__name__}.") and not name.startswith("_")
    }
    assert set(records.__all__) == defined | {"Instant"}


def test_every_record_has_a_kind_of_its_own() -> None:
    assert len(KINDS) >= 9
    assert len({kind.kind for kind in KINDS}) == len(KINDS)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
@pytest.mark.parametrize("number", [1.5, 0.1 + 0.2, 1e-300, 1e22, -0.0, math.nan, math.inf, -math.inf])
def test_a_record_comes_back_as_it_was(kind: type[Record], number: float) -> None:
    record = sample(kind, number)
    data = record.to_json()
    again = kind.from_json(data, name="here")
    assert again.to_json() == data
    assert again.ref == record.ref
    assert repr(again) == repr(record)
    assert json.loads(data)["schema"] == f"airflow-mlops/{kind.kind}/{kind.version}"
    assert len(data.splitlines()) > 5


def test_a_field_that_came_later_leaves_the_digest_of_a_record_from_before() -> None:
    of_today = sample(records.Verdict)
    before = dict(of_today)
    for name in ("golden_uses", "warnings", "weak_spots"):
        del before[name]
    written = records.Verdict(**before)
    data = written.to_json()
    assert b"golden_uses" not in data
    again = records.Verdict.from_json(data, name="here")
    assert again.golden_uses == 0
    assert again.ref == written.ref
    assert again.to_json() == data


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_a_record_is_frozen_and_closed(kind: type[Record]) -> None:
    record = sample(kind)
    with pytest.raises(ValidationError, match="frozen"):
        record.model = "another"
    with pytest.raises(ValidationError, match="Extra inputs"):
        kind(**dict(record), unheard_of=1)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_a_naive_time_is_refused(kind: type[Record]) -> None:
    fields = dict(sample(kind)) | {"recorded_at": NOW.replace(tzinfo=None)}
    with pytest.raises(ValidationError, match="time zone"):
        kind(**fields)


def test_a_time_is_kept_in_utc() -> None:
    elsewhere = NOW.astimezone(dt.timezone(dt.timedelta(hours=5, minutes=30)))
    fields = dict(sample(Quality)) | {"recorded_at": elsewhere}
    assert Quality(**fields).ref == sample(Quality).ref


def _sealed(schema: str, body: Any) -> bytes:
    canonical = json.dumps([schema, body], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return json.dumps({"schema": schema, "digest": sha256_digest(canonical.encode()), "record": body}).encode()


def test_the_digest_is_over_schema_and_content_whatever_the_layout() -> None:
    envelope = json.loads(sample(Quality).to_json())
    assert _sealed(envelope["schema"], envelope["record"]) != sample(Quality).to_json()
    assert Quality.from_json(_sealed(envelope["schema"], envelope["record"]), name="here") == sample(Quality)


@pytest.mark.parametrize("schema", ["airflow-mlops/quality/2", "airflow-mlops/drift/1", "nonsense", 7, None])
def test_a_schema_that_is_not_known_is_said(schema: Any) -> None:
    body = json.loads(sample(Quality).to_json())["record"]
    with pytest.raises(LedgerError, match=r"there\.json: expected schema airflow-mlops/quality/1"):
        Quality.from_json(_sealed(schema, body), name="there.json")


@pytest.mark.parametrize("body", [{}, [], 1, {"model": "demand", "unheard_of": 1}])
def test_fields_that_are_not_known_are_said(body: Any) -> None:
    with pytest.raises(LedgerError, match=r"there\.json: expected the fields"):
        Quality.from_json(_sealed("airflow-mlops/quality/1", body), name="there.json")


def test_a_stated_digest_is_never_believed() -> None:
    envelope = json.loads(sample(Quality).to_json())
    envelope["digest"] = sha256_digest(b"")
    with pytest.raises(TamperedRecord, match=r"there\.json"):
        Quality.from_json(json.dumps(envelope).encode(), name="there.json")


def test_a_reference_reads_back() -> None:
    ref = RecordRef(kind="verdict", key="demand/a@b/c", digest=sha256_digest(b""))
    assert RecordRef.parse(str(ref)) == ref
    for text in ("", "verdict", "verdict/demand", "verdict@sha256:ab", "verdict/demand@md5:ab"):
        with pytest.raises(LedgerError, match="expected a reference"):
            RecordRef.parse(text)
