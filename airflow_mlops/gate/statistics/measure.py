"""How good the challenger is, how good against the champion, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy import special

from airflow_mlops.gate.evidence import Design, Evidence, Question
from airflow_mlops.gate.rows import Floats, PairedPredictions
from airflow_mlops.gate.statistics.delong import SquareAndAdd, areas
from airflow_mlops.gate.statistics.figures import Figures, estimate_of
from airflow_mlops.gate.statistics.inference import Folded, Inference, MostCautious
from airflow_mlops.gate.statistics.mcnemar import McNemar, Tango
from airflow_mlops.gate.statistics.metrics import load_metric
from airflow_mlops.gate.statistics.own import own_value
from airflow_mlops.gate.statistics.resampled import (
    Resampled,
    beside,
    resampled_function,
    resampled_metrics,
)
from airflow_mlops.gate.statistics.sample import Sample
from airflow_mlops.gate.statistics.shares import PROPORTIONS, AtLeastPoisson, Discordant, largest_step
from airflow_mlops.gate.statistics.student import StudentT
from airflow_mlops.gate.statistics.units import singular

__all__ = ["measure"]

_POWER = 0.8


def measure(predictions: PairedPredictions, questions: Iterable[Question], *, design: Design) -> list[Evidence]:
    """Measure a challenger, alone or against the champion on the same rows.

    - Proportions (accuracy, recall, false_positive_rate, selection_rate, hit_rate), rows or queries drawn by
      themselves: Tango's score test of those that count; superior: exact McNemar (mid-p) besides. Clusters: what
      everything else has, and Tango's with their design effect.
    - Other metrics of shares (balanced_accuracy, f1, precision, ndcg, mrr): what everything else has, with no less
      spread than a difference at the bound has by itself (``shares.AtLeastPoisson``).
    - coverage_error: both signs of both models' (``inference.Folded``). ece is not compared: its bias depends on the
      model, and favours whichever is worse calibrated.
    - auc: DeLong, of clusters the jackknife (Obuchowski); against a champion the more cautious of it and of the bounds
      of each area.
    - everything else: the more cautious of Student's t on the jackknife and the BCa bootstrap, over units; a share of
      the champion's metric is tested without being divided (``student.ShareT``).

    Parameters
    ----------
    predictions : PairedPredictions
        Truth and predictions.
    questions : iterable of Question
        Of one call, those about the same rows see the same draws.
    design : Design
        Level, resamples, seed, and what is drawn together.

    Returns
    -------
    list of Evidence
        One for each question. What could not be measured is NaN, and ``method`` says why.

    Raises
    ------
    ConfigError
        If a metric of one's own cannot be imported.

    Examples
    --------
    >>> from airflow_mlops.gate.rows import Answers
    >>> from airflow_mlops.project.gate_spec import RuleSpec
    >>> rng = np.random.default_rng(0)
    >>> y_true, noise = rng.normal(200, 50, 480), rng.normal(0, 1, (2, 480))
    >>> rows = PairedPredictions(
    ...     "regression", np.arange(480).astype(str), y_true, Answers(y_true + 40 * noise[0]),
    ...     Answers(y_true + 44 * noise[1]), columns={"night": np.repeat(np.arange(20).astype(str), 24)})
    >>> rule = RuleSpec(metric="rmse", kind="non_inferior", margin=0.05)
    >>> [found] = measure(rows, [Question(rule)], design=Design())
    >>> f"{found.estimate:+.3f} ({found.low:+.3f} to {found.high:+.3f}) over {found.drawn}, p = {found.p_value:.4f}"
    '-0.178 (-0.241 to -0.110) over 20 nights, p = 0.0002'
    """
    samples: dict[bytes | None, Sample] = {}
    cases = []
    for question in questions:
        key = None if question.rows is None else question.rows.tobytes()
        if key not in samples:
            samples[key] = Sample.of(predictions, question.rows, design)
        cases.append(Figures.of(question.rule, samples[key], predictions.champion_fault))
    resampled = _resampled(cases, design)
    return [_evidence(case, _inference(case, resampled.get(case), design), design.alpha) for case in cases]


def _resampled(cases: Sequence[Figures], design: Design) -> dict[Figures, Resampled]:
    """Resample all metrics of the same rows at once."""
    found: dict[Figures, Resampled] = {}
    by_rows: dict[Sample, list[Figures]] = {}
    for case in cases:
        if case.sums and not case.why_not and not case.counts_rows:
            by_rows.setdefault(case.sample, []).append(case)
    for sample, group in by_rows.items():
        parts = [
            part if part.signed is None or not case.rule.compares else replace(part, of_sums=part.signed)
            for case in group
            for part in case.compared
        ]
        figures = iter(resampled_metrics(parts, sample.units, resamples=design.resamples, seed=design.seed))
        found |= {case: beside([next(figures) for _ in case.compared]) for case in group}
    return found


def _inference(case: Figures, resampled: Resampled | None, design: Design) -> Inference:
    rule, sample = case.rule, case.sample
    if case.why_not:
        return StudentT(case.estimate, math.nan, 0, case.why_not)
    if sample.units.degrees_of_freedom < 1:
        return StudentT(
            case.estimate,
            math.nan,
            0,
            f"no test: {_drawn(sample)} {'has' if sample.units.count == 1 else 'have'} no spread",
        )
    if case.champion == 0 and rule.compares and not rule.points:
        return StudentT(0.0, 0.0, sample.units.degrees_of_freedom, "no test: neither model errs")
    if (discordant := case.discordant) and case.counts_rows:
        tango = Tango(discordant.gained, discordant.lost, discordant.counted)
        mcnemar = McNemar(tango.gained, tango.lost, tango.rows)
        return MostCautious((mcnemar, tango)) if rule.kind == "superior" else tango
    if rule.metric == "auc":
        return _area_inference(case)
    if resampled is None:
        resampled = resampled_function(_figures_of(case), sample.units, resamples=design.resamples, seed=design.seed)
    with np.errstate(all="ignore"):
        return _of_resampled(case, resampled)


def _of_resampled(case: Figures, resampled: Resampled) -> Inference:
    rule, discordant = case.rule, case.discordant
    # A figure that may be negative (of the user's own) has no share that can be tested undivided.
    if rule.compares and not rule.points and not rule.own:
        return resampled.share()
    if rule.compares and case.sums and case.sums[0].signed:
        return _folded(case, resampled)
    found = resampled.inference(estimate_of(rule))
    if not rule.compares:
        return found
    student = resampled.student(estimate_of(rule))
    if discordant and rule.metric in PROPORTIONS:
        return MostCautious((found, _clustered_tango(discordant, student)))
    if discordant and (step := largest_step(rule.metric, case.sums[1])):
        return MostCautious((found, _at_least(student, step * discordant.per_unit)))
    if student.standard_error == 0 and not case.sample.alike:
        return replace(student, standard_error=math.nan, method="no test: no unit tells the models apart")
    return found


def _clustered_tango(discordant: Discordant, student: StudentT) -> Inference:
    """Tango's test of rows that hang together: few of them are discordant, and t alone promotes 6 % at alpha = 5 %."""
    gained, lost, counted = discordant.gained, discordant.lost, discordant.counted
    of_rows = ((gained + lost) / counted - student.estimate**2) / counted
    # Of one unit that differs, or none, nothing is known of how far units go together: each counts as one row.
    design_effect = max(discordant.per_unit, student.standard_error**2 / of_rows if of_rows > 0 else 1.0)
    return Tango(gained, lost, counted, design_effect, student.df)


