"""What is wrong with a Great Expectations suite, told without data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops.quality.contracts import contract_faults, expectations


def expects(kind: str, severity: str | None = None, **kwargs: Any) -> dict[str, Any]:
    return {"type": kind, "kwargs": kwargs, **({"severity": severity} if severity else {})}


NOT_NULL = expects("expect_column_values_to_not_be_null", column="temp")
RANGE = expects("expect_column_values_to_be_between", column="temp", min_value=0, max_value=1)


FAULTS = {
    "unknown": (
        [expects("expect_column_values_to_not_be_nul", column="temp")],
        (
            "{file}:4: unknown expectation 'expect_column_values_to_not_be_nul'; "
            "did you mean 'expect_column_values_to_not_be_null'?"
        ),
    ),
    "unknown argument": (
        [expects("expect_column_values_to_be_between", column="temp", min_value=0, max_valu=3)],
        "{file}:4: expect_column_values_to_be_between: max_valu: extra fields not permitted",
    ),
    "argument lacking": (
        [expects("expect_column_values_to_not_be_null")],
        "{file}:4: expect_column_values_to_not_be_null: column: field required",
    ),
    "unknown severity": (
        [expects("expect_column_values_to_not_be_null", "fatal", column="temp")],
        "{file}:9: unknown severity 'fatal'; known are critical, warning, info",
    ),
    "unknown key": (
        [{**NOT_NULL, "sverity": "info"}],
        "{file}:9: unknown key 'sverity'; did you mean 'severity'?",
    ),
    "twice": (
        [NOT_NULL, RANGE, NOT_NULL],
        "{file}:18: expect_column_values_to_not_be_null stands twice, first in line 4",
    ),
    "nothing": ([], "{file}: holds no expectation: every night would pass. Add one"),
    "no expectation": (["missing"], "{file}:4: expected an expectation with 'type' and 'kwargs'"),
    "no bound": (
        [expects("expect_column_max_to_be_between", column="temp")],
        "{file}:4: expect_column_max_to_be_between expects nothing: give min_value or max_value",
    ),
    "of no row": (
        [expects("expect_column_values_to_not_be_null", column="temp", mostly=0)],
        "{file}:4: expect_column_values_to_not_be_null expects nothing of any row: mostly is 0",
    ),
    "past the night": (
        [expects("unexpected_rows_expectation", unexpected_rows_query="SELECT * FROM rides")],
        (
            "{file}:4: unexpected_rows_expectation does not look at the night: write {{batch}} where the query names "
            "the table"
        ),
    ),
    "pandas alone": (
        [expects("expect_column_values_to_be_increasing", column="hour")],
        (
            "{file}:4: expect_column_values_to_be_increasing has no form in SQL: say it as a query "
            "(unexpected_rows_expectation)"
        ),
    ),
    "parameter": (
        [expects("expect_column_values_to_be_between", column="temp", min_value={"$PARAMETER": "low"})],
        "{file}:4: $PARAMETER has no value here: write the value itself",
    ),
}


@pytest.mark.parametrize(("written", "fault"), FAULTS.values(), ids=FAULTS)
def test_what_is_wrong_with_a_suite(suite: Callable[..., Path], written: list[Any], fault: str) -> None:
    file = suite(*written)
    assert contract_faults(file) == [fault.format(file=file)]


def test_columns_that_the_data_lacks(suite: Callable[..., Path]) -> None:
    file = suite(NOT_NULL, expects("expect_table_columns_to_match_set", column_set=["temp", "hum"]))
    assert contract_faults(file, ["temperature", "hum"]) == [
        f"{file}:4: expected the data's columns, got no column 'temp' (did you mean 'temperature'?)",
        f"{file}:10: expected the data's columns, got no column 'temp' (did you mean 'temperature'?)",
    ]
    assert contract_faults(file, ["temp", "hum"]) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"expectations": [}', ":1: expected JSON or YAML: "),
        ("expectations:\n  - type: [", ":2: expected JSON or YAML: "),
        ("- expectations", ": expected a suite with 'expectations', got another kind of document."),
        ("expectations: 3\n", ": expected a list 'expectations:'"),
        ('{"expectations": [], "expectations": [1]}', ":1: the key 'expectations' stands twice"),
        ("expectations: &a [*a]\n", ":1: expected an expectation with 'type' and 'kwargs'"),
    ],
    ids=["JSON", "YAML", "list", "number", "twice", "itself"],
)
def test_what_is_no_suite(tmp_path: Path, text: str, fault: str) -> None:
    file = tmp_path / "suite.json"
    file.write_text(text)
    assert expectations.faults(file)[0].startswith(f"{file}{fault}")


def test_a_suite_that_is_not_there(tmp_path: Path) -> None:
    assert expectations.faults(tmp_path / "none.json")[0].startswith(f"{tmp_path}/none.json: expected a Great ")
