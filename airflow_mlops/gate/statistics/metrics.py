"""The metrics of the gate, each as a smooth function of sums over rows.

A metric that is a function of sums needs its rows only once: every resample, every row left out is then another total
of the same contributions, and thousands of them are one matrix product. Ranks are no sums (``delong`` has the area
under the curve), and neither is a function of the user's (``own``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from airflow_mlops.gate.rows import Answers, Floats
from airflow_mlops.gate.statistics.delong import area_under_curve
from airflow_mlops.gate.statistics.own import load_metric, own_value
from airflow_mlops.gate.statistics.ranking import QUERY_VALUES
from airflow_mlops.project.gate_spec import RuleSpec

__all__ = ["Rows", "Sums", "load_metric", "metric_sums", "metric_value"]

CALIBRATION_BINS = 15


@dataclass(frozen=True)
class Rows:
    """What a metric is given: the rule that asks, the truth, one model's answers.

    ``queries`` says which rows are ranked together, as numbers from 0; None ranks all rows together.
    """

    rule: RuleSpec
    y_true: Floats
    answers: Answers
    n_classes: int = 0
    queries: npt.NDArray[np.intp] | None = None

    @property
    def error(self) -> Floats:
        """Prediction less truth."""
        return self.answers.values - self.y_true

    @property
    def label(self) -> npt.NDArray[np.intp]:
        """Number of the true class."""
        return self.y_true.astype(np.intp)

    @property
    def right(self) -> Floats:
        """1 where the model decided for the true class."""
        return np.asarray(self.answers.values == self.y_true, dtype=np.float64)

    @property
    def probabilities(self) -> Floats:
        """Of each class; NaN where the model gave none."""
        given = self.answers.probabilities
        return np.full((self.y_true.size, max(self.n_classes, 1)), np.nan) if given is None else given

    def is_class(self, number: int) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Which rows are of a class, and which were said to be."""
        return self.y_true == number, self.answers.values == number


@dataclass(frozen=True)
class Sums:
    """A metric over given rows, taken apart.

    Attributes
    ----------
    contributions : numpy.ndarray, shape (n_rows, n_sums)
        What each row adds to each sum.
    of_sums : callable
        From totals of shape (..., n_sums) to the metric, shape (...); NaN where it is not defined.
    power : int
        The metric to this power is a mean over rows: 2 of rmse. A share of it is best tested there.
    signed : callable or None
        From totals to the figure whose absolute value the metric is, where noise in it would bias a comparison.
    """

    contributions: Floats
    of_sums: Callable[[Floats], Floats]
    power: int = 1
    signed: Callable[[Floats], Floats] | None = None

    def value(self) -> float:
        """Give the metric over all its rows."""
        return float(self.of_sums(self.contributions.sum(axis=0)))


def _counted(column: npt.NDArray[np.floating | np.bool_]) -> Floats:
    """A column and a column of ones: their sums make a mean."""
    return np.stack([column.astype(np.float64), np.ones(column.size)], axis=1)


def _ratio(sums: Floats) -> Floats:
    above, below = sums[..., 0], sums[..., 1]
    return np.asarray(np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0))


def _mean(row_value: Callable[[Rows], Floats]) -> Callable[[Rows], Sums]:
    return lambda rows: Sums(_counted(row_value(rows)), _ratio)


def _share(of: Callable[[Rows], Floats], among: Callable[[Rows], npt.NDArray[np.bool_]]) -> Callable[[Rows], Sums]:
    """A mean over the rows that count."""

    def taken_apart(rows: Rows) -> Sums:
        counts = among(rows).astype(np.float64)
        return Sums(np.stack([of(rows) * counts, counts], axis=1), _ratio)

    return taken_apart


def _pinball(rows: Rows) -> Floats:
    level = rows.rule.quantile or 0.5
    return np.maximum(-level * rows.error, (1 - level) * rows.error)


def _rmse(rows: Rows) -> Sums:
    return Sums(_counted(rows.error**2), lambda sums: np.sqrt(_ratio(sums)), power=2)


