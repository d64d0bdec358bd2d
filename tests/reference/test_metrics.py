"""The gate's metrics beside scikit-learn's."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from airflow_mlops.gate.rows import Answers
from airflow_mlops.gate.statistics.metrics import Rows, metric_sums, metric_value
from airflow_mlops.project.gate_spec import METRICS, RuleSpec

RNG = np.random.default_rng(11)
N = 400


def rule(metric: str, **options: Any) -> RuleSpec:
    bar = {"min": 0.0} if metric in METRICS and METRICS[metric].greater_is_better else {"max": 1.0}
    return RuleSpec(metric=metric, kind="absolute", **bar, **options)


def classified(n_classes: int) -> tuple[np.ndarray, Answers, tuple[str, ...]]:
    y_true = RNG.integers(n_classes, size=N)
    scores = RNG.normal(size=(N, n_classes)) + 1.5 * np.eye(n_classes)[y_true]
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    answers = Answers(probabilities.argmax(axis=1).astype(float), probabilities)
    return y_true.astype(float), answers, tuple(str(number) for number in range(n_classes))


@pytest.mark.parametrize(
    ("metric", "theirs"),
    [
        ("rmse", sklearn_metrics.root_mean_squared_error),
        ("mae", sklearn_metrics.mean_absolute_error),
        ("mape", sklearn_metrics.mean_absolute_percentage_error),
        ("r2", sklearn_metrics.r2_score),
        ("bias", lambda y_true, y_pred: abs(np.mean(y_pred - y_true))),
        ("pinball", lambda y_true, y_pred: sklearn_metrics.mean_pinball_loss(y_true, y_pred, alpha=0.8)),
        ("coverage_error", lambda y_true, y_pred: abs(np.mean(y_true <= y_pred) - 0.8)),
    ],
)
def test_of_numbers(metric: str, theirs: Callable[..., float]) -> None:
    # Far from zero: a sum of squares that is not centred would lose all its digits.
    y_true = RNG.normal(1e6, 3.0, N)
    y_pred = y_true + RNG.normal(0.3, 2.0, N)
    options = {"quantile": 0.8} if metric in ("pinball", "coverage_error") else {}
    assert metric_value(rule(metric, **options), y_true, Answers(y_pred)) == pytest.approx(theirs(y_true, y_pred))


@pytest.mark.parametrize(
    ("metric", "theirs"),
    [
        ("accuracy", lambda y, said, p: sklearn_metrics.accuracy_score(y, said)),
        ("balanced_accuracy", lambda y, said, p: sklearn_metrics.balanced_accuracy_score(y, said)),
        ("precision", lambda y, said, p: sklearn_metrics.precision_score(y, said)),
        ("recall", lambda y, said, p: sklearn_metrics.recall_score(y, said)),
        ("false_positive_rate", lambda y, said, p: 1 - sklearn_metrics.recall_score(y, said, pos_label=0)),
        ("selection_rate", lambda y, said, p: said.mean()),
        ("f1", lambda y, said, p: sklearn_metrics.f1_score(y, said)),
        ("auc", lambda y, said, p: sklearn_metrics.roc_auc_score(y, p[:, 1])),
        ("log_loss", lambda y, said, p: sklearn_metrics.log_loss(y, p)),
        ("brier", lambda y, said, p: sklearn_metrics.brier_score_loss(y, p[:, 1])),
    ],
)
def test_of_two_classes(metric: str, theirs: Callable[..., float]) -> None:
    y_true, answers, classes = classified(2)
    ours = metric_value(rule(metric), y_true, answers, classes=classes)
    assert ours == pytest.approx(theirs(y_true, answers.values, answers.probabilities))


@pytest.mark.parametrize(
    ("metric", "theirs"),
    [
        ("accuracy", lambda y, said, p: sklearn_metrics.accuracy_score(y, said)),
        ("balanced_accuracy", lambda y, said, p: sklearn_metrics.balanced_accuracy_score(y, said)),
        ("f1", lambda y, said, p: sklearn_metrics.f1_score(y, said, average="macro")),
        ("log_loss", lambda y, said, p: sklearn_metrics.log_loss(y, p)),
        ("brier", lambda y, said, p: sklearn_metrics.brier_score_loss(y, p, scale_by_half=True)),
    ],
)
def test_of_several_classes(metric: str, theirs: Callable[..., float]) -> None:
    y_true, answers, classes = classified(4)
    ours = metric_value(rule(metric), y_true, answers, classes=classes)
    assert ours == pytest.approx(theirs(y_true, answers.values, answers.probabilities))


def test_a_class_that_the_rows_lack_is_left_out_as_in_sklearn() -> None:
    y_true, answers, classes = classified(4)
    keep = (y_true != 3) & (answers.values != 3)
    y_true, answers = y_true[keep], Answers(answers.values[keep])
    for metric, theirs in (
        ("f1", sklearn_metrics.f1_score(y_true, answers.values, average="macro")),
        ("balanced_accuracy", sklearn_metrics.balanced_accuracy_score(y_true, answers.values)),
    ):
        assert metric_value(rule(metric), y_true, answers, classes=classes) == pytest.approx(theirs)


def test_area_under_the_curve_with_ties() -> None:
    y_true, answers, classes = classified(2)
    assert answers.probabilities is not None
    rounded = np.round(answers.probabilities, 1)
    ours = metric_value(rule("auc"), y_true, Answers(answers.values, rounded), classes=classes)
    assert ours == pytest.approx(sklearn_metrics.roc_auc_score(y_true, rounded[:, 1]))


@pytest.mark.parametrize("k", [None, 3])
@pytest.mark.parametrize("decimals", [6, 0])
def test_ndcg_query_by_query(k: int | None, decimals: int) -> None:
    queries = np.repeat(np.arange(30).astype(str), RNG.integers(2, 9, 30))
    relevance = RNG.integers(0, 4, queries.size).astype(float)
    relevance[queries == "5"] = 0.0
    # Rounded scores tie: both spread the gains evenly over the places.
    score = np.round(RNG.normal(size=queries.size), decimals)
    theirs = [
        sklearn_metrics.ndcg_score([relevance[queries == query]], [score[queries == query]], k=k)
        for query in np.unique(queries)
    ]
    order = RNG.permutation(queries.size)
    ours = metric_value(rule("ndcg", k=k), relevance[order], Answers(score[order]), queries=queries[order])
    assert ours == pytest.approx(np.mean(theirs))


def test_mrr_without_ties_is_label_ranking_with_one_relevant_row() -> None:
    queries = np.repeat(np.arange(40), 6)
    score = RNG.normal(size=240)
    relevance = np.zeros(240)
    relevance[np.arange(40) * 6 + RNG.integers(6, size=40)] = 1.0
    theirs = sklearn_metrics.label_ranking_average_precision_score(relevance.reshape(40, 6), score.reshape(40, 6))
    ours = metric_value(rule("mrr"), relevance, Answers(score), queries=queries.astype(str))
    assert ours == pytest.approx(theirs)


def test_sums_over_rows_taken_several_times_are_the_metric_of_those_rows() -> None:
    y_true, answers, classes = classified(3)
    rows = RNG.integers(N, size=N)
    counts = np.bincount(rows, minlength=N)
    assert answers.probabilities is not None
    again = Answers(answers.values[rows], answers.probabilities[rows])
    for metric in ("accuracy", "balanced_accuracy", "f1", "log_loss", "brier", "ece"):
        sums = metric_sums(Rows(rule(metric), y_true, answers, 3))
        assert sums is not None
        expected = metric_value(rule(metric), y_true[rows], again, classes=classes)
        assert float(sums.of_sums(counts @ sums.contributions)) == pytest.approx(expected)


def test_what_divides_by_nothing_is_not_defined() -> None:
    negatives = np.zeros(5)
    said = Answers(np.zeros(5), np.tile([0.9, 0.1], (5, 1)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for metric in ("recall", "precision", "auc", "f1"):
            assert np.isnan(metric_value(rule(metric), negatives, said, classes=("0", "1")))
        assert np.isnan(metric_value(rule("r2"), np.ones(5), Answers(np.ones(5) + 0.1)))
        assert np.isnan(metric_value(rule("log_loss"), negatives, Answers(np.zeros(5)), classes=("0", "1")))
        assert np.isnan(metric_value(rule("rmse"), np.array([]), Answers(np.array([]))))
        assert not np.isfinite(metric_value(rule("mape"), np.zeros(2), Answers(np.ones(2))))
