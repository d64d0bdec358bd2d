"""Metrics made of shares, and folded ones: what few discordant rows may show, and how often they err."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from airflow_mlops.gate.evidence import Design, Evidence, Question
from airflow_mlops.gate.rows import Answers, PairedPredictions
from airflow_mlops.gate.statistics.inference import Folded
from airflow_mlops.gate.statistics.mcnemar import Tango
from airflow_mlops.gate.statistics.measure import measure
from airflow_mlops.gate.statistics.shares import AtLeastPoisson
from airflow_mlops.gate.statistics.student import StudentT
from airflow_mlops.project.gate_spec import RuleSpec


def one(rows: PairedPredictions, metric: str, margin: float, **more: Any) -> Evidence:
    rule = RuleSpec(metric=metric, kind="non_inferior", margin=margin, **more)
    query = "query" if rows.task == "ranking" else None
    [found] = measure(rows, [Question(rule)], design=Design(resamples=300, query=query))
    return found


def answered(y_true: np.ndarray, challenger: np.ndarray, champion: np.ndarray, **columns: Any) -> PairedPredictions:
    """A binary task, right where the masks say so."""
    answers = [Answers(np.where(right, y_true, 1 - y_true)) for right in (challenger, champion)]
    numbers = np.arange(y_true.size).astype(str)
    return PairedPredictions("binary", numbers, y_true, *answers, classes=("no", "yes"), columns=columns)


def positives(rng: np.random.Generator, n: int, positive: int, new: float, old: float) -> PairedPredictions:
    """Two models that differ in the recall alone."""
    y_true = (np.arange(n) < positive).astype(float)
    right = [(rng.random(n) < share) | (y_true == 0) for share in (new, old)]
    return answered(y_true, right[0], right[1])


def queries(rng: np.random.Generator, n: int, new: float, old: float) -> PairedPredictions:
    """Queries of five rows, one of them relevant, which comes first in a share of them."""
    relevance, of_row = np.tile([1.0, 0, 0, 0, 0], n), np.repeat(np.arange(n), 5).astype(str)
    answers = []
    for share in (new, old):
        score = np.tile([0.0, 3.0, 2.0, 1.0, 0.5], (n, 1))
        score[rng.random(n) < share, 0] = 9.0
        answers.append(Answers(score.ravel()))
    return PairedPredictions("ranking", np.arange(5 * n).astype(str), relevance, *answers, columns={"query": of_row})


def promoted(metric: str, margin: float, trials: int, draw: Any, **more: Any) -> float:
    rng = np.random.default_rng(17)
    return sum((one(draw(rng), metric, margin, **more).p_value or 0.0) <= 0.05 for _ in range(trials)) / trials


@pytest.mark.parametrize(
    ("metric", "margin", "draw"),
    [
        ("recall", 0.05, lambda rng: positives(rng, 200, 20, 0.94, 0.99)),
        ("recall", 0.02, lambda rng: positives(rng, 2000, 100, 0.97, 0.99)),
        ("balanced_accuracy", 0.05, lambda rng: positives(rng, 200, 20, 0.89, 0.99)),
        ("f1", 0.053, lambda rng: positives(rng, 200, 20, 0.89, 0.99)),
        ("hit_rate", 0.05, lambda rng: queries(rng, 34, 0.94, 0.99)),
    ],
)
def test_few_rows_that_count_promote_no_oftener_than_alpha(metric: str, margin: float, draw: Any) -> None:
    more = {"k": 1} if metric == "hit_rate" else {}
    assert promoted(metric, margin, 150, draw, **more) <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 150)


def test_many_rows_that_count_still_promote() -> None:
    assert promoted("recall", 0.05, 60, lambda rng: positives(rng, 2000, 400, 0.95, 0.95)) > 0.8
    assert promoted("balanced_accuracy", 0.03, 60, lambda rng: positives(rng, 2000, 400, 0.95, 0.95)) > 0.8
    assert promoted("hit_rate", 0.05, 60, lambda rng: queries(rng, 500, 0.95, 0.95), k=1) > 0.8


@pytest.mark.parametrize("metric", ["accuracy", "recall", "balanced_accuracy", "f1", "precision"])
def test_no_row_that_differs_is_no_proof_of_a_few(metric: str) -> None:
    def alike(n: int, **columns: Any) -> PairedPredictions:
        right = np.arange(n) % 7 > 0
        return answered((np.arange(n) % 2).astype(float), right, right, **columns)

    assert (one(alike(40), metric, 0.03).p_value or 0.0) > 0.05
    assert (one(alike(2000), metric, 0.03).p_value or 1.0) < 0.05
    # Nights that may go wrong as a whole count as one row each.
    together = alike(2000, night=np.repeat(np.arange(20), 100).astype(str))
    assert (one(together, metric, 0.03).p_value or 0.0) > 0.05
    assert not one(together, metric, 0.03).alike


def test_a_recall_is_that_of_tango_on_the_positives() -> None:
    rows = positives(np.random.default_rng(2), 500, 120, 0.9, 0.92)
    assert rows.champion is not None
    challenger, champion = rows.challenger.values[:120], rows.champion.values[:120]
    tango = Tango(int((challenger > champion).sum()), int((challenger < champion).sum()), 120)
    found = one(rows, "recall", 0.05)
    assert found.method == "Tango's score test"
    assert (found.low, found.high) == tango.bounds(0.05)
    assert found.p_value == tango.p_above(-0.05)


def test_bounds_are_where_the_tests_turn() -> None:
    tests = [AtLeastPoisson(estimate, error, 30, 0.01) for estimate in (-0.08, 0.0, 0.03) for error in (0.001, 0.02)]
    folded = [
        Folded([(StudentT(a - b, 0.02, 30), StudentT(a + b, 0.01, 30)) for a in (signed, -signed)])
        for signed, b in ((0.1, 0.0), (-0.03, 0.05), (0.0, 0.2))
    ]
    for test in (*tests, *folded):
        low, high = test.bounds(0.05)
        assert low < high
        assert test.p_above(low) == pytest.approx(0.05)
        assert test.p_below(high) == pytest.approx(0.05)


def covering(rng: np.random.Generator, n: int, new: float, old: float) -> PairedPredictions:
    """Predicted quantiles that lie above the truth in given shares of rows, mostly in the same ones."""
    one_draw = rng.random(n)
    other = np.where(rng.random(n) < 0.9, one_draw, rng.random(n))
    answers = [Answers(np.where(u < share, 1.0, -1.0)) for u, share in ((other, new), (one_draw, old))]
    return PairedPredictions("quantile", np.arange(n).astype(str), np.zeros(n), *answers)


@pytest.mark.parametrize(("n", "new", "old"), [(200, 0.88, 0.90), (400, 0.92, 0.90), (400, 0.84, 0.86)])
def test_a_coverage_off_by_the_margin_is_promoted_no_oftener_than_alpha(n: int, new: float, old: float) -> None:
    share = promoted("coverage_error", 0.02, 100, lambda rng: covering(rng, n, new, old), quantile=0.9)
    assert share <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 100)


def test_a_coverage_that_is_as_good_is_promoted_from_either_side() -> None:
    assert promoted("coverage_error", 0.03, 50, lambda rng: covering(rng, 1500, 0.9, 0.9), quantile=0.9) > 0.8
    assert promoted("coverage_error", 0.03, 50, lambda rng: covering(rng, 4000, 0.92, 0.88), quantile=0.9) > 0.8


def flat(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    return 1.0


def test_a_metric_of_ones_own_that_tells_nothing_apart_is_no_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    import types

    module = types.ModuleType("flat_metrics")
    module.flat = flat  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "flat_metrics", module)
    y_true, *said = np.random.default_rng(0).normal(size=(3, 99))
    rows = PairedPredictions("regression", np.arange(99).astype(str), y_true, *map(Answers, said))
    found = one(rows, "flat_metrics.flat", 0.1)
    assert found.method == "no test: no unit tells the models apart"
    assert (found.p_value, found.low, found.high) == (1.0, -math.inf, math.inf)


def test_the_area_over_a_single_positive_shows_nothing() -> None:
    score = np.linspace(0.0, 1.0, 50)
    answers = Answers(np.zeros(50), np.stack([1 - score, score], axis=1))
    y_true = np.zeros(50)
    y_true[40] = 1.0
    rows = PairedPredictions("binary", np.arange(50).astype(str), y_true, answers, answers, classes=("no", "yes"))
    found = one(rows, "auc", 0.02)
    assert (found.p_value, found.p_worse) == (1.0, 1.0)
    assert (found.low, found.high) == (-math.inf, math.inf)
