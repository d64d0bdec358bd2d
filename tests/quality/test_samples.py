from __future__ import annotations

import datetime as dt
import decimal
import json
import math
from typing import Any

import pyarrow as pa
import pytest

from airflow_mlops.errors import DataError, RemoteUnavailable
from airflow_mlops.quality.night_table import Finding
from airflow_mlops.quality.samples import masked, sample_of
from airflow_mlops.records import CheckOrigin, CheckOutcome, CheckResult

NIGHT = dt.date(2026, 3, 2)


def result(name: str = "missing", column: str | None = "temp", **more: Any) -> CheckResult:
    fields = {"outcome": CheckOutcome.FAILED, "expected": "0", "actual": "1 of 24 rows"} | more
    return CheckResult(name=name, column=column, **fields)


def finding(rows: dict[str, Any], **more: Any) -> Finding:
    table = pa.table(rows)
    return Finding(result(**more), lambda limit: table.slice(0, limit))


def rows_of(*findings: Finding, sensitive: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    sample, note = sample_of(findings, night=NIGHT, sensitive=sensitive)
    assert note == ""
    return [] if sample is None else json.loads(sample)["rows"]


def test_a_row_says_which_checks_it_fails() -> None:
    one = finding({"row": [3, 4], "temp": [None, 1.0]}, name="missing")
    other = finding({"row": [4], "temp": [1.0]}, name="invalid")
    assert rows_of(one, other) == [
        {"row": 3, "checks": ["missing:temp"], "values": {"temp": None}},
        {"row": 4, "checks": ["missing:temp", "invalid:temp"], "values": {"temp": 1.0}},
    ]


def test_rows_without_a_number_stand_each_by_itself() -> None:
    assert [row["row"] for row in rows_of(finding({"row": pa.nulls(2, pa.int64()), "temp": [1, 1]}))] == [None, None]


@pytest.mark.parametrize("outcome", ["warned", "error"])
def test_rows_are_shown_of_whatever_did_not_pass(outcome: str) -> None:
    assert rows_of(finding({"row": [1], "temp": [1]}, outcome=CheckOutcome(outcome)))


def test_nothing_is_shown_of_what_passed_or_has_no_rows() -> None:
    passed = finding({"row": [1], "temp": [1]}, outcome=CheckOutcome.PASSED)
    assert sample_of([passed, Finding(result())], night=NIGHT, sensitive=()) == (None, "")


def test_a_hundred_rows_in_all_and_some_of_each_check() -> None:
    many = [finding({"row": range(place, 100_000, 7), "temp": range(place, 100_000, 7)}) for place in range(7)]
    few = finding({"row": [999_999], "temp": [1]}, name="invalid")
    rows = rows_of(*many, few)
    assert 80 < len(rows) <= 100
    assert {"invalid:temp", "missing:temp"} == {check for row in rows for check in row["checks"]}


def test_more_checks_than_rows_still_give_a_hundred() -> None:
    assert len(rows_of(*(finding({"row": [place], "temp": [1]}) for place in range(300)))) == 100


def test_what_is_large_is_cut() -> None:
    wide = {f"c{place}": ["x" * 2000] * 100 for place in range(120)}
    sample, _ = sample_of([finding({"row": range(100), **wide, "temp": [1.0] * 100})], night=NIGHT, sensitive=())
    assert sample is not None
    assert len(sample) < 4_000_000
    values = json.loads(sample)["rows"][0]["values"]
    assert len(values) == 100
    assert values["temp"] == 1.0
    assert values["c0"].endswith("... (2000 characters)")


def test_every_type_of_value_can_be_shown() -> None:
    columns = {
        "row": [1],
        "b": [True],
        "d": [dt.date(2026, 3, 2)],
        "t": [dt.datetime(2026, 3, 2, 5, tzinfo=dt.UTC)],
        "n": [decimal.Decimal("1.50")],
        "x": [b"\x00\xff"],
        "nan": [math.nan],
        "inf": [math.inf],
        "list": [[1, 2]],
        "u": ["Zürich \U0001f6b2"],
    }
    assert rows_of(finding(columns))[0]["values"] == {
        "b": True,
        "d": "2026-03-02",
        "t": "2026-03-02 05:00:00+00:00",
        "n": "1.50",
        "x": "00 ff",
        "nan": None,
        "inf": "inf",
        "list": "[1, 2]",
        "u": "Zürich \U0001f6b2",
    }


def test_sensitive_columns_are_masked_in_any_case() -> None:
    (row,) = rows_of(finding({"row": [1], "Email": ["ada@example.org"], "temp": [1.0]}), sensitive=("email",))
    assert row["values"] == {"Email": "***", "temp": 1.0}


def test_a_check_whose_rows_cannot_be_read_is_noted_and_an_unavailable_one_is_not_passed_over() -> None:
    def broken(_: int) -> pa.Table:
        raise DataError("could not convert 'ada@example.org'")

    def gone(_: int) -> pa.Table:
        raise RemoteUnavailable("no answer")

    sample, note = sample_of([Finding(result(), broken)], night=NIGHT, sensitive=())
    assert (sample, note) == (None, "no failing rows of missing:temp: could not convert '***'")
    with pytest.raises(RemoteUnavailable):
        sample_of([Finding(result(), gone)], night=NIGHT, sensitive=())


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"column": "email", "actual": "ada@example.org", "failing_rows": 3}, ("***", "*** (3 rows)")),
        ({"column": "EMAIL", "expected": "one of a@b.c", "actual": "x"}, ("***", "***")),
        (
            {
                "column": "email",
                "origin": CheckOrigin.MONITOR,
                "expected": "no null, as in 60 nights",
                "actual": "3 of 24 rows null: 'x@y'",
            },
            ("no null, as in 60 nights", "3 of 24 rows null: '***'"),
        ),
        (
            {"column": None, "expected": "0", "actual": "rows ('ada', \"bo\") repeat 'temp'"},
            ("0", "rows ('***', '***') repeat 'temp'"),
        ),
        (
            {"outcome": CheckOutcome.ERROR, "expected": "0", "actual": "could not cast 'it''s 5' to INT"},
            ("0", "could not cast '***' to INT"),
        ),
        ({"expected": "0", "actual": "5 of 24 rows, such as 'x'"}, ("0", "5 of 24 rows, such as 'x'")),
    ],
)
def test_words_do_not_quote_what_is_sensitive(told: dict[str, Any], words: tuple[str, str]) -> None:
    found = masked(result(**told), sensitive=("email",), columns=("email", "temp"))
    assert (found.expected, found.actual) == words


def test_without_sensitive_columns_nothing_is_masked() -> None:
    told = result(column=None, actual="rows 'ada' repeat")
    assert masked(told, sensitive=(), columns=("temp",)) == told
