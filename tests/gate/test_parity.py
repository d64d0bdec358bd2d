from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from airflow_mlops.gate import Answers, Judgement, PairedPredictions, judge
from airflow_mlops.gate.parity import group_metrics, spread
from airflow_mlops.project.gate_spec import GateSpec, RuleSpec
from airflow_mlops.records import Decision

PROMOTE, HOLD, REJECT = Decision.PROMOTE, Decision.HOLD, Decision.REJECT


def parity(metric: str = "accuracy", **more: Any) -> RuleSpec:
    bounds = {"max_difference": 0.1} if not {"max_difference", "min_ratio"} & more.keys() else {}
    return RuleSpec(metric=metric, kind="parity", slice="group", **bounds | more)


def answered(shares: dict[str, float], rows: int = 1000, *, seed: int = 0, **more: Any) -> PairedPredictions:
    """A binary task in which each group has exactly its share of rows right."""
    rng = np.random.default_rng(seed)
    group = np.repeat(list(shares), rows).astype(str)
    right = np.concatenate([rng.permutation(rows) < round(share * rows) for share in shares.values()])
    y_true = rng.integers(0, 2, right.size).astype(float)
    return PairedPredictions(
        task="binary",
        row_id=np.arange(right.size).astype(str),
        y_true=y_true,
        challenger=Answers(np.where(right, y_true, 1 - y_true)),
        classes=("no", "yes"),
        columns={"group": group} | more.pop("columns", {}),
        **more,
    )


def decide(rows: PairedPredictions, *rules: RuleSpec, **spec: Any) -> Judgement:
    return judge(GateSpec(rules=rules, **spec), golden=rows, recent=None, seed=0)


def test_a_bound_that_is_kept_promotes() -> None:
    judgement = decide(answered({"a": 0.9, "b": 0.85, "c": 0.88}), parity(min_ratio=0.9, max_difference=0.1))
    assert judgement.decision is PROMOTE
    difference, ratio = judgement.rules
    assert (difference.slice, ratio.slice) == ("difference over group", "ratio over group")
    assert (difference.greater_is_better, ratio.greater_is_better) == (False, True)
    assert (difference.bound, ratio.bound) == (0.1, 0.9)
    assert (difference.scale, difference.champion, difference.rows, difference.units) == ("value", None, 3000, 3000)
    assert difference.estimate == difference.challenger == pytest.approx(0.05)
    assert ratio.estimate == pytest.approx(0.85 / 0.9)
    assert difference.low < difference.estimate < difference.high
    assert ratio.low < ratio.estimate < ratio.high
    assert judgement.reasons[0].startswith("accuracy on golden, difference over group: 0.05 (95 % upper bound 0.0")
    assert judgement.reasons[0].endswith(" over 3000 rows), at most 0.1 accepted: promote")
    assert judgement.reasons[1].endswith(", at least 0.9 accepted: promote")


def test_a_bound_that_is_shown_broken_rejects_and_one_that_only_looks_so_holds() -> None:
    broken = decide(answered({"a": 0.9, "b": 0.7, "c": 0.88}), parity(min_ratio=0.9, max_difference=0.1))
    assert [rule.decision for rule in broken.rules] == [REJECT, REJECT]
    assert broken.rules[0].low > 0.1
    assert broken.rules[1].high < 0.9
    looks = decide(answered({"a": 0.9, "b": 0.79, "c": 0.88}, 200), parity(min_ratio=0.89, max_difference=0.1))
    assert [rule.decision for rule in looks.rules] == [HOLD, HOLD]
    assert looks.reasons[0].endswith("; more rows would tell whether it is broken or only looks so: hold")
    assert looks.rules[0].low < 0.1 < looks.rules[0].estimate
    reported = decide(
        answered({"a": 0.9, "b": 0.7}), parity(required=False), RuleSpec(metric="accuracy", kind="absolute", min=0.5)
    )
    assert reported.decision is PROMOTE


