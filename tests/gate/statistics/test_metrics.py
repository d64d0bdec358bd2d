from __future__ import annotations

import numpy as np
import pytest

from airflow_mlops.errors import ConfigError
from airflow_mlops.gate.rows import Answers
from airflow_mlops.gate.statistics.metrics import metric_value
from airflow_mlops.gate.statistics.own import load_metric
from airflow_mlops.project.gate_spec import RuleSpec


def ranked(metric: str, relevance: list[float], score: list[float], k: int | None = None) -> float:
    rule = RuleSpec(metric=metric, kind="absolute", min=0.0, k=k)
    return metric_value(rule, np.array(relevance), Answers(np.array(score)), queries=np.repeat("q", len(score)))


def test_a_model_that_tells_nothing_apart_wins_nothing_by_the_order_of_the_file() -> None:
    for relevance in ([1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]):
        assert ranked("mrr", relevance, [5.0] * 4) == 0.25
        assert ranked("hit_rate", relevance, [5.0] * 4, k=3) == 0.0
        assert ranked("ndcg", relevance, [5.0] * 4) == pytest.approx(np.mean(1 / np.log2(np.arange(2, 6))))


def test_ranks_beyond_k_do_not_count() -> None:
    relevance, score = [0.0, 0.0, 1.0], [3.0, 2.0, 1.0]
    assert ranked("mrr", relevance, score) == pytest.approx(1 / 3)
    assert ranked("mrr", relevance, score, k=2) == 0.0
    assert ranked("hit_rate", relevance, score, k=2) == 0.0
    assert ranked("hit_rate", relevance, score, k=3) == 1.0
    assert ranked("mrr", [0.0, 0.0], [1.0, 2.0]) == 0.0
    assert np.isnan(ranked("ndcg", [-1.0, 2.0], [1.0, 2.0]))


def test_expected_calibration_error() -> None:
    # Sure to 0.9 and right in eight of ten; sure to 0.6 and right in all of ten.
    positive = np.repeat([0.9, 0.6], 10)
    y_true = np.concatenate([np.repeat([1.0, 0.0], [8, 2]), np.ones(10)])
    answers = Answers((positive > 0.5).astype(float), np.stack([1 - positive, positive], axis=1))
    rule = RuleSpec(metric="ece", kind="absolute", max=1.0)
    assert metric_value(rule, y_true, answers, classes=("0", "1")) == pytest.approx((0.1 + 0.4) / 2)


@pytest.mark.parametrize("name", ["no_such_package.metric", "math.no_such_function", "math.pi"])
def test_a_metric_that_is_not_there_is_an_error_with_a_remedy(name: str) -> None:
    with pytest.raises(ConfigError, match=r"[Nn]ame"):
        load_metric(name)
