"""What stands in the way before anything is measured: sets, answers and truths of which a rule can make nothing."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from airflow_mlops.gate.rows import Answers, Floats, PairedPredictions, UnusablePredictions
from airflow_mlops.project.gate_spec import GateSpec, RuleSpec
from airflow_mlops.records.verdict import Decision

__all__ = ["Predictions", "counted_rows", "odd_answers", "set_fault", "undefined"]

Predictions = PairedPredictions | UnusablePredictions
Numbers = npt.NDArray[np.intp]
Fault = tuple[Decision, str]

# The variance of a squared error is still a number then.
_LARGEST = 1e75
# Which class a metric counts rows of, if of one only.
_COUNTS_CLASS: Mapping[str, int] = {"recall": 1, "false_positive_rate": 0}
_NEEDS_CLASSES: Mapping[str, tuple[int, ...]] = {"recall": (1,), "false_positive_rate": (0,), "auc": (0, 1)}


def set_fault(spec: GateSpec, rule: RuleSpec, predictions: Predictions | None) -> Fault | None:
    """Say what stands in the way of asking anything of a set."""
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


def odd_answers(rule: RuleSpec, predictions: PairedPredictions, rows: Numbers) -> Fault | None:
    """Find answers that nothing can be made of: a challenger's reject, a champion's hold what compares."""
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


def undefined(rule: RuleSpec, predictions: PairedPredictions, rows: Numbers) -> Fault | None:
    """Say why a metric is not defined on truths such as these, whatever a model answers: no model's fault, so a hold.

    Examples
    --------
    >>> calm = PairedPredictions("regression", np.array(["a", "b"]), np.full(2, 7.0), Answers(np.array([6.0, 7.0])))
    >>> undefined(RuleSpec(metric="r2", kind="absolute", min=0.5), calm, np.arange(2))[1]
    'the true values are all 7, and r2 is a share of their spread. Use rmse or mae here'
    """
    y_true = predictions.y_true[rows]
    for number in _NEEDS_CLASSES.get(rule.metric, ()):
        if not (y_true == number).any():
            name = predictions.classes[number] if number < len(predictions.classes) else number
            why = f"no row is truly of the class {name!r}, which {rule.metric} needs"
            return Decision.HOLD, f"{why}. Judge more rows, or use accuracy here"
    if rule.metric == "r2" and y_true.size and y_true.min() == y_true.max():
        why = f"the true values are all {y_true[0]:g}, and r2 is a share of their spread. Use rmse or mae here"
        return Decision.HOLD, why
    if rule.metric == "mape" and (zeros := int((y_true == 0).sum())):
        return Decision.HOLD, f"the true value is 0 in {zeros} rows, of which no error is a share. Use mae"
    return None


def counted_rows(spec: GateSpec, rule: RuleSpec, predictions: PairedPredictions, rows: Numbers) -> tuple[int, str]:
    """How much evidence there is of what the metric counts, and what that is: positives, queries, rows."""
    if (number := _COUNTS_CLASS.get(rule.metric)) is not None:
        return int((predictions.y_true[rows] == number).sum()), ("negatives", "positives")[number]
    queries = predictions.columns.get(spec.query or "")
    if predictions.task == "ranking" and queries is not None and not rule.own:
        return int(np.unique(queries[rows]).size), "queries"
    return rows.size, "rows"


def _strays(predictions: PairedPredictions, values: Floats, rows: Numbers) -> int:
    """How many of these are not the number of a class."""
    if predictions.task not in ("binary", "multiclass"):
        return 0
    values = values[rows]
    return int((~((values >= 0) & (values < len(predictions.classes)) & (values == np.floor(values)))).sum())


def _odd(answers: Answers, rows: Numbers) -> int:
    odd = ~(np.abs(answers.values[rows]) <= _LARGEST)
    if answers.probabilities is not None:
        odd |= ~np.isfinite(answers.probabilities[rows]).all(axis=1)
    return int(odd.sum())
