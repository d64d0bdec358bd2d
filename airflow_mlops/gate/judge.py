"""The gate's decision: rules from ``model.toml``, two models on the same rows, one answer with its reasons."""

from __future__ import annotations

import math
from dataclasses import dataclass

from airflow_mlops.gate.measure import Evidence, measure
from airflow_mlops.gate.predictions import PairedPredictions, UnusablePredictions
from airflow_mlops.project.spec import GateSpec, RuleSpec
from airflow_mlops.records import Decision, RuleResult

__all__ = ["Judgement", "judge"]

Predictions = PairedPredictions | UnusablePredictions


@dataclass(frozen=True)
class Judgement:
    """What becomes of the challenger, rule by rule, in plain language.

    Attributes
    ----------
    decision : Decision
        promote if every required rule says so, reject if one rejects, else hold.
    rules : tuple of RuleResult
        In the order of the specification; rules that compare are left out while there is no champion.
    reasons : tuple of str
        One sentence for each rule, those left out included.
    """

    decision: Decision
    rules: tuple[RuleResult, ...]
    reasons: tuple[str, ...]


def judge(spec: GateSpec, *, golden: Predictions | None, recent: Predictions | None, seed: int) -> Judgement:
    """Judge a challenger, fail-closed: what cannot be shown is never promoted.

    - ``absolute`` promotes if the metric itself is at most ``max``, else rejects: a bar, not a claim about other
      nights, so its bounds only inform.
    - ``non_inferior`` looks at (challenger - champion) / champion, of which the bootstrap gives a lower and an upper
      bound: it promotes if the upper one is at most ``margin``, rejects if the lower one is above it, else holds.
    - ``superior`` does the same with both bounds strictly on their side of zero.
    - Any rule rejects if the challenger's metric is not finite, and holds on fewer rows than ``min_rows``. A champion
      whose own predictions cannot be used holds the rules that compare: nothing is known about the challenger.

    Parameters
    ----------
    spec : GateSpec
        The rules and ``alpha``, the chance of promoting a challenger that is worse by exactly the margin.
    golden, recent : PairedPredictions, UnusablePredictions or None
        What ``read_paired`` gave for each set; on None (a set without predictions) a rule rejects.
    seed : int
        Of the resampling. Every rule draws the same nights, whatever other rules there are.

    Returns
    -------
    Judgement
        The same one for the same arguments.

    References
    ----------
    Piaggio, G. et al. (2012). Reporting of Noninferiority and Equivalence Randomized Trials. JAMA 308(24),
    2594-2604. Field, C. A., Welsh, A. H. (2007). Bootstrapping clustered data. J. R. Statist. Soc. B 69(3), 369-390.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> night = np.repeat([f"2011-03-{day:02d}" for day in range(1, 21)], 24)
    >>> y_true = rng.normal(200, 50, night.size)
    >>> rows = PairedPredictions(
    ...     row_id=np.arange(night.size).astype(str), night=night, y_true=y_true,
    ...     challenger=y_true + rng.normal(0, 40, night.size), champion=y_true + rng.normal(0, 44, night.size))
    >>> spec = GateSpec(rules=[RuleSpec(metric="rmse", kind="absolute", max=60.0),
    ...                        RuleSpec(metric="rmse", kind="non_inferior", margin=0.1)])
    >>> for reason in judge(spec, golden=rows, recent=None, seed=0).reasons:
    ...     print(reason)
    rmse on golden: 37.07, at most 60 accepted: promote
    rmse on golden: 37.07 vs champion 45.08 (-17.8 %, 95 % upper bound -11.2 % over 20 nights), margin 10 %: promote
    """
    sets = {"golden": golden, "recent": recent}
    results: list[RuleResult] = []
    # A challenger that breaks on a set is broken, also where no rule reads that set.
    broken = {name: rows.reason for name, rows in sets.items() if isinstance(rows, UnusablePredictions)}
    reasons = [f"{name}: {reason}: {Decision.REJECT}" for name, reason in broken.items()]
    required = [Decision.REJECT for _ in broken]
    # A champion known on one set is missed on the other; only where none is known anywhere is this the first model.
    first_model = not any(isinstance(rows, PairedPredictions) and rows.knows_champion for rows in sets.values())
    for rule in spec.rules:
        if first_model and rule.kind != "absolute":
            reasons.append(f"{rule.metric} on {rule.on}: {rule.kind} left out, there is no champion to compare with")
            continue
        result = _judged(rule, sets[rule.on], alpha=spec.alpha, seed=seed)
        results.append(result)
        reasons.append(result.reason if rule.required else f"{result.reason} (reported only)")
        if rule.required:
            required.append(result.decision)
    return Judgement(_overall(required), tuple(results), tuple(reasons))


