from __future__ import annotations

import numpy as np
import pytest

from airflow_mlops.gate import Answers, PairedPredictions, judge
from airflow_mlops.project.gate_spec import GateSpec, RuleSpec

fairlearn = pytest.importorskip("fairlearn.metrics")
sklearn = pytest.importorskip("sklearn.metrics")

_METRICS = {
    "selection_rate": lambda: fairlearn.selection_rate,
    "recall": lambda: fairlearn.true_positive_rate,
    "false_positive_rate": lambda: fairlearn.false_positive_rate,
    "accuracy": lambda: sklearn.accuracy_score,
    "precision": lambda: sklearn.precision_score,
    "f1": lambda: sklearn.f1_score,
}


def answered(seed: int, n: int = 4000) -> PairedPredictions:
    rng = np.random.default_rng(seed)
    group = rng.choice(["a", "b", "c"], n, p=[0.5, 0.3, 0.2])
    y_true = (rng.random(n) < np.where(group == "a", 0.5, 0.3)).astype(float)
    right = rng.random(n) < np.where(group == "c", 0.7, 0.85)
    answers = Answers(np.where(right, y_true, 1 - y_true))
    rows = np.arange(n).astype(str)
    return PairedPredictions("binary", rows, y_true, answers, classes=("no", "yes"), columns={"group": group})


@pytest.mark.parametrize("metric", _METRICS)
def test_difference_and_ratio_are_those_of_fairlearn(metric: str) -> None:
    rows = answered(3)
    rule = RuleSpec(metric=metric, kind="parity", slice="group", max_difference=0.5, min_ratio=0.1)
    difference, ratio = judge(GateSpec(rules=(rule,)), golden=rows, recent=None, seed=0).rules
    frame = fairlearn.MetricFrame(
        metrics=_METRICS[metric](),
        y_true=rows.y_true,
        y_pred=rows.challenger.values,
        sensitive_features=rows.columns["group"],
    )
    assert difference.estimate == pytest.approx(frame.difference(), rel=1e-12)
    assert ratio.estimate == pytest.approx(frame.ratio(), rel=1e-12)


def test_parity_of_all_three_rates_is_demographic_parity_and_equalised_odds() -> None:
    rows = answered(5)
    rules = tuple(
        RuleSpec(metric=metric, kind="parity", slice="group", max_difference=0.5, min_ratio=0.1)
        for metric in ("selection_rate", "recall", "false_positive_rate")
    )
    results = judge(GateSpec(rules=rules), golden=rows, recent=None, seed=0).rules
    differences, ratios = ([each.estimate for each in results[start::2]] for start in (0, 1))
    given = {"y_true": rows.y_true, "y_pred": rows.challenger.values, "sensitive_features": rows.columns["group"]}
    assert differences[0] == pytest.approx(fairlearn.demographic_parity_difference(**given))
    assert ratios[0] == pytest.approx(fairlearn.demographic_parity_ratio(**given))
    assert max(differences[1:]) == pytest.approx(fairlearn.equalized_odds_difference(**given))
    assert min(ratios[1:]) == pytest.approx(fairlearn.equalized_odds_ratio(**given))
