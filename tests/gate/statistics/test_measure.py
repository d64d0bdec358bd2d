from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from airflow_mlops.errors import ConfigError
from airflow_mlops.gate.evidence import Design, Evidence, Question
from airflow_mlops.gate.rows import Answers, PairedPredictions
from airflow_mlops.gate.statistics.measure import measure
from airflow_mlops.project.gate_spec import METRICS, RuleSpec

DESIGN = Design(resamples=400)


def compared(metric: str, margin: float = 0.1, **options: Any) -> RuleSpec:
    return RuleSpec(metric=metric, kind="non_inferior", margin=margin, **options)


def regression(n: int = 240, *, worse: float = 1.0, seed: int = 0, **columns: np.ndarray) -> PairedPredictions:
    rng = np.random.default_rng(seed)
    y_true, noise = rng.normal(10, 3, n), rng.normal(size=(2, n))
    return PairedPredictions(
        "regression",
        np.arange(n).astype(str),
        y_true,
        Answers(y_true + worse * noise[0]),
        Answers(y_true + noise[1]),
        columns=columns,
    )


def binary(n: int = 300, *, share: float = 0.4, seed: int = 0, **columns: np.ndarray) -> PairedPredictions:
    rng = np.random.default_rng(seed)
    y_true = (rng.random(n) < share).astype(float)
    answers = []
    for _ in range(2):
        positive = 1 / (1 + np.exp(-(rng.normal(size=n) + 2 * y_true - 1)))
        answers.append(Answers((positive > 0.5).astype(float), np.stack([1 - positive, positive], axis=1)))
    return PairedPredictions("binary", np.arange(n).astype(str), y_true, *answers, classes=("0", "1"), columns=columns)


def one(predictions: PairedPredictions, rule: RuleSpec, rows: np.ndarray | None = None, **design: Any) -> Evidence:
    [found] = measure(predictions, [Question(rule, rows)], design=Design(resamples=400, **design))
    return found


OF_BINARY = [
    name for name, traits in METRICS.items() if "binary" in traits.tasks and name not in ("size_mb", "p99_latency_ms")
]
OF_NUMBERS = ["rmse", "mae", "mape", "bias", "r2"]


COMPARED = [name for name in OF_BINARY if name != "ece"]


@pytest.mark.parametrize("metric", COMPARED)
def test_every_metric_of_classes_is_measured(metric: str) -> None:
    found = one(binary(), compared(metric))
    assert found.low < found.estimate < found.high
    assert found.p_value is not None
    assert found.p_worse is not None
    assert found.rows == found.units == 300
    higher = METRICS[metric].greater_is_better
    assert (found.p_value <= 0.05) == (found.low > -0.1 if higher else found.high < 0.1)


@pytest.mark.parametrize("metric", OF_NUMBERS)
def test_every_metric_of_numbers_is_measured(metric: str) -> None:
    found = one(regression(), compared(metric))
    assert found.low < found.estimate < found.high
    assert found.method == "Student's t and BCa bootstrap"


def test_a_ranking_is_drawn_by_queries() -> None:
    rng = np.random.default_rng(1)
    queries = np.repeat(np.arange(50).astype(str), 8)
    relevance = rng.integers(0, 3, 400).astype(float)
    rows = PairedPredictions(
        "ranking",
        np.arange(400).astype(str),
        relevance,
        Answers(relevance + rng.normal(size=400)),
        Answers(relevance + rng.normal(size=400)),
        columns={"query": queries},
    )
    for metric in ("ndcg", "mrr", "hit_rate"):
        found = one(rows, compared(metric, k=3), query="query")
        assert found.drawn == "50 queries"
        assert found.low <= found.estimate <= found.high
    assert (
        "no column 'query'"
        in one(
            PairedPredictions("ranking", rows.row_id, relevance, rows.challenger, rows.champion),
            compared("ndcg"),
            query="query",
        ).method
    )


def test_the_better_is_promoted_and_the_worse_is_shown_worse() -> None:
    better, worse = one(regression(worse=0.8), compared("rmse")), one(regression(worse=1.5), compared("rmse"))
    assert better.p_value is not None
    assert better.p_value < 0.02
    assert better.estimate == pytest.approx(better.challenger / better.champion - 1 if better.champion else math.nan)
    assert worse.p_worse is not None
    assert worse.p_worse < 0.01
    assert worse.rows_needed is None


def test_rows_needed_are_those_that_do() -> None:
    few = one(regression(150, worse=1.0, seed=3), compared("mae", margin=0.06))
    assert few.p_value is not None
    assert few.p_value > 0.05
    assert few.rows_needed is not None
    assert few.least_difference is not None
    assert few.least_difference > 0.06 - few.estimate
    # Rows of the same kind, as many times as it says.
    times = math.ceil(few.rows_needed / 150)
    rows = regression(150, worse=1.0, seed=3)
    assert rows.champion is not None
    more = PairedPredictions(
        "regression",
        np.arange(150 * times).astype(str),
        np.tile(rows.y_true, times),
        Answers(np.tile(rows.challenger.values, times)),
        Answers(np.tile(rows.champion.values, times)),
    )
    assert (one(more, compared("mae", margin=0.06)).p_value or 1.0) < 0.05


def test_rows_of_a_night_are_drawn_together() -> None:
    night = np.repeat(np.arange(20).astype(str), 12)
    by_night = one(regression(night=night), compared("rmse"))
    assert by_night.drawn == "20 nights"
    assert one(regression(night=night, city=night), compared("rmse"), cluster="city").drawn == "20 values of city"
    assert one(regression(), compared("rmse")).drawn == "240 rows"


def test_copies_of_a_row_in_a_cluster_show_no_more_than_the_row() -> None:
    few = regression(40)
    assert few.champion is not None
    copied = PairedPredictions(
        "regression",
        np.arange(400).astype(str),
        np.repeat(few.y_true, 10),
        Answers(np.repeat(few.challenger.values, 10)),
        Answers(np.repeat(few.champion.values, 10)),
        columns={"night": np.repeat(np.array([f"{number:02d}" for number in range(40)]), 10)},
    )
    single, tenfold = one(few, compared("rmse")), one(copied, compared("rmse"))
    assert (tenfold.low, tenfold.high) == pytest.approx((single.low, single.high), rel=1e-6)


@pytest.mark.parametrize("nights", [1, 2, 3, 4])
def test_few_clusters_are_wide_and_never_narrower_than_rows(nights: int) -> None:
    night = np.arange(240) % nights
    found = one(regression(night=night.astype(str)), compared("rmse"))
    if nights == 1:
        assert (found.low, found.high, found.p_value, found.p_worse) == (-math.inf, math.inf, 1.0, 1.0)
        assert "no spread" in found.method
        assert found.rows_needed is None
    else:
        assert found.units == nights
        assert found.high - found.low > 0


def test_strata_narrow_the_bounds_where_they_differ() -> None:
    kind = np.repeat(["easy", "hard"], 120)
    rows = regression(kind=kind)
    factor = np.where(kind == "hard", 20.0, 1.0)
    assert rows.champion is not None
    mixed = PairedPredictions(
        "regression",
        rows.row_id,
        rows.y_true,
        Answers(rows.y_true + factor * np.abs(rows.challenger.values - rows.y_true)),
        rows.champion,
        columns={"kind": kind},
    )
    rule = RuleSpec(metric="mae", kind="absolute", max=99.0)
    wide, narrow = one(mixed, rule), one(mixed, rule, strata="kind")
    assert narrow.high - narrow.low < 0.9 * (wide.high - wide.low)
    assert "no column 'city' of strata" in one(mixed, rule, strata="city").method


def test_accuracy_by_rows_counts_discordant_rows() -> None:
    assert one(binary(), compared("accuracy")).method == "Tango's score test"
    superior = RuleSpec(metric="accuracy", kind="superior")
    assert one(binary(), superior).method == "exact McNemar (mid-p) and Tango's score test"
    clustered = binary(night=np.repeat(np.arange(30).astype(str), 10))
    assert one(clustered, compared("accuracy")).method == "Student's t and BCa bootstrap and Tango's score test"
    assert one(clustered, compared("auc")).method.startswith("jackknife over clusters")
    assert one(binary(), compared("auc")).method.startswith("DeLong")


def test_two_models_that_answer_alike() -> None:
    rows = binary()
    same = PairedPredictions("binary", rows.row_id, rows.y_true, rows.challenger, rows.challenger, classes=("0", "1"))
    for metric in COMPARED:
        found = one(same, compared(metric))
        assert found.estimate == 0.0
        assert found.p_value is not None
        assert found.p_value < 0.05, metric
        superior = one(same, RuleSpec(metric=metric, kind="superior"))
        assert superior.p_value is not None
        assert superior.p_value >= 0.5, metric


def test_a_perfect_area_on_a_few_rows_is_no_proof() -> None:
    y_true = np.repeat([0.0, 1.0], [40, 5])
    perfect = Answers(y_true, np.stack([1 - y_true, y_true], axis=1) * 0.8 + 0.1)
    rows = PairedPredictions("binary", np.arange(45).astype(str), y_true, perfect, perfect, classes=("0", "1"))
    found = one(rows, compared("auc", margin=0.02))
    assert found.estimate == 0.0
    assert found.p_value is not None
    assert found.p_value > 0.05
    many = PairedPredictions(
        "binary",
        np.arange(45 * 60).astype(str),
        np.tile(y_true, 60),
        *[Answers(np.tile(y_true, 60), np.tile(perfect.probabilities, (60, 1)))] * 2,
        classes=("0", "1"),
    )
    assert (one(many, compared("auc", margin=0.02)).p_value or 1.0) < 0.05


def test_what_cannot_be_measured_says_why() -> None:
    nothing = np.zeros(240, dtype=bool)
    assert one(regression(), compared("rmse"), nothing).method == "there is no row"
    labels = binary(share=0.0)
    assert "auc is not defined" in one(labels, compared("auc")).method
    silent = PairedPredictions(
        "binary", labels.row_id, labels.y_true, Answers(labels.y_true), Answers(labels.y_true), classes=("0", "1")
    )
    for metric in ("auc", "log_loss", "brier"):
        found = one(silent, compared(metric))
        assert math.isnan(found.challenger), metric
        assert metric == "auc" or "give p_<class> columns" in found.method
        assert found.p_value is None
    rows = regression()
    flawless = PairedPredictions("regression", rows.row_id, rows.y_true, rows.challenger, Answers(rows.y_true))
    assert "of which nothing is a share" in one(flawless, compared("rmse")).method
    alone = PairedPredictions("regression", rows.row_id, rows.y_true, rows.challenger, champion_fault="it is gone")
    found = one(alone, compared("rmse"))
    assert (found.method, found.champion) == ("it is gone", None)
    assert math.isfinite(found.challenger)
    assert math.isfinite(one(alone, RuleSpec(metric="rmse", kind="absolute", max=3.0)).high)
    assert math.isnan(one(rows, compared("size_mb")).challenger)


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e200])
def test_an_impossible_prediction_is_not_measured(bad: float) -> None:
    rows = regression()
    rows.challenger.values[7] = bad
    found = one(rows, compared("rmse"))
    assert math.isnan(found.estimate)
    assert found.p_value is None


def test_a_class_that_is_seldom_is_held_not_guessed() -> None:
    rows = binary(120, share=0.0)
    rows.y_true[0] = 1.0
    found = one(rows, compared("recall"))
    assert math.isfinite(found.challenger)
    assert found.p_value is not None
    assert found.p_value > 0.3
    assert found.high - found.low > 1.0


def median_error(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    return float(np.median(np.abs(y_pred - y_true)))


def spiteful(y_true: np.ndarray, y_pred: np.ndarray) -> float:
    y_true[:], y_pred[:] = 0.0, 0.0
    raise ZeroDivisionError("no")


def test_a_metric_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    import types

    module = types.ModuleType("shop_metrics")
    module.median_error, module.spiteful, module.text = median_error, spiteful, lambda *_: "0.5x"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "shop_metrics", module)
    rows = regression(worse=0.7)
    found = one(rows, compared("shop_metrics:median_error"))
    assert found.low < found.estimate < found.high
    assert found.challenger == median_error(rows.y_true, rows.challenger.values)
    assert (found.p_value or 1.0) < 0.05
    before = rows.challenger.values.copy()
    why = "of the challenger, the metric raised ZeroDivisionError: no"
    assert one(rows, compared("shop_metrics.spiteful")).method == why
    assert (rows.challenger.values == before).all()
    assert math.isnan(one(rows, compared("shop_metrics.text")).challenger)
    with pytest.raises(ConfigError, match="cannot be imported"):
        one(rows, compared("shop_metrics.absent"))


