"""When a challenger is promoted: the ``[gate]`` table of ``model.toml``, and the rules of ``airflow-mlops gate``."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, NamedTuple, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from airflow_mlops.project.section import Section

__all__ = ["METRICS", "BehaviourSpec", "GateRules", "GateSpec", "MetricTraits", "RuleSpec", "Task"]

Task = Literal["regression", "binary", "multiclass", "ranking", "quantile"]


class MetricTraits(NamedTuple):
    """What has to be known of a metric to write a rule about it.

    ``points`` says that it lies between 0 and 1 and has no unit: a margin then is a difference, not a share.
    """

    tasks: frozenset[str]
    greater_is_better: bool
    points: bool


def _traits(*tasks: str, better: Literal["lower", "higher"], points: bool) -> MetricTraits:
    return MetricTraits(frozenset(tasks), better == "higher", points)


_EVERY_TASK = ("regression", "binary", "multiclass", "ranking", "quantile")

METRICS: Mapping[str, MetricTraits] = MappingProxyType(
    {
        "rmse": _traits("regression", better="lower", points=False),
        "mae": _traits("regression", better="lower", points=False),
        "mape": _traits("regression", better="lower", points=False),
        "bias": _traits("regression", better="lower", points=False),
        "r2": _traits("regression", better="higher", points=True),
        "pinball": _traits("quantile", "regression", better="lower", points=False),
        "coverage_error": _traits("quantile", better="lower", points=True),
        "accuracy": _traits("binary", "multiclass", better="higher", points=True),
        "balanced_accuracy": _traits("binary", "multiclass", better="higher", points=True),
        "precision": _traits("binary", better="higher", points=True),
        "recall": _traits("binary", better="higher", points=True),
        "false_positive_rate": _traits("binary", better="lower", points=True),
        "selection_rate": _traits("binary", better="higher", points=True),
        "f1": _traits("binary", "multiclass", better="higher", points=True),
        "auc": _traits("binary", better="higher", points=True),
        "log_loss": _traits("binary", "multiclass", better="lower", points=False),
        "brier": _traits("binary", "multiclass", better="lower", points=True),
        "ece": _traits("binary", "multiclass", better="lower", points=True),
        "ndcg": _traits("ranking", better="higher", points=True),
        "mrr": _traits("ranking", better="higher", points=True),
        "hit_rate": _traits("ranking", better="higher", points=True),
        # Of the model itself, not of its answers.
        "p99_latency_ms": _traits(*_EVERY_TASK, better="lower", points=False),
        "size_mb": _traits(*_EVERY_TASK, better="lower", points=False),
    }
)

COSTS = frozenset({"p99_latency_ms", "size_mb"})

# Keys that say something to some rules only: a bar that nobody holds anything against is worse than none.
_OF_KIND = {
    "margin": "non_inferior", "max": "absolute", "min": "absolute", "max_difference": "parity", "min_ratio": "parity",
}  # fmt: skip
_OF_METRIC = {"quantile": ("pinball", "coverage_error"), "k": ("ndcg", "mrr", "hit_rate")}


class RuleSpec(Section):
    """One rule of the gate."""

    metric: str = Field(
        description="What is measured: a name below, or `package.module.function` of your own, which is called with "
        "y_true and y_pred and returns a number."
    )
    kind: Literal["absolute", "non_inferior", "superior", "parity"] = Field(
        description="absolute: the challenger's metric is at most `max`, or at least `min`. non_inferior: worse than "
        "the champion by at most `margin`. superior: better than the champion. parity: between the groups of `slice`, "
        "the challenger's metric differs by at most `max_difference`, and the ratio is at least `min_ratio`."
    )
    on: Literal["golden", "recent"] = Field(default="golden", description="The frozen set, or the last nights.")
    slice: str | None = Field(default=None, description="Column: the rule must hold in the rows of each of its values.")
    levels: tuple[str, ...] = Field(
        default=(), strict=False, description="Values of `slice` that must be there, and are judged alone."
    )
    margin: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        description="What is given away: a share of the champion's metric, such as 0.02; for metrics between 0 and 1 "
        "(accuracy, auc, brier, ...) the difference itself.",
    )
    max: float | None = Field(default=None, description="Bound of an absolute rule where lower is better.")
    min: float | None = Field(default=None, description="Bound of an absolute rule where higher is better.")
    max_difference: float | None = Field(default=None, ge=0, description="Bound of a parity rule.")
    min_ratio: float | None = Field(default=None, gt=0, le=1, description="Bound of a parity rule.")
    quantile: float | None = Field(default=None, gt=0, lt=1, description="Level of pinball and coverage_error.")
    k: int | None = Field(default=None, ge=1, description="Ranking metrics look at the first k; by default at all.")
    greater_is_better: bool = Field(default=False, description="Of a metric of your own.")
    min_rows: int = Field(
        default=100,
        ge=2,
        description="Fewer than this are no evidence: rows, or what the metric counts (positives, negatives, queries).",
    )
    required: bool = Field(default=True, description="false: reported, but decides nothing.")

    @property
    def own(self) -> bool:
        """Whether the metric is a function of the user's."""
        return self.metric not in METRICS

    @property
    def higher(self) -> bool:
        """Whether more of the metric is better."""
        return self.greater_is_better if self.own else METRICS[self.metric].greater_is_better

    @property
    def points(self) -> bool:
        """Whether a margin is a difference rather than a share of the champion's metric."""
        return not self.own and METRICS[self.metric].points

    @property
    def of_model(self) -> bool:
        """Whether the model itself is measured (its size, its speed), not its answers."""
        return self.metric in COSTS

    @property
    def compares(self) -> bool:
        """Whether a champion is needed."""
        return self.kind in ("non_inferior", "superior")

    @field_validator("metric")
    @classmethod
    def _metric_is_known(cls, metric: str) -> str:
        parts = metric.replace(":", ".").split(".")
        if metric in METRICS or (len(parts) > 1 and all(part.isidentifier() for part in parts)):
            return metric
        near = difflib.get_close_matches(metric, METRICS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(METRICS)}."
        raise ValueError(f"no metric {metric!r}; {hint} One of your own is written package.module.function")

    @field_validator("max")
    @classmethod
    def _bound_can_be_kept(cls, bound: float | None, info: ValidationInfo) -> float | None:
        if bound is not None and bound <= 0 and info.data.get("metric") in METRICS:
            raise ValueError(f"{info.data['metric']} is never below 0: expected more than that, got {bound:g}")
        return bound

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Self:
        if self.kind == "absolute":
            wanted, other = ("min", "max") if self.higher else ("max", "min")
            if getattr(self, wanted) is None:
                better = "higher" if self.higher else "lower"
                raise ValueError(
                    f"an absolute rule needs `{wanted}`, since of {self.metric} {better} is better"
                    + (f"; `{other}` is for metrics where it is not" if getattr(self, other) is not None else "")
                )
        if self.kind == "non_inferior" and self.margin is None:
            raise ValueError("a non_inferior rule needs `margin`, such as 0.02")
        if self.kind == "parity" and (self.slice is None or (self.max_difference is None and self.min_ratio is None)):
            raise ValueError("a parity rule needs `slice`, and `max_difference` or `min_ratio`")
        if self.metric in ("pinball", "coverage_error") and self.quantile is None:
            raise ValueError(f"{self.metric} needs `quantile`, the level that the model predicts, such as 0.9")
        if self.metric == "ece" and self.compares:
            raise ValueError(
                "ece is not compared, since chance adds most to that of the better calibrated model: compare brier or "
                "log_loss, and keep ece for an absolute rule"
            )
        if self.levels and self.slice is None:
            raise ValueError("`levels` are values of a column: name it with `slice`")
        if self.of_model and (self.slice is not None or self.kind == "parity"):
            raise ValueError(f"{self.metric} is of the whole model: it has no slices")
        return self

    @model_validator(mode="after")
    def _has_nothing_idle(self) -> Self:
        for key, kind in _OF_KIND.items():
            if getattr(self, key) is not None and self.kind != kind:
                raise ValueError(f"`{key}` is for {kind} rules, this one is {self.kind}: leave it out")
        idle = "max" if self.higher else "min"
        if getattr(self, idle) is not None:
            better = "higher" if self.higher else "lower"
            raise ValueError(f"`{idle}` says nothing here, since of {self.metric} {better} is better: leave it out")
        for key, metrics in _OF_METRIC.items():
            if getattr(self, key) is not None and self.metric not in metrics:
                raise ValueError(f"`{key}` is for {', '.join(metrics)}, this rule is about {self.metric}: leave it out")
        if "greater_is_better" in self.model_fields_set and not self.own:
            raise ValueError(
                f"`greater_is_better` is for metrics of your own, of {self.metric} it is known: leave it out"
            )
        return self