def test_bounds_and_p_values_say_the_same() -> None:
    for low_share in (0.55, 0.6, 0.65, 0.7, 0.72, 0.75, 0.8):
        rule = parity(min_ratio=0.8, max_difference=0.15)
        for result in decide(answered({"a": 0.85, "b": low_share}, 300, seed=3), rule).rules:
            sign = -1 if result.greater_is_better else 1
            far, near = (result.high, result.low) if sign == 1 else (result.low, result.high)
            assert result.p_value is not None
            assert result.p_worse is not None
            assert (result.p_value <= 0.05) == (sign * far <= sign * result.bound)
            # Two tests are in the family of Holm: the adjusted value is once or twice the raw one.
            if result.p_worse <= 0.05:
                assert sign * near >= sign * result.bound
            if result.p_worse > 0.1:
                assert sign * near < sign * result.bound


def test_missing_and_thin_groups() -> None:
    rows = answered({"a": 0.9, "b": 0.9})
    missing = decide(rows, parity(levels=("a", "b", "c")))
    assert missing.decision is REJECT
    assert missing.reasons == ("accuracy on golden, difference over group: no row has group=c: reject",)
    alone = decide(rows, parity(levels=("a",)))
    assert alone.decision is REJECT
    assert "parity is between groups" in alone.reasons[0]
    thin = decide(answered({"a": 0.9, "b": 0.9}, 60), parity())
    assert thin.decision is HOLD
    assert "60 rows of group=a are too thin, the rule wants 100" in thin.reasons[0]
    assert decide(answered({"a": 0.9}), parity()).decision is REJECT
    # Of the levels that are named, others are none of its business.
    ignored = answered({"a": 0.9, "b": 0.9, "c": 0.2})
    assert decide(ignored, parity(levels=("a", "b"))).decision is PROMOTE


def test_a_group_in_which_nothing_can_be_measured_rejects() -> None:
    rows = answered({"a": 0.9, "b": 0.9})
    rows.challenger.values[:1000] = 0.0
    judgement = decide(rows, parity("precision"))
    assert judgement.decision is REJECT
    assert "cannot be measured" in judgement.reasons[0]


def test_a_group_without_positives_is_no_fault_of_the_model() -> None:
    rows = answered({"a": 0.9, "b": 0.9})
    rows.y_true[:1000] = 0.0
    judgement = decide(rows, parity("recall"))
    assert judgement.decision is HOLD
    assert "group=a: no row is truly of the class 'yes', which recall needs" in judgement.reasons[0]
    rows.y_true[:60] = 1.0
    assert "60 positives of group=a are too thin" in decide(rows, parity("recall")).reasons[0]


def test_groups_that_are_all_at_zero_are_equal() -> None:
    assert spread(np.array([0.0, 0.0]), ratio=True) == 1.0
    assert spread(np.array([0.0, 0.4]), ratio=True) == 0.0
    assert math.isnan(spread(np.array([-0.1, 0.4]), ratio=True))
    assert math.isnan(spread(np.array([math.nan, 0.4]), ratio=True))
    assert math.isnan(spread(np.array([math.nan, 0.4]), ratio=False))
    none_selected = answered({"a": 1.0, "b": 1.0})
    none_selected.challenger.values[:] = 0.0
    judgement = decide(none_selected, parity("selection_rate", min_ratio=0.8))
    assert judgement.decision is PROMOTE
    one_sided = answered({"a": 1.0, "b": 1.0})
    one_sided.challenger.values[:1000] = 0.0
    assert decide(one_sided, parity("selection_rate", min_ratio=0.8)).decision is REJECT


def test_three_positives_that_are_all_found_prove_nothing() -> None:
    rows = answered({"a": 0.8, "b": 1.0}, 1000)
    # The jackknife over three ones sees no spread at all.
    rows.y_true[1000:] = 0.0
    rows.y_true[1000:1003] = 1.0
    rows.challenger.values[1000:] = rows.y_true[1000:]
    [result] = decide(rows, parity("recall")).rules
    assert result.estimate > 0.15
    assert result.decision is HOLD


