"""What may be promoted, whoever said what; and a table that shows every figure as it is meant."""

from __future__ import annotations

import datetime as dt
import itertools
from typing import Any

import pytest

from airflow_mlops.approval import awaits_person, objection, verdict_table
from airflow_mlops.records import Approval, Decision, RecordRef, RuleResult, Verdict, WeakSpot

NOW = dt.datetime(2025, 2, 19, tzinfo=dt.UTC)
REF = RecordRef(kind="manifest", key="m/1", digest="sha256:1")
NAN = float("nan")


def rule(**changes: Any) -> RuleResult:
    plain = {
        "rule": "rmse non_inferior", "on": "golden", "decision": Decision.PROMOTE, "rows": 1200, "challenger": 1.0,
        "champion": 1.0, "estimate": 0.01, "low": 0.0, "high": 0.015, "bound": 0.02, "reason": "fine",
    }  # fmt: skip
    return RuleResult.model_validate(plain | changes)


def verdict(decision: Decision = Decision.HOLD, *rules: RuleResult, **changes: Any) -> Verdict:
    plain = Verdict(
        model="m", decision=decision, manifest=REF, champion=None, artefact_digest="a", rules_digest="r", golden=REF,
        recent=(), rules=rules, reasons=("too few rows",), predictions_digest=None, recorded_at=NOW,
    )  # fmt: skip
    return plain.model_copy(update=changes)


def approval(of: Verdict, *, approved: bool, by: str | None = "Ada") -> Approval:
    return Approval(model="m", verdict=of.ref, approved=approved, decided_by=by, reason="season", recorded_at=NOW)


@pytest.mark.parametrize(
    ("decision", "mode", "word"), [*itertools.product(Decision, ("hold", "always", "never"), (None, True, False))]
)
def test_nothing_is_promoted_that_neither_gate_nor_person_let_through(decision, mode, word):
    judged = verdict(decision)
    given = None if word is None else approval(judged, approved=word)
    may = objection(judged, given, mode) is None
    if decision is Decision.REJECT or word is False:
        assert not may
    elif decision is Decision.HOLD:
        assert may == (word is True and mode != "never")
    else:
        assert may == (word is True or mode != "always")
    # Whoever is asked about it is somebody whose word decides.
    if awaits_person(decision, mode):
        assert word is not None or not may


def test_an_objection_says_who_and_why():
    held = verdict()
    assert objection(held, None, "hold") == "the gate's verdict is hold, and nobody has approved it: too few rows"
    assert objection(held, approval(held, approved=False), "hold") == "Ada rejected it: season"
    assert objection(held, approval(held, approved=False, by=None), "hold") == "season"


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({}, ["+1.00%", "+0.00% to +1.50%", "+2.00%", "", "1,200", ""]),
        ({"scale": "points", "p_value": 1e-9}, ["+0.0100", "+0.0000 to +0.0150", "+0.0200", r"\< 0.001", "1,200", ""]),
        (
            {
                "scale": "value",
                "estimate": 48.1834,
                "low": NAN,
                "high": float("inf"),
                "bound": 60.0,
                "rows_needed": 3400,
            },
            ["48.18", "not measured to none", "60", "", "1,200", "3,400"],
        ),
    ],
)
def test_figures_are_shown_on_their_scale(changes, shown):
    (line,) = [
        line
        for line in verdict_table(verdict(Decision.HOLD, rule(**changes)), page="/p").splitlines()
        if "rmse" in line
    ]
    assert [cell.strip() for cell in line.split("|")[4:-1]] == shown


def test_what_stands_in_the_data_breaks_no_table():
    evil = "region=a|b\n\n# <img src=x> [c](http://d) `e` *f*"
    spot = WeakSpot(on="golden", slice=evil, metric="mae", rows=60, challenger=2.0, champion=1.0, p_worse=0.01)
    text = verdict_table(
        verdict(Decision.HOLD, rule(slice=evil, required=False), weak_spots=(spot,), warnings=("the set is worn",)),
        page="/mlops/records/verdict/m/1?view=report",
    )
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 3
    assert len({line.replace(r"\|", "").count("|") for line in table}) == 1
    assert "(advisory)" in table[2]
    assert "- warning: the set is worn" in text
    assert "weak spot: region=a" in text
    assert "\n#" not in text
    for sign in ("<img", "[c", "`e", "*f"):
        assert text.count(sign) == text.count(f"\\{sign}") == 2
