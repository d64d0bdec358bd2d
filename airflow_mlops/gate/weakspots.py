"""Looks for slices in which a challenger loses against the champion: hints for a person, never a decision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
import numpy.typing as npt
from scipy import special

from airflow_mlops.gate.evidence import Design
from airflow_mlops.gate.levels import level_codes
from airflow_mlops.gate.rows import PairedPredictions
from airflow_mlops.gate.statistics.metrics import Rows, metric_sums
from airflow_mlops.gate.statistics.multiplicity import holm
from airflow_mlops.gate.statistics.units import drawn_units
from airflow_mlops.project.gate_spec import METRICS, GateSpec, RuleSpec
from airflow_mlops.records.verdict import WeakSpot

__all__ = ["weak_spots"]

Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.intp]

_MIN_ROWS = 50
_SHOWN = 3
_SIGNIFICANT = 0.05
# Metrics whose mean loss over any rows is a figure by itself; others are looked into by that of the task.
_ROW_METRICS = frozenset({"rmse", "mae", "mape", "pinball", "accuracy", "log_loss", "brier", "ndcg", "mrr", "hit_rate"})
_TASK_METRIC = {
    "regression": "rmse", "quantile": "pinball", "binary": "log_loss", "multiclass": "log_loss", "ranking": "ndcg"
}  # fmt: skip
# More distinct numbers than a month has names: a quantity, not a label.
_LABELS = 12
_QUARTILES = (0.25, 0.5, 0.75)
# Of one column, the most frequent: a level of a hundredth of the rows and less is seldom worth a crossing.
_MAX_LEVELS = 100
# Cells of slices x units that are counted in one array (8 bytes each): 32 MB.
_CELLS = 4_000_000


@dataclass(frozen=True)
class _Levels:
    """A column as numbers: the level of each row (-1: of none) and what the levels are called."""

    codes: Codes
    names: tuple[str, ...]


@dataclass(frozen=True)
class _Loss:
    """What each row costs either model (lower is better), and the metric that a mean of it gives.

    ``counted`` are the rows that have a loss: of a ranking, one for each query.
    """

    challenger: Floats
    champion: Floats
    counted: npt.NDArray[np.bool_]
    metric: str
    of_mean: Callable[[float], float]


@dataclass(frozen=True)
class _Candidate:
    conditions: tuple[str, ...]
    rows: int
    challenger: float
    champion: float
    excess: float
    error: float
    freedom: int


def weak_spots(spec: GateSpec, predictions: PairedPredictions, *, on: str) -> tuple[list[WeakSpot], tuple[str, ...]]:
    """Find where the challenger loses most: in the levels of each of ``spec.slices``, and of two of them crossed.

    Every slice of at least 50 rows is held to a paired t test of the loss per row, over the units that the gate draws
    (nights, clusters, queries, rows). Numbers with more than twelve distinct values are cut at their quartiles.

    Parameters
    ----------
    spec : GateSpec
        ``slices`` to look at; the first rule that compares names the loss.
    predictions : PairedPredictions
        Of one set.
    on : str
        Its name.

    Returns
    -------
    spots : list of WeakSpot
        At most three, of those significant at 5 % after Holm over every slice that was looked at: those with the most
        loss per row that is beyond doubt (the lower bound of a Bonferroni interval). A condition is named once: what
        makes a slice weak makes most of what it is crossed with weak.
    warnings : tuple of str
        Columns that are not there.

    References
    ----------
    Cochran, W. G. (1977). Sampling Techniques, 3rd ed., section 6.3 (standard error of a ratio over clusters).
    Chung, Y. et al. (2020). Automated Data Slicing for Model Validation. IEEE TKDE 32(12), 2284-2296.
    """
    missing = [column for column in spec.slices if column not in predictions.columns]
    warnings = tuple(f"{on} has no column {column!r}, in which weak spots were to be looked for" for column in missing)
    loss = _loss(spec, predictions)
    if loss is None or len(missing) == len(spec.slices) or predictions.y_true.size < _MIN_ROWS:
        return [], warnings
    columns = {column: _levels(column, predictions.columns[column]) for column in spec.slices if column not in missing}
    candidates = _candidates(columns, loss, _units(spec, predictions))
    if not candidates:
        return [], warnings
    excess, error, freedom = (
        np.array([getattr(candidate, name) for candidate in candidates]) for name in ("excess", "error", "freedom")
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        worse = special.stdtr(freedom, -np.where(excess == 0.0, 0.0, excess / error))
    adjusted = holm(worse)
    surely = excess - error * special.stdtrit(freedom, 1.0 - _SIGNIFICANT / len(candidates))
    named: set[str] = set()
    spots: list[WeakSpot] = []
    for place in np.argsort(-surely, kind="stable"):
        candidate = candidates[place]
        if adjusted[place] >= _SIGNIFICANT or excess[place] <= 0.0 or named.intersection(candidate.conditions):
            continue
        named.update(candidate.conditions)
        spots.append(
            WeakSpot(
                on=on,
                slice=", ".join(candidate.conditions),
                metric=loss.metric,
                rows=candidate.rows,
                challenger=loss.of_mean(candidate.challenger),
                champion=loss.of_mean(candidate.champion),
                p_worse=float(adjusted[place]),
            )
        )
        if len(spots) == _SHOWN:
            break
    return spots, warnings


def _loss(spec: GateSpec, predictions: PairedPredictions) -> _Loss | None:
    """Loss by the first rule that compares, else by the task; None where it cannot be had."""
    if predictions.champion is None or spec.unsuited(predictions.task):
        return None
    rule = next((rule for rule in spec.rules if rule.compares and rule.metric in _ROW_METRICS), None)
    if rule is None:
        models = (predictions.challenger, predictions.champion)
        metric = _TASK_METRIC[predictions.task]
        if metric == "log_loss" and any(model.probabilities is None for model in models):
            metric = "accuracy"
        quantile = next((rule.quantile for rule in spec.rules if rule.quantile is not None), 0.5)
        rule = RuleSpec(metric=metric, kind="superior", quantile=quantile if metric == "pinball" else None)
    queries = predictions.columns.get(spec.query or "")
    numbers = None if queries is None else level_codes(queries)[0]
    sums = [
        metric_sums(Rows(rule, predictions.y_true, answers, len(predictions.classes), numbers))
        for answers in (predictions.challenger, predictions.champion)
    ]
    challenger, champion = sums
    if challenger is None or champion is None:
        return None
    sign = -1.0 if METRICS[rule.metric].greater_is_better else 1.0
    losses = [sign * each.contributions[:, 0] for each in (challenger, champion)]
    if not all(np.isfinite(each).all() for each in losses):
        return None
    of_sums = challenger.of_sums
    return _Loss(
        losses[0],
        losses[1],
        challenger.contributions[:, 1] > 0,
        rule.metric,
        lambda mean: float(of_sums(np.array([sign * mean, 1.0]))),
    )


def _candidates(columns: dict[str, _Levels], loss: _Loss, units: Codes | None) -> list[_Candidate]:
    found: list[_Candidate] = []
    for levels in columns.values():
        found += _tested(levels.codes, lambda key, levels=levels: (levels.names[key],), loss, units)  # type: ignore[misc]
    for one, other in combinations(columns.values(), 2):
        width = len(other.names)
        codes = np.where((one.codes < 0) | (other.codes < 0), -1, one.codes * width + other.codes)

        def conditions(key: int, one: _Levels = one, other: _Levels = other, width: int = width) -> tuple[str, ...]:
            return one.names[key // width], other.names[key % width]

        found += _tested(codes, conditions, loss, units)
    return found


def _tested(
    codes: Codes, conditions: Callable[[int], tuple[str, ...]], loss: _Loss, units: Codes | None
) -> list[_Candidate]:
    """Every slice of one partition that has rows enough, with the excess loss per row and its standard error."""
    inside = (codes >= 0) & loss.counted
    key, new, old = codes[inside], loss.challenger[inside], loss.champion[inside]
    if key.size == 0:
        return []
    rows = np.bincount(key)
    enough = rows >= _MIN_ROWS
    sums = [np.bincount(key, weights=values) for values in (new, old)]
    means = [np.divide(each, rows, out=np.zeros(rows.size), where=rows > 0) for each in sums]
    excess = means[0] - means[1]
    # Linearised: what each unit adds to the mean over the slice, about that mean.
    residual = new - old - excess[key]
    drawn, squares = _over_units(key, None if units is None else units[inside], residual, rows.size)
    enough &= drawn > 1
    drawn = np.maximum(drawn, 2.0)
    error = np.sqrt(squares * drawn / (drawn - 1.0)) / np.maximum(rows, 1)
    return [
        _Candidate(
            conditions(int(place)),
            int(rows[place]),
            float(means[0][place]),
            float(means[1][place]),
            float(excess[place]),
            float(error[place]),
            int(drawn[place]) - 1,
        )
        for place in np.flatnonzero(enough)
    ]


def _over_units(key: Codes, units: Codes | None, residual: Floats, slices: int) -> tuple[Floats, Floats]:
    """How many units each slice has rows of, and the squares of their sums of residuals, added up."""
    owner, sums = key, residual
    if units is not None:
        width = int(units.max()) + 1
        cells, used = key * width + units, np.arange(slices * width if slices * width <= _CELLS else 0)
        if not used.size:
            used, cells = np.unique(cells, return_inverse=True)
        present = np.bincount(cells, minlength=used.size) > 0
        sums = np.bincount(cells, weights=residual, minlength=used.size)[present].astype(np.float64)
        owner = used[present] // width
    drawn, squares = np.bincount(owner, minlength=slices), np.bincount(owner, weights=sums**2, minlength=slices)
    return drawn.astype(np.float64), squares.astype(np.float64)


def _units(spec: GateSpec, predictions: PairedPredictions) -> Codes | None:
    """Unit of each row; None where rows are drawn."""
    drawn = drawn_units(predictions, Design(cluster=spec.cluster, query=spec.query))
    return None if isinstance(drawn, str) or drawn[0] is None else level_codes(drawn[0])[0]


def _levels(name: str, column: npt.NDArray[np.str_]) -> _Levels:
    codes, names = level_codes(column)
    numbers = _numbers(names) if len(names) > _LABELS else None
    if numbers is not None:
        values = numbers[codes]
        known = np.isfinite(values)
        edges = np.quantile(values[known], (0.0, *_QUARTILES, 1.0))
        binned = np.where(known, np.searchsorted(edges[1:-1], values, side="left"), len(edges) - 1)
        spans = [f"{name}={low:g} to {high:g}" for low, high in pairwise(edges)]
        return _Levels(binned.astype(np.intp), (*spans, f"{name} missing"))
    sizes = np.bincount(codes, minlength=len(names))
    frequent = np.argsort(-sizes, kind="stable")[:_MAX_LEVELS]
    frequent = frequent[sizes[frequent] >= _MIN_ROWS]
    number = np.full(len(names), -1, dtype=np.intp)
    number[frequent] = np.arange(frequent.size)
    return _Levels(number[codes], tuple(f"{name}={names[level]}" for level in frequent))


def _numbers(names: list[str]) -> Floats | None:
    """The distinct values as numbers, an empty one as NaN; None if they are none."""
    try:
        numbers = np.array([text or "nan" for text in names]).astype(np.float64)
    except ValueError:
        return None
    return numbers if np.isfinite(numbers).sum() > _LABELS else None
