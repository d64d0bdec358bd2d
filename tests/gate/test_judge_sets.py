from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from judging import HOLD, NON_INFERIOR, PROMOTE, REJECT, decide, only, other, paired, regions, right_or_wrong, sliced

from airflow_mlops.gate import Answers, Judgement, PairedPredictions, judge
from airflow_mlops.project.gate_spec import GateSpec, RuleSpec
from airflow_mlops.records import RuleResult

# ── slices, and many questions at once ───────────────────────────────────────────────────────────


def test_a_sliced_rule_must_hold_in_every_level() -> None:
    rng = np.random.default_rng(2)
    region = regions({"north": 600, "south": 600})
    champion = rng.normal(0, 40, 1200)
    south_is_worse = np.where(region == "south", 1.5, 0.8) * rng.normal(0, 40, 1200)
    rows = paired(south_is_worse, champion, nights=50, columns={"region": region})
    rows = dataclasses.replace(rows, columns={"region": region})
    judgement = decide(sliced(), golden=rows)
    assert [(rule.slice, rule.rows, rule.decision) for rule in judgement.rules[1:]] == [
        ("region=north", 600, PROMOTE),
        ("region=south", 600, REJECT),
    ]
    assert judgement.decision is REJECT
    assert judgement.reasons[2].startswith("rmse on golden, region=south: ")
    north = decide(sliced(levels=("north",)), golden=rows)
    assert [rule.slice for rule in north.rules] == [None, "region=north"]
    assert north.decision is PROMOTE


def test_what_is_missing_rejects_and_what_is_thin_holds() -> None:
    rows = paired(40.0, 50.0, columns={"region": regions({"north": 612, "south": 60})})
    thin = decide(sliced(), golden=rows)
    assert [rule.decision for rule in thin.rules] == [PROMOTE, PROMOTE, HOLD]
    assert thin.reasons[-1] == "rmse on golden, region=south: 60 rows are too thin, the rule wants 100: hold"
    assert thin.rules[-1].rows_needed is not None
    assert thin.rules[-1].rows_needed >= 100
    missing = decide(sliced(levels=("north", "west")), golden=rows)
    assert missing.decision is REJECT
    assert missing.reasons[1] == "rmse on golden, region=west: no row has region=west: reject"
    absent = decide(NON_INFERIOR.model_copy(update={"slice": "country"}), golden=rows)
    assert absent.decision is REJECT
    assert "the set has no column 'country', which `slice` names" in absent.reasons[1]
    many = dataclasses.replace(rows, columns={"region": np.arange(672).astype(str)})
    assert decide(sliced(), golden=many).decision is HOLD
    wide = paired(40.0, 50.0, nights=50, columns={"region": np.arange(1200).astype(str)})
    refused = decide(sliced(), golden=wide)
    assert refused.decision is REJECT
    assert "region has 1200 levels, more than the 1000 that can be judged: name `levels`" in refused.reasons[1]


@pytest.mark.parametrize("column", ["cluster", "strata"])
def test_a_design_without_its_column_rejects(column: str) -> None:
    judgement = decide(NON_INFERIOR, golden=paired(40.0, 50.0), **{column: "store"})
    assert judgement.decision is REJECT
    assert f"the set has no column 'store', which `{column}` names" in judgement.reasons[0]


def test_a_rule_that_does_not_suit_the_task_rejects() -> None:
    always = np.ones(500, dtype=bool)
    judgement = only(NON_INFERIOR, golden=right_or_wrong(always, always))
    assert judgement.decision is REJECT
    assert "rmse is no metric of the task 'binary'" in judgement.reasons[0]


def test_twenty_slices_of_a_good_model_are_not_rejected_by_chance() -> None:
    """By itself, each slice of two models that differ by the margin would reject one in twenty times."""
    rng, trials, slices, rows = np.random.default_rng(21), 60, 20, 120
    spec = GateSpec(rules=(RuleSpec(metric="mae", kind="non_inferior", margin=0.0, slice="region"),), resamples=200)
    region = np.repeat(np.arange(slices), rows).astype(str)
    rejected = by_itself = 0
    for trial in range(trials):
        new, old = rng.normal(0, 1, (2, slices * rows))
        y_true = np.zeros(new.size)
        golden = PairedPredictions(
            "regression",
            np.arange(new.size).astype(str),
            y_true,
            Answers(new),
            Answers(old),
            columns={"region": region},
        )
        judgement = judge(spec, golden=golden, recent=None, seed=trial % 2)
        rejected += judgement.decision is REJECT
        by_itself += any(rule.low > 0 for rule in judgement.rules)
    # 5 % of 60, and three standard errors.
    assert rejected <= 3 + 3 * math.sqrt(60 * 0.05 * 0.95)
    assert by_itself > trials / 3


