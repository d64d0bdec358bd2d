from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from airflow_mlops.gate import Judgement, PairedPredictions, UnusablePredictions, judge
from airflow_mlops.project.spec import GateSpec, RuleSpec
from airflow_mlops.records import Decision

PROMOTE, HOLD, REJECT = Decision.PROMOTE, Decision.HOLD, Decision.REJECT
ABSOLUTE = RuleSpec(metric="rmse", kind="absolute", max=100.0)
NON_INFERIOR = RuleSpec(metric="rmse", kind="non_inferior", margin=0.1)
SUPERIOR = RuleSpec(metric="rmse", kind="superior")


def paired(
    challenger: Any, champion: Any = None, *, nights: int = 28, hours: int = 24, **more: Any
) -> PairedPredictions:
    """Predictions off by the given errors, of shape (nights * hours,) or a spread to draw them with."""
    rng, n = np.random.default_rng(4), nights * hours
    y_true = rng.normal(200.0, 80.0, n)

    def off(errors: Any) -> Any:
        return y_true + (rng.normal(0.0, errors, n) if np.ndim(errors) == 0 else np.asarray(errors))

    return PairedPredictions(
        row_id=np.arange(n).astype(str),
        night=np.repeat([f"night {night:03d}" for night in range(nights)], hours),
        y_true=y_true,
        challenger=off(challenger),
        champion=None if champion is None else off(champion),
        **more,
    )


def decide(*rules: RuleSpec, golden: Any = None, recent: Any = None, alpha: float = 0.05, seed: int = 0) -> Judgement:
    return judge(GateSpec(rules=(ABSOLUTE, *rules), alpha=alpha), golden=golden, recent=recent, seed=seed)


# ── by the figures ───────────────────────────────────────────────────────────────────────────────


def test_a_better_challenger_is_promoted_with_figures() -> None:
    judgement = decide(NON_INFERIOR, SUPERIOR, golden=paired(40.0, 50.0))
    assert [rule.decision for rule in judgement.rules] == [PROMOTE, PROMOTE, PROMOTE]
    assert judgement.decision is PROMOTE
    bar, rule, _ = judgement.rules
    assert bar.challenger == bar.estimate == rule.challenger
    assert bar.low < bar.estimate < bar.high
    assert rule.champion is not None
    assert rule.estimate == pytest.approx(rule.challenger / rule.champion - 1)
    assert rule.low < rule.estimate < rule.high < 0
    assert judgement.reasons[1].startswith(f"rmse on golden: {rule.challenger:.4g} vs champion {rule.champion:.4g} (-")
    assert judgement.reasons[1].endswith("over 28 nights), margin 10 %: promote")
    assert f"95 % upper bound {100 * rule.high:+.1f} %" in judgement.reasons[1]


def test_a_worse_challenger_is_rejected() -> None:
    judgement = decide(NON_INFERIOR, golden=paired(60.0, 40.0))
    assert judgement.decision is REJECT
    assert judgement.rules[1].low > 0.1
    assert "lower bound +" in judgement.reasons[1]


def test_neither_shown_is_held() -> None:
    judgement = decide(NON_INFERIOR, golden=paired(44.0, 40.0, nights=7))
    rule = judgement.rules[1]
    assert rule.low <= 0.1 < rule.high
    assert judgement.decision is HOLD
    assert "bounds" in judgement.reasons[1]


def test_the_same_model_again_is_not_inferior_and_not_superior() -> None:
    errors = np.random.default_rng(0).normal(0, 40, 28 * 24)
    exactly = RuleSpec(metric="mae", kind="non_inferior", margin=0.0)
    judgement = decide(NON_INFERIOR, exactly, SUPERIOR, golden=paired(errors, errors))
    assert [rule.decision for rule in judgement.rules[1:]] == [PROMOTE, PROMOTE, HOLD]
    assert [(rule.low, rule.estimate, rule.high) for rule in judgement.rules[1:]] == [(0, 0, 0)] * 3


def test_an_absolute_rule_is_a_bar_for_the_metric_itself() -> None:
    rows = paired(np.full(28 * 24, 50.0))
    for bar, decision in ((50.0001, PROMOTE), (49.9999, REJECT)):
        rule = RuleSpec(metric="mae", kind="absolute", max=bar)
        assert judge(GateSpec(rules=(rule,)), golden=rows, recent=None, seed=0).decision is decision


def test_the_metrics_are_those_of_the_field() -> None:
    rows = paired(np.tile([3.0, -4.0], 14 * 24))
    spec = GateSpec(rules=(ABSOLUTE, RuleSpec(metric="mae", kind="absolute", max=10.0)))
    rmse, mae = judge(spec, golden=rows, recent=None, seed=0).rules
    assert (rmse.challenger, mae.challenger) == pytest.approx((math.sqrt(12.5), 3.5))


