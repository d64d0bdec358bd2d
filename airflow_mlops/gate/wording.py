"""The gate's sentences: what was found in one case, in plain language."""

from __future__ import annotations

import math

from airflow_mlops.gate.cases import Case
from airflow_mlops.records.verdict import Decision

__all__ = ["found", "title", "what_would_do"]

# Beyond this, digits say nothing.
_LONG = 1e6


def title(case: Case) -> str:
    """Name a case: ``rmse on golden, region=north``."""
    where = f", {case.slice}" if case.slice else ""
    return f"{case.rule.metric} on {case.rule.on}{where}"


def found(case: Case, decision: Decision, *, alpha: float) -> str:
    """Say what the figures of a case are, and what they are held against."""
    evidence, rule = case.evidence, case.rule
    limit = f"{'at least' if case.greater_is_better else 'at most'} {case.bound:.4g} accepted"
    if rule.kind == "absolute":
        return f"{evidence.challenger:.4g}, {limit}"
    low, high = (_amount(case, bound) for bound in (evidence.low, evidence.high))
    if decision is Decision.HOLD or case.is_guard:
        bounds = f"bounds {low} to {high}"
    elif (decision is Decision.PROMOTE) is case.greater_is_better:
        bounds = f"lower bound {low}"
    else:
        bounds = f"upper bound {high}"
    interval = f"{100 * (1 - alpha):.4g} % {bounds} over {evidence.drawn}"
    if math.isinf(evidence.low) and math.isinf(evidence.high):
        interval = f"no bounds over {evidence.drawn}"
    if rule.kind == "parity":
        return f"{evidence.estimate:.4g} ({interval}), {limit}"
    if case.is_guard:
        shown = "shown worse" if decision is Decision.HOLD else "not shown worse"
        wanted = f"{shown} where no rule compares the two"
    elif rule.kind == "superior":
        wanted = "superiority wanted"
    else:
        wanted = f"margin {_size(case, abs(case.bound))}"
    figures = f"{evidence.challenger:.4g} vs champion {evidence.champion:.4g}"
    return f"{figures} ({_amount(case, evidence.estimate)}, {interval}), {wanted}"


def what_would_do(case: Case, *, alpha: float) -> str:
    """Say what would settle a case that is held: how many rows more, and what these could have shown."""
    evidence, said = case.evidence, ""
    if evidence.p_worse is not None and evidence.p_worse <= alpha:
        said += "; broken by itself, but not beyond what chance does among so many comparisons"
    if evidence.rows_needed is not None:
        more, units = max(evidence.rows_needed - evidence.rows, 1), ""
        if 0 < evidence.units < evidence.rows:
            # Of "20 nights" the noun.
            noun = evidence.drawn.partition(" ")[2]
            units = f" ({math.ceil(more * evidence.units / evidence.rows):,} {noun})"
        said += f"; {more:,} more rows{units} would do if the estimate is true"
    elif case.rule.compares and math.isfinite(evidence.low) and math.isfinite(evidence.high):
        said += "; if the estimate is true, no number of rows would do"
    elif case.rule.compares and math.isinf(evidence.low) and math.isinf(evidence.high):
        said += f"; {_unknown(evidence.method, evidence.drawn)}"
    elif case.rule.kind == "parity":
        said += "; more rows would tell whether it is broken or only looks so"
    least = evidence.least_difference
    if least is not None and math.isfinite(least):
        said += f"; these rows would mostly show {_size(case, least)} off the bound"
    return said


def _unknown(method: str, drawn: str) -> str:
    """Why there are no bounds, and what would give some."""
    units, _, noun = drawn.partition(" ")
    if units == "1":
        return f"one {noun} has no spread, so judge more than one"
    why = method.removeprefix("no test: ") if method.startswith("no test: ") else "so few show nothing at this alpha"
    return f"{why}: judge more {noun}"


def _amount(case: Case, value: float) -> str:
    """A place on the scale of the case: of a comparison, with its sign."""
    if case.scale == "share":
        # Not -0.0 %.
        return f"{round(100 * value, 1) + 0.0:+.1f} %" if abs(value) < _LONG else f"{100 * value:+.3g} %"
    return f"{value:+.4f}" if case.scale == "points" and abs(value) < _LONG else f"{value:.4g}"


def _size(case: Case, value: float) -> str:
    """A length on the scale of the case."""
    return f"{100 * value:.3g} %" if case.scale == "share" else f"{value:.3g}"
