from __future__ import annotations

import math

import numpy as np
import pytest

from airflow_mlops.gate import Answers, PairedPredictions, judge
from airflow_mlops.gate.wear import selection_optimism, wear_warnings
from airflow_mlops.project.gate_spec import GateSpec, RuleSpec
from airflow_mlops.records import Decision
from airflow_mlops.records.verdict import RuleResult


def result(error: float, *, margin: float = 0.1, **more: object) -> RuleResult:
    width = 1.6448536269514722 * error
    fields = {
        "rule": "rmse non_inferior", "on": "golden", "decision": Decision.PROMOTE, "rows": 500, "challenger": 1.0,
        "champion": 1.0, "estimate": 0.0, "low": -width, "high": width, "bound": margin, "reason": "",
    }  # fmt: skip
    return RuleResult.model_validate(fields | more)


@pytest.mark.parametrize("challengers", [2, 10, 100])
def test_the_best_of_many_equals_looks_better_by_no_more(challengers: int) -> None:
    errors = np.random.default_rng(challengers).normal(0, 0.02, (4000, challengers))
    best = errors.max(axis=1).mean()
    optimism = selection_optimism(0.02, challengers)
    assert best <= optimism
    # And it is no idle bound.
    assert optimism < 2.1 * best


def test_a_first_judgement_selects_nothing() -> None:
    assert selection_optimism(0.1, 0) == selection_optimism(0.1, 1) == 0.0
    assert wear_warnings([result(10.0)], golden_uses=0, alpha=0.05) == ()


def test_it_warns_where_half_the_margin_may_be_luck() -> None:
    # sqrt(2 ln 10) = 2.146: half of the margin 0.1 is reached at an error of 0.0233.
    assert wear_warnings([result(0.0232)], golden_uses=9, alpha=0.05) == ()
    [warning] = wear_warnings([result(0.0234)], golden_uses=9, alpha=0.05)
    assert "with 10 judgements on it" in warning
    assert "5 % better than it is, of a margin of 10 % (rmse non_inferior on golden)" in warning
    assert warning.endswith("Freeze another golden set under a new name.")


def test_it_looks_at_margins_on_the_golden_set_and_names_the_worst() -> None:
    fine = [
        result(0.5, rule="rmse superior"),
        result(0.5, rule="rmse absolute", scale="value"),
        result(0.5, on="recent"),
        result(math.nan),
        result(math.inf),
    ]
    assert wear_warnings(fine, golden_uses=1000, alpha=0.05) == ()
    north = result(0.06, slice="region=north")
    points = result(0.05, rule="accuracy non_inferior", scale="points", margin=-0.1)
    [warning] = wear_warnings([points, north, *fine], golden_uses=9, alpha=0.05)
    assert "(rmse non_inferior on golden, region=north)" in warning
    [warning] = wear_warnings([points], golden_uses=9, alpha=0.05)
    assert "0.11 better than it is, of a margin of 0.1 (accuracy" in warning
    # Nothing is given away: any luck is too much.
    assert wear_warnings([result(0.001, margin=0.0)], golden_uses=1, alpha=0.05)


def test_a_verdict_carries_the_warning_and_decides_the_same() -> None:
    rng = np.random.default_rng(0)
    new, old = rng.normal(0, [[40], [50]], (2, 500))
    rows = PairedPredictions("regression", np.arange(500).astype(str), np.zeros(500), Answers(new), Answers(old))
    spec = GateSpec(rules=(RuleSpec(metric="rmse", kind="non_inferior", margin=0.1),))
    fresh, worn = (judge(spec, golden=rows, recent=None, seed=0, golden_uses=uses) for uses in (0, 200))
    assert (fresh.warnings, len(worn.warnings)) == ((), 1)
    assert fresh.rules == worn.rules
    assert fresh.decision is worn.decision is Decision.PROMOTE