def test_all_required_rules_count_and_no_other() -> None:
    better, worse = paired(40.0, 50.0), paired(60.0, 40.0)
    on_recent = NON_INFERIOR.model_copy(update={"on": "recent"})
    assert decide(NON_INFERIOR, on_recent, golden=better, recent=better).decision is PROMOTE
    assert decide(NON_INFERIOR, on_recent, golden=better, recent=worse).decision is REJECT
    reported = decide(NON_INFERIOR, on_recent.model_copy(update={"required": False}), golden=better, recent=worse)
    assert reported.decision is PROMOTE
    assert [rule.decision for rule in reported.rules] == [PROMOTE, PROMOTE, REJECT]
    assert reported.reasons[-1].endswith("reject (reported only)")
    # One holds and one rejects: what was shown wins over what was not.
    unsure = paired(44.0, 40.0, nights=7)
    assert decide(NON_INFERIOR, on_recent, golden=unsure, recent=worse).decision is REJECT
    assert decide(NON_INFERIOR, on_recent, golden=better, recent=unsure).decision is HOLD


def test_the_same_verdict_every_time() -> None:
    rows = paired(44.0, 43.0)
    assert decide(NON_INFERIOR, golden=rows, seed=3) == decide(NON_INFERIOR, golden=rows, seed=3)
    assert decide(NON_INFERIOR, golden=rows, seed=3).rules[1] != decide(NON_INFERIOR, golden=rows, seed=4).rules[1]
    # A rule more does not change what another one says.
    assert (
        decide(SUPERIOR, NON_INFERIOR, golden=rows, seed=3).rules[2]
        == decide(NON_INFERIOR, golden=rows, seed=3).rules[1]
    )


def test_the_order_of_the_rows_does_not_matter() -> None:
    rows = paired(44.0, 43.0)
    order = np.random.default_rng(0).permutation(rows.y_true.size)
    assert rows.champion is not None
    shuffled = PairedPredictions(
        rows.row_id[order], rows.night[order], rows.y_true[order], rows.challenger[order], rows.champion[order]
    )
    one, other = (decide(NON_INFERIOR, golden=each).rules[1] for each in (rows, shuffled))
    assert (one.low, one.high) == pytest.approx((other.low, other.high), rel=1e-9)


def test_a_drift_within_nights_widens_the_bounds() -> None:
    # The same errors in every hour of a night: 24 rows that say what one says.
    per_night = np.random.default_rng(5).normal(0, 40, (2, 28))
    challenger, champion = (np.repeat(errors, 24) for errors in per_night)
    clustered = decide(NON_INFERIOR, golden=paired(challenger, champion)).rules[1]
    by_rows = decide(NON_INFERIOR, golden=paired(challenger, champion, nights=1, hours=28 * 24)).rules[1]
    assert clustered.high - clustered.low > 3 * (by_rows.high - by_rows.low)
    assert "over 28 nights" in clustered.reason
    assert "over 672 rows" in by_rows.reason


# ── fail-closed ──────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e200])
def test_an_impossible_prediction_rejects(bad: float) -> None:
    rows = paired(40.0, 50.0)
    rows.challenger[100] = bad
    judgement = decide(NON_INFERIOR, golden=rows)
    assert judgement.decision is REJECT
    assert "the challenger's rmse over 672 rows is" in judgement.reasons[0]
    assert math.isnan(judgement.rules[1].high)


def test_a_truth_that_is_missing_rejects() -> None:
    rows = paired(40.0, 50.0)
    rows.y_true[0] = math.nan
    assert decide(NON_INFERIOR, golden=rows).decision is REJECT


def test_unusable_predictions_reject_whether_a_rule_reads_them_or_not() -> None:
    broken = UnusablePredictions("the challenger's predictions hold 5 rows, the data 6")
    judgement = decide(NON_INFERIOR, golden=broken, recent=paired(40.0, 50.0))
    assert judgement.decision is REJECT
    assert judgement.reasons[0] == "golden: the challenger's predictions hold 5 rows, the data 6: reject"
    assert [rule.decision for rule in judgement.rules] == [REJECT, REJECT]
    assert math.isnan(judgement.rules[0].challenger)
    judgement = decide(NON_INFERIOR, golden=paired(40.0, 50.0), recent=broken)
    assert [rule.decision for rule in judgement.rules] == [PROMOTE, PROMOTE]
    assert judgement.decision is REJECT


def test_a_set_without_nights_holds() -> None:
    judgement = decide(NON_INFERIOR.model_copy(update={"on": "recent"}), golden=paired(40.0, 50.0), recent=None)
    assert judgement.decision is HOLD
    assert judgement.reasons[-1] == "rmse on recent: there is no row to judge on: hold"
    assert decide(golden=paired(40.0, nights=0)).decision is REJECT


