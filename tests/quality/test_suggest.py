from __future__ import annotations

import datetime as dt
import decimal
import json
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml

from airflow_mlops.errors import DataError
from airflow_mlops.quality.contracts import check_contract, contract_faults
from airflow_mlops.quality.sources import open_table
from airflow_mlops.quality.suggest import SeenNight, learned_rules, seen_in, written_contract
from airflow_mlops.records import CheckOutcome

NIGHT = dt.date(2011, 3, 5)
FORMATS = {"soda": "yml", "gx": "json"}


def seen(table: pa.Table) -> SeenNight:
    with open_table(table, night=NIGHT) as night:
        return seen_in(night)


def suggested(*tables: pa.Table, language: Any = "soda") -> str:
    return written_contract(learned_rules([seen(table) for table in tables]), name="night", language=language)


def columns(*tables: pa.Table) -> dict[str, dict[str, Any]]:
    """What the contract says of each column: its type, and its checks with their settings."""
    found: dict[str, dict[str, Any]] = {}
    for column in yaml.safe_load(suggested(*tables))["columns"]:
        checks = {kind: settings for check in column.get("checks", []) for kind, settings in check.items()}
        found[column["name"]] = {"data_type": column.get("data_type"), **checks}
    return found


def hours(**more: Sequence[Any]) -> pa.Table:
    return pa.table({"hr": list(range(24)), **more})


ODD_NAMES = [
    "the count",
    "größe",
    "O'Brien",
    "a:b",
    "#",
    "- x",
    "yes",
    "1",
    "NULL",
    "Select",
    "a\\b",
    "ta\tb",
    "{{x}}",
    "日本",
]
MICROSECOND = pa.timestamp("us")


def tables() -> dict[str, pa.Table]:
    rng = np.random.default_rng(5)
    nan = float("nan")
    stamps = [dt.datetime(2011, 3, 5, hour) for hour in range(24)]
    text = ["Zürich", "O'Brien", "no", "null", "1", "", " ", '"', "a: b", "#x", "é\u0301", "🚲"]
    price = [decimal.Decimal(place).scaleb(-2) for place in range(-12, 12)]
    return {
        "hours": hours(temp=rng.normal(size=24), cnt=rng.poisson(90, 24)),
        "one row": pa.table({"a": [1], "b": ["x"], "c": [2.5], "d": [None]}),
        "two equal rows": pa.table({"a": [1, 1], "b": [0.0, 0.0]}),
        "booleans": hours(flag=[True, False] * 12, never=[False] * 24, unknown=[None, True] * 12),
        "times": hours(
            at=pa.array(stamps, MICROSECOND),
            zoned=pa.array(stamps, pa.timestamp("us", "UTC")),
            nanoseconds=pa.array(stamps, pa.timestamp("ns")),
            seconds=pa.array(stamps, pa.timestamp("s")),
            day=pa.array([NIGHT] * 24),
            clock=pa.array([stamp.time() for stamp in stamps]),
            lasted=pa.array([dt.timedelta(minutes=hour) for hour in range(24)]),
        ),
        "decimals": hours(
            price=pa.array(price, pa.decimal128(10, 2)),
            large=pa.array([10**30 + i for i in range(24)], pa.decimal128(38, 0)),
        ),
        "empty columns": hours(
            nothing=pa.nulls(24), no_number=pa.nulls(24, pa.float64()), no_text=pa.nulls(24, pa.string())
        ),
        "missing and NaN": hours(
            some=[None, nan, *[1.5] * 22], all_nan=[nan] * 24, text=[None, *["a"] * 23], whole=[None, *range(23)]
        ),
        "infinite": hours(far=[float("inf"), *[1.0] * 23], huge=[1e200, *[1.0] * 23]),
        "very large and small": hours(
            large=[2**62 + 7 * i for i in range(24)], low=[-(2**63), *range(23)], tiny=np.linspace(1e-300, 2e-300, 24)
        ),
        "negative": hours(below=[-x for x in range(1, 25)], around=np.linspace(-3, 3, 24), zero=[0.0, -0.0] * 12),
        "close together": hours(near=[1e15 + i / 8 for i in range(24)], same=[0.1 + 0.2] * 24),
        "small types": hours(
            tiny=pa.array(range(24), pa.int8()),
            unsigned=pa.array(range(24), pa.uint64()),
            half=pa.array(np.linspace(0, 1, 24).astype("float16")),
            single=pa.array(np.linspace(0.1, 0.7, 24), pa.float32()),
        ),
        "text": pa.table({"word": text * 5, "long": ["x" * 300] * 60, "many": [str(place) for place in range(60)]}),
        "dictionary": pa.table({"word": pa.array(["a", "b"] * 20).dictionary_encode()}),
        "unicode": hours(wört=["ja", "nein"] * 12),
        "odd names": pa.table({name: [1.0, 2.0, 3.5] * 8 for name in ODD_NAMES}),
        "quoted name": pa.table({'a "b"': [1, 2, 3], "c": [1, 2, 3]}),
        "nested": hours(
            listed=pa.array([[1, 2]] * 24),
            pair=pa.array([{"x": 1}] * 24),
            raw=pa.array([b"\x00\xff"] * 24, pa.binary()),
        ),
        "uuid": pa.table({"id": [str(uuid.UUID(int=place)) for place in range(40)]}),
        "wide": pa.table({f"c{place}": rng.normal(size=30) for place in range(40)}),
        "many rows": pa.table({"x": rng.normal(size=50_000), "word": rng.choice(["a", "b", "c"], 50_000)}),
    }


