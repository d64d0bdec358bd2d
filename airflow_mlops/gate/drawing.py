"""A rule's figures as they are shown: in words, and as marks on a bar, in percent of its width."""

from __future__ import annotations

import math
from typing import NamedTuple

from airflow_mlops.records.verdict import RuleResult

__all__ = ["IntervalBar", "chance", "distance", "estimate", "figure", "interval", "interval_bar", "place"]

_END = 100.0
_MARGIN = 0.08
_FOUR_FIGURES = 1000
# What a p-value is shown down to; below, the digits are those of the arithmetic.
_LEAST_P = 0.0001


class IntervalBar(NamedTuple):
    """A rule's estimate inside its interval, the bound that it is held against, and the side that is accepted."""

    low: float | None
    high: float | None
    estimate: float
    bound: float
    zero: float | None
    accepted: tuple[float, float]

    @property
    def width(self) -> float:
        """Length of the interval; a sliver where both ends are one."""
        return 0.0 if self.low is None or self.high is None else max(self.high - self.low, 0.6)


def interval_bar(rule: RuleResult) -> IntervalBar | None:
    """Draw a rule's interval, cut off where the bar ends; None where the estimate or its bound is not finite.

    Examples
    --------
    >>> rule = RuleResult(rule="rmse non_inferior", on="golden", decision="promote", rows=9, challenger=1.0,
    ...                   champion=1.1, estimate=-0.1, low=-0.2, high=0.0, bound=0.02, reason="")
    >>> bar = interval_bar(rule)
    >>> bar.low < bar.estimate < bar.high == bar.zero < bar.bound
    True
    """
    if not (math.isfinite(rule.estimate) and math.isfinite(rule.bound)):
        return None
    compared = rule.scale != "value"
    places = [rule.estimate, rule.bound, *([0.0] if compared else [])]
    places += [end for end in (rule.low, rule.high) if math.isfinite(end)]
    span = (max(places) - min(places)) or 1.0
    start, length = min(places) - _MARGIN * span, (1 + 2 * _MARGIN) * span

    def at(place: float) -> float:
        return min(max(_END * (place - start) / length, 0.0), _END)

    known = not (math.isnan(rule.low) or math.isnan(rule.high))
    return IntervalBar(
        low=at(rule.low) if known else None,
        high=at(rule.high) if known else None,
        estimate=at(rule.estimate),
        bound=at(rule.bound),
        zero=at(0.0) if compared else None,
        accepted=(at(rule.bound), _END) if rule.greater_is_better else (0.0, at(rule.bound)),
    )


def figure(value: float | None) -> str:
    """A number with four figures.

    Examples
    --------
    >>> figure(1234.5678), figure(0.00012345), figure(float("nan")), figure(None)
    ('1,235', '0.0001234', '-', '-')
    """
    if value is None or math.isnan(value):
        return "-"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    return f"{value:,.0f}" if abs(value) >= _FOUR_FIGURES else f"{value:.4g}"


def chance(p: float | None) -> str:
    """A p-value with three figures.

    Examples
    --------
    >>> chance(0.04321), chance(0.000001), chance(None)
    ('0.0432', '< 0.0001', '-')
    """
    if p is None or not p >= 0:
        return "-"
    return f"{p:.3g}" if p >= _LEAST_P else f"< {_LEAST_P}"


def distance(value: float | None, scale: str) -> str:
    """A length on a rule's scale.

    Examples
    --------
    >>> distance(0.021, "share"), distance(0.0125, "points"), distance(90.0, "value"), distance(None, "share")
    ('2.1 %', '0.0125', '90', '-')
    """
    if value is None or not math.isfinite(value) or scale != "share":
        return figure(value)
    return f"{100 * value:.3g} %"


def place(value: float | None, scale: str) -> str:
    """A place on a rule's scale: a comparison's has a sign.

    Examples
    --------
    >>> place(-0.1784, "share"), place(0.0125, "points"), place(37.071, "value"), place(0.0, "share")
    ('-17.8 %', '+0.0125', '37.07', '0')
    """
    if not value or not math.isfinite(value) or scale == "value":
        return figure(value)
    return f"{100 * value:+.1f} %" if scale == "share" else f"{value:+.4g}"


def estimate(rule: RuleResult) -> str:
    """What was found, on the rule's own scale."""
    return place(rule.estimate, rule.scale)


def interval(rule: RuleResult) -> str:
    """From where to where it may lie."""
    if math.isnan(rule.low) and math.isnan(rule.high):
        return "-"
    return f"{place(rule.low, rule.scale)} to {place(rule.high, rule.scale)}"
