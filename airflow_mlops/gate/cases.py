"""Rules laid out over the sets and their slices: each case is one rule in one set of rows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from airflow_mlops.gate.evidence import Evidence
from airflow_mlops.gate.faults import Predictions, counted_rows, odd_answers, set_fault, undefined
from airflow_mlops.gate.levels import level_codes
from airflow_mlops.gate.rows import PairedPredictions
from airflow_mlops.project.gate_spec import GateSpec, RuleSpec
from airflow_mlops.records.verdict import Decision

__all__ = ["NOT_MEASURED", "Case", "Predictions", "laid_out"]

_NAN = float("nan")
NOT_MEASURED = Evidence(
    rows=0, units=0, drawn="0 rows", method="", challenger=_NAN, champion=None, estimate=_NAN, low=_NAN, high=_NAN
)
# A column with more values than this numbers its rows rather than sorts them.
_MAX_LEVELS = 1000
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
    rows : numpy.ndarray of int, or None
        Numbers of the slice's rows: of a thousand levels they take no more room than of one. None is every row.
    counted : (int, str) or None
        How much there is of what the metric counts (positives, queries), and what that is; None where no row is.
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
    rows: npt.NDArray[np.intp] | None = None
    counted: tuple[int, str] | None = None
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
        counted, noun = self.counted or (evidence.rows, "rows")
        if counted < rule.min_rows:
            return Decision.HOLD, f"{counted} {noun} are too thin, the rule wants {rule.min_rows}"
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
    def rows_wanted(self) -> int | None:
        """Rows with which there would be as many as the rule wants of what the metric counts; None if there are."""
        counted, rows, wanted = self.counted[0] if self.counted else 0, self.evidence.rows, self.rule.min_rows
        if self.counted is None or counted >= wanted:
            return None
        return math.ceil(wanted * rows / counted) if counted else max(wanted, rows + 1)

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
    fault = set_fault(spec, rule, predictions)
    if fault or not isinstance(predictions, PairedPredictions):
        return [Case(rule, rule.slice, fault=fault)]
    if predictions.y_true.size == 0:
        # Without a row there is no level, and a rule in no level would hold.
        return [Case(rule, rule.slice, fault=(Decision.REJECT, "there is no row to judge on"))]
    if rule.slice is None:
        return [_case(spec, rule, predictions, None, np.arange(predictions.y_true.size))]
    codes, names = level_codes(predictions.columns[rule.slice])
    wanted = tuple(dict.fromkeys(rule.levels)) or tuple(names)
    if len(wanted) > _MAX_LEVELS:
        why = f"{rule.slice} has {len(wanted)} levels, more than the {_MAX_LEVELS} that can be judged: name `levels`"
        return [Case(rule, rule.slice, fault=(Decision.REJECT, why))]
    number = {name: place for place, name in enumerate(names)}
    missing = [level for level in wanted if level not in number]
    if rule.kind == "parity":
        return _parity_cases(spec, rule, predictions, wanted, missing, rows_of=_rows_of(codes, number))
    cases = [
        Case(rule, f"{rule.slice}={level}", fault=(Decision.REJECT, f"no row has {rule.slice}={level}"))
        for level in missing
    ]
    rows_of = _rows_of(codes, number)
    return cases + [
        _case(spec, rule, predictions, f"{rule.slice}={level}", rows_of[level]) for level in wanted if level in number
    ]


def _rows_of(codes: npt.NDArray[np.intp], number: dict[str, int]) -> dict[str, npt.NDArray[np.intp]]:
    """Numbers of each level's rows, in their order."""
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=len(number)))
    return {name: order[ends[place - 1] if place else 0 : ends[place]] for name, place in number.items()}


def _case(
    spec: GateSpec, rule: RuleSpec, predictions: PairedPredictions, name: str | None, rows: npt.NDArray[np.intp]
) -> Case:
    fault = odd_answers(rule, predictions, rows) or undefined(rule, predictions, rows)
    within = None if name is None else rows
    return Case(rule, name, within, counted_rows(spec, rule, predictions, rows), fault=fault)


def _parity_cases(
    spec: GateSpec,
    rule: RuleSpec,
    predictions: PairedPredictions,
    wanted: tuple[str, ...],
    missing: list[str],
    *,
    rows_of: dict[str, npt.NDArray[np.intp]],
) -> list[Case]:
    there = {level: rows_of[level] for level in wanted if level in rows_of}
    groups = np.full(predictions.y_true.size, -1, dtype=np.intp)
    for group, level in enumerate(wanted):
        groups[there.get(level, [])] = group
    inside = np.flatnonzero(groups >= 0)
    fault = odd_answers(rule, predictions, inside)
    if missing:
        fault = Decision.REJECT, f"no row has {rule.slice}={_some(missing)}"
    elif len(wanted) < 2:  # noqa: PLR2004  parity is between two
        fault = Decision.REJECT, f"parity is between groups, and all rows have {rule.slice}={wanted[0]}"
    elif fault is None:
        fault = _thin_group(spec, rule, predictions, there)
    bounds: dict[Literal["difference", "ratio"], float | None] = {
        "difference": rule.max_difference,
        "ratio": rule.min_ratio,
    }
    return [
        Case(rule, f"{criterion} over {rule.slice}", inside, None, criterion, groups, fault)
        for criterion, bound in bounds.items()
        if bound is not None
    ]


def _thin_group(
    spec: GateSpec, rule: RuleSpec, predictions: PairedPredictions, groups: dict[str, npt.NDArray[np.intp]]
) -> tuple[Decision, str] | None:
    """Why one of the groups is no evidence, if one is not."""
    for level, rows in groups.items():
        if fault := undefined(rule, predictions, rows):
            return fault[0], f"{rule.slice}={level}: {fault[1]}"
    counted = {level: counted_rows(spec, rule, predictions, rows) for level, rows in groups.items()}
    thin = min(counted, key=lambda level: counted[level][0])
    size, noun = counted[thin]
    if size >= rule.min_rows:
        return None
    return Decision.HOLD, f"{size} {noun} of {rule.slice}={thin} are too thin, the rule wants {rule.min_rows}"


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown
