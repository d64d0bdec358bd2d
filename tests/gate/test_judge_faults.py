from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import numpy as np
import pytest
from judging import HOLD, NON_INFERIOR, PROMOTE, REJECT, SUPERIOR, decide, only, other, paired, right_or_wrong, sliced

from airflow_mlops.gate import UnusablePredictions, judge
from airflow_mlops.project.gate_spec import GateSpec, RuleSpec

# ── fail-closed ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e200])
def test_an_impossible_prediction_rejects(bad: float) -> None:
    rows = paired(40.0, 50.0)
    rows.challenger.values[100] = bad
    judgement = decide(NON_INFERIOR, SUPERIOR.model_copy(update={"required": False}), golden=rows)
    assert judgement.decision is REJECT
    assert [rule.decision for rule in judgement.rules] == [REJECT] * 3
    assert "the challenger's answers are NaN, infinite or beyond 1e+75 in 1 rows: reject" in judgement.reasons[0]
    assert not math.isfinite(judgement.rules[1].high)


def test_a_truth_that_is_missing_rejects() -> None:
    rows = paired(40.0, 50.0)
    rows.y_true[0] = math.nan
    judgement = decide(NON_INFERIOR, golden=rows)
    assert judgement.decision is REJECT
    assert judgement.reasons[1] == (
        "rmse on golden: the true values are NaN, infinite or beyond 1e+75 in 1 rows: reject"
    )


def test_a_metric_that_cannot_be_measured_rejects() -> None:
    rng = np.random.default_rng(0)
    rows = right_or_wrong(rng.random(500) < 0.9, rng.random(500) < 0.9)
    # No probabilities: nothing to rank by.
    judgement = only(RuleSpec(metric="auc", kind="non_inferior", margin=0.02), golden=rows)
    assert judgement.decision is REJECT
    assert "the challenger's auc over 500 rows cannot be measured" in judgement.reasons[0]
    assert "give p_<class> columns, or y_pred as a probability" in judgement.reasons[0]
    # Of a rule that only reports, it is no more than a report.
    accuracy = RuleSpec(metric="accuracy", kind="absolute", min=0.5)
    reported = RuleSpec(metric="auc", kind="absolute", min=0.5, required=False)
    assert only(accuracy, reported, golden=rows).decision is PROMOTE


@pytest.mark.parametrize("stray", [2.0, -1.0, 0.5, math.nan])
def test_an_answer_that_is_no_class_rejects(stray: float) -> None:
    always = np.ones(500, dtype=bool)
    rule = RuleSpec(metric="balanced_accuracy", kind="non_inferior", margin=0.1)
    for of in ("y_true", "challenger", "champion"):
        rows = right_or_wrong(always, always)
        values = rows.y_true if of == "y_true" else getattr(rows, of).values
        values[7] = stray
        judgement = only(rule, golden=rows)
        assert judgement.decision is (HOLD if of == "champion" else REJECT)
        assert "1 rows" in judgement.reasons[0]
    one_class = dataclasses.replace(right_or_wrong(always, always), classes=("yes",))
    assert only(rule, golden=one_class).reasons[0].endswith("a binary task has two classes, the set 1: reject")


def test_unusable_predictions_reject_whether_a_rule_reads_them_or_not() -> None:
    broken = UnusablePredictions("the challenger's predictions hold 5 rows, the data 6")
    judgement = decide(NON_INFERIOR, golden=broken, recent=paired(40.0, 50.0))
    assert judgement.decision is REJECT
    assert judgement.reasons[0] == "golden: the challenger's predictions hold 5 rows, the data 6: reject"
    assert [rule.decision for rule in judgement.rules[:2]] == [REJECT, REJECT]
    assert math.isnan(judgement.rules[0].challenger)
    judgement = decide(NON_INFERIOR, golden=paired(40.0, 50.0), recent=broken)
    assert [rule.decision for rule in judgement.rules] == [PROMOTE, PROMOTE]
    assert judgement.decision is REJECT


