"""Rules laid out over the sets and their slices: each case is one rule in one set of rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from airflow_mlops.gate.evidence import Evidence
from airflow_mlops.gate.levels import level_codes
from airflow_mlops.gate.rows import Answers, Floats, PairedPredictions, UnusablePredictions
from airflow_mlops.project.gate_spec import GateSpec, RuleSpec
from airflow_mlops.records.verdict import Decision

__all__ = ["NOT_MEASURED", "Case", "Predictions", "laid_out"]

Predictions = PairedPredictions | UnusablePredictions

_NAN = float("nan")
NOT_MEASURED = Evidence(
    rows=0, units=0, drawn="0 rows", method="", challenger=_NAN, champion=None, estimate=_NAN, low=_NAN, high=_NAN
)
# A column with more values than this numbers its rows rather than sorts them.
_MAX_LEVELS = 1000
# The variance of a squared error is still a number then.
_LARGEST = 1e75
# A sentence that lists every missing level helps nobody.
_SHOWN = 3


@dataclass(frozen=True)
class Case:
    """One rule in one set of rows, and what is known of it so far.

    Attributes
    ----------
    rule : RuleSpec
        What is asked.
    slice : str or None
        In words, such as ``region=north``; of a parity rule ``difference over region``.
    rows : numpy.ndarray of bool, shape (n_rows,), or None
        The slice; None is every row.
    criterion : str or None
        What a parity rule bounds here.
    groups : numpy.ndarray of int, shape (n_rows,), or None
        Of a parity rule the group of each row; -1 is in none.
    fault : (Decision, str) or None
        What is decided before anything is measured, and why.
    evidence : Evidence
        What was measured.
    is_guard : bool
        Nobody's rule: asked of recent nights where no rule compares the models on them.
    """

    rule: RuleSpec
    slice: str | None = None
    rows: npt.NDArray[np.bool_] | None = None
    criterion: Literal["difference", "ratio"] | None = None
    groups: npt.NDArray[np.intp] | None = None
    fault: tuple[Decision, str] | None = None
    evidence: Evidence = NOT_MEASURED
    is_guard: bool = False

    @property
    def is_open(self) -> bool:
        """Whether there is anything to be measured."""
        return self.fault is None or self.fault[0] is Decision.HOLD

    @property
    def obstacle(self) -> tuple[Decision, str] | None:
        """What stands in the way of a decision by the figures, if anything does."""
        if self.fault:
            return self.fault
        rule, evidence = self.rule, self.evidence
        if evidence.rows == 0:
            return Decision.REJECT, "there is no row to judge on"
        if math.isinf(evidence.challenger):
            return Decision.REJECT, f"the challenger's {rule.metric} over {evidence.rows} rows is {evidence.challenger}"
        # Before NaN: an auc of three rows of one class is not the challenger's fault.
        if evidence.rows < rule.min_rows:
            return Decision.HOLD, f"{evidence.rows} rows are too thin, the rule wants {rule.min_rows}"
        if math.isnan(evidence.challenger):
            because = f" ({evidence.method})" if evidence.method else ""
            return (
                Decision.REJECT,
                f"the challenger's {rule.metric} over {evidence.rows} rows cannot be measured{because}",
            )
        if rule.compares and math.isnan(evidence.estimate):
            return Decision.HOLD, evidence.method or "the champion's metric cannot be compared with"
        return None

    @property
    def greater_is_better(self) -> bool:
        """In which direction the estimate wants to go."""
        return self.rule.higher if self.criterion is None else self.criterion == "ratio"

    @property
    def scale(self) -> Literal["value", "share", "points"]:
        """What the estimate is."""
        if not self.rule.compares:
            return "value"
        return "points" if self.rule.points else "share"

    @property
    def bound(self) -> float:
        """What the estimate is held against, on its scale and with its sign."""
        rule = self.rule
        if rule.kind == "absolute":
            bound = rule.min if rule.higher else rule.max
        elif rule.kind == "parity":
            bound = rule.min_ratio if self.criterion == "ratio" else rule.max_difference
        else:
            margin = 0.0 if rule.kind == "superior" else rule.margin or 0.0
            # Not -0.0, which prints its sign.
            bound = -margin if rule.higher and margin else margin
        return _NAN if bound is None else bound


def laid_out(spec: GateSpec, rule: RuleSpec, predictions: Predictions | None) -> list[Case]:
    """The cases of one rule: one, or one for each level of its slice, or one for each bound of a parity rule."""
    fault = _set_fault(spec, rule, predictions)
    if fault or not isinstance(predictions, PairedPredictions):
        return [Case(rule, rule.slice, fault=fault)]
    if predictions.y_true.size == 0:
        # Without a row there is no level, and a rule in no level would hold.
        return [Case(rule, rule.slice, fault=(Decision.REJECT, "there is no row to judge on"))]
    if rule.slice is None:
        every = np.ones(predictions.y_true.size, dtype=bool)
        return [Case(rule, fault=_odd_answers(rule, predictions, every))]
    codes, names = level_codes(predictions.columns[rule.slice])
    wanted = tuple(dict.fromkeys(rule.levels)) or tuple(names)
    if len(wanted) > _MAX_LEVELS:
        why = f"{rule.slice} has {len(wanted)} levels, more than the {_MAX_LEVELS} that can be judged: name `levels`"
        return [Case(rule, rule.slice, fault=(Decision.REJECT, why))]
    missing = [level for level in wanted if level not in names]
    if rule.kind == "parity":
        return _parity_cases(rule, predictions, names, wanted, missing, codes)
    cases = [
        Case(rule, f"{rule.slice}={level}", fault=(Decision.REJECT, f"no row has {rule.slice}={level}"))
        for level in missing
    ]
    number = {name: place for place, name in enumerate(names)}
    for level in wanted:
        if level in number:
            rows = codes == number[level]
            cases.append(Case(rule, f"{rule.slice}={level}", rows, fault=_odd_answers(rule, predictions, rows)))
    return cases


def _parity_cases(
    rule: RuleSpec,
    predictions: PairedPredictions,
    names: list[str],
    wanted: tuple[str, ...],
    missing: list[str],
    codes: npt.NDArray[np.intp],
) -> list[Case]:
    place = {level: group for group, level in enumerate(wanted)}
    groups = np.array([place.get(name, -1) for name in names], dtype=np.intp)[codes]
    sizes = np.bincount(groups[groups >= 0], minlength=len(wanted))
    fault = _odd_answers(rule, predictions, groups >= 0)
    if missing:
        fault = Decision.REJECT, f"no row has {rule.slice}={_some(missing)}"
    elif len(wanted) < 2:  # noqa: PLR2004  parity is between two
        fault = Decision.REJECT, f"parity is between groups, and all rows have {rule.slice}={wanted[0]}"
    elif fault is None and sizes.min() < rule.min_rows:
        thin = wanted[int(sizes.argmin())]
        fault = (
            Decision.HOLD,
            f"{sizes.min()} rows of {rule.slice}={thin} are too thin, the rule wants {rule.min_rows}",
        )
    bounds: dict[Literal["difference", "ratio"], float | None] = {
        "difference": rule.max_difference,
        "ratio": rule.min_ratio,
    }
    return [
        Case(rule, f"{criterion} over {rule.slice}", groups >= 0, criterion, groups, fault)
        for criterion, bound in bounds.items()
        if bound is not None
    ]


def _set_fault(spec: GateSpec, rule: RuleSpec, predictions: Predictions | None) -> tuple[Decision, str] | None:
    """What stands in the way of asking anything of the set."""
    if predictions is None:
        return Decision.HOLD, "there is no row to judge on"
    if isinstance(predictions, UnusablePredictions):
        return Decision.REJECT, predictions.reason
    if unsuited := spec.unsuited(predictions.task):
        return Decision.REJECT, unsuited
    if predictions.task == "binary" and len(predictions.classes) != 2:  # noqa: PLR2004  binary is two
        return Decision.REJECT, f"a binary task has two classes, the set {len(predictions.classes)}"
    asked: Mapping[str, str | None] = {
        "slice": rule.slice,
        "cluster": spec.cluster,
        "strata": spec.strata,
        "query": spec.query,
    }
    for key, column in asked.items():
        if column is not None and column not in predictions.columns:
            return Decision.REJECT, f"the set has no column {column!r}, which `{key}` names"
    return None


def _odd_answers(
    rule: RuleSpec, predictions: PairedPredictions, rows: npt.NDArray[np.bool_]
) -> tuple[Decision, str] | None:
    """Answers that nothing can be made of: a challenger's reject, a champion's hold what compares."""
    no_number = f"are NaN, infinite or beyond {_LARGEST:g}"
    if odd := _odd(Answers(predictions.y_true), rows):
        return Decision.REJECT, f"the true values {no_number} in {odd} rows"
    if odd := _odd(predictions.challenger, rows):
        return Decision.REJECT, f"the challenger's answers {no_number} in {odd} rows"
    for of, values in {
        "true values": predictions.y_true,
        "challenger's answers": predictions.challenger.values,
    }.items():
        if strays := _strays(predictions, values, rows):
            return Decision.REJECT, f"the {of} are none of the {len(predictions.classes)} classes in {strays} rows"
    if not rule.compares:
        return None
    if predictions.champion is None:
        return Decision.HOLD, predictions.champion_fault or "the champion's predictions are missing"
    if odd := _odd(predictions.champion, rows) or _strays(predictions, predictions.champion.values, rows):
        return Decision.HOLD, f"the champion's answers are no numbers, or no classes, in {odd} rows"
    return None


def _strays(predictions: PairedPredictions, values: Floats, rows: npt.NDArray[np.bool_]) -> int:
    """How many of these are not the number of a class."""
    if predictions.task not in ("binary", "multiclass"):
        return 0
    known = (values >= 0) & (values < len(predictions.classes)) & (values == np.floor(values))
    return int((~known & rows).sum())


def _odd(answers: Answers, rows: npt.NDArray[np.bool_]) -> int:
    odd = ~(np.abs(answers.values) <= _LARGEST)
    if answers.probabilities is not None:
        odd |= ~np.isfinite(answers.probabilities).all(axis=1)
    return int((odd & rows).sum())


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown
