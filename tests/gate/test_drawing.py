"""What the drawn bars show agrees with what the gate decided."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from airflow_mlops.gate import judge
from airflow_mlops.gate.drawing import chance, interval, interval_bar
from airflow_mlops.gate.rows import Answers, PairedPredictions
from airflow_mlops.project.gate_spec import GateSpec, RuleSpec
from airflow_mlops.records import Decision, RuleResult

NAN, INF = float("nan"), float("inf")


def rule(**changed: Any) -> RuleResult:
    values = {
        "rule": "rmse non_inferior", "on": "golden", "decision": "hold", "rows": 9, "challenger": 1.0, "champion": 1.0,
        "estimate": 0.1, "low": 0.0, "high": 0.2, "bound": 0.05, "reason": "",
    }  # fmt: skip
    return RuleResult.model_validate(values | changed)


def rows(challenger_sd: float, champion_sd: float) -> PairedPredictions:
    rng = np.random.default_rng(0)
    truth = rng.normal(200, 50, 480)
    return PairedPredictions(
        task="regression",
        row_id=np.arange(480).astype(str),
        y_true=truth,
        challenger=Answers(truth + rng.normal(0, challenger_sd, 480)),
        champion=Answers(truth + rng.normal(0, champion_sd, 480)),
        columns={"night": np.repeat([f"2011-03-{day:02d}" for day in range(1, 21)], 24)},
    )


@pytest.mark.parametrize("challenger_sd", [30, 40, 44, 60])
def test_the_bound_is_the_one_that_the_gate_held_the_rule_against(challenger_sd: float) -> None:
    spec = GateSpec(
        resamples=300,
        rules=[
            RuleSpec(metric="rmse", kind="absolute", max=1234.5),
            RuleSpec(metric="mae", kind="absolute", max=0.00012),
            RuleSpec(metric="rmse", kind="non_inferior", margin=0.025),
            RuleSpec(metric="mae", kind="non_inferior", margin=0.0),
            RuleSpec(metric="rmse", kind="superior"),
            RuleSpec(metric="r2", kind="non_inferior", margin=0.01),
        ],
    )
    judged = judge(spec, golden=rows(challenger_sd, 44), recent=None, seed=0).rules
    assert [result.bound for result in judged] == pytest.approx([1234.5, 0.00012, 0.025, 0.0, 0.0, -0.01], rel=1e-3)
    for result in judged:
        bar = interval_bar(result)
        assert bar is not None
        assert bar.low is not None
        assert bar.high is not None
        assert 0 <= bar.low <= bar.estimate <= bar.high <= 100
        assert (bar.zero is None) == (result.scale == "value")
        start, end = bar.accepted
        if result.scale != "value" and result.decision is Decision.PROMOTE:
            assert start <= bar.low if result.greater_is_better else bar.high <= end
        if result.decision is Decision.REJECT:
            assert not start < bar.estimate < end


def test_an_interval_of_no_length_is_still_seen() -> None:
    bar = interval_bar(rule(estimate=5.0, low=5.0, high=5.0, bound=5.0, scale="value"))
    assert bar is not None
    assert bar.width > 0
    assert bar.low is not None
    assert 0 <= bar.low <= 100


@pytest.mark.parametrize("missing", [{"estimate": NAN}, {"estimate": INF}, {"bound": NAN}])
def test_what_has_no_estimate_or_bound_is_not_drawn(missing: dict[str, float]) -> None:
    assert interval_bar(rule(**missing)) is None


def test_an_interval_may_be_missing_or_have_no_end() -> None:
    bar = interval_bar(rule(low=NAN, high=NAN))
    assert bar is not None
    assert (bar.low, bar.high, bar.width) == (None, None, 0.0)
    assert interval(rule(low=NAN, high=NAN)) == "-"
    bar = interval_bar(rule(low=-INF, high=INF))
    assert bar is not None
    assert (bar.low, bar.high) == (0.0, 100.0)
    assert interval(rule(low=-INF, high=0.021)) == "-∞ to +2.1 %"


def test_the_accepted_side_is_that_of_the_metric() -> None:
    lower, higher = interval_bar(rule()), interval_bar(rule(greater_is_better=True))
    assert lower is not None
    assert higher is not None
    assert lower.accepted == (0.0, lower.bound)
    assert higher.accepted == (higher.bound, 100.0)


def test_a_chance_that_is_none_is_not_shown_as_one() -> None:
    assert [chance(p) for p in (None, NAN, 0.0, 1e-9, 0.05, 1.0)] == ["-", "-", "< 0.0001", "< 0.0001", "0.05", "1"]
