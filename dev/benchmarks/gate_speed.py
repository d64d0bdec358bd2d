"""Seconds and memory of one large judgement, beside a loop over `scipy.stats.bootstrap`.

100,000 rows, 5 metrics, 20 slices, 2,000 resamples: a hundred comparisons. SciPy is given what it is best at, for each
metric and slice the two columns of losses of its 5,000 rows, in one vectorised call with method BCa and paired samples:

    bootstrap((challenger, champion), share, paired=True, vectorized=True, method="BCa", n_resamples=2000,
              confidence_level=0.90, batch=200)

where `share` is challenger's metric less champion's over champion's. Ours reads two models' predictions and ends with a
decision and its reasons. Each runs in a fresh process.
"""

from __future__ import annotations

import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from airflow_mlops.gate import judge
from airflow_mlops.gate.rows import Answers, PairedPredictions
from airflow_mlops.project.gate_spec import GateSpec, RuleSpec

__all__ = ["MEMORY_MB", "SPEEDUP", "compare"]

Floats = npt.NDArray[np.float64]
SPEEDUP, MEMORY_MB = 20.0, 1000.0
_QUANTILE = 0.9
_METRICS = ("rmse", "mae", "mape", "pinball", "r2")


def compare(*, rows: int = 100_000, slices: int = 20, resamples: int = 2000, rounds: int = 3) -> dict[str, Any]:
    """Both, each in a process of its own, one after the other."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        ours = pool.submit(_ours, rows, slices, resamples, rounds).result()
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        scipys = pool.submit(_scipys, rows, slices, resamples).result()
    return {
        "rows": rows,
        "comparisons": len(_METRICS) * slices,
        "resamples": resamples,
        "ours_seconds": statistics.median(ours["seconds"]),
        "ours_rounds": ours["seconds"],
        "ours_peak_mb": ours["peak_mb"],
        "methods": ours["methods"],
        "scipy_seconds": scipys["seconds"],
        "scipy_peak_mb": scipys["peak_mb"],
        "times_faster": scipys["seconds"] / statistics.median(ours["seconds"]),
        "bounds_apart": _apart(ours["bounds"], scipys["bounds"]),
    }


def _golden(rows: int, slices: int) -> PairedPredictions:
    rng = np.random.default_rng(6)
    y_true = rng.gamma(4.0, 50.0, rows) + 10.0
    noise = rng.standard_normal((2, rows))
    return PairedPredictions(
        task="regression",
        row_id=np.arange(rows).astype(np.str_),
        y_true=y_true,
        challenger=Answers(y_true + 20.0 * (0.8 * noise[0] + 0.6 * noise[1])),
        champion=Answers(y_true + 20.0 * noise[0]),
        columns={"region": np.char.mod("r%02d", np.arange(rows) % slices)},
    )


def _ours(rows: int, slices: int, resamples: int, rounds: int) -> dict[str, Any]:
    golden = _golden(rows, slices)
    rules = tuple(
        RuleSpec(
            metric=metric,
            kind="non_inferior",
            margin=0.05,
            slice="region",
            quantile=_QUANTILE if metric == "pinball" else None,
        )
        for metric in _METRICS
    )
    spec = GateSpec(rules=rules, resamples=resamples)
    seconds = []
    # A seed of its own each time, so that no draw is kept from the round before.
    for seed in range(rounds):
        started = time.perf_counter()
        judgement = judge(spec, golden=golden, recent=None, seed=seed)
        seconds.append(time.perf_counter() - started)
    return {
        "seconds": seconds,
        "peak_mb": _peak_mb(),
        "methods": sorted({result.method for result in judgement.rules}),
        "bounds": [(result.low, result.high) for result in judgement.rules],
    }


def _scipys(rows: int, slices: int, resamples: int) -> dict[str, Any]:
    golden = _golden(rows, slices)
    if golden.champion is None:
        raise ValueError("expected two models.")
    region, y_true = golden.columns["region"], golden.y_true
    bounds = []
    started = time.perf_counter()
    for metric in _METRICS:
        loss, difference = _loss(metric)
        challenger, champion = loss(y_true, golden.challenger.values), loss(y_true, golden.champion.values)
        for level in np.unique(region):
            inside = region == level
            samples = (challenger[inside], champion[inside], y_true[inside])
            found = stats.bootstrap(
                samples if metric == "r2" else samples[:2],
                difference,
                paired=True,
                vectorized=True,
                method="BCa",
                n_resamples=resamples,
                confidence_level=0.90,
                batch=200,
                rng=np.random.default_rng(0),
            )
            bounds.append(tuple(found.confidence_interval))
    return {"seconds": time.perf_counter() - started, "peak_mb": _peak_mb(), "bounds": bounds}


def _loss(metric: str) -> tuple[Callable[[Floats, Floats], Floats], Callable[..., Floats]]:
    """Loss of a row, and the comparison as a function of columns of losses."""
    if metric == "pinball":
        return lambda y, p: np.where(y < p, _QUANTILE - 1.0, _QUANTILE) * (y - p), _share_of_means
    if metric == "mae":
        return lambda y, p: np.abs(y - p), _share_of_means
    if metric == "mape":
        return lambda y, p: np.abs(y - p) / np.abs(y), _share_of_means
    return lambda y, p: np.square(y - p), _share_of_roots if metric == "rmse" else _points_of_r2


def _share_of_means(challenger: Floats, champion: Floats, axis: int) -> Floats:
    return np.asarray(challenger.mean(axis) / champion.mean(axis) - 1.0)


def _share_of_roots(challenger: Floats, champion: Floats, axis: int) -> Floats:
    return np.asarray(np.sqrt(challenger.mean(axis) / champion.mean(axis)) - 1.0)


def _points_of_r2(challenger: Floats, champion: Floats, y_true: Floats, axis: int) -> Floats:
    return np.asarray((champion.mean(axis) - challenger.mean(axis)) / y_true.var(axis))


def _apart(ours: list[tuple[float, float]], scipys: list[tuple[float, float]]) -> float:
    """How far a bound of ours lies from SciPy's at most, in half widths of SciPy's interval."""
    bounds = np.array(scipys)
    half = (bounds[:, 1] - bounds[:, 0]) / 2.0
    return float(np.max(np.abs(np.array(ours) - bounds) / half[:, np.newaxis]))


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
