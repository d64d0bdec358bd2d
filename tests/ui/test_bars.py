"""What the drawn bars show agrees with what the gate decided."""

from __future__ import annotations

import numpy as np
import pytest

from airflow_mlops.gate import judge
from airflow_mlops.gate.predictions import PairedPredictions
from airflow_mlops.project.spec import GateSpec, RuleSpec
from airflow_mlops.records import Decision, DriftLimit, FeatureDrift, RuleResult
from airflow_mlops.ui.bars import distance_bar, interval_bar


def rule(estimate: float, low: float, high: float, reason: str, champion: float | None = 1.0) -> RuleResult:
    return RuleResult(
        rule="rmse non_inferior", on="golden", decision="hold", rows=9, challenger=1.0, champion=champion,
        estimate=estimate, low=low, high=high, bound=0.1, reason=reason,
    )  # fmt: skip


def rows(challenger_sd: float, champion_sd: float) -> PairedPredictions:
    rng = np.random.default_rng(0)
    night = np.repeat([f"2011-03-{day:02d}" for day in range(1, 21)], 24)
    truth = rng.normal(200, 50, night.size)
    return PairedPredictions(
        row_id=np.arange(night.size).astype(str),
        night=night,
        y_true=truth,
        challenger=truth + rng.normal(0, challenger_sd, night.size),
        champion=truth + rng.normal(0, champion_sd, night.size),
    )


@pytest.mark.parametrize("challenger_sd", [30, 40, 44, 60])
def test_the_bound_is_the_one_that_the_gate_held_the_rule_against(challenger_sd: float) -> None:
    spec = GateSpec(
        rules=[
            RuleSpec(metric="rmse", kind="absolute", max=1234.5),
            RuleSpec(metric="mae", kind="absolute", max=0.00012),
            RuleSpec(metric="rmse", kind="non_inferior", margin=0.025),
            RuleSpec(metric="mae", kind="non_inferior", margin=0.0),
            RuleSpec(metric="rmse", kind="superior"),
        ]
    )
    judged = judge(spec, golden=rows(challenger_sd, 44), recent=None, seed=0).rules
    bounds = [result.bound for result in judged]
    assert bounds == pytest.approx([1234.5, 0.00012, 0.025, 0.0, 0.0], rel=1e-3)
    for result in judged:
        bar = interval_bar(result)
        assert bar is not None
        assert 0 <= bar.low <= bar.estimate <= bar.high <= 100
        if result.champion is not None and result.decision is Decision.PROMOTE:
            assert bar.high <= bar.bound
        if result.champion is not None and result.decision is Decision.REJECT:
            assert bar.low > bar.bound


def test_an_interval_of_no_length_is_still_seen() -> None:
    bar = interval_bar(rule(5.0, 5.0, 5.0, "", champion=None))
    assert bar is not None
    assert bar.width > 0
    assert 0 <= bar.low <= 100


@pytest.mark.parametrize("low", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_not_drawn(low: float) -> None:
    assert interval_bar(rule(0.1, low, 0.2, "margin 2 %")) is None


@pytest.mark.parametrize(
    ("distance", "limit", "length"),
    [(0.0, 0.5, 0.0), (0.5, 0.5, 60.0), (5.0, 0.5, 100.0), (float("nan"), 0.5, 100.0),
     (float("inf"), 0.5, 100.0), (0.1, 0.0, 100.0)],
)  # fmt: skip
def test_a_distance_never_leaves_its_bar(distance: float, limit: float, length: float) -> None:
    drift_limit = DriftLimit(median=0.0, watch=limit / 2, drift=limit)
    bar = distance_bar(
        FeatureDrift(
            feature="f", distance=distance, limit=drift_limit, verdict="drift", reference_mean=0.0, current_mean=0.0
        )
    )
    assert bar.length == length