def _r2(rows: Rows) -> Sums:
    # Centred first: the sum of squares of large numbers would cancel.
    deviation = rows.y_true - rows.y_true.mean() if rows.y_true.size else rows.y_true
    columns = np.stack([rows.error**2, deviation**2, deviation, np.ones(deviation.size)], axis=1)

    def of_sums(sums: Floats) -> Floats:
        total = sums[..., 1] - sums[..., 2] ** 2 / np.maximum(sums[..., 3], 1)
        return 1 - _ratio(np.stack([sums[..., 0], total], axis=-1))

    return Sums(columns, of_sums)


def _coverage_error(rows: Rows) -> Sums:
    level = rows.rule.quantile or 0.5

    def signed(sums: Floats) -> Floats:
        return _ratio(sums) - level

    return Sums(_counted(rows.y_true <= rows.answers.values), lambda sums: np.abs(signed(sums)), signed=signed)


def _balanced_accuracy(rows: Rows) -> Sums:
    one_hot = np.eye(rows.n_classes)[rows.label]
    columns = np.concatenate([one_hot * rows.right[:, np.newaxis], one_hot], axis=1)
    return Sums(columns, lambda sums: _mean_of_ratios(*np.split(sums, 2, axis=-1)))


def _f1(rows: Rows) -> Sums:
    """Of the positive class; of several classes, the mean of theirs."""
    numbers = [1] if rows.n_classes == 2 else range(rows.n_classes)  # noqa: PLR2004  two classes are binary
    pairs = [rows.is_class(number) for number in numbers]
    both = np.stack([2.0 * (true & said) for true, said in pairs], axis=1)
    either = np.stack([true.astype(np.float64) + said for true, said in pairs], axis=1)
    return Sums(np.concatenate([both, either], axis=1), lambda sums: _mean_of_ratios(*np.split(sums, 2, axis=-1)))


def _mean_of_ratios(above: Floats, below: Floats) -> Floats:
    """Over the classes that there are: of none, NaN."""
    there = below > 0
    ratios = np.divide(above, below, out=np.zeros_like(above), where=there)
    return _ratio(np.stack([ratios.sum(axis=-1), there.sum(axis=-1).astype(np.float64)], axis=-1))


def _log_loss(rows: Rows) -> Floats:
    of_truth = rows.probabilities[np.arange(rows.y_true.size), rows.label]
    epsilon = np.finfo(np.float64).eps  # As sklearn does: certainty that is wrong costs 36, not infinity.
    return -np.log(np.clip(of_truth, epsilon, 1 - epsilon))


def _brier(rows: Rows) -> Floats:
    """Half the squared distance from the truth: between 0 and 1 whatever the number of classes."""
    squares = (rows.probabilities - np.eye(max(rows.n_classes, 1))[rows.label]) ** 2
    return np.asarray(squares.sum(axis=1) / 2)


def _ece(rows: Rows) -> Sums:
    probabilities = rows.probabilities
    confidence = probabilities.max(axis=1)
    gap = confidence - (probabilities.argmax(axis=1) == rows.label)
    columns = np.zeros((gap.size, CALIBRATION_BINS + 1))
    columns[np.arange(gap.size), _bin(confidence, CALIBRATION_BINS)] = gap
    columns[:, -1] = 1.0

    def of_sums(sums: Floats) -> Floats:
        return _ratio(np.stack([np.abs(sums[..., :-1]).sum(axis=-1), sums[..., -1]], axis=-1))

    return Sums(columns, of_sums)


def _bin(probability: Floats, bins: int) -> npt.NDArray[np.intp]:
    """Number of the equal-width bin (lower edge excluded), of NaN the last."""
    number = np.nan_to_num(np.ceil(probability * bins), nan=bins) - 1
    return np.asarray(np.clip(number, 0, bins - 1), dtype=np.intp)