def test_holm_runs_over_both_sets_and_required_rules_only() -> None:
    rng = np.random.default_rng(6)
    # Worse by a little more than can be shown once.
    golden = paired(1.085 * rng.normal(0, 40, 672), rng.normal(0, 40, 672))
    rule = RuleSpec(metric="mae", kind="non_inferior", margin=0.0)
    alone = only(rule, golden=golden)
    raw = alone.rules[0].p_worse
    assert raw is not None
    assert 0.005 < raw < 0.05
    assert alone.decision is REJECT
    fine = paired(40.0, 40.0, seed=8)
    on_recent = [rule.model_copy(update={"on": "recent", "metric": metric}) for metric in ("mae", "rmse", "mape")]
    family = only(rule, *on_recent, *on_recent, *on_recent, golden=golden, recent=fine)
    assert family.rules[0].p_worse == pytest.approx(10 * raw)
    assert family.rules[0].decision is HOLD
    assert family.rules[0].low > 0
    reported = [each.model_copy(update={"required": False}) for each in on_recent * 3]
    assert only(rule, *reported, golden=golden, recent=fine).rules[0].p_worse == raw
    thin = [each.model_copy(update={"min_rows": 5000}) for each in on_recent * 3]
    assert only(rule, *thin, golden=golden, recent=fine).rules[0].p_worse == raw


# ── what was judged elsewhere ────────────────────────────────────────────────────────────────────


def test_what_was_judged_elsewhere_counts() -> None:
    good = paired(40.0, 50.0)

    def with_(*others: RuleResult) -> Judgement:
        return judge(GateSpec(rules=(NON_INFERIOR,)), golden=good, recent=None, seed=0, others=others)

    assert with_(other(PROMOTE)).decision is PROMOTE
    assert with_(other(PROMOTE), other(HOLD, "signature")).decision is HOLD
    rejected = with_(other(REJECT, "leakage"), other(HOLD))
    assert rejected.decision is REJECT
    assert [rule.rule for rule in rejected.rules] == ["rmse non_inferior", "leakage", "artefact scan"]
    assert rejected.reasons[1] == "leakage: as it is: reject"
    reported = with_(other(REJECT, required=False))
    assert reported.decision is PROMOTE
    assert reported.reasons[-1].endswith("reject (reported only)")


def test_a_rule_about_the_model_itself_needs_its_figure() -> None:
    size = RuleSpec(metric="size_mb", kind="absolute", max=10.0)
    spec, good = GateSpec(rules=(size, NON_INFERIOR)), paired(40.0, 50.0)
    missing = judge(spec, golden=good, recent=None, seed=0)
    assert missing.decision is REJECT
    assert missing.reasons[0] == (
        "size_mb of the model: no figure of the model itself was given, and predictions alone hold none: reject"
    )
    result = other(PROMOTE, "size_mb absolute")
    given = judge(spec, golden=good, recent=None, seed=0, others=[other(PROMOTE), result])
    assert given.decision is PROMOTE
    assert [rule.rule for rule in given.rules] == ["size_mb absolute", "rmse non_inferior", "artefact scan"]
    reported = GateSpec(rules=(size.model_copy(update={"required": False}), NON_INFERIOR))
    assert judge(reported, golden=good, recent=None, seed=0).decision is PROMOTE
    # Two of one name, a required and a reported one: each its own.
    both = GateSpec(rules=(size, size.model_copy(update={"max": 5.0, "required": False}), NON_INFERIOR))
    others = [result, other(REJECT, "size_mb absolute", required=False)]
    assert judge(both, golden=good, recent=None, seed=0, others=others).decision is PROMOTE
    assert len(judge(both, golden=good, recent=None, seed=0, others=others).rules) == 3


# ── when the world moved ─────────────────────────────────────────────────────────────────────────


