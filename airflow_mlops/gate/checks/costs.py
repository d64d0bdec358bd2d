"""What a model costs to run: how slow its slowest answers are, and how large it is."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from airflow_mlops.project.gate_spec import RuleSpec
from airflow_mlops.records import Decision, RuleResult

__all__ = ["ModelCost", "QuantileBounds", "cost_results", "quantile_bounds"]

_P99 = 0.99
_BYTES_PER_MB = 1_000_000


@dataclass(frozen=True)
class ModelCost:
    """What was measured of a model.

    Attributes
    ----------
    size_bytes : int
        Of all files of the artefact.
    latencies_ms : numpy.ndarray of float, shape (n_requests,), or None
        Of predictions of a single row, after warming up; None if none were measured.
    """

    size_bytes: int
    latencies_ms: npt.NDArray[np.float64] | None = None


class QuantileBounds(NamedTuple):
    """A quantile, and one-sided bounds of it; infinite where the sample is too small for one."""

    estimate: float
    low: float
    high: float


def quantile_bounds(values: npt.NDArray[np.float64], q: float, *, alpha: float) -> QuantileBounds:
    """Bound a quantile by order statistics: exact for any distribution.

    Parameters
    ----------
    values : numpy.ndarray of float, shape (n_values,)
        A sample, in any order; at least one value.
    q : float
        Level of the quantile, in (0, 1).
    alpha : float
        Level of each bound.

    Returns
    -------
    QuantileBounds
        The sample's quantile (the smallest value that at least a share ``q`` does not exceed), and the bounds, in the
        unit of ``values``. The upper one is infinite below ``log(alpha) / log(q)`` values: 299 of them for the
        99th percentile at 5 %.

    References
    ----------
    David, H. A., Nagaraja, H. N. (2003). Order Statistics, 3rd ed., section 7.1, eq. 7.1.1.

    Examples
    --------
    >>> quantile_bounds(np.arange(1.0, 1001.0), 0.99, alpha=0.05)
    QuantileBounds(estimate=990.0, low=985.0, high=996.0)
    """
    ordered, n = np.sort(values), len(values)
    # The number of values below the quantile is binomial; ranks count from 1.
    low_rank = int(stats.binom.ppf(alpha, n, q))
    high_rank = int(stats.binom.ppf(1 - alpha, n, q)) + 1
    return QuantileBounds(
        float(ordered[math.ceil(q * n) - 1]),
        float(ordered[low_rank - 1]) if low_rank else -math.inf,
        float(ordered[high_rank - 1]) if high_rank <= n else math.inf,
    )


def cost_results(
    rules: Iterable[RuleSpec],
    *,
    challenger: ModelCost,
    champion: ModelCost | None,
    champion_fault: str | None = None,
    alpha: float = 0.05,
) -> list[RuleResult]:
    """Judge the rules about the model itself; others are passed over.

    Parameters
    ----------
    rules : iterable of RuleSpec
        Of the gate.
    challenger, champion : ModelCost
        What was measured; None as champion leaves the rules that compare out.
    champion_fault : str, optional
        Why there is a champion of which nothing is known: rules that compare then hold.
    alpha : float
        Level of each one-sided bound.

    Returns
    -------
    list of RuleResult
        In the order of the rules.

    References
    ----------
    Zou, G. Y., Donner, A. (2008). Construction of confidence limits about effect measures: a general approach.
    Statistics in Medicine 27(10), 1693-1702, eq. 3: the bounds of the ratio, on the log scale, from those of each p99.

    Examples
    --------
    >>> rule = RuleSpec(metric="size_mb", kind="non_inferior", margin=0.2)
    >>> [result] = cost_results([rule], challenger=ModelCost(1_100_000), champion=ModelCost(1_000_000))
    >>> print(result.reason)
    size_mb of the model: 1.1 vs champion 1 (+10.0 %), margin 20 %: promote
    """
    results = []
    for rule in rules:
        if not rule.of_model or (rule.compares and champion is None and champion_fault is None):
            continue
        results.append(_judged(rule, challenger, champion if rule.compares else None, champion_fault, alpha))
    return results


class _Measured(NamedTuple):
    bounds: QuantileBounds
    requests: int
    fault: str | None


_UNKNOWN = QuantileBounds(math.nan, math.nan, math.nan)


def _measured(rule: RuleSpec, cost: ModelCost, alpha: float) -> _Measured:
    if rule.metric == "size_mb":
        size = cost.size_bytes / _BYTES_PER_MB
        fault = None if size > 0 else f"its size is {cost.size_bytes} bytes"
        return _Measured(QuantileBounds(size, size, size), 0, fault)
    if cost.latencies_ms is None or not len(cost.latencies_ms):
        return _Measured(_UNKNOWN, 0, "its latency was not measured")
    latencies = np.asarray(cost.latencies_ms, dtype=np.float64)
    if broken := int(np.count_nonzero(~(np.isfinite(latencies) & (latencies > 0)))):
        return _Measured(_UNKNOWN, len(latencies), f"{broken} of its {len(latencies)} latencies are no positive number")
    return _Measured(quantile_bounds(latencies, _P99, alpha=alpha), len(latencies), None)


def _judged(
    rule: RuleSpec, challenger: ModelCost, champion: ModelCost | None, champion_fault: str | None, alpha: float
) -> RuleResult:
    ours = _measured(rule, challenger, alpha)
    theirs = _measured(rule, champion, alpha) if champion is not None else None
    shown, rows_needed = _UNKNOWN, None
    if ours.fault:
        decision, why = Decision.REJECT, f"of the challenger, {ours.fault}"
    elif rule.compares and (theirs is None or theirs.fault):
        decision, why = Decision.HOLD, f"of the champion, {theirs.fault if theirs else champion_fault}"
    elif rule.metric != "size_mb" and ours.requests < rule.min_rows:
        decision, why = Decision.HOLD, f"{ours.requests} requests, min_rows asks for {rule.min_rows}"
        rows_needed = rule.min_rows
    elif theirs is None:
        shown = ours.bounds
        decision = Decision.PROMOTE if shown.estimate <= _bound(rule) else Decision.REJECT
        why = f"{shown.estimate:.4g}{_over(ours)}, at most {_bound(rule):.4g} accepted"
    else:
        shown = _ratio(ours.bounds, theirs.bounds)
        decision, rows_needed = _compared(rule, shown, min(ours.requests, theirs.requests), alpha)
        why = (
            f"{ours.bounds.estimate:.4g} vs champion {theirs.bounds.estimate:.4g} "
            f"({_percent(shown.estimate)}{_interval(rule, shown)}{_over(ours)}), {_asked(rule)}"
        )
        if rows_needed:
            why += f"; {rows_needed} requests would do"
    return RuleResult(
        rule=f"{rule.metric} {rule.kind}",
        on="model",
        decision=decision,
        required=rule.required,
        rows=ours.requests,
        units=ours.requests,
        method="exact" if rule.metric == "size_mb" else "order statistics",
        scale="share" if rule.compares else "value",
        challenger=ours.bounds.estimate,
        champion=theirs.bounds.estimate if theirs else None,
        estimate=shown.estimate,
        low=shown.low,
        high=shown.high,
        bound=_bound(rule),
        rows_needed=rows_needed,
        reason=f"{rule.metric} of the model: {why}: {decision}",
    )


def _bound(rule: RuleSpec) -> float:
    return {"absolute": rule.max, "non_inferior": rule.margin}.get(rule.kind) or 0.0


def _ratio(ours: QuantileBounds, theirs: QuantileBounds) -> QuantileBounds:
    """Challenger less champion as a share of the champion's, from two independent samples."""
    (mid, low, high), (base, base_low, base_high) = (_logs(ours), _logs(theirs))
    difference = mid - base
    return QuantileBounds(
        math.expm1(difference),
        math.expm1(difference - math.hypot(mid - low, base_high - base)),
        math.expm1(difference + math.hypot(high - mid, base - base_low)),
    )