@pytest.mark.parametrize("language", ["soda", "gx"])
@pytest.mark.parametrize("name", sorted(tables()))
def test_a_suggestion_passes_on_what_it_was_made_from(tmp_path: Path, name: str, language: str) -> None:
    table = tables()[name]
    text = suggested(table, language=language)
    contract = tmp_path / f"contract.{FORMATS[language]}"
    contract.write_text(text, encoding="utf-8")
    assert contract_faults(contract, table.column_names) == []
    with open_table(table, night=NIGHT) as night:
        results = [finding.result for finding in check_contract(night, contract)]
    assert [result for result in results if result.outcome is not CheckOutcome.PASSED] == []
    assert len(results) > 1
    assert suggested(table, language=language) == text


def test_a_night_of_hours() -> None:
    table = hours(temp=np.linspace(0.2, 0.7, 24), weather=["mist", "clear"] * 12, day=[5] * 24, cnt=[40] * 23 + [None])
    assert (
        suggested(table)
        == """\
# Suggested for night by what one night of 24 rows were like. Read it, correct it, keep it under
# version control: it says what was, a contract says what has to be.
# As much again as the range that was seen is allowed on either side, for one night knows little.
dataset: duckdb/night

checks:
  # Each column below has to be there, of its type; others may come, in any order.
  - schema:
      allow_extra_columns: true
      allow_other_column_order: true
  # Seen: 24 rows.
  - row_count:
      threshold:
        must_be_between:
          greater_than_or_equal: 12
          less_than_or_equal: 48

columns:
  - name: hr
    data_type: bigint
    checks:
      - missing: # never missing
      - duplicate: # each row of a night has its own
  - name: temp
    data_type: double
    checks:
      - missing: # never missing
      - invalid: # seen: 0.2 to 0.7
          valid_min: 0
          valid_max: 1.2
  - name: weather
    data_type: varchar
    checks:
      - missing: # never missing
      - invalid: # 2 values, and no other
          valid_values: [clear, mist]
  - name: day
    data_type: bigint
    checks:
      - missing: # never missing
  - name: cnt
    data_type: bigint
"""
    )


def nights(of: Callable[[int], dict[str, Any]], count: int = 40) -> list[pa.Table]:
    return [hours(**of(place)) for place in range(count)]


