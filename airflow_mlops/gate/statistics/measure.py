"""How good the challenger is, how good against the champion, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from airflow_mlops.gate.evidence import Design, Evidence, Question
from airflow_mlops.gate.rows import Floats, PairedPredictions
from airflow_mlops.gate.statistics.delong import SquareAndAdd, areas
from airflow_mlops.gate.statistics.inference import Inference, MostCautious
from airflow_mlops.gate.statistics.mcnemar import McNemar, Tango
from airflow_mlops.gate.statistics.metrics import Sums, load_metric, metric_value
from airflow_mlops.gate.statistics.own import own_value
from airflow_mlops.gate.statistics.resampled import (
    Resampled,
    beside,
    relative_difference,
    resampled_function,
    resampled_metrics,
)
from airflow_mlops.gate.statistics.sample import Sample
from airflow_mlops.gate.statistics.student import StudentT
from airflow_mlops.project.gate_spec import RuleSpec

__all__ = ["measure"]

_POWER = 0.8


def measure(predictions: PairedPredictions, questions: Sequence[Question], *, design: Design) -> list[Evidence]:
    """Measure a challenger, alone or against the champion on the same rows.

    - accuracy, rows drawn by themselves: Tango's score test; superior: exact McNemar (mid-p) besides. Clusters: what
      everything else has, and Tango's with their design effect.
    - auc: DeLong, of clusters the jackknife (Obuchowski); against a champion the more cautious of it and of the bounds
      of each area.
    - everything else: the more cautious of Student's t on the jackknife and the BCa bootstrap, over units; a share of
      the champion's metric is tested without being divided (``student.ShareT``).

    Parameters
    ----------
    predictions : PairedPredictions
        Truth and predictions.
    questions : sequence of Question
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
    >>> rng = np.random.default_rng(0)
    >>> y_true, noise = rng.normal(200, 50, 480), rng.normal(0, 1, (2, 480))
    >>> rows = PairedPredictions(
    ...     "regression", np.arange(480).astype(str), y_true, Answers(y_true + 40 * noise[0]),
    ...     Answers(y_true + 44 * noise[1]), columns={"night": np.repeat(np.arange(20).astype(str), 24)})
    >>> rule = RuleSpec(metric="rmse", kind="non_inferior", margin=0.05)
    >>> [found] = measure(rows, [Question(rule)], design=Design())
    >>> f"{found.estimate:+.3f} ({found.low:+.3f} to {found.high:+.3f}) over {found.drawn}, p = {found.p_value:.4f}"
    '-0.178 (-0.242 to -0.110) over 20 nights, p = 0.0009'
    """
    samples: dict[bytes | None, Sample] = {}
    cases = []
    for question in questions:
        key = None if question.rows is None else np.packbits(question.rows).tobytes()
        if key not in samples:
            samples[key] = Sample.of(predictions, question.rows, design)
        cases.append(_Case.of(question.rule, samples[key], predictions.champion_fault))
    resampled = _resampled(cases, design)
    return [_evidence(case, _inference(case, resampled.get(case), design), design.alpha) for case in cases]


@dataclass(frozen=True, eq=False)
class _Case:
    """A question with its figures; ``why_not`` says what stands in the way of a test, if anything does."""

    rule: RuleSpec
    sample: Sample
    sums: tuple[Sums, ...]
    challenger: float
    champion: float | None
    estimate: float
    why_not: str

    @classmethod
    def of(cls, rule: RuleSpec, sample: Sample, champion_fault: str | None) -> _Case:
        if sample.y_true.size == 0 or rule.of_model:
            why_not = "it is of the model, not of its answers" if rule.of_model else "there is no row"
            return cls(rule, sample, (), math.nan, None, math.nan, why_not)
        sums = tuple(part for model in sample.models if (part := sample.sums(rule, model)) is not None)
        with np.errstate(all="ignore"):
            figures = [part.value() for part in sums]
        if not sums:
            figures = [metric_value(rule, sample.y_true, model, classes=sample.classes) for model in sample.models]
        champion = figures[1] if len(figures) > 1 else None
        why_not = sample.fault or _why_not(rule, figures, champion_fault)
        estimate = figures[0]
        if rule.compares:
            estimate = math.nan if why_not else float(_estimate_of(rule)(np.array(figures)))
        return cls(rule, sample, sums, figures[0], champion, estimate, why_not)

    @property
    def compared(self) -> tuple[Sums, ...]:
        """Sums of the models that the estimate is made of."""
        return self.sums if self.rule.compares else self.sums[:1]

    @property
    def bound(self) -> float:
        """What the rule holds the estimate against."""
        if self.rule.kind == "absolute":
            bound = self.rule.min if self.rule.higher else self.rule.max
            return math.nan if bound is None else bound
        margin = 0.0 if self.rule.kind == "superior" else self.rule.margin or 0.0
        return -margin if self.rule.higher else margin

    @property
    def counts_rows(self) -> bool:
        """Whether a test of right and wrong rows is at hand."""
        return self.rule.metric == "accuracy" and self.rule.compares and self.sample.units.are_rows


def _why_not(rule: RuleSpec, figures: Sequence[float], champion_fault: str | None) -> str:
    if not math.isfinite(figures[0]):
        return f"the challenger's {rule.metric} is not defined on these rows"
    if not rule.compares:
        return ""
    if len(figures) == 1:
        return champion_fault or "there is no champion"
    if not math.isfinite(figures[1]):
        return f"the champion's {rule.metric} is not defined on these rows"
    if not rule.points and figures[1] == 0:
        return f"the champion's {rule.metric} is 0, of which nothing is a share"
    return ""


def _estimate_of(rule: RuleSpec) -> Callable[[Floats], Floats]:
    """What is made of the figures of one model, or of two."""
    if not rule.compares:
        return lambda figures: figures[..., 0]
    return (lambda figures: figures[..., 0] - figures[..., 1]) if rule.points else relative_difference


def _resampled(cases: Sequence[_Case], design: Design) -> dict[_Case, Resampled]:
    """Resample all metrics of the same rows at once."""
    found: dict[_Case, Resampled] = {}
    by_rows: dict[Sample, list[_Case]] = {}
    for case in cases:
        if case.sums and not case.why_not and not case.counts_rows:
            by_rows.setdefault(case.sample, []).append(case)
    for sample, group in by_rows.items():
        parts = [part for case in group for part in case.compared]
        figures = iter(resampled_metrics(parts, sample.units, resamples=design.resamples, seed=design.seed))
        found |= {case: beside([next(figures) for _ in case.compared]) for case in group}
    return found


def _inference(case: _Case, resampled: Resampled | None, design: Design) -> Inference:
    rule, sample = case.rule, case.sample
    if case.why_not:
        return StudentT(case.estimate, math.nan, 0, case.why_not)
    if sample.units.degrees_of_freedom < 1:
        return StudentT(case.estimate, math.nan, 0, f"no test: {_drawn(sample)} have no spread")
    if case.counts_rows:
        tango = Tango(*sample.discordant(), sample.y_true.size)
        mcnemar = McNemar(tango.gained, tango.lost, tango.rows)
        return MostCautious((mcnemar, tango)) if rule.kind == "superior" else tango
    if rule.metric == "auc":
        return _area_inference(case)
    if resampled is None:
        resampled = resampled_function(_figures_of(case), sample.units, resamples=design.resamples, seed=design.seed)
    with np.errstate(all="ignore"):
        # A figure that may be negative (of the user's own) has no share that can be tested undivided.
        if rule.compares and not rule.points and not rule.own:
            return resampled.share()
        found = resampled.inference(_estimate_of(rule))
    if rule.metric == "accuracy" and rule.compares:
        return MostCautious((found, _clustered_tango(case, resampled)))
    return found


def _clustered_tango(case: _Case, resampled: Resampled) -> Inference:
    """Tango's test of rows that hang together: few of them are discordant, and t alone promotes 6 % at alpha = 5 %."""
    gained, lost = case.sample.discordant()
    rows = case.sample.y_true.size
    of_rows = ((gained + lost) / rows - case.estimate**2) / rows
    variance = resampled.student(_estimate_of(case.rule)).standard_error ** 2
    design_effect = max(1.0, variance / of_rows) if of_rows > 0 else 1.0
    return Tango(gained, lost, rows, design_effect, resampled.degrees_of_freedom)