def _at_least(student: StudentT, step: float) -> AtLeastPoisson:
    return AtLeastPoisson(student.estimate, student.standard_error, student.df, step)


def _folded(case: Figures, resampled: Resampled) -> Inference:
    """Both signs of both models' figures; ``signed`` ones, of which the metric is the absolute value."""
    discordant = case.discordant
    together = 1.0 if discordant is None else discordant.per_unit
    step = together / case.sample.y_true.size

    def part(sign: float, other: float) -> Inference:
        def summed(figures: Floats) -> Floats:
            return np.asarray(sign * figures[..., 0] + other * figures[..., 1])

        return MostCautious((resampled.inference(summed), _at_least(resampled.student(summed), step)))

    return Folded([(part(sign, -sign), part(sign, sign)) for sign in (1.0, -1.0)])


def _area_inference(case: Figures) -> Inference:
    sample = case.sample
    models = sample.models[:2] if case.rule.compares else sample.models[:1]
    scores = np.stack([model.probabilities[:, 1] for model in models if model.probabilities is not None])
    alone = sample.units.are_rows
    found = areas(sample.y_true, scores, None if alone else sample.units.of_row)
    contrast = np.array([1.0, -1.0])[: len(scores)]
    with np.errstate(invalid="ignore"):
        error = float(np.sqrt(max(contrast @ found.covariance @ contrast, 0.0)))
    delong = StudentT(case.estimate, error, found.contrast_df, "DeLong" if alone else "jackknife over clusters")
    if len(scores) == 1:
        return delong
    positives = int((sample.y_true == 1).sum())
    pair = (float(found.values[0]), float(found.values[1]))
    smaller_class = min(positives, sample.y_true.size - positives)
    return MostCautious((delong, SquareAndAdd(pair, found.covariance, found.contrast_df, smaller_class)))


