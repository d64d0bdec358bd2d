from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from judging import HOLD, NON_INFERIOR, PROMOTE, REJECT, SUPERIOR, decide, only, paired, regions, right_or_wrong

from airflow_mlops.gate import Answers, PairedPredictions, judge
from airflow_mlops.project.gate_spec import GateSpec, RuleSpec

# ── by the figures ───────────────────────────────────────────────────────────────────────────────


def test_a_better_challenger_is_promoted_with_figures() -> None:
    judgement = decide(NON_INFERIOR, SUPERIOR, golden=paired(40.0, 50.0))
    assert [rule.decision for rule in judgement.rules] == [PROMOTE, PROMOTE, PROMOTE]
    assert judgement.decision is PROMOTE
    bar, rule, superior = judgement.rules
    assert bar.challenger == bar.estimate == rule.challenger
    assert bar.low < bar.estimate < bar.high
    assert (bar.scale, rule.scale, rule.bound, superior.bound) == ("value", "share", 0.1, 0.0)
    assert rule.champion is not None
    assert rule.estimate == pytest.approx(rule.challenger / rule.champion - 1)
    assert rule.low < rule.estimate < rule.high < 0
    assert (rule.rows, rule.units, rule.rows_needed) == (672, 28, None)
    assert rule.method
    assert rule.p_value is not None
    assert rule.p_value < 0.05 < (rule.p_worse or 0)
    assert judgement.reasons[1].startswith(f"rmse on golden: {rule.challenger:.4g} vs champion {rule.champion:.4g} (-")
    assert judgement.reasons[1].endswith("over 28 nights), margin 10 %: promote")
    assert f"95 % upper bound {100 * rule.high:+.1f} %" in judgement.reasons[1]


def test_a_worse_challenger_is_rejected() -> None:
    judgement = decide(NON_INFERIOR, golden=paired(60.0, 40.0))
    assert judgement.decision is REJECT
    assert judgement.rules[1].low > 0.1
    assert "lower bound +" in judgement.reasons[1]


def test_neither_shown_is_held_and_says_what_would_do() -> None:
    judgement = decide(NON_INFERIOR, golden=paired(41.0, 40.0, nights=7))
    rule = judgement.rules[1]
    assert rule.low <= 0.1 < rule.high
    assert judgement.decision is HOLD
    assert "bounds" in judgement.reasons[1]
    assert rule.rows_needed is not None
    assert rule.rows_needed > rule.rows == 168
    assert rule.least_difference is not None
    assert rule.least_difference > 0
    more = rule.rows_needed - rule.rows
    nights = math.ceil(more / 24)
    assert f"; {more:,} more rows ({nights} nights) would do if the estimate is true" in judgement.reasons[1]
    assert f"would mostly show {100 * rule.least_difference:.3g} % off the bound: hold" in judgement.reasons[1]


def apart_by(ratio: float, errors: np.ndarray) -> np.ndarray:
    """Two models' errors, of which the first one's RMSE is exactly so many times the second one's."""
    spread = np.sqrt((errors**2).mean(axis=1))
    return np.stack([errors[0] * ratio * spread[1] / spread[0], errors[1]])


def test_more_rows_would_do_only_if_the_estimate_keeps_the_bound() -> None:
    judgement = decide(NON_INFERIOR, golden=paired(*apart_by(1.105, np.random.default_rng(3).normal(0, 40, (2, 672)))))
    assert judgement.rules[1].decision is HOLD
    assert judgement.rules[1].estimate > 0.1
    assert judgement.rules[1].rows_needed is None
    assert "if the estimate is true, no number of rows would do" in judgement.reasons[1]


def test_the_rows_that_a_hold_asks_for_would_mostly_do() -> None:
    rule, promoted = RuleSpec(metric="rmse", kind="non_inferior", margin=0.05), 0
    # How many it asks for is itself uncertain: from 85 to 160 nights.
    for seed in range(8, 12):
        rng = np.random.default_rng(seed)
        held = only(rule, golden=paired(*apart_by(1.0, rng.normal(0, 40, (2, 30 * 24))), nights=30)).rules[0]
        assert held.decision is HOLD
        assert held.rows_needed is not None
        nights = math.ceil(held.rows_needed / 24)
        again = (paired(*rng.normal(0, 40, (2, nights * 24)), nights=nights) for _ in range(15))
        promoted += sum(only(rule, golden=rows, resamples=400).decision is PROMOTE for rows in again)
    # 80 % of 60, give or take three standard errors, and what the spread of 30 nights is uncertain by.
    assert 36 <= promoted <= 59


def test_higher_is_better_turns_everything_round() -> None:
    rng = np.random.default_rng(0)
    good, bad = rng.random(2000) < 0.93, rng.random(2000) < 0.85
    rule = RuleSpec(metric="accuracy", kind="non_inferior", margin=0.02)
    better, superior = only(rule, RuleSpec(metric="accuracy", kind="superior"), golden=right_or_wrong(good, bad)).rules
    assert (better.decision, better.scale, better.bound, superior.bound) == (PROMOTE, "points", -0.02, 0.0)
    assert better.greater_is_better
    assert -0.02 < better.low < better.estimate < better.high
    worse = only(rule, golden=right_or_wrong(bad, good))
    assert worse.decision is REJECT
    assert worse.rules[0].high < -0.02
    assert "upper bound -0.0" in worse.reasons[0]
    assert worse.reasons[0].endswith("margin 0.02: reject")
    assert str(math.copysign(1, superior.bound)) == "1.0"
    at_least = RuleSpec(metric="accuracy", kind="absolute", min=0.9)
    assert only(at_least, golden=right_or_wrong(good, bad)).decision is PROMOTE
    assert only(at_least, golden=right_or_wrong(bad, good)).reasons[0].endswith(", at least 0.9 accepted: reject")


def test_the_same_model_again_is_not_inferior_and_not_superior() -> None:
    errors = np.random.default_rng(0).normal(0, 40, 28 * 24)
    exactly = RuleSpec(metric="mae", kind="non_inferior", margin=0.0)
    judgement = decide(NON_INFERIOR, exactly, SUPERIOR, golden=paired(errors, errors))
    assert [rule.decision for rule in judgement.rules[1:]] == [PROMOTE, PROMOTE, HOLD]
    assert [(rule.low, rule.estimate, rule.high) for rule in judgement.rules[1:]] == [(0, 0, 0)] * 3


def test_an_absolute_rule_is_a_bar_for_the_metric_itself() -> None:
    rows = paired(np.full(28 * 24, 50.0))
    for bar, decision in ((50.0001, PROMOTE), (49.9999, REJECT)):
        assert only(RuleSpec(metric="mae", kind="absolute", max=bar), golden=rows).decision is decision


def test_all_required_rules_count_and_no_other() -> None:
    better, worse = paired(40.0, 50.0), paired(60.0, 40.0)
    on_recent = NON_INFERIOR.model_copy(update={"on": "recent"})
    assert decide(NON_INFERIOR, on_recent, golden=better, recent=better).decision is PROMOTE
    assert decide(NON_INFERIOR, on_recent, golden=better, recent=worse).decision is REJECT
    reported = decide(NON_INFERIOR, on_recent.model_copy(update={"required": False}), golden=better, recent=worse)
    # What only reports rejects nobody, and stands in for no guard of recent nights either.
    assert reported.decision is HOLD
    assert [rule.decision for rule in reported.rules] == [PROMOTE, PROMOTE, REJECT, HOLD]
    assert reported.reasons[2].endswith("reject (reported only)")
    assert reported.rules[-1].rule == "rmse no worse"
    # One holds and one rejects: what was shown wins over what was not.
    unsure = paired(44.0, 40.0, nights=7)
    assert decide(NON_INFERIOR, on_recent, golden=unsure, recent=worse).decision is REJECT
    assert decide(NON_INFERIOR, on_recent, golden=better, recent=unsure).decision is HOLD


def test_the_same_verdict_every_time() -> None:
    rows = paired(44.0, 43.0)
    assert decide(NON_INFERIOR, golden=rows, seed=3) == decide(NON_INFERIOR, golden=rows, seed=3)
    # A rule more does not change what another one says, but for how many could reject.
    more, alone = (
        decide(*rules, golden=rows, seed=3).rules[-1].model_dump(exclude={"p_worse"})
        for rules in ((SUPERIOR, NON_INFERIOR), (NON_INFERIOR,))
    )
    assert more == alone


def test_the_order_of_the_rows_does_not_matter() -> None:
    rows = paired(44.0, 43.0)
    order = np.random.default_rng(0).permutation(rows.y_true.size)
    assert rows.champion is not None
    shuffled = dataclasses.replace(
        rows,
        row_id=rows.row_id[order],
        y_true=rows.y_true[order],
        challenger=Answers(rows.challenger.values[order]),
        champion=Answers(rows.champion.values[order]),
        columns={name: column[order] for name, column in rows.columns.items()},
    )
    one, two = (decide(NON_INFERIOR, golden=each).rules[1] for each in (rows, shuffled))
    assert (one.low, one.high) == pytest.approx((two.low, two.high), rel=1e-9)


def test_a_drift_within_nights_widens_the_bounds() -> None:
    # The same errors in every hour of a night: 24 rows that say what one says.
    per_night = np.random.default_rng(5).normal(0, 40, (2, 28))
    challenger, champion = (np.repeat(errors, 24) for errors in per_night)
    rows = paired(challenger, champion)
    clustered = decide(NON_INFERIOR, golden=rows).rules[1]
    by_rows = decide(NON_INFERIOR, golden=dataclasses.replace(rows, columns={})).rules[1]
    assert clustered.high - clustered.low > 3 * (by_rows.high - by_rows.low)
    assert "over 28 nights" in clustered.reason
    assert "over 672 rows" in by_rows.reason
    named = dataclasses.replace(rows, columns={"store": rows.columns["night"]})
    assert decide(NON_INFERIOR, golden=named, cluster="store").rules[1].high == clustered.high


# ── how often it errs ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("nights", [7, 28])
def test_a_challenger_worse_by_the_margin_is_promoted_no_oftener_than_alpha(nights: int) -> None:
    """Nights differ in how hard they are for either model: rows alone would promote 22 % of these."""
    rng, trials, margin, hours = np.random.default_rng(11), 200, 0.1, 24
    spec, promoted = GateSpec(rules=(NON_INFERIOR,), resamples=500), 0
    for trial in range(trials):
        # Of mean square 1 over all nights.
        hard = np.exp(rng.normal(-0.09, 0.3, (2, nights)))
        errors = 40.0 * np.repeat(hard, hours, axis=1) * rng.normal(0, 1, (2, nights * hours))
        rows = paired((1 + margin) * errors[0], errors[1], nights=nights)
        promoted += judge(spec, golden=rows, recent=None, seed=trial % 3).decision is PROMOTE
    # Three standard errors of 200 trials at 6 %.
    assert promoted / trials <= 0.06 + 3 * math.sqrt(0.06 * 0.94 / trials)
    assert promoted > 0


def test_two_rules_need_no_correction_to_promote() -> None:
    """Worse by the margin in one of two: promoted no oftener than alpha, and an equal one not less often for it."""
    rng, promoted, trials = np.random.default_rng(13), 0, 150
    rules = (
        RuleSpec(metric="mae", kind="non_inferior", margin=0.1, slice="region"),
        RuleSpec(metric="rmse", kind="non_inferior", margin=0.1),
    )
    spec, region = GateSpec(rules=rules, resamples=300), regions({"north": 400, "south": 400})
    for trial in range(trials):
        new, old = rng.normal(0, 1, (2, 800))
        new *= np.where(region == "north", 1.1, 0.8)
        rows = PairedPredictions(
            "regression", np.arange(800).astype(str), np.zeros(800), Answers(new), Answers(old),
            columns={"region": region},
        )  # fmt: skip
        promoted += judge(spec, golden=rows, recent=None, seed=trial % 3).decision is PROMOTE
    assert promoted / trials <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / trials)