class BehaviourSpec(Section):
    """What must hold whatever the data are: change a feature, and say what the prediction may do."""

    name: str = Field(min_length=1, description="In words, such as 'more rain, not more riders'.")
    feature: str = Field(description="The feature that is changed in every golden row.")
    add: float | None = Field(default=None, description="What is added to it.")
    multiply: float | None = Field(default=None, description="What it is multiplied with.")
    set: float | None = Field(default=None, description="What it becomes.")
    within: tuple[float, float] | None = Field(
        default=None, strict=False, description="Rows whose changed value falls outside are left out."
    )
    expect: Literal["same", "not_more", "not_less"] = Field(description="What the prediction may do.")
    tolerance: float = Field(default=0.0, ge=0, description="Change in the prediction's unit that does not count.")
    max_violations: float = Field(default=0.05, ge=0, lt=1, description="Share of rows that may do otherwise.")
    required: bool = Field(default=True, description="false: reported, but decides nothing.")

    @model_validator(mode="after")
    def _changes_in_one_way(self) -> Self:
        if sum(change is not None for change in (self.add, self.multiply, self.set)) != 1:
            raise ValueError("expected one of `add`, `multiply` and `set`")
        return self


class GateSpec(Section):
    """When a challenger takes the champion's place."""

    golden: str = Field(default="v1", pattern=r"^[\w.-]+$", description="Name of the frozen golden set.")
    golden_digest: str | None = Field(
        default=None, pattern=r"^sha256:[0-9a-f]{64}$", description="Refuse any other golden set than this."
    )
    recent_nights: int = Field(default=7, ge=1, description="Nights of the recent window.")
    alpha: float = Field(default=0.05, gt=0, lt=0.5, description="Chance of promoting one worse by the margin.")
    resamples: int = Field(default=2000, ge=200, le=100_000, description="Of the bootstrap.")
    cluster: str | None = Field(
        default=None, description="Column whose rows are drawn together; by default `night` where there is one."
    )
    strata: str | None = Field(default=None, description="Column within whose values units are drawn.")
    query: str | None = Field(default=None, description="Column that says which rows are ranked together.")
    positive: str | None = Field(
        default=None, description="The positive class of a binary task; by default 1 (beside 0 or -1) or true."
    )
    slices: tuple[str, ...] = Field(
        default=(), strict=False, description="Columns in which the gate looks for where the challenger loses most."
    )
    approval: Literal["hold", "always", "never"] = Field(
        default="hold",
        description="Whether a person decides: on what the gate holds, on all it does not reject, or never.",
    )
    approval_hours: float = Field(default=72.0, gt=0, description="A person who does not answer by then rejects.")
    allowed_pickles: tuple[str, ...] = Field(
        default=(), strict=False, description="Digests of pickle files that may stand in the artefact."
    )
    rules: tuple[RuleSpec, ...] = Field(min_length=1, strict=False, description="All required ones must hold.")
    behaviour: tuple[BehaviourSpec, ...] = Field(
        default=(), strict=False, description="What must hold whatever the data are."
    )

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the data that the rules ask for besides truth and prediction."""
        wanted = (*(rule.slice for rule in self.rules), *self.slices, self.cluster, self.strata, self.query)
        return tuple(dict.fromkeys(name for name in wanted if name is not None))

    def unsuited(self, task: Task) -> str | None:
        """Say what does not go with the task, if anything does not."""
        for rule in self.rules:
            if not rule.own and task not in METRICS[rule.metric].tasks:
                fitting = ", ".join(name for name, traits in METRICS.items() if task in traits.tasks)
                return f"{rule.metric} is no metric of the task {task!r}; it has {fitting}"
        if task == "ranking" and self.query is None:
            return "the task 'ranking' needs `query`, the column that says which rows are ranked together"
        return None


class GateRules(GateSpec):
    """A rules file: the ``[gate]`` table of ``model.toml`` at its top, and the task."""

    task: Task = Field(description="What is predicted.")

    @model_validator(mode="after")
    def _rules_suit_the_task(self) -> Self:
        if fault := self.unsuited(self.task):
            raise ValueError(fault)
        return self
