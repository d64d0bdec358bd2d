"""Predictions to judge, and short ways to judge them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from airflow_mlops.gate import Answers, Judgement, PairedPredictions, judge
from airflow_mlops.project.gate_spec import GateSpec, RuleSpec
from airflow_mlops.records import Decision, RuleResult

PROMOTE, HOLD, REJECT = Decision.PROMOTE, Decision.HOLD, Decision.REJECT
ABSOLUTE = RuleSpec(metric="rmse", kind="absolute", max=100.0)
NON_INFERIOR = RuleSpec(metric="rmse", kind="non_inferior", margin=0.1)
SUPERIOR = RuleSpec(metric="rmse", kind="superior")


def paired(
    challenger: Any, champion: Any = None, *, nights: int = 28, hours: int = 24, seed: int = 4, **more: Any
) -> PairedPredictions:
    """Predictions off by the given errors, of shape (nights * hours,) or a spread to draw them with."""
    rng, n = np.random.default_rng(seed), nights * hours
    y_true = rng.normal(200.0, 80.0, n)

    def off(errors: Any) -> Answers:
        return Answers(y_true + (rng.normal(0.0, errors, n) if np.ndim(errors) == 0 else np.asarray(errors)))

    columns = {"night": np.repeat([f"night {night:03d}" for night in range(nights)], hours).astype(str)}
    return PairedPredictions(
        task="regression",
        row_id=np.arange(n).astype(str),
        y_true=y_true,
        challenger=off(challenger),
        champion=None if champion is None else off(champion),
        columns=columns | more.pop("columns", {}),
        **more,
    )


def right_or_wrong(challenger: Any, champion: Any, *, nights: int = 0, **columns: Any) -> PairedPredictions:
    """Answers of a binary task, right where the masks say so; rows are drawn by themselves unless there are nights."""
    y_true = np.random.default_rng(9).integers(0, 2, len(challenger)).astype(float)
    if nights:
        columns["night"] = np.sort(np.arange(len(challenger)) % nights).astype(str)
    return PairedPredictions(
        task="binary",
        row_id=np.arange(y_true.size).astype(str),
        y_true=y_true,
        challenger=Answers(np.where(challenger, y_true, 1 - y_true)),
        champion=Answers(np.where(champion, y_true, 1 - y_true)),
        classes=("no", "yes"),
        columns=columns,
    )


def decide(*rules: RuleSpec, golden: Any = None, recent: Any = None, seed: int = 0, **spec: Any) -> Judgement:
    return judge(GateSpec(rules=(ABSOLUTE, *rules), **spec), golden=golden, recent=recent, seed=seed)


def only(*rules: RuleSpec, golden: Any = None, recent: Any = None, **spec: Any) -> Judgement:
    return judge(GateSpec(rules=rules, **spec), golden=golden, recent=recent, seed=0)


def other(decision: Decision, rule: str = "artefact scan", *, required: bool = True) -> RuleResult:
    nan = math.nan
    return RuleResult(
        rule=rule, on="model", decision=decision, required=required, rows=0, scale="value", challenger=nan,
        champion=None, estimate=nan, low=nan, high=nan, bound=nan, reason=f"{rule}: as it is: {decision}",
    )  # fmt: skip


def sliced(rule: RuleSpec = NON_INFERIOR, **more: Any) -> RuleSpec:
    return rule.model_copy(update={"slice": "region", **more})


def regions(sizes: dict[str, int]) -> np.ndarray:
    return np.repeat(list(sizes), list(sizes.values())).astype(str)