def _ranked(name: str) -> Callable[[Rows], Sums]:
    def taken_apart(rows: Rows) -> Sums:
        queries = np.zeros(rows.y_true.size, dtype=np.intp) if rows.queries is None else rows.queries
        names, first, numbers = np.unique(queries, return_index=True, return_inverse=True)
        columns = np.zeros((queries.size, 2))
        # A query counts once, in its first row.
        columns[first, 0] = QUERY_VALUES[name](numbers, names.size, rows.y_true, rows.answers.values, rows.rule.k)
        columns[first, 1] = 1.0
        return Sums(columns, _ratio)

    return taken_apart


_TAKEN_APART: Mapping[str, Callable[[Rows], Sums]] = MappingProxyType(
    {
        "rmse": _rmse,
        "mae": _mean(lambda rows: np.abs(rows.error)),
        # Of a truth of 0 there is no share: infinite, which nobody promotes.
        "mape": _mean(lambda rows: np.abs(rows.error) / np.abs(rows.y_true)),
        "bias": lambda rows: Sums(_counted(rows.error), lambda sums: np.abs(_ratio(sums))),
        "r2": _r2,
        "pinball": _mean(_pinball),
        "coverage_error": _coverage_error,
        "accuracy": _mean(lambda rows: rows.right),
        "balanced_accuracy": _balanced_accuracy,
        "precision": _share(lambda rows: rows.right, lambda rows: rows.is_class(1)[1]),
        "recall": _share(lambda rows: rows.right, lambda rows: rows.is_class(1)[0]),
        "false_positive_rate": _share(lambda rows: 1 - rows.right, lambda rows: rows.is_class(0)[0]),
        "selection_rate": _mean(lambda rows: rows.is_class(1)[1].astype(np.float64)),
        "f1": _f1,
        "log_loss": _mean(_log_loss),
        "brier": _mean(_brier),
        "ece": _ece,
        **{name: _ranked(name) for name in QUERY_VALUES},
    }
)


def metric_sums(rows: Rows) -> Sums | None:
    """Take a metric apart into sums over rows; None if it is none of sums (auc, one of the user's own)."""
    taken_apart = _TAKEN_APART.get(rows.rule.metric)
    if taken_apart is None:
        return None
    # An absurd prediction may overflow: the metric then is not finite, which nobody promotes.
    with np.errstate(all="ignore"):
        return taken_apart(rows)


def metric_value(
    rule: RuleSpec,
    y_true: Floats,
    answers: Answers,
    *,
    queries: npt.NDArray[np.str_] | None = None,
    classes: Sequence[str] = (),
) -> float:
    """Give a metric over given rows.

    Definitions are those of ``sklearn.metrics``, with two exceptions: what divides by nothing (the recall of rows
    without a positive, the r2 of a constant) is NaN rather than 0, and ``brier`` is halved for several classes, too.

    Parameters
    ----------
    rule : RuleSpec
        Names the metric, its ``quantile`` and its ``k``.
    y_true : numpy.ndarray, shape (n_rows,)
        The truth; of a classification the number of the class.
    answers : Answers
        What the model said.
    queries : numpy.ndarray of str, shape (n_rows,), optional
        Which rows are ranked together.
    classes : sequence of str
        Of a classification.

    Returns
    -------
    float
        NaN where it cannot be measured.

    Raises
    ------
    ConfigError
        If a metric of one's own cannot be imported.

    Examples
    --------
    >>> rule = RuleSpec(metric="rmse", kind="absolute", max=9.0)
    >>> metric_value(rule, np.array([1.0, 2.0]), Answers(np.array([4.0, 6.0])))
    3.5355339059327378
    """
    if y_true.size == 0 or rule.of_model:
        return float("nan")
    if rule.own:
        return own_value(load_metric(rule.metric), y_true, answers.values)[0]
    if rule.metric == "auc":
        return float("nan") if answers.probabilities is None else area_under_curve(y_true, answers.probabilities[:, 1])
    numbers = None if queries is None else np.unique(queries, return_inverse=True)[1]
    sums = metric_sums(Rows(rule, y_true, answers, len(classes), numbers))
    with np.errstate(all="ignore"):
        return float("nan") if sums is None else sums.value()