def _area_inference(case: _Case) -> Inference:
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


def _figures_of(case: _Case) -> Callable[[npt.NDArray[np.intp]], Floats]:
    metric, sample = load_metric(case.rule.metric), case.sample
    models = sample.models[:2] if case.rule.compares else sample.models[:1]
    return lambda rows: np.array([own_value(metric, sample.y_true[rows], model.values[rows])[0] for model in models])


def _drawn(sample: Sample) -> str:
    return f"{sample.units.count} {sample.units.noun}"


def _evidence(case: _Case, inference: Inference, alpha: float) -> Evidence:
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
    )


def _least_difference(case: _Case, low: float, high: float, alpha: float) -> float | None:
    """Distance from the bound that is shown in four of five cases: (quantile of the test + z) standard errors."""
    reach = case.estimate - low if case.rule.higher else high - case.estimate
    df = max(case.sample.units.degrees_of_freedom, 1)
    least = reach * (1 + float(special.ndtri(_POWER) / special.stdtrit(df, 1 - alpha)))
    return least if math.isfinite(least) else None


def _rows_needed(case: _Case, least: float) -> int | None:
    """Rows on which the distance that was seen is the least that is shown: errors shrink as the root of rows."""
    gap = case.estimate - case.bound if case.rule.higher else case.bound - case.estimate
    if gap <= 0:
        return None
    needed = case.sample.y_true.size * (least / gap) ** 2
    return math.ceil(needed) if math.isfinite(needed) else None