def _figures_of(case: Figures) -> Callable[[npt.NDArray[np.intp]], Floats]:
    metric, sample = load_metric(case.rule.metric), case.sample
    models = sample.models[:2] if case.rule.compares else sample.models[:1]
    return lambda rows: np.array([own_value(metric, sample.y_true[rows], model.values[rows])[0] for model in models])


def _drawn(sample: Sample) -> str:
    units = sample.units
    return f"{units.count} {singular(units.noun) if units.count == 1 else units.noun}"


def _evidence(case: Figures, inference: Inference, alpha: float) -> Evidence:
    rule, rows = case.rule, case.sample.y_true.size
    known = not case.why_not
    low, high = inference.bounds(alpha) if known else (math.nan, math.nan)
    towards, away = (inference.p_above, inference.p_below) if rule.higher else (inference.p_below, inference.p_above)
    least = _least_difference(case, low, high, alpha) if known else None
    return Evidence(
        rows=rows,
        units=case.sample.units.count,
        drawn=_drawn(case.sample),
        method=inference.method,
        challenger=case.challenger,
        champion=case.champion,
        estimate=case.estimate,
        low=low,
        high=high,
        p_value=towards(case.bound) if known else None,
        p_worse=away(case.bound) if known else None,
        least_difference=least,
        rows_needed=None if least is None or not rule.compares else _rows_needed(case, least),
        alike=case.sample.alike,
    )


def _least_difference(case: Figures, low: float, high: float, alpha: float) -> float | None:
    """Distance from the bound that is shown in four of five cases: (quantile of the test + z) standard errors."""
    reach = case.estimate - low if case.rule.higher else high - case.estimate
    df = max(case.sample.units.degrees_of_freedom, 1)
    least = reach * (1 + float(special.ndtri(_POWER) / special.stdtrit(df, 1 - alpha)))
    return least if math.isfinite(least) else None


def _rows_needed(case: Figures, least: float) -> int | None:
    """Rows on which the distance that was seen is the least that is shown: errors shrink as the root of rows."""
    gap = case.estimate - case.bound if case.rule.higher else case.bound - case.estimate
    if gap <= 0:
        return None
    needed = case.sample.y_true.size * (least / gap) ** 2
    return math.ceil(needed) if math.isfinite(needed) else None
