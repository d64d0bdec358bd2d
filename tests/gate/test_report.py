from __future__ import annotations

import numpy as np
import pytest

from airflow_mlops.gate import Judgement
from airflow_mlops.gate.report import reliability, render_report
from airflow_mlops.gate.rows import Answers, PairedPredictions, UnusablePredictions
from airflow_mlops.records import Decision, RuleResult, WeakSpot

NAN = float("nan")
ODD = "<script>alert('&')</script>"


def result(**changed: object) -> RuleResult:
    values: dict[str, object] = {
        "rule": "auc non_inferior", "on": "golden", "slice": f"zone={ODD}", "decision": "hold", "rows": 12345,
        "units": 20, "method": "DeLong", "scale": "points", "greater_is_better": True, "challenger": 0.81,
        "champion": 0.82, "estimate": -0.0123, "low": -0.03, "high": 0.004, "bound": -0.02, "p_value": 0.2,
        "p_worse": 0.7, "least_difference": 0.015, "rows_needed": 98765, "reason": f"too thin {ODD}",
    }  # fmt: skip
    return RuleResult.model_validate(values | changed)


def judgement(*rules: RuleResult) -> Judgement:
    spot = WeakSpot(
        on="golden", slice=f"hour={ODD}", metric="rmse", rows=77, challenger=0.5, champion=0.4, p_worse=0.001
    )
    return Judgement(Decision.HOLD, rules, tuple(rule.reason for rule in rules), (f"worn {ODD}",), (spot,))


def test_everything_that_was_found_stands_on_the_page() -> None:
    page = render_report(judgement(result()), title="Gate", facts={"golden": "sha256:abc"})
    for said in (
        "12,345", "20 units", "DeLong", "0.81", "0.82", "-0.0123", "-0.03 to +0.004", "-0.02", "0.2", "0.7", "0.015",
        "98,765", "Warning: worn", "hour=", "sha256:abc", "hold",
    ):  # fmt: skip
        assert said in page, said
    assert page.startswith("<!doctype html>")
    for outside in ("http://", "https://", "<script", "<link", "@import", "url("):
        assert outside not in page, outside
    assert "&lt;script&gt;" in page


def test_a_page_of_what_could_not_be_measured() -> None:
    broken = result(challenger=NAN, champion=None, estimate=NAN, low=NAN, high=NAN, p_value=None, p_worse=None,
                    least_difference=None, rows_needed=None, rows=0, units=0)  # fmt: skip
    page = render_report(
        judgement(broken), title="Gate", sets={"golden": UnusablePredictions("broken"), "recent": None}
    )
    assert "cannot be drawn" in page
    assert ">nan<" not in page.lower()
    assert "None" not in page


def chances(truth: np.ndarray, positive: np.ndarray) -> tuple[PairedPredictions, Answers]:
    answers = Answers((positive > 0.5).astype(float), np.column_stack([1 - positive, positive]))
    ids = np.arange(len(truth)).astype(str)
    return PairedPredictions("binary", ids, truth.astype(float), answers, classes=("0", "1")), answers


def test_reliability_is_how_often_it_happens_when_it_is_said_to() -> None:
    rng = np.random.default_rng(0)
    said = rng.random(50_000)
    rows, answers = chances(rng.random(said.size) < said, said)
    bins = reliability(rows, answers)
    assert len(bins) == 10
    assert sum(one.rows for one in bins) == said.size
    for one in bins:
        assert one.low <= one.said <= one.high
        assert one.happened == pytest.approx(one.said, abs=0.03)
    page = render_report(judgement(), title="Gate", sets={"golden": rows})
    assert page.count("<circle") == 10


def test_reliability_of_certainty_and_of_no_probabilities() -> None:
    rows, answers = chances(np.array([0, 1, 1]), np.array([0.0, 1.0, 1.0]))
    assert [(one.low, one.rows, one.happened) for one in reliability(rows, answers)] == [(0.0, 1, 0.0), (0.9, 2, 1.0)]
    assert reliability(rows, Answers(rows.y_true)) == ()


def test_reliability_of_many_classes_looks_at_the_one_decided_for() -> None:
    table = np.array([[0.7, 0.2, 0.1], [0.1, 0.2, 0.7], [0.7, 0.2, 0.1]])
    answers = Answers(table.argmax(axis=1).astype(float), table)
    rows = PairedPredictions(
        "multiclass", np.array(["a", "b", "c"]), np.array([0.0, 2.0, 1.0]), answers, classes=("x", "y", "z")
    )
    (one,) = reliability(rows, answers)
    assert (one.rows, one.said, one.happened) == (3, pytest.approx(0.7), pytest.approx(2 / 3))