def test_a_question_is_answered_the_same_whatever_is_asked_beside_it() -> None:
    rows = regression(night=np.repeat(np.arange(20).astype(str), 12))
    half = np.arange(240) < 120
    questions = [
        Question(compared("rmse")),
        Question(compared("mae"), half),
        Question(compared("mae")),
        Question(compared("rmse"), half),
    ]
    together = measure(rows, questions, design=DESIGN)
    for question, found in zip(questions, together, strict=True):
        [alone] = measure(rows, [question], design=DESIGN)
        assert alone.low == pytest.approx(found.low, rel=1e-9)
        assert alone.p_value == pytest.approx(found.p_value, rel=1e-6)
    assert measure(rows, questions, design=DESIGN) == together
    assert measure(rows, [], design=DESIGN) == []


def test_a_challenger_that_is_seldom_and_badly_wrong_does_not_pass_for_steady() -> None:
    # Without the bootstrap's correction of skew, t alone promotes this one.
    rng = np.random.default_rng(0)
    promoted = {"t": 0, "both": 0}
    for _ in range(150):
        error = rng.normal(size=(2, 400))
        error[0] *= np.where(rng.random(400) < 0.01, 6.0, np.sqrt((1 - 0.36) / 0.99))
        y_true = np.zeros(400)
        rows = PairedPredictions("regression", np.arange(400).astype(str), y_true, Answers(error[0]), Answers(error[1]))
        found = one(rows, compared("rmse", margin=0.0))
        promoted["both"] += (found.p_value or 1.0) < 0.05
        loss = error[0] ** 2 - error[1] ** 2
        promoted["t"] += bool(loss.mean() / (loss.std(ddof=1) / 20) < -1.65)
    assert promoted["both"] < promoted["t"]


@pytest.mark.slow
def test_a_challenger_worse_by_the_margin_is_promoted_in_one_of_twenty() -> None:
    rng = np.random.default_rng(4)
    promoted = 0
    for _ in range(600):
        noise = rng.standard_t(3, size=(2, 200))
        rows = PairedPredictions(
            "regression", np.arange(200).astype(str), np.zeros(200), Answers(1.1 * noise[0]), Answers(noise[1])
        )
        promoted += (one(rows, compared("mae")).p_value or 1.0) <= 0.05
    # 4.6 standard errors above 5 %: fails by chance in one run of a million.
    assert promoted / 600 < 0.05 + 4.6 * math.sqrt(0.05 * 0.95 / 600)


@pytest.mark.parametrize("factor", [1.05, 0.95, 1.0])
@pytest.mark.parametrize("metric", ["rmse", "mae"])
def test_errors_in_one_proportion_leave_rounding_that_is_no_evidence(metric: str, factor: float) -> None:
    rng = np.random.default_rng(3)
    y_true, error = rng.normal(200, 50, 675), rng.normal(0, 40, 675)
    rows = PairedPredictions(
        "regression",
        np.arange(675).astype(str),
        y_true,
        Answers(y_true + error),
        Answers(y_true + factor * error),
    )
    (found,) = measure(rows, [Question(RuleSpec(metric=metric, kind="non_inferior", margin=0.02))], design=Design())
    assert found.estimate == pytest.approx(1 / factor - 1)
    assert found.low == pytest.approx(found.estimate, abs=1e-6)
    assert found.high == pytest.approx(found.estimate, abs=1e-6)
    better, worse = found.p_value, found.p_worse
    assert better is not None
    assert worse is not None
    assert (better < 0.001, worse < 0.001) == (factor >= 1, factor < 1)


def test_few_nights_of_unequal_hardness_still_show_that_two_models_are_alike() -> None:
    rng = np.random.default_rng(1)
    night = np.repeat(np.arange(6), 24)
    error = np.exp(rng.normal(0.0, 1.2, 6))[night] * rng.normal(0.0, 1.0, night.size)
    rows = PairedPredictions(
        "regression",
        np.arange(night.size).astype(str),
        np.zeros(night.size),
        Answers(error * rng.normal(1.0, 0.02, night.size)),
        Answers(error),
        columns={"night": night.astype(str)},
    )
    question = Question(RuleSpec(metric="rmse", kind="non_inferior", margin=0.1))
    (found,) = measure(rows, [question], design=Design(cluster="night"))
    assert found.method == "sign flips"
    assert -0.05 < found.low <= found.estimate <= found.high < 0.05
    assert found.p_value is not None
    assert found.p_value <= 0.05