def test_only_what_held_on_all_nights() -> None:
    rng = np.random.default_rng(3)
    found = columns(
        *nights(
            lambda place: {
                "weekday": [place % 7] * 24,
                "month": [1 + place // 10] * 24,
                "slow": [5 + (place >= 12) + (place >= 35)] * 24,
                "price": 100.0 + 3 * place + rng.normal(size=24),
                "temp": rng.normal(5, 5, 24),
                "gap": [None if place == 30 and hour == 3 else 1.0 for hour in range(24)],
                "twice": [hour % 23 if place == 7 else hour for hour in range(24)],
                "word": rng.choice(["a", "b"] if place < 30 else ["a", "b", "c"], 24),
                "code": ["EUR"] * 24,
            }
        )
    )
    assert found["hr"] == {
        "data_type": "bigint", "missing": None, "duplicate": None, "invalid": {"valid_min": 0, "valid_max": 23},
    }  # fmt: skip
    assert found["weekday"]["invalid"] == {"valid_min": 0, "valid_max": 6}
    # What goes on growing has no bounds, and of a list that grew nobody knows where it ends.
    assert all("invalid" not in found[name] for name in ("month", "slow", "price", "word"))
    assert -35 < found["temp"]["invalid"]["valid_min"] < -20
    assert 30 < found["temp"]["invalid"]["valid_max"] < 45
    assert "missing" not in found["gap"]
    assert "missing" in found["twice"]
    assert "duplicate" not in found["twice"]
    assert found["code"]["invalid"] == {"valid_values": ["EUR"]}


def test_every_night_of_a_history_passes(tmp_path: Path) -> None:
    rng = np.random.default_rng(11)
    past = [
        pa.table({"x": rng.normal(size=rows), "n": rng.poisson(50, rows), "word": rng.choice(["a", "b"], rows)})
        for rows in rng.integers(40, 90, 12).tolist()
    ]
    contract = tmp_path / "contract.yml"
    contract.write_text(suggested(*past))
    for table in past:
        with open_table(table, night=NIGHT) as night:
            assert {finding.result.outcome for finding in check_contract(night, contract)} == {CheckOutcome.PASSED}


def test_rows_a_night() -> None:
    def bounds(*counts: int) -> Any:
        row_count = yaml.safe_load(suggested(*[pa.table({"x": [1] * rows}) for rows in counts]))["checks"][1][
            "row_count"
        ]
        between = row_count and row_count["threshold"]["must_be_between"]
        return between and (between["greater_than_or_equal"], between["less_than_or_equal"])

    assert bounds(1) == (1, 2)
    assert bounds(1000) == (500, 2000)
    assert bounds(24, 24, 23, 24) == (20, 27)
    assert bounds(1000, 1100, 1050, 1020) == (890, 1210)
    # The table outgrew what its older half had: only that there are rows at all.
    assert bounds(100, 200, 400, 800) is None


def test_a_column_of_some_nights_alone_is_left_to_the_reader() -> None:
    text = suggested(hours(new=[1] * 24), hours(), hours(other=[1] * 24), hours())
    assert [column["name"] for column in yaml.safe_load(text)["columns"]] == ["hr"]
    assert text.endswith(
        "  # new: not in every night, so nothing is asked of it.\n"
        "  # other: not in every night, so nothing is asked of it.\n"
    )


def test_a_key_by_luck_is_none() -> None:
    rng = np.random.default_rng(2)
    lucky = rng.permutation(900)[:24]
    found = columns(hours(lucky=lucky, few=lucky, drawn=rng.integers(0, 2**62, 24), word=[f"w{i}" for i in range(24)]))
    assert "duplicate" not in found["lucky"]
    # These will go on to differ.
    assert {"duplicate"} <= found["drawn"].keys() & found["word"].keys() & found["hr"].keys()
    assert "duplicate" not in columns(pa.table({"hr": range(10)}))["hr"]


def test_a_type_that_changed_is_not_asked_for() -> None:
    found = columns(hours(x=pa.array(range(24), pa.int64())), hours(x=pa.array(range(24), pa.float64())))
    assert found["x"]["data_type"] is None
    assert found["hr"]["data_type"] == "bigint"


def test_a_suite_says_why() -> None:
    suite = json.loads(suggested(*[hours()] * 10, language="gx"))
    assert [(one["type"], one["kwargs"]) for one in suite["expectations"]] == [
        ("expect_table_columns_to_match_set", {"column_set": ["hr"], "exact_match": False}),
        ("expect_table_row_count_to_be_between", {"min_value": 21, "max_value": 27}),
        ("expect_column_values_to_not_be_null", {"column": "hr"}),
        ("expect_column_values_to_be_unique", {"column": "hr"}),
        ("expect_column_values_to_be_between", {"column": "hr", "min_value": 0, "max_value": 23}),
    ]
    assert suite["expectations"][-1]["meta"]["notes"] == "seen: 0 to 23, every whole number of it often"


def test_a_large_table_is_counted_where_it_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    table = tables()["missing and NaN"]
    small = seen(table)
    monkeypatch.setattr("airflow_mlops.quality.suggest.seen.MOST_CELLS", 0)
    assert seen(table) == small


def test_what_nothing_can_be_learned_from() -> None:
    with pytest.raises(DataError, match=r"expected rows to learn a contract from in .*, got 0"):
        seen(hours().slice(0, 0))
    with pytest.raises(DataError, match="expected nights of one table, got 2 without a column in common"):
        suggested(hours(), pa.table({"other": [1]}))
    with pytest.raises(DataError, match="got 0"):
        suggested()