def moved_world(*, recent_has_moved: bool, learned_the_new: bool, seed: int) -> dict[str, PairedPredictions]:
    """Two worlds, y = 2 x and y = x + 3: the champion knows the old one, a challenger some of either."""
    rng = np.random.default_rng(seed)

    def rows(*, new_world: bool) -> PairedPredictions:
        x = rng.uniform(0, 10, 28 * 24)
        truth = x + 3 if new_world else 2 * x
        y_true = truth + rng.normal(0, 1.0, x.size)
        # Learned the new world, and pays a little of the old one; or polished the old one, and lost the new.
        champion = 2 * x + rng.normal(0, 0.3, x.size)
        if learned_the_new:
            challenger = (x + 3 if new_world else 2 * x) + rng.normal(0, 0.35, x.size)
        else:
            challenger = 2 * x + (0.4 * (x - 3) if new_world else 0.0)
        columns = {"night": np.repeat(np.arange(28), 24).astype(str)}
        return PairedPredictions(
            "regression", np.arange(x.size).astype(str), y_true, Answers(challenger), Answers(champion), columns=columns
        )

    return {"golden": rows(new_world=False), "recent": rows(new_world=recent_has_moved)}


GOLDEN_KEPT = RuleSpec(metric="rmse", kind="non_inferior", margin=0.1, on="golden")
RECENT_BETTER = RuleSpec(metric="rmse", kind="superior", on="recent")


@pytest.mark.parametrize("seed", range(5))
def test_concept_drift_moves_the_goalposts(seed: int) -> None:
    rules = GateSpec(rules=(GOLDEN_KEPT, RECENT_BETTER))
    adapted = judge(rules, **moved_world(recent_has_moved=True, learned_the_new=True, seed=seed), seed=0)
    assert adapted.decision is PROMOTE
    golden, recent = adapted.rules
    # No better than the champion where the world was as it was, and much better where it is.
    assert golden.estimate > -0.02
    assert recent.high < -0.3
    clinging = judge(rules, **moved_world(recent_has_moved=True, learned_the_new=False, seed=seed), seed=0)
    assert clinging.decision is REJECT
    assert clinging.rules[0].decision is PROMOTE
    # Without drift there is nothing to be better at.
    still = judge(rules, **moved_world(recent_has_moved=False, learned_the_new=True, seed=seed), seed=0)
    assert still.decision is not PROMOTE


@pytest.mark.parametrize("kind", ["non_inferior", "superior"])
def test_better_on_golden_and_worse_on_recent_is_never_promoted(kind: str) -> None:
    golden_only = RuleSpec(metric="rmse", kind=kind, margin=0.1 if kind == "non_inferior" else None)
    sets = moved_world(recent_has_moved=True, learned_the_new=False, seed=1)
    assert only(golden_only, golden=sets["golden"]).decision is PROMOTE
    judgement = only(golden_only, **sets)
    assert judgement.decision is HOLD
    assert (judgement.rules[-1].on, judgement.rules[-1].rule) == ("recent", "rmse no worse")
    assert judgement.reasons[-1].endswith("over 28 nights), shown worse where no rule compares the two: hold")
    # A rule that only reports, or one of another metric, does not take the guard off.
    reported = RuleSpec(metric="rmse", kind="non_inferior", margin=0.9, on="recent", required=False)
    for beside in (reported, RuleSpec(metric="bias", kind="absolute", max=99.0, on="recent")):
        judgement = only(golden_only, beside, **sets)
        assert judgement.decision is HOLD
        assert judgement.rules[-1].rule == "rmse no worse"
    # Whoever requires something of recent nights by the same metric has said what is wanted there.
    assert only(golden_only, reported.model_copy(update={"required": True}), **sets).decision is PROMOTE
    # Equal on recent nights is fine.
    fine = only(golden_only, golden=sets["golden"], recent=paired(40.0, 41.0, seed=8))
    assert fine.decision is PROMOTE
    assert fine.reasons[-1].endswith("over 28 nights), not shown worse where no rule compares the two: promote")


def test_recent_nights_that_nobody_asked_about_hold_nobody_up_by_being_few() -> None:
    fine = only(NON_INFERIOR, golden=paired(40.0, 50.0), recent=paired(60.0, 40.0, nights=2))
    assert fine.decision is PROMOTE
    assert len(fine.rules) == 1