def test_a_set_without_nights_holds_and_one_without_rows_rejects() -> None:
    judgement = decide(NON_INFERIOR.model_copy(update={"on": "recent"}), golden=paired(40.0, 50.0), recent=None)
    assert judgement.decision is HOLD
    assert judgement.reasons[-1] == "rmse on recent: there is no row to judge on: hold"
    assert decide(golden=paired(40.0, nights=0)).decision is REJECT
    assert decide(NON_INFERIOR, golden=None).decision is not PROMOTE
    # Without a row there is no level either: the rule must not vanish.
    empty = paired(40.0, 50.0, nights=0, columns={"region": np.array([], dtype=str)})
    judgement = only(sliced(), golden=empty)
    assert [rule.decision for rule in judgement.rules] == [REJECT]
    parity = RuleSpec(metric="mae", kind="parity", slice="region", max_difference=1.0)
    assert only(parity, golden=empty).reasons == ("mae on golden, region: there is no row to judge on: reject",)


def test_thin_evidence_is_held_however_good_it_looks() -> None:
    judgement = decide(NON_INFERIOR, golden=paired(10.0, 50.0, nights=4))
    assert judgement.decision is HOLD
    assert judgement.reasons[1] == "rmse on golden: 96 rows are too thin, the rule wants 100: hold"
    assert [(rule.rows, rule.rows_needed) for rule in judgement.rules] == [(96, 100), (96, 100)]


def test_a_single_night_shows_nothing() -> None:
    judgement = decide(NON_INFERIOR, golden=paired(30.0, 50.0, nights=1, hours=400))
    assert judgement.rules[1].decision is HOLD
    assert judgement.decision is HOLD
    why = "no bounds over 1 night), margin 10 %; one night has no spread, so judge more than one: hold"
    assert judgement.reasons[1].endswith(why)


def bound(metric: str, kind: str) -> dict[str, float]:
    bar = {"min": -1e3} if metric == "r2" else {"max": 1e3}
    return {"absolute": bar, "non_inferior": {"margin": 0.1}}.get(kind, {})


def test_nothing_odd_raises_and_nothing_odd_is_promoted() -> None:
    metrics: dict[str, dict[str, Any]] = {
        "rmse": {}, "mae": {}, "mape": {}, "bias": {}, "r2": {}, "pinball": {"quantile": 0.9},
        "math.dist": {}, "os.path.join": {},
    }  # fmt: skip
    rules = [
        RuleSpec(metric=metric, kind=kind, on=on, slice=slice_, min_rows=2, **more, **bound(metric, kind))
        for (metric, more), kind, on, slice_ in itertools.product(
            metrics.items(), ("absolute", "non_inferior", "superior"), ("golden", "recent"), (None, "night")
        )
    ]
    rules += [RuleSpec(metric="mae", kind="parity", slice="night", max_difference=0.1, min_ratio=0.5, min_rows=2)]
    odd: list[Any] = [
        None,
        UnusablePredictions("they are missing"),
        paired(40.0, 50.0, nights=0),
        paired(40.0, 50.0, nights=1, hours=1),
        paired(40.0, nights=2, hours=2),
        paired(40.0, nights=3, hours=3, champion_fault="the champion's predictions are missing"),
        paired(np.zeros(9), np.zeros(9), nights=3, hours=3),
        paired(np.full(9, np.nan), np.full(9, np.inf), nights=3, hours=3),
        paired(np.full(9, 1e300), np.full(9, -1e300), nights=3, hours=3),
    ]
    for golden, recent in (*zip(odd, odd, strict=True), *zip(odd, reversed(odd), strict=True)):
        spec = GateSpec(rules=tuple(rules), resamples=200, slices=("night", "nowhere"))
        judgement = judge(spec, golden=golden, recent=recent, seed=0, golden_uses=7)
        assert judgement.decision is not PROMOTE
        assert all(reason for reason in judgement.reasons)


def test_truths_of_which_a_metric_is_not_defined_hold_whatever_the_challenger_says() -> None:
    rng = np.random.default_rng(0)
    rows = right_or_wrong(rng.random(600) < 0.95, rng.random(600) < 0.8, region=np.repeat(["a", "b"], 300).astype(str))
    rows.y_true[300:] = 0.0
    for metric in ("recall", "auc"):
        rule = RuleSpec(metric=metric, kind="superior", min_rows=50)
        judgement = only(sliced(rule, levels=("b",)), golden=rows)
        assert judgement.decision is HOLD
        why = f"no row is truly of the class 'yes', which {metric} needs. Judge more rows, or use accuracy here: hold"
        assert judgement.reasons[0] == f"{metric} on golden, region=b: {why}"
    calm = paired(40.0, 50.0)
    calm.y_true[:] = 7.0
    r2 = only(RuleSpec(metric="r2", kind="absolute", min=0.5), golden=calm)
    assert r2.reasons[0] == (
        "r2 on golden: the true values are all 7, and r2 is a share of their spread. Use rmse or mae here: hold"
    )
    calm.y_true[3] = 0.0
    mape = only(RuleSpec(metric="mape", kind="superior"), golden=calm)
    assert (
        mape.reasons[0] == "mape on golden: the true value is 0 in 1 rows, of which no error is a share. Use mae: hold"
    )