def _logs(bounds: QuantileBounds) -> tuple[float, float, float]:
    low = math.log(bounds.low) if bounds.low > 0 else -math.inf
    return math.log(bounds.estimate), low, math.log(bounds.high)


def _compared(rule: RuleSpec, shown: QuantileBounds, requests: int, alpha: float) -> tuple[Decision, int | None]:
    margin, superior = _bound(rule), rule.kind == "superior"
    if shown.high < margin or (shown.high <= margin and not superior):
        return Decision.PROMOTE, None
    if shown.low > margin or (rule.metric == "size_mb"):
        return Decision.REJECT, None
    if math.isinf(shown.high):
        return Decision.HOLD, math.ceil(math.log(alpha) / math.log(_P99))
    # Bounds close in with the square root of the requests; were the estimate true, this many would reach the margin.
    gap, width = margin - shown.estimate, shown.high - shown.estimate
    return Decision.HOLD, math.ceil(requests * (width / gap) ** 2) if gap > 0 else None


def _percent(share: float) -> str:
    return f"{100 * share:+.1f} %"


def _interval(rule: RuleSpec, shown: QuantileBounds) -> str:
    return "" if rule.metric == "size_mb" else f", bounds {_percent(shown.low)} to {_percent(shown.high)}"


def _over(measured: _Measured) -> str:
    return f" over {measured.requests} requests" if measured.requests else ""


def _asked(rule: RuleSpec) -> str:
    return "less asked for" if rule.kind == "superior" else f"margin {100 * _bound(rule):g} %"
