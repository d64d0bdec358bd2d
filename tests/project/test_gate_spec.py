"""What a rule may say, and what it is told when it says something else."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from airflow_mlops.project.gate_spec import METRICS, BehaviourSpec, GateRules, GateSpec, RuleSpec

BAR = {"metric": "rmse", "kind": "absolute", "max": 10.0}


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"metric": "rsme", "kind": "superior"}, "did you mean 'rmse'"),
        ({"metric": "zz", "kind": "superior"}, "known are rmse"),
        ({"metric": "a-b.c", "kind": "superior"}, "no metric 'a-b.c'"),
        ({"metric": "rmse", "kind": "absolute"}, "needs `max`"),
        ({"metric": "accuracy", "kind": "absolute", "max": 0.9}, "needs `min`.*`max` is for metrics where it is not"),
        ({"metric": "rmse", "kind": "non_inferior"}, "needs `margin`"),
        ({"metric": "rmse", "kind": "non_inferior", "margin": -0.1}, "greater than or equal to 0"),
        ({"metric": "pinball", "kind": "superior"}, "needs `quantile`"),
        ({"metric": "recall", "kind": "parity", "slice": "sex"}, "`max_difference` or `min_ratio`"),
        ({"metric": "recall", "kind": "parity", "max_difference": 0.1}, "needs `slice`"),
        ({"metric": "ece", "kind": "non_inferior", "margin": 0.01}, "compare brier or log_loss"),
        ({"metric": "rmse", "kind": "superior", "levels": ["a"]}, "name it with `slice`"),
        ({"metric": "size_mb", "kind": "absolute", "max": 3.0, "slice": "sex"}, "has no slices"),
    ],
)
def test_a_rule_that_lacks_something_says_what(rule: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        RuleSpec.model_validate(rule)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"metric": "rmse", "kind": "superior", "margin": 0.1}, "`margin` is for non_inferior rules, this one is sup"),
        (BAR | {"margin": 0.1}, "`margin` is for non_inferior rules, this one is absolute: leave it out"),
        ({"metric": "rmse", "kind": "non_inferior", "margin": 0.1, "max": 9.0}, "`max` is for absolute rules"),
        ({"metric": "auc", "kind": "superior", "min": 0.9}, "`min` is for absolute rules"),
        (BAR | {"min": 1.0}, "`min` says nothing here, since of rmse lower is better"),
        ({"metric": "auc", "kind": "absolute", "min": 0.5, "max": 0.9}, "`max` says nothing here, since of auc higher"),
        (BAR | {"max_difference": 0.1}, "`max_difference` is for parity rules"),
        ({"metric": "recall", "kind": "superior", "slice": "sex", "min_ratio": 0.8}, "`min_ratio` is for parity rules"),
        ({"metric": "recall", "kind": "parity", "slice": "sex", "min_ratio": 0.8, "margin": 0.1}, "`margin` is for"),
        (BAR | {"quantile": 0.9}, "`quantile` is for pinball, coverage_error, this rule is about rmse"),
        (BAR | {"k": 3}, "`k` is for ndcg, mrr, hit_rate"),
        (BAR | {"greater_is_better": True}, "`greater_is_better` is for metrics of your own, of rmse it is known"),
        ({"metric": "auc", "kind": "superior", "greater_is_better": False}, "`greater_is_better` is for metrics of"),
    ],
)
def test_a_key_that_says_nothing_to_a_rule_is_a_fault(rule: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        RuleSpec.model_validate(rule)


@pytest.mark.parametrize("name", ["mine.metrics.cost", "mine.metrics:cost"])
def test_a_metric_of_ones_own_has_a_dotted_name_and_a_direction(name: str) -> None:
    lower = RuleSpec(metric=name, kind="superior")
    assert lower.own
    assert not lower.higher
    assert not lower.points
    assert RuleSpec(metric=name, kind="superior", greater_is_better=True).higher


def test_every_metric_belongs_to_a_task_and_points_the_right_way() -> None:
    assert all(traits.tasks for traits in METRICS.values())
    higher = "r2 accuracy balanced_accuracy precision recall selection_rate f1 auc ndcg mrr hit_rate"
    assert {name for name, traits in METRICS.items() if traits.greater_is_better} == set(higher.split())


def test_a_metric_must_suit_the_task() -> None:
    spec = GateSpec.model_validate({"rules": [BAR]})
    assert spec.unsuited("regression") is None
    assert "rmse is no metric of the task 'binary'; it has accuracy" in str(spec.unsuited("binary"))
    with pytest.raises(ValidationError, match="no metric of the task"):
        GateRules.model_validate({"task": "binary", "rules": [BAR]})
    with pytest.raises(ValidationError, match="needs `query`"):
        GateRules.model_validate({"task": "ranking", "rules": [{"metric": "ndcg", "kind": "superior"}]})


def test_the_columns_that_the_rules_ask_for_are_named_once() -> None:
    rules = [BAR, BAR | {"slice": "region"}, BAR | {"slice": "hour"}]
    spec = GateSpec.model_validate(
        {"rules": rules, "slices": ["region", "month"], "cluster": "night", "strata": "hour"}
    )
    assert spec.columns == ("region", "hour", "month", "night")


@pytest.mark.parametrize("changes", [{}, {"add": 1.0, "set": 2.0}])
def test_a_behaviour_changes_a_feature_in_one_way(changes: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match="expected one of `add`, `multiply` and `set`"):
        BehaviourSpec.model_validate({"name": "rain", "feature": "rain", "expect": "same", **changes})
