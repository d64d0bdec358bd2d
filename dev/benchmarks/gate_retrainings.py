"""The gate's verdicts beside MLflow's validation and a plain comparison, on the same simulated retrainings.

500 golden rows, a fifth of the retrainings for each true difference. MLflow's `validate_evaluation_results` can ask
for a minimal change over the baseline, as a share or absolute; it knows neither a margin nor an interval.
"""

from __future__ import annotations

import logging
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from airflow_mlops.gate import judge
from airflow_mlops.gate.rows import PairedPredictions
from airflow_mlops.records import Decision
from benchmarks.gate_worlds import World

__all__ = ["SETTINGS", "Setting", "as_json", "retrain", "summary"]

_GOLDEN_ROWS = 500


@dataclass(frozen=True)
class Setting:
    """What is retrained.

    ``handicaps`` are the true differences, positive worse; ``margin`` is what our non-inferiority rule gives away, and
    ``change`` the improvement that MLflow's stricter validation asks for.
    """

    world: World
    handicaps: tuple[float, ...]
    margin: float
    change: float


# Accuracy: a champion of 90 %, and 8 % of rows on which only one of the two is right.
SETTINGS = (
    Setting(
        World("accuracy", "independent", _GOLDEN_ROWS, discordant=0.08),
        (0.02, 0.01, 0.0, -0.01, -0.02),
        margin=0.01,
        change=0.01,
    ),
    Setting(World("rmse", "independent", _GOLDEN_ROWS), (0.04, 0.02, 0.0, -0.02, -0.04), margin=0.02, change=0.02),
)


def retrain(setting: Setting, retrainings: int) -> dict[str, dict[float, Counter[str]]]:
    """Decisions of every judge, for every true difference."""
    judges = _judges(setting)
    # It says of every model that it validates it.
    logging.getLogger("mlflow.models.evaluation.validation").setLevel(logging.WARNING)
    found: dict[str, dict[float, Counter[str]]] = {name: defaultdict(Counter) for name in judges}
    for number in range(retrainings):
        handicap = setting.handicaps[number % len(setting.handicaps)]
        rng = np.random.default_rng([zlib.crc32(setting.world.metric.encode()), number])
        golden = replace(setting.world, handicap=handicap).draw(rng)
        for name, decide in judges.items():
            found[name][handicap][decide(golden).value] += 1
    return found


def summary(found: dict[float, Counter[str]]) -> dict[str, float]:
    """Truly worse ones promoted; truly better ones rejected, and held; shares of their kind."""

    def share(decision: Decision, *, better: bool) -> float:
        chosen = [counts for handicap, counts in found.items() if (handicap < 0 if better else handicap > 0)]
        return sum(counts[decision.value] for counts in chosen) / sum(map(Counter.total, chosen))

    return {
        "worse_promoted": share(Decision.PROMOTE, better=False),
        "better_rejected": share(Decision.REJECT, better=True),
        "better_held": share(Decision.HOLD, better=True),
    }


def _judges(setting: Setting) -> dict[str, Callable[[PairedPredictions], Decision]]:
    world = setting.world
    with_margin = world.spec("non_inferior", setting.margin)
    strict = world.spec("superior", None)
    return {
        "plain: no worse than the champion": lambda golden: _plain(world, golden),
        "mlflow, min_relative_change=0.0": lambda golden: _mlflows(world, golden, min_relative_change=0.0),
        f"mlflow, min_relative_change={setting.change}": lambda golden: _mlflows(
            world, golden, min_relative_change=setting.change
        ),
        f"ours, non_inferior, margin {setting.margin}": lambda golden: (
            judge(with_margin, golden=golden, recent=None, seed=0).decision
        ),
        "ours, superior": lambda golden: judge(strict, golden=golden, recent=None, seed=0).decision,
    }


def _plain(world: World, golden: PairedPredictions) -> Decision:
    challenger, champion = _values(world, golden)
    better = challenger >= champion if world.metric == "accuracy" else challenger <= champion
    return Decision.PROMOTE if better else Decision.REJECT


def _mlflows(world: World, golden: PairedPredictions, **change: float) -> Decision:
    import mlflow
    from mlflow.models import EvaluationResult, MetricThreshold
    from mlflow.models.evaluation.validation import ModelValidationFailedException

    challenger, champion = _values(world, golden)
    result: Any = EvaluationResult  # MLflow's classes say nothing of their types
    wanted: Any = MetricThreshold
    results = [result({world.metric: value}, {}, run_id="none") for value in (challenger, champion)]
    threshold = wanted(greater_is_better=world.metric == "accuracy", **change)
    try:
        mlflow.validate_evaluation_results({world.metric: threshold}, *results)
    except ModelValidationFailedException:
        return Decision.REJECT
    return Decision.PROMOTE


def _values(world: World, golden: PairedPredictions) -> tuple[float, float]:
    if golden.champion is None:
        raise ValueError("expected two models.")
    residuals = [golden.y_true - answers.values for answers in (golden.challenger, golden.champion)]
    if world.metric == "accuracy":
        challenger, champion = (float(np.mean(residual == 0)) for residual in residuals)
    else:
        challenger, champion = (float(np.sqrt(np.mean(np.square(residual)))) for residual in residuals)
    return challenger, champion


def as_json(setting: Setting, found: dict[str, dict[float, Counter[str]]]) -> dict[str, Any]:
    """Counts by judge and true difference, and the summary."""
    return {
        "metric": setting.world.metric,
        "judges": {
            name: {
                **summary(decisions),
                "decisions": {f"{handicap:+g}": dict(counts) for handicap, counts in decisions.items()},
            }
            for name, decisions in found.items()
        },
    }