def test_a_rule_wants_rows_of_what_its_metric_counts() -> None:
    right = np.ones(400, dtype=bool)
    rows = right_or_wrong(right, right)
    rows.y_true[:] = rows.challenger.values[:] = np.arange(400) < 40
    recall = only(RuleSpec(metric="recall", kind="absolute", min=0.5), golden=rows)
    assert recall.reasons[0] == "recall on golden: 40 positives are too thin, the rule wants 100: hold"
    assert recall.rules[0].rows_needed == 1000
    assert only(RuleSpec(metric="recall", kind="absolute", min=0.5, min_rows=40), golden=rows).decision is PROMOTE
    assert only(RuleSpec(metric="false_positive_rate", kind="absolute", max=0.5), golden=rows).decision is PROMOTE


def test_figures_beyond_counting_are_short() -> None:
    judgement = decide(NON_INFERIOR, golden=paired(1e60, 1.0))
    assert judgement.decision is REJECT
    assert max(map(len, judgement.reasons)) < 250


# ── the champion ─────────────────────────────────────────────────────────────────────────────────


def test_a_first_model_needs_only_its_absolute_rules() -> None:
    judgement = decide(NON_INFERIOR, SUPERIOR, golden=paired(40.0), recent=paired(40.0))
    assert judgement.decision is PROMOTE
    assert [rule.rule for rule in judgement.rules] == ["rmse absolute"]
    assert judgement.reasons[1] == "rmse on golden: non_inferior left out, there is no champion to compare with"
    assert decide(NON_INFERIOR, golden=paired(140.0)).decision is REJECT


def test_a_broken_challenger_of_a_known_champion_is_not_the_first_model() -> None:
    broken = UnusablePredictions("the challenger's predictions hold 5 rows, the data 6", champion_given=True)
    judgement = decide(NON_INFERIOR, golden=broken)
    assert judgement.decision is REJECT
    assert [rule.rule for rule in judgement.rules] == ["rmse absolute", "rmse non_inferior"]
    assert not any("there is no champion" in reason for reason in judgement.reasons)
    first = decide(NON_INFERIOR, golden=dataclasses.replace(broken, champion_given=False))
    assert any("there is no champion" in reason for reason in first.reasons)


def test_a_first_model_of_which_nothing_is_asked_is_held() -> None:
    fine = other(PROMOTE)
    judgement = judge(GateSpec(rules=(NON_INFERIOR,)), golden=paired(40.0), recent=None, seed=0, others=[fine])
    assert judgement.decision is HOLD
    assert judgement.reasons[-1].startswith("no required rule could look at the answers")


def test_a_champion_that_is_missing_on_one_set_only_is_not_a_first_model() -> None:
    judgement = decide(NON_INFERIOR, golden=paired(40.0), recent=paired(40.0, 50.0))
    assert judgement.decision is HOLD
    assert judgement.reasons[1] == "rmse on golden: the champion's predictions are missing: hold"


def test_a_broken_champion_holds_what_compares_and_nothing_else() -> None:
    rows = paired(40.0, 50.0)
    assert rows.champion is not None
    rows.champion.values[3] = math.nan
    fault = paired(40.0, champion_fault="the champion's predictions are missing")
    for golden in (rows, fault):
        judgement = decide(NON_INFERIOR, golden=golden)
        assert [rule.decision for rule in judgement.rules] == [PROMOTE, HOLD]
        assert judgement.decision is HOLD
        assert "the champion's" in judgement.reasons[1]
        assert judgement.rules[1].challenger == judgement.rules[0].challenger


def test_a_champion_without_error_is_only_matched_by_another() -> None:
    flawless, off = np.zeros(28 * 24), np.full(28 * 24, 1e-3)
    same = decide(NON_INFERIOR, SUPERIOR, golden=paired(flawless, flawless))
    assert [rule.decision for rule in same.rules] == [PROMOTE, PROMOTE, HOLD]
    worse = decide(NON_INFERIOR, SUPERIOR, golden=paired(off, flawless))
    assert worse.decision is not PROMOTE
    assert PROMOTE not in {rule.decision for rule in worse.rules[1:]}
