from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from airflow_mlops.gate.checks.costs import ModelCost, cost_results, quantile_bounds
from airflow_mlops.project.gate_spec import RuleSpec
from airflow_mlops.records import Decision, RuleResult

PROMOTE, HOLD, REJECT = Decision.PROMOTE, Decision.HOLD, Decision.REJECT
FAST = RuleSpec(metric="p99_latency_ms", kind="absolute", max=10.0)
NO_SLOWER = RuleSpec(metric="p99_latency_ms", kind="non_inferior", margin=0.2)
FASTER = RuleSpec(metric="p99_latency_ms", kind="superior")
SMALL = RuleSpec(metric="size_mb", kind="absolute", max=2.0)
NO_LARGER = RuleSpec(metric="size_mb", kind="non_inferior", margin=0.1)


def cost(scale: float = 1.0, *, n: int = 2000, size: int = 1_000_000, seed: int = 0) -> ModelCost:
    return ModelCost(size, scale * np.random.default_rng(seed).lognormal(0.0, 0.3, n))


def judged(rule: RuleSpec, challenger: ModelCost, champion: ModelCost | None = None, **more: Any) -> RuleResult:
    [result] = cost_results([rule], challenger=challenger, champion=champion, **more)
    return result


@pytest.mark.parametrize(
    ("n", "q", "alpha"), [(300, 0.99, 0.05), (1000, 0.99, 0.05), (50, 0.5, 0.1), (400, 0.95, 0.01)]
)
def test_bounds_are_the_tightest_that_the_binomial_allows(n: int, q: float, alpha: float) -> None:
    _, low, high = quantile_bounds(np.arange(1.0, n + 1), q, alpha=alpha)
    # The r-th smallest value is below the quantile unless fewer than r values are.
    below = stats.binom(n, q)
    assert below.cdf(low - 1) <= alpha < below.cdf(low)
    assert below.cdf(high - 1) >= 1 - alpha > below.cdf(high - 2)


def test_a_bound_that_the_sample_cannot_give_is_infinite() -> None:
    assert quantile_bounds(np.ones(298), 0.99, alpha=0.05).high == math.inf
    assert quantile_bounds(np.ones(299), 0.99, alpha=0.05).high == 1.0
    # A single value lies above the median half of the time: nothing bounds it.
    assert quantile_bounds(np.array([3.0]), 0.5, alpha=0.05) == (3.0, -math.inf, math.inf)


def test_an_absolute_rule_is_a_bar() -> None:
    assert judged(FAST, cost()).decision is PROMOTE
    assert judged(FAST, cost(10.0)).decision is REJECT
    result = judged(FAST, cost())
    assert result.low < result.estimate == result.challenger < result.high
    assert result.scale == "value"


def test_a_slower_model_is_rejected_and_one_as_fast_is_not() -> None:
    assert judged(NO_SLOWER, cost(seed=1, n=20_000), cost(n=20_000)).decision is PROMOTE
    assert judged(NO_SLOWER, cost(1.8, seed=1), cost()).decision is REJECT
    assert judged(FASTER, cost(0.5, seed=1), cost()).decision is PROMOTE
    assert judged(FASTER, cost(seed=1), cost()).decision is HOLD


def test_too_few_requests_hold_and_say_how_many_would_do() -> None:
    thin = judged(NO_SLOWER, cost(n=200, seed=1), cost(n=5000))
    assert (thin.decision, thin.rows_needed) == (HOLD, 299)
    assert thin.reason.endswith("299 requests would do: hold")
    fewer = judged(FAST, cost(n=50))
    assert (fewer.decision, fewer.rows_needed) == (HOLD, 100)
    near = judged(NO_SLOWER, cost(1.05, n=400, seed=1), cost(n=400))
    assert near.decision is HOLD
    assert near.rows_needed is None or near.rows_needed > 400


def test_a_model_slower_by_the_margin_is_seldom_promoted_and_seldom_rejected() -> None:
    decisions = [
        judged(NO_SLOWER, cost(1.2, n=1000, seed=2 * trial), cost(n=1000, seed=2 * trial + 1)).decision
        for trial in range(400)
    ]
    # 5 % each, and four standard errors of a share in 400 trials.
    assert decisions.count(PROMOTE) / 400 < 0.05 + 4 * math.sqrt(0.05 * 0.95 / 400)
    assert decisions.count(REJECT) / 400 < 0.05 + 4 * math.sqrt(0.05 * 0.95 / 400)


def test_size_is_exact() -> None:
    assert judged(SMALL, cost(size=2_000_000)).decision is PROMOTE
    assert judged(SMALL, cost(size=2_000_001)).decision is REJECT
    assert judged(NO_LARGER, cost(size=1_099_999), cost()).decision is PROMOTE
    assert judged(NO_LARGER, cost(size=1_200_000), cost()).decision is REJECT
    same = judged(RuleSpec(metric="size_mb", kind="superior"), cost(), cost())
    assert same.decision is REJECT
    assert judged(SMALL, ModelCost(0)).decision is REJECT


@pytest.mark.parametrize(
    "latencies",
    [None, np.empty(0), np.array([1.0, np.nan] * 200), np.array([-1.0] * 400), np.zeros(400), np.full(400, np.inf)],
    ids=["none", "empty", "nan", "negative", "zero", "infinite"],
)
def test_latencies_that_say_nothing_reject_a_challenger_and_hold_for_a_champion(latencies: Any) -> None:
    broken = ModelCost(1, latencies)
    for rule in (FAST, NO_SLOWER, FASTER):
        assert judged(rule, broken, cost()).decision is REJECT
    for rule in (NO_SLOWER, FASTER):
        assert judged(rule, cost(), broken).decision is HOLD
    # An advisory rule says so, too; that it decides nothing is the judge's to know.
    advisory = judged(FAST.model_copy(update={"required": False}), broken)
    assert (advisory.decision, advisory.required) == (REJECT, False)


def test_without_a_champion_comparisons_are_left_out_unless_one_is_missing() -> None:
    assert cost_results([NO_SLOWER, FASTER, NO_LARGER], challenger=cost(), champion=None) == []
    held = judged(NO_LARGER, cost(), champion_fault="its artefact is gone from the store")
    assert held.decision is HOLD
    assert "its artefact is gone from the store" in held.reason
    assert judged(SMALL, cost(), champion_fault="gone").decision is PROMOTE


def test_rules_about_answers_are_passed_over() -> None:
    rules = [RuleSpec(metric="rmse", kind="absolute", max=1.0), SMALL, FAST]
    assert [one.rule for one in cost_results(rules, challenger=cost(), champion=None)] == [
        "size_mb absolute",
        "p99_latency_ms absolute",
    ]