def test_the_covariance_is_the_one_of_the_field() -> None:
    rows = answered({"a": 0.6, "b": 0.7}, 500)
    groups = np.repeat([0, 1], 500)
    measured = group_metrics(parity(), rows, groups, np.arange(1000))
    share = np.array([0.6, 0.7])
    np.testing.assert_allclose(measured.values, share)
    # Of a mean the jackknife gives the sample variance over n.
    np.testing.assert_allclose(np.diag(measured.covariance), share * (1 - share) / 499, rtol=1e-9)
    assert measured.covariance[0, 1] == 0.0
    # Both groups in every night, which is right or wrong as a whole: they vary together.
    night = np.tile(np.arange(50), 20)
    right = np.random.default_rng(0).random(50)[night] < 0.8
    rows.challenger.values[:] = np.where(right, rows.y_true, 1 - rows.y_true)
    clustered = group_metrics(parity(), rows, groups, night).covariance
    assert clustered[0, 1] == pytest.approx(clustered[0, 0], rel=1e-6)
    assert clustered[0, 0] > 5 * np.diag(measured.covariance).min()


def test_a_metric_that_is_no_sum_over_rows() -> None:
    rng = np.random.default_rng(1)
    y_true, group = rng.integers(0, 2, 1200).astype(float), np.repeat(["a", "b"], 600)

    def rows(strength: float) -> PairedPredictions:
        score = y_true * np.where(group == "a", 2.0, strength) + rng.normal(0, 1, 1200)
        positive = 1 / (1 + np.exp(-score))
        answers = Answers((positive > 0.5).astype(float), np.stack([1 - positive, positive], axis=1))
        ids = np.arange(1200).astype(str)
        return PairedPredictions("binary", ids, y_true, answers, classes=("no", "yes"), columns={"group": group})

    fair, unfair = (decide(rows(strength), parity("auc")).rules[0] for strength in (2.0, 0.3))
    assert (fair.decision, unfair.decision) == (PROMOTE, REJECT)
    # About what DeLong gives for two areas of 600 rows.
    assert 0.01 < (fair.high - fair.estimate) / 1.645 < 0.03


@pytest.mark.parametrize("groups", [2, 8])
def test_groups_that_differ_by_the_bound_are_rejected_no_oftener_than_alpha(groups: int) -> None:
    """The largest of many differences is large by chance: held against the bound by itself it would be found broken."""
    rng, trials, rejected, looked_broken = np.random.default_rng(groups), 300, 0, 0
    spec = GateSpec(rules=(parity("selection_rate", max_difference=0.05),))
    shares = np.where(np.arange(groups) % 2, 0.3, 0.35)
    for _ in range(trials):
        selected = (rng.random((groups, 300)) < shares[:, np.newaxis]).astype(float).ravel()
        rows = PairedPredictions(
            "binary", np.arange(selected.size).astype(str), np.zeros(selected.size), Answers(selected),
            classes=("no", "yes"), columns={"group": np.repeat(np.arange(groups), 300).astype(str)},
        )  # fmt: skip
        judgement = judge(spec, golden=rows, recent=None, seed=0)
        rejected += judgement.decision is REJECT
        looked_broken += judgement.rules[0].estimate > 0.05
    assert rejected / trials <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / trials)
    assert looked_broken > trials / 3


def test_a_hundred_groups_are_no_trouble() -> None:
    shares = {f"g{number}": 0.9 for number in range(100)}
    assert decide(answered(shares, 120), parity(max_difference=0.2)).decision is PROMOTE
    shares["g50"] = 0.3
    assert decide(answered(shares, 120), parity(max_difference=0.2)).decision is REJECT
