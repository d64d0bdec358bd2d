"""Fairness between groups: how far apart a metric of the challenger is, by difference and by ratio."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from airflow_mlops.gate.cases import Case
from airflow_mlops.gate.evidence import Design, Evidence
from airflow_mlops.gate.rows import Answers, PairedPredictions
from airflow_mlops.gate.statistics.metrics import Rows, metric_sums, metric_value
from airflow_mlops.gate.statistics.units import drawn_units, units_of_rows
from airflow_mlops.project.gate_spec import RuleSpec

__all__ = ["GroupMetrics", "disparity", "group_metrics", "spread"]

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]

# A metric that is no sum over rows is measured anew without each of at most so many blocks of units.
_BLOCKS = 200
# Shares of rows: of a group in which all are found, the jackknife alone would say that all will always be.
_RATES = frozenset({"accuracy", "precision", "recall", "false_positive_rate", "selection_rate"})


@dataclass(frozen=True)
class GroupMetrics:
    """A metric in each group, and how sure it is.

    Attributes
    ----------
    values : numpy.ndarray, shape (n_groups,)
        The metric.
    covariance : numpy.ndarray, shape (n_groups, n_groups)
        Of the values; groups that share a night or a cluster vary together.
    units : int
        What was drawn, in the group that has fewest.
    """

    values: Floats
    covariance: Floats
    units: int


def spread(values: Floats, *, ratio: bool) -> float:
    """Give the difference between the groups (largest less smallest), or their ratio (smallest by largest).

    As fairlearn's ``MetricFrame`` has them between groups; demographic parity is that of ``selection_rate``, equalised
    odds those of ``recall`` and ``false_positive_rate``. Groups that are all at 0 have the ratio 1, since they are
    equal; where one is below 0 there is no ratio: NaN.

    References
    ----------
    Weerts, H. et al. (2023). Fairlearn: Assessing and Improving Fairness of AI Systems. JMLR 24(257), 1-8.

    Examples
    --------
    >>> spread(np.array([0.5, 0.8, 0.6]), ratio=True)
    0.625
    """
    low, high = float(values.min()), float(values.max())
    if not ratio:
        return high - low
    if low < 0.0:
        return float("nan")
    return low / high if high > 0.0 else high - low + 1.0


def disparity(case: Case, predictions: PairedPredictions, *, design: Design) -> Evidence:
    """Evidence of one bound of a parity rule.

    The spread between groups is that of the two that are farthest apart, and noise alone pulls some apart. So it is
    shown broken only where one pair is, at alpha shared between all ordered pairs (Bonferroni); it is shown kept
    where every pair is, each at alpha (an intersection-union test). Standard errors are those of the jackknife over
    units, tails Student's with the units of the smallest group. Strata are not used: units are taken as drawn from
    all, which errs to the wide side.

    Parameters
    ----------
    case : Case
        Of a parity rule: its groups and what it bounds.
    predictions : PairedPredictions
        Of one set.
    design : Design
        What is drawn, and alpha.

    Returns
    -------
    Evidence
        ``challenger`` and ``estimate`` are the spread itself.

    References
    ----------
    Efron, B., Tibshirani, R. (1993). An Introduction to the Bootstrap, eq. 11.5 (jackknife). Fieller, E. C. (1954).
    Some Problems in Interval Estimation. J. R. Statist. Soc. B 16(2), 175-185 (bounds of a ratio). Berger, R. L.
    (1982). Multiparameter Hypothesis Testing and Acceptance Sampling. Technometrics 24(4), 295-300.
    """
    drawn_by = drawn_units(predictions, design)
    # A column that is missing has rejected before anything is measured.
    labels, noun = (None, "rows") if isinstance(drawn_by, str) else drawn_by
    units = units_of_rows(labels, None, predictions.y_true.size, noun).of_row
    groups = case.groups if case.groups is not None else np.zeros_like(units)
    measured = group_metrics(case.rule, predictions, groups, units, query=design.query, seed=design.seed)
    inside = groups >= 0
    rows, drawn = int(inside.sum()), int(np.unique(units[inside]).size)
    ratio = case.criterion == "ratio"
    estimate = spread(measured.values, ratio=ratio)
    nan = float("nan")
    low, high, p_value, p_worse = nan, nan, None, None
    if np.isfinite(estimate) and np.isfinite(measured.covariance).all() and measured.units > 1:
        low, high, p_value, p_worse = _tested(measured, case.bound, ratio=ratio, alpha=design.alpha)
    return Evidence(
        rows=rows,
        units=drawn,
        drawn=f"{drawn} {noun}",
        method="jackknife over units, all pairs of groups" + (" (strata are not used)" if design.strata else ""),
        challenger=estimate,
        champion=None,
        estimate=estimate,
        low=low,
        high=high,
        p_value=p_value,
        p_worse=p_worse,
    )


def _tested(measured: GroupMetrics, bound: float, *, ratio: bool, alpha: float) -> tuple[float, float, float, float]:
    """Bounds of the spread, and the p-values that it keeps the bound and that it does not."""
    values, covariance, variance = measured.values, measured.covariance, np.diag(measured.covariance)
    freedom, pairs = measured.units - 1, values.size * (values.size - 1)
    one, other = np.nonzero(~np.eye(values.size, dtype=bool))
    # How far each pair breaks the bound: m1 - m2 - max_difference, or min_ratio * m2 - m1.
    first, second, offset = (-1.0, bound, 0.0) if ratio else (1.0, -1.0, -bound)
    broken = first * values[one] + second * values[other] + offset
    error = np.sqrt(
        np.maximum(
            first**2 * variance[one] + second**2 * variance[other] + 2.0 * first * second * covariance[one, other], 0.0
        )
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        most = float(np.where(broken == 0.0, 0.0, broken / error).max())
    p_value = float(special.stdtr(freedom, most))
    p_worse = min(1.0, pairs * float(special.stdtr(freedom, -most)))
    alone, shared = (float(special.stdtrit(freedom, 1.0 - level)) for level in (alpha, alpha / pairs))
    if not ratio:
        apart = values[one] - values[other]
        return float((apart - shared * error).max()), float((apart + alone * error).max()), p_value, p_worse
    low = _fieller(values, covariance, one, other, alone)[0]
    high = _fieller(values, covariance, one, other, shared)[1]
    return float(low.min()), float(high.min()), p_value, p_worse


def _fieller(values: Floats, covariance: Floats, one: Codes, other: Codes, width: float) -> tuple[Floats, Floats]:
    """Bounds of the ratio of each pair: all r for which m1 - r m2 is within ``width`` standard errors of 0."""
    square = width**2
    a = values[other] ** 2 - square * covariance[other, other]
    b = values[one] * values[other] - square * covariance[one, other]
    c = values[one] ** 2 - square * covariance[one, one]
    # Where the divisor may be 0 the ratio may be anything.
    known = a > 0.0
    root = np.sqrt(np.maximum(b**2 - a * c, 0.0))
    low = np.divide(b - root, a, out=np.zeros_like(a), where=known)
    return np.maximum(low, 0.0), np.divide(b + root, a, out=np.full_like(a, np.inf), where=known)


def group_metrics(
    rule: RuleSpec,
    predictions: PairedPredictions,
    groups: Codes,
    units: Codes,
    *,
    query: str | None = None,
    seed: int = 0,
) -> GroupMetrics:
    """Measure the challenger in each group, and the covariance of what was measured by the jackknife over units.

    Parameters
    ----------
    rule : RuleSpec
        Names the metric.
    predictions : PairedPredictions
        Of one set.
    groups, units : numpy.ndarray of int, shape (n_rows,)
        Group of each row (-1: none), and what is drawn together.
    query : str, optional
        Column that says which rows are ranked together.
    seed : int
        Of the blocks of units, where a metric is no sum over rows.
    """
    rates = rule.metric in _RATES
    values, influences, floors, fewest = [], [], [], groups.size
    n_units = int(units.max(initial=0)) + 1
    # By chance: neighbours may be alike, and so may every twenty-fourth.
    blocks = np.random.default_rng(seed).permutation(n_units)[units] % _BLOCKS
    for group in range(int(groups.max(initial=-1)) + 1):
        rows = np.flatnonzero(groups == group)
        held, local = np.unique(units[rows], return_inverse=True)
        taken_apart = metric_sums(_rows(rule, predictions, rows, query))
        if taken_apart is None:
            held, value, without = _left_out(rule, predictions, rows, blocks)
        else:
            columns = [np.bincount(local, weights=column) for column in taken_apart.contributions.T]
            by_unit = np.stack(columns, axis=1)
            total = by_unit.sum(axis=0)
            with np.errstate(all="ignore"):
                value, without = float(taken_apart.of_sums(total)), taken_apart.of_sums(total - by_unit)
            floors.append(_least_variance(total) if rates else 0.0)
        influence = np.zeros(n_units)
        # Scaled so that the products of two groups' influences add up to their covariance.
        influence[held] = (without - without.mean()) * np.sqrt((held.size - 1) / max(held.size, 1))
        values.append(value)
        influences.append(influence)
        fewest = min(fewest, held.size)
    stacked = np.stack(influences)
    covariance = stacked @ stacked.T
    if rates:
        covariance += np.diag(np.maximum(np.array(floors) - np.diag(covariance), 0.0))
    return GroupMetrics(np.array(values), covariance, fewest)


def _left_out(rule: RuleSpec, predictions: PairedPredictions, rows: Codes, units: Codes) -> tuple[Codes, float, Floats]:
    """Measure a metric that is no sum over rows, and what it is without each of some blocks of units."""
    blocks = units % _BLOCKS
    held = np.unique(blocks[rows])
    without = [_value(rule, predictions, rows[blocks[rows] != block]) for block in held]
    return held, _value(rule, predictions, rows), np.array(without)


def _least_variance(total: Floats) -> float:
    """Variance of a share with two successes and two failures more (Agresti & Coull 1998)."""
    tried = float(total[1]) + 4.0
    share = (float(total[0]) + 2.0) / tried
    return share * (1.0 - share) / tried


def _answers(answers: Answers, rows: Codes) -> Answers:
    probabilities = None if answers.probabilities is None else answers.probabilities[rows]
    return Answers(answers.values[rows], probabilities)


def _rows(rule: RuleSpec, predictions: PairedPredictions, rows: Codes, query: str | None) -> Rows:
    queries = predictions.columns.get(query or "")
    numbers = None if queries is None else np.unique(queries[rows], return_inverse=True)[1]
    answers = _answers(predictions.challenger, rows)
    return Rows(rule, predictions.y_true[rows], answers, len(predictions.classes), numbers)


def _value(rule: RuleSpec, predictions: PairedPredictions, rows: Codes) -> float:
    answers = _answers(predictions.challenger, rows)
    return metric_value(rule, predictions.y_true[rows], answers, classes=predictions.classes)
