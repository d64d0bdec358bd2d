"""The gate's decision: rules from ``model.toml``, two models on the same rows, one answer with its reasons."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from airflow_mlops.gate.cases import Case, Predictions, laid_out
from airflow_mlops.gate.evidence import Design, Question
from airflow_mlops.gate.parity import disparity
from airflow_mlops.gate.rows import PairedPredictions, UnusablePredictions
from airflow_mlops.gate.statistics.measure import measure
from airflow_mlops.gate.statistics.multiplicity import holm
from airflow_mlops.gate.weakspots import weak_spots
from airflow_mlops.gate.wear import wear_warnings
from airflow_mlops.gate.wording import found, title, what_would_do
from airflow_mlops.project.gate_spec import GateSpec, RuleSpec
from airflow_mlops.records.verdict import Decision, RuleResult, WeakSpot

__all__ = ["Judgement", "judge"]


@dataclass(frozen=True)
class Judgement:
    """What becomes of the challenger, rule by rule, in plain language.

    Attributes
    ----------
    decision : Decision
        promote if everything required says so, reject if anything required rejects, else hold.
    rules : tuple of RuleResult
        In the order of the specification, slices in the order of their levels, then what else was judged; rules that
        compare are left out while there is no champion.
    reasons : tuple of str
        One sentence for each result and each rule that was left out.
    warnings : tuple of str
        What does not change the decision.
    weak_spots : tuple of WeakSpot
        Slices in which the challenger was found to lose most; no decision rests on them.
    """

    decision: Decision
    rules: tuple[RuleResult, ...]
    reasons: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    weak_spots: tuple[WeakSpot, ...] = ()


def judge(
    spec: GateSpec,
    *,
    golden: Predictions | None,
    recent: Predictions | None,
    seed: int,
    others: Sequence[RuleResult] = (),
    golden_uses: int = 0,
) -> Judgement:
    """Judge a challenger, fail-closed: what cannot be shown is never promoted.

    - ``absolute`` promotes if the metric itself keeps its bound, else rejects: a bar, not a claim about other nights,
      so the interval only informs.
    - ``non_inferior`` and ``superior`` promote if their own test shows it at ``alpha``. All required rules have to,
      so no correction is needed: a challenger that is worse by the margin in one of them passes that one with
      probability alpha at most (an intersection-union test).
    - They reject if the opposite is shown. One rejection is enough, so with many rules and slices a good challenger
      would be kept out by chance: the p-values of all required comparisons, of both sets, are adjusted after Holm.
    - ``parity`` promotes if the estimate keeps its bound, and rejects in the same family if it is shown not to.
    - What is neither holds. So do fewer rows than ``min_rows``, and a champion whose own predictions cannot be used.
    - A missing slice, level or column, answers that are no numbers, and a metric that cannot be measured reject.
    - Truths on which a metric is not defined, whatever a model answers (an auc of one class), hold.
    - Without a required rule about the answers themselves nothing is promoted. Where no required rule compares the
      models on recent nights by a metric that they must keep on golden ones, a challenger that is shown worse by it
      there is held: yesterday's golden set does not outweigh today.

    Parameters
    ----------
    spec : GateSpec
        The rules and ``alpha``, the chance of promoting a challenger that is worse by exactly the margin.
    golden, recent : PairedPredictions, UnusablePredictions or None
        The two models' answers on each set; on None (no row is labelled yet) a rule holds.
    seed : int
        Of the resampling. Every rule sees the same draws, whatever other rules there are.
    others : sequence of RuleResult
        What was judged elsewhere: the artefact, leakage, behaviour, and the rules about the model's cost.
    golden_uses : int
        Judgements on this golden set before this one.

    Returns
    -------
    Judgement
        The same one for the same arguments.

    Raises
    ------
    ConfigError
        If a metric of one's own cannot be imported.

    References
    ----------
    Berger, R. L. (1982). Multiparameter Hypothesis Testing and Acceptance Sampling. Technometrics 24(4), 295-300.
    Piaggio, G. et al. (2012). Reporting of Noninferiority and Equivalence Randomized Trials. JAMA 308(24), 2594-2604.

    Examples
    --------
    >>> import numpy as np
    >>> from airflow_mlops.gate.rows import Answers
    >>> rng = np.random.default_rng(0)
    >>> y_true = rng.normal(200, 50, 480)
    >>> rows = PairedPredictions(
    ...     task="regression", row_id=np.arange(480).astype(str), y_true=y_true,
    ...     challenger=Answers(y_true + rng.normal(0, 40, 480)), champion=Answers(y_true + rng.normal(0, 44, 480)))
    >>> spec = GateSpec(rules=[RuleSpec(metric="rmse", kind="absolute", max=60.0)])
    >>> judge(spec, golden=rows, recent=None, seed=0).reasons
    ('rmse on golden: 37.07, at most 60 accepted: promote',)
    """
    sets: dict[str, Predictions | None] = {"golden": golden, "recent": recent}
    paired = {name: rows for name, rows in sets.items() if isinstance(rows, PairedPredictions)}
    # A champion known on one set is missed on the other; only where none is known anywhere is this the first model.
    first_model = not any(rows is not None and rows.knows_champion for rows in sets.values())
    rules = (*spec.rules, *([] if first_model else _guards(spec, paired.get("recent"))))
    left_out = [first_model and rule.compares for rule in rules]
    numbers, cases = [], []
    for number, rule in enumerate(rules):
        laid = [] if rule.of_model or left_out[number] else laid_out(spec, rule, sets[rule.on])
        if number >= len(spec.rules):
            laid = [dataclasses.replace(case, is_guard=True) for case in laid]
        numbers += [number] * len(laid)
        cases += laid
    cases = _measured(spec, cases, paired, seed=seed)
    by_rule: list[list[RuleResult]] = [[] for _ in rules]
    for number, case, p_worse in zip(numbers, cases, _adjusted(cases), strict=True):
        # What nobody asked for holds nobody up by being thin.
        if case.is_guard and case.obstacle and case.obstacle[0] is Decision.HOLD:
            continue
        by_rule[number].append(_result(case, p_worse, alpha=spec.alpha))

    # A challenger that breaks on a set is broken, also where no rule reads that set.
    broken = {name: rows.reason for name, rows in sets.items() if isinstance(rows, UnusablePredictions)}
    required = [Decision.REJECT for _ in broken]
    reasons = [f"{name}: {reason}: {Decision.REJECT}" for name, reason in broken.items()]
    results: list[RuleResult] = []
    for rule, left, found_here in zip(rules, left_out, by_rule, strict=True):
        if left:
            where = "of the model" if rule.of_model else f"on {rule.on}"
            reasons.append(f"{rule.metric} {where}: {rule.kind} left out, there is no champion to compare with")
            continue
        given = _of_model(rule, others, already=results) if rule.of_model else found_here
        results += given
        reasons += [_said(result) for result in given]
    elsewhere = [result for result in others if all(result is not known for known in results)]
    results += elsewhere
    reasons += [_said(result) for result in elsewhere]
    required += [result.decision for result in results if result.required]
    if not any(result.required for found_here in by_rule for result in found_here):
        required.append(Decision.HOLD)
        reasons.append(f"no required rule could look at the answers, so nothing is known of them: {Decision.HOLD}")
    warnings = wear_warnings(results, golden_uses=golden_uses, alpha=spec.alpha)
    spots: list[WeakSpot] = []
    for name, rows in paired.items():
        looked, missed = weak_spots(spec, rows, on=name)
        spots += looked
        warnings += (*(f"{name}: {warning}" for warning in rows.warnings), *missed)
    return Judgement(_overall(required), tuple(results), tuple(reasons), warnings, tuple(spots))


def _said(result: RuleResult) -> str:
    return result.reason if result.required else f"{result.reason} (reported only)"


def _overall(required: list[Decision]) -> Decision:
    if Decision.REJECT in required:
        return Decision.REJECT
    return Decision.HOLD if Decision.HOLD in required else Decision.PROMOTE


def _guards(spec: GateSpec, recent: PairedPredictions | None) -> list[RuleSpec]:
    """What is asked of recent nights, with the same margin, by metrics that rules compare on golden ones only."""
    compared = [rule for rule in spec.rules if rule.compares and not rule.of_model and rule.required]
    if recent is None or recent.champion is None:
        return []
    watched = {(rule.metric, rule.quantile, rule.k) for rule in compared if rule.on == "recent"}
    guards = [
        rule.model_copy(
            update={"kind": "non_inferior", "on": "recent", "slice": None, "levels": (), "margin": rule.margin or 0.0}
        )
        for rule in compared
        if (rule.metric, rule.quantile, rule.k) not in watched
    ]
    return [rule for place, rule in enumerate(guards) if rule not in guards[:place]]


def _measured(spec: GateSpec, cases: list[Case], paired: Mapping[str, PairedPredictions], *, seed: int) -> list[Case]:
    """The cases with their evidence, all of a set measured at once and on the same draws."""
    measured = list(cases)
    design = Design(spec.alpha, spec.resamples, seed, spec.cluster, spec.strata, spec.query)
    for name, predictions in paired.items():
        # What is held already is measured all the same: a person may have to decide.
        on = [place for place, case in enumerate(cases) if case.rule.on == name and case.is_open]
        plain = [place for place in on if cases[place].criterion is None]
        questions = [Question(cases[place].rule, cases[place].rows) for place in plain]
        for place, evidence in zip(plain, measure(predictions, questions, design=design), strict=True):
            measured[place] = dataclasses.replace(cases[place], evidence=evidence)
        for place in sorted({*on} - {*plain}):
            evidence = disparity(cases[place], predictions, design=design)
            measured[place] = dataclasses.replace(cases[place], evidence=evidence)
    return measured


def _adjusted(cases: list[Case]) -> list[float | None]:
    """p-value of each claim that the challenger is worse than allowed, adjusted within those that may reject."""
    adjusted = [case.evidence.p_worse for case in cases]
    # What may reject, and what may hold by itself: neither dilutes the other.
    for guards in (False, True):
        family = {
            place: case.evidence.p_worse
            for place, case in enumerate(cases)
            if case.is_guard is guards and _may_be_broken(case) and case.evidence.p_worse is not None
        }
        for place, p_worse in zip(family, holm([*family.values()]), strict=True):
            adjusted[place] = float(p_worse)
    return adjusted


def _may_be_broken(case: Case) -> bool:
    return case.rule.required and case.rule.kind != "absolute" and case.obstacle is None


def _result(case: Case, p_worse: float | None, *, alpha: float) -> RuleResult:
    rule, evidence = case.rule, case.evidence
    rows_needed = None
    if case.obstacle:
        decision, why = case.obstacle
        if decision is Decision.HOLD and case.fault is None and (wanted := case.rows_wanted):
            rows_needed = max(wanted, evidence.rows_needed or 0)
    else:
        decision = _decided(case, p_worse, alpha=alpha)
        why = found(case, decision, alpha=alpha)
        if decision is Decision.HOLD and not case.is_guard:
            rows_needed = evidence.rows_needed
            why += what_would_do(case, alpha=alpha)
    return RuleResult(
        rule=f"{rule.metric} {'no worse' if case.is_guard else rule.kind}",
        on=rule.on,
        slice=case.slice,
        decision=decision,
        required=rule.required,
        rows=evidence.rows,
        units=evidence.units,
        method=evidence.method,
        scale=case.scale,
        greater_is_better=case.greater_is_better,
        challenger=evidence.challenger,
        champion=evidence.champion,
        estimate=evidence.estimate,
        low=evidence.low,
        high=evidence.high,
        bound=case.bound,
        p_value=evidence.p_value,
        p_worse=p_worse,
        least_difference=evidence.least_difference,
        rows_needed=rows_needed,
        reason=f"{title(case)}: {why}: {decision}",
    )


def _decided(case: Case, p_worse: float | None, *, alpha: float) -> Decision:
    evidence, sign = case.evidence, -1.0 if case.greater_is_better else 1.0
    keeps = sign * evidence.estimate <= sign * case.bound
    broken = p_worse is not None and p_worse <= alpha
    if case.is_guard:
        return Decision.HOLD if broken else Decision.PROMOTE
    if case.rule.kind == "absolute":
        return Decision.PROMOTE if keeps else Decision.REJECT
    if case.rule.compares:
        # Two models that give the same answers leave nothing to chance; the same figure may be chance.
        alike = evidence.alike and evidence.low == evidence.high and case.rule.kind == "non_inferior"
        keeps = keeps if alike else evidence.p_value is not None and evidence.p_value <= alpha
    if keeps:
        return Decision.PROMOTE
    return Decision.REJECT if broken else Decision.HOLD


def _of_model(rule: RuleSpec, others: Sequence[RuleResult], *, already: Sequence[RuleResult]) -> list[RuleResult]:
    """What was found about the model itself, or that nothing was."""
    name = f"{rule.metric} {rule.kind}"
    fresh = [result for result in others if all(result is not known for known in already)]
    # Two rules of one name, such as a required bar and a reported one, each have their own result.
    if given := [result for result in fresh if result.rule == name and result.required == rule.required]:
        return given[:1]
    nan = float("nan")
    why = "no figure of the model itself was given, and predictions alone hold none"
    return [
        RuleResult(
            rule=name, on="model", decision=Decision.REJECT, required=rule.required, rows=0, scale="value",
            challenger=nan, champion=None, estimate=nan, low=nan, high=nan, bound=nan,
            reason=f"{rule.metric} of the model: {why}: {Decision.REJECT}",
        )
    ]  # fmt: skip
