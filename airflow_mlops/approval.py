"""When a person decides about a verdict, what they are shown, and what may be promoted then."""

from __future__ import annotations

import math
from typing import Literal

from airflow_mlops.records import Approval, Decision, RuleResult, Verdict

__all__ = ["awaits_person", "objection", "verdict_table"]

Mode = Literal["hold", "always", "never"]

# Below this a p-value says no more to a reader.
_LEAST_P = 0.001
_HEAD = ("rule", "on", "says", "estimate", "interval", "bound", "p", "rows", "rows needed")


def awaits_person(decision: Decision, mode: Mode) -> bool:
    """Whether a verdict is one that a person decides about; a rejected model never is.

    Examples
    --------
    >>> awaits_person(Decision.HOLD, "hold"), awaits_person(Decision.PROMOTE, "hold")
    (True, False)
    """
    asked_about = {"hold": {Decision.HOLD}, "always": {Decision.HOLD, Decision.PROMOTE}, "never": set()}
    return decision in asked_about[mode]


def objection(verdict: Verdict, approval: Approval | None, mode: Mode) -> str | None:
    """Why the model of a verdict must not be promoted; None if it may.

    Parameters
    ----------
    verdict : Verdict
        The gate's.
    approval : Approval or None
        What a person said about this very verdict, if anybody did.
    mode : {"hold", "always", "never"}
        Whether a person decides, as ``gate.approval`` of ``model.toml`` says.
    """
    reasons = "; ".join(verdict.reasons)
    if verdict.decision is Decision.REJECT:
        return f"the gate's verdict is reject: {reasons}"
    if approval is not None and not approval.approved:
        # Of one that nobody decided about, the reason says so.
        return f"{approval.decided_by} rejected it: {approval.reason}" if approval.decided_by else approval.reason
    if verdict.decision is Decision.HOLD and mode == "never":
        return f"the gate's verdict is hold: {reasons}"
    if awaits_person(verdict.decision, mode) and approval is None:
        return f"the gate's verdict is {verdict.decision}, and nobody has approved it: {reasons}"
    return None


def verdict_table(verdict: Verdict, *, page: str) -> str:
    """The verdict as Markdown, for the person who decides.

    Parameters
    ----------
    verdict : Verdict
        The gate's.
    page : str
        Address of its page.

    Returns
    -------
    str
        Decision and reasons, a table with a line for each rule, warnings, weak spots, and a link.
    """
    lines = [f"The gate says **{verdict.decision}**.", ""]
    lines += [f"- {_plain(reason)}" for reason in verdict.reasons]
    lines += ["", _row(_HEAD), _row(["---"] * len(_HEAD))]
    lines += [_row(_cells(rule)) for rule in verdict.rules]
    lines += [""]
    lines += [f"- warning: {_plain(warning)}" for warning in verdict.warnings]
    lines += [
        f"- weak spot: {_plain(spot.slice)} on {spot.on} ({spot.rows} rows): {spot.metric} {spot.challenger:.4g} "
        f"against the champion's {spot.champion:.4g}, p {_probability(spot.p_worse)}"
        for spot in verdict.weak_spots
    ]
    lines += ["", f"[The whole verdict]({page})"]
    return "\n".join(lines)


def _cells(rule: RuleResult) -> list[str]:
    name = rule.rule if rule.slice is None else f"{rule.rule}, {rule.slice}"
    return [
        name if rule.required else f"{name} (advisory)",
        rule.on,
        str(rule.decision),
        _figure(rule.estimate, rule),
        f"{_figure(rule.low, rule)} to {_figure(rule.high, rule)}",
        _figure(rule.bound, rule),
        "" if rule.p_value is None else _probability(rule.p_value),
        f"{rule.rows:,}",
        "" if rule.rows_needed is None else f"{rule.rows_needed:,}",
    ]


def _row(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(_plain(cell) for cell in cells)} |"


def _plain(text: str) -> str:
    """Text of the data's own (the value of a slice) that cannot break the table, nor draw a link."""
    for sign in "\\|[]<>`*":
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.split())


def _figure(value: float, rule: RuleResult) -> str:
    if not math.isfinite(value):
        return "not measured" if math.isnan(value) else "none"
    if rule.scale == "share":
        return f"{value:+.2%}"
    return f"{value:+.4f}" if rule.scale == "points" else f"{value:.4g}"


def _probability(p: float) -> str:
    return f"< {_LEAST_P}" if p < _LEAST_P else f"{p:.3f}"