def _overall(required: list[Decision]) -> Decision:
    if Decision.REJECT in required:
        return Decision.REJECT
    if required and all(decision is Decision.PROMOTE for decision in required):
        return Decision.PROMOTE
    return Decision.HOLD


def _judged(rule: RuleSpec, predictions: Predictions | None, *, alpha: float, seed: int) -> RuleResult:
    nan = float("nan")
    evidence = Evidence(rows=0, drawn="0 rows", challenger=nan, champion=None, estimate=nan, low=nan, high=nan)
    if isinstance(predictions, PairedPredictions):
        compared = rule.kind != "absolute"
        evidence = measure(rule.metric, predictions, compared=compared, alpha=alpha, seed=seed)
        decision, why = _unmeasured(rule, evidence, predictions.champion_fault) or _decided(rule, evidence, alpha)
    elif predictions is None:
        decision, why = Decision.HOLD, "there is no row to judge on"
    else:
        decision, why = Decision.REJECT, predictions.reason
    return RuleResult(
        rule=f"{rule.metric} {rule.kind}",
        on=rule.on,
        decision=decision,
        rows=evidence.rows,
        challenger=evidence.challenger,
        champion=evidence.champion,
        estimate=evidence.estimate,
        low=evidence.low,
        high=evidence.high,
        bound=_bound(rule),
        reason=f"{rule.metric} on {rule.on}: {why}: {decision}",
    )


def _bound(rule: RuleSpec) -> float:
    return {"absolute": rule.max, "non_inferior": rule.margin, "superior": 0.0}[rule.kind] or 0.0


def _unmeasured(rule: RuleSpec, evidence: Evidence, champion_fault: str | None) -> tuple[Decision, str] | None:
    """What stands in the way of a decision by the figures, if anything does."""
    if not math.isfinite(evidence.challenger):
        return Decision.REJECT, f"the challenger's {rule.metric} over {evidence.rows} rows is {evidence.challenger}"
    if rule.kind != "absolute":
        if evidence.champion is None:
            return Decision.HOLD, champion_fault or "the champion's predictions are missing"
        if not math.isfinite(evidence.champion):
            return Decision.HOLD, f"the champion's {rule.metric} is {evidence.champion}, which nothing compares with"
    if evidence.rows < rule.min_rows:
        return Decision.HOLD, f"{evidence.rows} rows are too thin, the rule wants {rule.min_rows}"
    return None


def _decided(rule: RuleSpec, evidence: Evidence, alpha: float) -> tuple[Decision, str]:
    if rule.kind == "absolute":
        assert rule.max is not None  # noqa: S101  RuleSpec proved it; this tells mypy
        decision = Decision.PROMOTE if evidence.estimate <= rule.max else Decision.REJECT
        return decision, f"{evidence.challenger:.4g}, at most {rule.max:.4g} accepted"
    margin = 0.0 if rule.margin is None or rule.kind == "superior" else rule.margin
    better = evidence.high < margin if rule.kind == "superior" else evidence.high <= margin
    if better:
        decision, bound = Decision.PROMOTE, f"upper bound {_percent(evidence.high)}"
    elif evidence.low > margin:
        decision, bound = Decision.REJECT, f"lower bound {_percent(evidence.low)}"
    else:
        decision, bound = Decision.HOLD, f"bounds {_percent(evidence.low)} to {_percent(evidence.high)}"
    wanted = "superiority wanted" if rule.kind == "superior" else f"margin {100 * margin:.3g} %"
    return decision, (
        f"{evidence.challenger:.4g} vs champion {evidence.champion:.4g} ({_percent(evidence.estimate)}, "
        f"{100 * (1 - alpha):.4g} % {bound} over {evidence.drawn}), {wanted}"
    )


def _percent(share: float) -> str:
    return f"{100 * share:+.1f} %"
