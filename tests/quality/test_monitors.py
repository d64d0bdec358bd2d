"""Monitors: nights judged by their own past, on facts of small tables."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from airflow_mlops.project.quality_spec import QualitySpec
from airflow_mlops.quality.monitors import MONITORS, MonitorJudgement, PastNight, facts_of, judge_night
from airflow_mlops.quality.sources import open_table
from airflow_mlops.records import CheckOrigin, CheckOutcome, CheckResult

FIRST = dt.date(2026, 1, 5)
ROWS = 48
NIGHTS = 60
SPEC = QualitySpec()


def table_of(place: int, *, rows: int = ROWS) -> pa.Table:
    """A night of orders: identifiers, text, levels, numbers that hang together."""
    random = np.random.default_rng([7, place])
    night = FIRST + dt.timedelta(days=place)
    price = random.lognormal(3.0, 0.4, rows).round(2)
    items = random.poisson(3.0, rows) + 1
    minutes = np.sort(random.choice(24 * 60, rows, replace=False))
    return pa.table(
        {
            "at": pa.array(np.datetime64(night, "us") + minutes.astype("timedelta64[m]")),
            "order": place * ROWS + np.arange(rows),
            "region": random.choice(["nord", "süd", "west"], rows, p=[0.5, 0.3, 0.2]),
            "items": items,
            "price": price,
            "total": items * price,
            "degrees": 12 + random.normal(0, 2) + random.normal(0, 1.0, rows),
        }
    )


def facts(table: pa.Table, place: int, **more: Any) -> dict[str, Any]:
    night = FIRST + dt.timedelta(days=place)
    with open_table(table, night=night) as opened:
        return facts_of(opened, time_column="at", **more)


def arrival(place: int, hours: float = 2.0) -> dt.datetime:
    night = FIRST + dt.timedelta(days=place + 1)
    return dt.datetime.combine(night, dt.time(), dt.UTC) + dt.timedelta(hours=hours, minutes=7 * place % 20)


@pytest.fixture(scope="module")
def past() -> list[PastNight]:
    return [
        PastNight(FIRST + dt.timedelta(days=place), facts(table_of(place), place), arrival(place))
        for place in range(NIGHTS)
    ]


def judged(past: list[PastNight], table: pa.Table, *, late: float = 2.0, place: int | None = None) -> MonitorJudgement:
    place = len(past) if place is None else place
    night = FIRST + dt.timedelta(days=place)
    return judge_night(night, facts(table, place), past, spec=SPEC, arrived=arrival(place, late))


def faults(judgement: MonitorJudgement) -> dict[tuple[str, str | None], CheckResult]:
    found = [finding.result for finding in judgement.findings if finding.result.outcome is not CheckOutcome.PASSED]
    assert all(result.origin is CheckOrigin.MONITOR for result in found)
    return {(result.name, result.column): result for result in found}


def with_column(table: pa.Table, name: str, values: Any) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, pa.array(values))


def test_an_ordinary_night_passes_by_every_monitor(past: list[PastNight]) -> None:
    judgement = judged(past, table_of(NIGHTS))
    assert [finding.result.name for finding in judgement.findings] == list(MONITORS)
    assert not faults(judgement)
    assert judgement.lacking is None


def _nulls(table: pa.Table) -> pa.Table:
    return with_column(table, "price", pc.if_else(pc.less(table["items"], 3), None, table["price"]).combine_chunks())


BROKEN: dict[str, tuple[Callable[[pa.Table], pa.Table], tuple[str, str | None]]] = {
    "nulls": (_nulls, ("nulls", "price")),
    "all null": (lambda t: with_column(t, "price", pa.nulls(t.num_rows, pa.float64())), ("nulls", "price")),
    "no rows": (lambda t: t.slice(0, 0), ("volume", None)),
    "half the rows": (lambda t: t.slice(0, 16), ("volume", None)),
    "twice": (lambda t: pa.concat_tables([t, t]), ("uniqueness", None)),
    "repeated id": (lambda t: with_column(t, "order", [7] * 5 + t["order"].to_pylist()[5:]), ("uniqueness", "order")),
    "negative": (lambda t: with_column(t, "price", np.negative(t["price"].to_numpy())), ("range", "price")),
    "unit": (lambda t: with_column(t, "degrees", 1.8 * t["degrees"].to_numpy() + 32), ("range", "degrees")),
    "new level": (
        lambda t: with_column(t, "region", ["ost"] * 8 + t["region"].to_pylist()[8:]),
        ("distinct", "region"),
    ),
    "renamed": (lambda t: t.rename_columns({"price": "cost"}), ("schema", "price")),
    "one more": (lambda t: t.append_column("cost", t["price"]), ("schema", "cost")),
    "type": (lambda t: with_column(t, "items", t["items"].cast(pa.string()).combine_chunks()), ("schema", "items")),
    "shuffled": (
        lambda t: with_column(t, "price", np.random.default_rng(1).permutation(t["price"].to_numpy())),
        ("relation", "items"),
    ),
    "padded": (
        lambda t: with_column(t, "region", [f" {one}" for one in t["region"].to_pylist()]),
        ("text", "region"),
    ),
    "a year ahead": (
        lambda t: with_column(t, "at", pc.add(t["at"], pa.scalar(dt.timedelta(days=365))).combine_chunks()),
        ("range", None),
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_faults_are_found_by_the_monitor_that_tells_of_them(past: list[PastNight], fault: str) -> None:
    plant, found = BROKEN[fault]
    assert found in faults(judged(past, plant(table_of(NIGHTS))))


def test_a_late_night_is_found_and_an_early_one_is_none(past: list[PastNight]) -> None:
    assert ("freshness", None) in faults(judged(past, table_of(NIGHTS), late=11.0))
    assert not faults(judged(past, table_of(NIGHTS), late=0.1))


def test_nights_that_came_in_one_go_say_nothing_of_lateness(past: list[PastNight]) -> None:
    at_once = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
    backfilled = [one._replace(arrived=at_once + dt.timedelta(minutes=place)) for place, one in enumerate(past)]
    judgement = judge_night(
        FIRST + dt.timedelta(days=NIGHTS),
        facts(table_of(NIGHTS), NIGHTS),
        backfilled,
        spec=SPEC,
        arrived=at_once + dt.timedelta(hours=2),
    )
    assert not faults(judgement)


def test_a_copy_of_an_earlier_night_is_found_under_another_date(past: list[PastNight]) -> None:
    copied = table_of(11)
    moved = with_column(copied, "at", pc.add(copied["at"], pa.scalar(dt.timedelta(days=NIGHTS - 11))).combine_chunks())
    fault = faults(judged(past, moved))["uniqueness", None]
    assert str(FIRST + dt.timedelta(days=11)) in fault.actual


def test_words_say_how_many_rows_and_what_was_before(past: list[PastNight]) -> None:
    fault = faults(judged(past, _nulls(table_of(NIGHTS))))["nulls", "price"]
    assert fault.expected == f"no row null in price, as in {NIGHTS} nights"
    assert fault.actual == f"{fault.failing_rows} of {ROWS} rows null"
    assert fault.since == FIRST + dt.timedelta(days=NIGHTS)
    assert fault.probability is not None
    assert 0 < fault.probability < SPEC.false_alarms_per_year / 365


def test_with_few_nights_only_what_is_plain_is_said(past: list[PastNight]) -> None:
    judgement = judged(past[:5], _nulls(table_of(5)))
    assert judgement.lacking == "has 5 nights before it to learn from, at least 14 are needed"
    assert not faults(judgement)
    assert ("schema", "price") in faults(judged(past[:5], table_of(5).drop_columns(["price"])))
    assert not faults(judged(past[:2], table_of(2).drop_columns(["price"])))


def test_quiet_nights_teach_nothing_and_accepted_ones_do(past: list[PastNight]) -> None:
    broken = with_column(table_of(NIGHTS), "region", ["ost"] * 24 + table_of(NIGHTS)["region"].to_pylist()[24:])
    tonight = FIRST + dt.timedelta(days=NIGHTS)
    known = PastNight(tonight, facts(broken, NIGHTS), arrival(NIGHTS))
    again = with_column(table_of(61), "region", ["ost"] * 24 + table_of(61)["region"].to_pylist()[24:])
    assert ("distinct", "region") in faults(judged([*past, known._replace(quiet=True)], again))
    assert ("distinct", "region") not in faults(judged([*past, known._replace(quiet=True, accepted=True)], again))


def test_an_accepted_volume_is_usual_at_once(past: list[PastNight]) -> None:
    fewer = PastNight(FIRST + dt.timedelta(days=NIGHTS), facts(table_of(NIGHTS, rows=16), NIGHTS), arrival(NIGHTS))
    again = table_of(61, rows=16)
    assert ("volume", None) in faults(judged([*past, fewer._replace(quiet=True)], again))
    assert ("volume", None) not in faults(judged([*past, fewer._replace(quiet=True, accepted=True)], again))


def test_the_same_nights_give_the_same_judgement_whatever_was_before_them_in_this_process(
    past: list[PastNight],
) -> None:
    first = [finding.result for finding in judged(past, _nulls(table_of(NIGHTS))).findings]
    judged(past[:30], table_of(30))
    assert [finding.result for finding in judged(past, _nulls(table_of(NIGHTS))).findings] == first
    as_read_back = [one._replace(facts=json.loads(json.dumps(one.facts))) for one in past]
    assert [finding.result for finding in judged(as_read_back, _nulls(table_of(NIGHTS))).findings] == first


def test_ignored_columns_are_not_looked_at() -> None:
    assert "price" not in facts(table_of(0), 0, ignore=("price",))["columns"]


def failing_of(past: list[PastNight], table: pa.Table, fault: tuple[str, str | None]) -> pa.Table:
    night = FIRST + dt.timedelta(days=NIGHTS)
    with open_table(table, night=night) as opened:
        counted = facts_of(opened, time_column="at")
        judgement = judge_night(night, counted, past, spec=SPEC, table=opened, time_column="at")
        found = next(one for one in judgement.findings if (one.result.name, one.result.column) == fault)
        assert found.failing is not None
        return found.failing(3)


TOLD = ("nulls", "repeated id", "negative", "new level", "twice", "unit", "padded", "a year ahead")


@pytest.mark.parametrize(("plant", "fault"), [pytest.param(*BROKEN[one], id=one) for one in TOLD])
def test_rows_that_fail_are_shown_with_their_numbers(
    past: list[PastNight], plant: Callable[[pa.Table], pa.Table], fault: tuple[str, str | None]
) -> None:
    broken = plant(table_of(NIGHTS))
    shown = failing_of(past, broken, fault)
    assert shown.num_rows == 3
    assert shown.column_names == ["row", *broken.column_names]
    for row in shown.to_pylist():
        assert row["order"] == broken["order"][row.pop("row") - 1].as_py()


@pytest.mark.parametrize(("rows", "found"), [(96, True), (12, True), (60, False), (36, False)])
def test_far_more_or_fewer_rows_than_ever_are_seen_after_a_week(past: list[PastNight], rows: int, found: bool) -> None:
    judgement = judged(past[:7], table_of(7, rows=rows), place=7)
    assert ("volume" in {one.result.name for one in judgement.findings if one.result.outcome == "failed"}) is found
