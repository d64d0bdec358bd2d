"""How good the challenger is, how good against the champion, and how sure that is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from airflow_mlops.gate.bootstrap import expanded_tail, percentile_bounds, resampled_means
from airflow_mlops.gate.predictions import PairedPredictions

__all__ = ["Evidence", "measure"]

Floats = npt.NDArray[np.float64]

# The tail of seven nights (1.8 %) then rests on ninety resamples.
_RESAMPLES = 5_000
# Hours of a night are not independent, so whole nights are drawn. A challenger that is worse by exactly the margin is
# promoted at alpha = 5 % in 5 to 7 % of trials with 5 to 28 nights; drawing rows instead lets through 22 to 32 %
# as soon as nights differ. Fewer nights cannot show how they differ: rows are drawn then, and the reason says so.
_MIN_NIGHTS = 5


@dataclass(frozen=True)
class _Metric:
    """A mean over rows, and what is made of it; lower is better."""

    loss: Callable[[Floats, Floats], Floats]
    of_mean: Callable[[Floats], Floats]


_METRICS: Mapping[str, _Metric] = MappingProxyType(
    {
        "rmse": _Metric(loss=lambda y_true, y_pred: (y_pred - y_true) ** 2, of_mean=np.sqrt),
        "mae": _Metric(loss=lambda y_true, y_pred: np.abs(y_pred - y_true), of_mean=np.positive),
    }
)


@dataclass(frozen=True)
class Evidence:
    """One metric on one set of rows.

    ``estimate`` is the metric itself or, in a comparison, the challenger's less the champion's as a share of the
    champion's. ``low`` and ``high`` are one-sided bounds of it. NaN is what could not be measured.
    """

    rows: int
    drawn: str
    challenger: float
    champion: float | None
    estimate: float
    low: float
    high: float


def measure(metric: str, predictions: PairedPredictions, *, compared: bool, alpha: float, seed: int) -> Evidence:
    """Measure a challenger, alone or against the champion on the same rows.

    Parameters
    ----------
    metric : str
        ``rmse`` or ``mae``, in the target's unit.
    predictions : PairedPredictions
        Truth and predictions.
    compared : bool
        Whether the estimate is the difference from the champion.
    alpha : float
        Level of each one-sided bound, in (0, 0.5).
    seed : int
        Of the resampling: the same nights are drawn for every metric.

    Returns
    -------
    Evidence
        Bounds come from a paired percentile bootstrap over whole nights, its tail expanded for their number
        (``bootstrap.expanded_tail``); over rows if there are fewer than five nights.
    """
    measured = _METRICS[metric]
    rows = predictions.y_true.size
    models = [predictions.challenger, *([] if predictions.champion is None else [predictions.champion])]
    # An absurd prediction may overflow: the metric then is infinite, which nobody promotes.
    with np.errstate(over="ignore", invalid="ignore"):
        losses = np.stack([measured.loss(predictions.y_true, model) for model in models])
        values = measured.of_mean(losses.mean(axis=1)) if rows else np.full(len(models), np.nan)
    units, drawn = _units(predictions)
    challenger, champion = float(values[0]), float(values[1]) if len(values) > 1 else None
    nan = float("nan")
    if not np.isfinite(values).all() or (compared and champion is None):
        estimate = challenger if not compared else nan
        return Evidence(rows, drawn, challenger, champion, estimate, nan, nan)
    resampled = measured.of_mean(resampled_means(losses, units, resamples=_RESAMPLES, rng=np.random.default_rng(seed)))
    n_units = int(units.max()) + 1
    low, high = -np.inf, np.inf
    if n_units > 1:
        spread = _excess(resampled[0], resampled[1]) if compared else resampled[0]
        low, high = percentile_bounds(spread, expanded_tail(alpha, n_units))
    estimate = float(_excess(values[:1], values[1:])[0]) if compared else challenger
    return Evidence(rows, drawn, challenger, champion, estimate, low, high)


def _units(predictions: PairedPredictions) -> tuple[npt.NDArray[np.intp], str]:
    nights, units = np.unique(predictions.night, return_inverse=True)
    if nights.size >= _MIN_NIGHTS:
        return units, f"{nights.size} nights"
    return np.arange(predictions.night.size), f"{predictions.night.size} rows"


def _excess(challenger: Floats, champion: Floats) -> Floats:
    """(challenger - champion) / champion; against a champion without error, 0 or infinity."""
    flawless = champion == 0.0
    share = (challenger - champion) / np.where(flawless, 1.0, champion)
    return np.where(flawless, np.where(challenger == 0.0, 0.0, np.inf), share)
