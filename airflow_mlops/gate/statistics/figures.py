"""The figures of a question, and what stands in the way of testing them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from airflow_mlops.gate.rows import Floats
from airflow_mlops.gate.statistics.metrics import Sums, load_metric, metric_value
from airflow_mlops.gate.statistics.own import own_value
from airflow_mlops.gate.statistics.resampled import relative_difference
from airflow_mlops.gate.statistics.sample import Sample
from airflow_mlops.gate.statistics.shares import PROPORTIONS, Discordant
from airflow_mlops.project.gate_spec import RuleSpec

__all__ = ["Figures", "estimate_of"]

_OF_PROBABILITIES = frozenset({"auc", "log_loss", "brier", "ece"})


@dataclass(frozen=True, eq=False)
class Figures:
    """A question with its figures; ``why_not`` says what stands in the way of a test, if anything does."""

    rule: RuleSpec
    sample: Sample
    sums: tuple[Sums, ...]
    challenger: float
    champion: float | None
    estimate: float
    why_not: str

    @classmethod
    def of(cls, rule: RuleSpec, sample: Sample, champion_fault: str | None) -> Figures:
        """Take the figures of a rule in some rows."""
        if sample.y_true.size == 0 or rule.of_model:
            why_not = "it is of the model, not of its answers" if rule.of_model else "there is no row"
            return cls(rule, sample, (), math.nan, None, math.nan, why_not)
        sums = tuple(part for model in sample.models if (part := sample.sums(rule, model)) is not None)
        with np.errstate(all="ignore"):
            figures = [part.value() for part in sums]
        whys = ["" for _ in figures]
        if rule.own:
            metric = load_metric(rule.metric)
            found = [own_value(metric, sample.y_true, model.values) for model in sample.models]
            figures, whys = [value for value, _ in found], [why for _, why in found]
        elif not sums:
            figures = [metric_value(rule, sample.y_true, model, classes=sample.classes) for model in sample.models]
        champion = figures[1] if len(figures) > 1 else None
        why_not = sample.fault or _why_not(rule, sample, figures, whys, champion_fault)
        estimate = figures[0]
        if rule.compares:
            estimate = math.nan if why_not else float(estimate_of(rule)(np.array(figures)))
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

    @cached_property
    def discordant(self) -> Discordant | None:
        """Rows in which the models differ, of a comparison of sums."""
        if self.why_not or not self.rule.compares or not self.sums:
            return None
        return Discordant.of(self.sums[0], self.sums[1], self.sample.units)

    @property
    def counts_rows(self) -> bool:
        """Whether a test of right and wrong rows is at hand."""
        return self.rule.metric in PROPORTIONS and self.discordant is not None and self.discordant.alone


def _why_not(
    rule: RuleSpec, sample: Sample, figures: Sequence[float], whys: Sequence[str], champion_fault: str | None
) -> str:
    for model, name, figure, why in zip(
        sample.models, ("challenger", "champion"), figures, whys or ("", ""), strict=False
    ):
        if math.isfinite(figure) or (name == "champion" and not rule.compares):
            continue
        if rule.metric in _OF_PROBABILITIES and model.probabilities is None:
            return (
                f"{rule.metric} needs probabilities, and the {name} gave classes: give p_<class> columns, or y_pred as "
                "a probability; a y_pred of 0.0 and 1.0 alone is taken for classes"
            )
        return f"of the {name}, {why}" if why else f"the {name}'s {rule.metric} is not defined on these rows"
    if not rule.compares:
        return ""
    if len(figures) == 1:
        return champion_fault or "there is no champion"
    if rule.metric == "ece":
        return "two models' ece cannot be compared, since chance adds most to that of the better one: compare brier"
    if not rule.points and figures[1] == 0 and not (figures[0] == 0 and sample.alike):
        return f"the champion's {rule.metric} is 0, of which nothing is a share"
    return ""


def estimate_of(rule: RuleSpec) -> Callable[[Floats], Floats]:
    """What is made of the figures of one model, or of two."""
    if not rule.compares:
        return lambda figures: figures[..., 0]
    return (lambda figures: figures[..., 0] - figures[..., 1]) if rule.points else relative_difference