def test_thin_evidence_is_held_however_good_it_looks() -> None:
    judgement = decide(NON_INFERIOR, golden=paired(10.0, 50.0, nights=4))
    assert judgement.decision is HOLD
    assert judgement.reasons[1] == "rmse on golden: 96 rows are too thin, the rule wants 100: hold"
    assert [rule.rows for rule in judgement.rules] == [96, 96]


def test_a_single_row_shows_nothing() -> None:
    rule = NON_INFERIOR.model_copy(update={"min_rows": 1})
    judgement = decide(rule, golden=paired(1.0, 50.0, nights=1, hours=1))
    assert (judgement.rules[1].low, judgement.rules[1].high) == (-math.inf, math.inf)
    assert judgement.rules[1].decision is HOLD


# ── the champion ─────────────────────────────────────────────────────────────────────────────────


def test_a_first_model_needs_only_its_absolute_rules() -> None:
    judgement = decide(NON_INFERIOR, SUPERIOR, golden=paired(40.0), recent=paired(40.0))
    assert judgement.decision is PROMOTE
    assert [rule.rule for rule in judgement.rules] == ["rmse absolute"]
    assert judgement.reasons[1] == "rmse on golden: non_inferior left out, there is no champion to compare with"
    assert decide(NON_INFERIOR, golden=paired(140.0)).decision is REJECT


def test_a_champion_that_is_missing_on_one_set_only_is_not_a_first_model() -> None:
    judgement = decide(NON_INFERIOR, golden=paired(40.0), recent=paired(40.0, 50.0))
    assert judgement.decision is HOLD
    assert judgement.reasons[1] == "rmse on golden: the champion's predictions are missing: hold"


def test_a_broken_champion_holds_what_compares_and_nothing_else() -> None:
    rows = paired(40.0, 50.0)
    assert rows.champion is not None
    rows.champion[3] = math.nan
    fault = paired(40.0, champion_fault="the champion's predictions are missing")
    for golden in (rows, fault):
        judgement = decide(NON_INFERIOR, golden=golden)
        assert [rule.decision for rule in judgement.rules] == [PROMOTE, HOLD]
        assert judgement.decision is HOLD
        assert "the champion's" in judgement.reasons[1]


def test_a_champion_without_error_is_only_matched_by_another() -> None:
    flawless, off = np.zeros(28 * 24), np.full(28 * 24, 1e-3)
    same = decide(NON_INFERIOR, SUPERIOR, golden=paired(flawless, flawless))
    assert [rule.decision for rule in same.rules] == [PROMOTE, PROMOTE, HOLD]
    worse = decide(NON_INFERIOR, SUPERIOR, golden=paired(off, flawless))
    assert [rule.decision for rule in worse.rules] == [PROMOTE, REJECT, REJECT]
    assert worse.rules[1].estimate == math.inf
    # Without error in most nights: some resamples have none at all.
    rare = np.zeros(28 * 24)
    rare[0] = 1.0
    mixed = decide(NON_INFERIOR, golden=paired(off, rare)).rules[1]
    assert mixed.high == math.inf
    assert mixed.decision is not PROMOTE


# ── how often it errs ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("nights", [7, 28])
def test_a_challenger_worse_by_the_margin_is_promoted_no_oftener_than_alpha(nights: int) -> None:
    """Nights differ in how hard they are for either model: rows alone would promote 22 % of these."""
    rng, trials, alpha, margin, hours = np.random.default_rng(11), 200, 0.05, 0.1, 24
    promoted = 0
    for trial in range(trials):
        # Of mean square 1 over all nights.
        hard = np.exp(rng.normal(-0.09, 0.3, (2, nights)))
        errors = 40.0 * np.repeat(hard, hours, axis=1) * rng.normal(0, 1, (2, nights * hours))
        rows = paired((1 + margin) * errors[0], errors[1], nights=nights)
        promoted += decide(NON_INFERIOR, golden=rows, alpha=alpha, seed=trial).rules[1].decision is PROMOTE
    # Three standard errors of 200 trials at 6 % (what 7 to 28 nights were measured at).
    assert promoted / trials <= 0.06 + 3 * math.sqrt(0.06 * 0.94 / trials)
    assert promoted > 0


def test_a_challenger_that_is_as_good_is_promoted_mostly() -> None:
    rng, promoted = np.random.default_rng(12), 0
    for trial in range(50):
        rows = paired(rng.normal(0, 40, 672), rng.normal(0, 40, 672))
        promoted += decide(NON_INFERIOR, golden=rows, seed=trial).decision is PROMOTE
    # Two independent models with 672 rows each: the estimate's deviation is 3.9 %, so the bound is passed by 82 %.
    assert promoted >= 30
