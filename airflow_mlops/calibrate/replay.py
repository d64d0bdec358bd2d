"""Past nights judged one after another, each as if it were the last: how unusual each was, by its own past alone.

Two things make a night unusual. It may lie far from its forecast. Or this night and the two before it may all lie to
the same side of forecasts that were made before the first of them: nearer than a single night would have to, but no odd
night reaches the third. The first sees a break at once; the second sees what lasts, also through a history of odd
nights, among which a single night says nothing.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from airflow_mlops.calibrate.combination import LEAST_PROBABILITY
from airflow_mlops.calibrate.families import Families, numbered
from airflow_mlops.calibrate.forecast import Forecast, forecast_of
from airflow_mlops.calibrate.tail import tail_of
from airflow_mlops.errors import ConfigError

__all__ = ["LEAST_NIGHTS", "Layout", "Replay", "past_needed", "replay"]

Floats = NDArray[np.float64]
LEAST_NIGHTS = 14
"""Nights before the first that is judged, and two seasons at least."""
# Nights that a forecast is learned from at most; and how unusual nights are.
_LONGEST, _PAST = 56, 112
# A forecast from fewer nights is wilder than later ones: its unusualness teaches only where there is little else.
_SETTLED, _ENOUGH_PAST = 28, 14
_RUN = 3
# Runs overlap, so two of them tell about as much as one night.
_RUN_INDEPENDENT = 0.5
# Parts of the budget: more than the whole, for what is far is often what lasts. Measured (docs/benchmarks.md).
_NIGHT_SHARE, _RUN_SHARE = 0.75, 0.5
_LONGEST_SEASON = 14
# A least effect is what would be seen in four of five cases.
_POWER_80 = 0.84


@dataclass(frozen=True)
class Layout:
    """What the series are of.

    Attributes
    ----------
    names : tuple of str
        Of each series.
    features : tuple of (str or None)
        The feature that a series tells of; None if it tells of none alone, as a correlation does.
    kinds : tuple of str
        Series of one kind (location, scale, share) lend each other variance and autocorrelation.
    """

    names: tuple[str, ...]
    features: tuple[str | None, ...]
    kinds: tuple[str, ...]

    def __post_init__(self) -> None:
        if not len(self.names) == len(self.features) == len(self.kinds) > 0:
            raise ConfigError(
                f"expected a name, a feature and a kind for each of at least one series, got {len(self.names)}, "
                f"{len(self.features)} and {len(self.kinds)}. Lay the series out with one of each."
            )


@dataclass(frozen=True)
class Replay:
    """How unusual each night was.

    Attributes
    ----------
    night, run : ndarray of shape (n_nights,)
        -log of the model's probability of the night by itself, and of the three nights that it ends; NaN where nothing
        could be said.
    night_probability, run_probability : ndarray of shape (n_nights,)
        The same after what past nights taught, each within the whole budget; NaN likewise.
    expected, scatter : ndarray of shape (n_nights, n_series)
        Forecast and its standard deviation, in each series' own unit.
    deviations : ndarray of shape (n_nights, n_series)
        Distance from the forecast, in its standard deviations.
    runs : ndarray of shape (n_nights, n_series)
        The least of the three distances of a run to one side, with its sign; 0 for one that changed sides.
    log_probability : ndarray of shape (2, n_nights, n_series)
        Logarithms of the model's probability of each series' distance, of the night and of the run.
    reach : ndarray of shape (n_nights, n_series)
        With ``alpha``: standard deviations at which a single series makes a night so improbable.
    """

    night: Floats
    run: Floats
    night_probability: Floats
    run_probability: Floats
    expected: Floats
    scatter: Floats
    deviations: Floats
    runs: Floats
    log_probability: Floats
    reach: Floats

    @property
    def probability(self) -> Floats:
        """Of a night at least as unusual when nothing happened, in (0, 1]; NaN where nothing could be said."""
        parts = np.stack([self.night_probability / _NIGHT_SHARE, self.run_probability / _RUN_SHARE])
        said = np.isfinite(parts)
        both = np.where(said, parts, 1.0).min(axis=0)
        return np.where(said.any(axis=0), np.minimum(both, 1.0), np.nan)

    @property
    def least_effects(self) -> Floats:
        """With ``alpha``: the change of a single series, in its own unit, that would be found in four of five cases."""
        effects: Floats = (self.reach + _POWER_80) * self.scatter
        return effects


def past_needed(nights: int) -> int:
    """The first night that a replay must score for the last of so many to be judged by all that it may rest on."""
    return max(nights - _RUN - _PAST, 0)


def replay(
    values: Floats,
    errors: Floats,
    layout: Layout,
    *,
    season: int = 7,
    quiet: NDArray[np.bool_] | None = None,
    first: int = 0,
    alpha: float | None = None,
) -> Replay:
    """Judge each night by the nights before it.

    Parameters
    ----------
    values : ndarray of shape (n_nights, n_series)
        Nights in order without gaps; NaN where a night or a value is missing.
    errors : ndarray of shape (n_nights, n_series)
        Standard error of each value from the sampling of rows alone, positive: no night is called unusual for less.
    layout : Layout
        What the series are of.
    season : int
        Nights after which levels come again, from 1 (no season) to 14.
    quiet : ndarray of shape (n_nights,), optional
        Nights that were expected to be unusual, or accepted afterwards: not judged, and not learned from.
    first : int
        Nights before it are learned from, but not scored.
    alpha : float, optional
        Probability of a night at which ``reach`` is reckoned.

    Raises
    ------
    ConfigError
        If shapes or season do not fit, or an error is not positive.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> nights = rng.normal(size=(60, 6))
    >>> nights[59, 2] += 8
    >>> layout = Layout(names=tuple("abcdef"), features=tuple("abcdef"), kinds=("mean",) * 6)
    >>> bool(replay(nights, np.ones_like(nights), layout).probability[59] < 0.002)
    True
    """
    _require(values, errors, layout, season, quiet)
    if quiet is not None:
        values = np.where(quiet[:, None], np.nan, values)
    sampling = np.square(errors)
    families, kinds = Families(layout.features), numbered(layout.kinds)
    nights, series = values.shape
    unusual = np.full((2, nights), np.nan)
    probability = np.full((2, nights), np.nan)
    expected, scatter, deviations, runs, reach = (np.full((nights, series), np.nan) for _ in range(5))
    logs = np.full((2, nights, series), np.nan)
    made: deque[Forecast] = deque(maxlen=_RUN)
    shortest = max(LEAST_NIGHTS, 2 * season)
    for night in range(max(shortest, first - _RUN + 1), nights):
        length = season * min(_LONGEST // season, night // season)
        made.append(forecast_of(values[night - length : night], sampling[night - length : night], kinds, season=season))
        if night < first:
            continue
        expected[night], scatter[night] = made[-1].value(1), np.sqrt(made[-1].variance(1, sampling[night]))
        deviations[night] = (values[night] - expected[night]) / scatter[night]
        logs[0, night] = _log_probability(deviations[night], made[-1].freedom)
        if len(made) == _RUN:
            since = slice(night - _RUN + 1, night + 1)
            runs[night], exponents = _run(made[0], values[since], sampling[since])
            logs[1, night] = _log_probability(runs[night], made[0].freedom, exponents)
        for channel, independent in enumerate((1.0, _RUN_INDEPENDENT)):
            unusual[channel, night] = families.unusualness(logs[channel, night])
            if np.isfinite(unusual[channel, night]):
                tail = tail_of(_past(unusual[channel], night, shortest), independent=independent)
                probability[channel, night] = tail.probability(unusual[channel, night])
        if alpha is not None:
            least = tail_of(_past(unusual[0], night, shortest)).unusual(_NIGHT_SHARE * alpha)
            reach[night] = families.reach(least, made[-1].freedom)
    night_p, run_p = probability
    return Replay(unusual[0], unusual[1], night_p, run_p, expected, scatter, deviations, runs, logs, reach)


def _require(values: Floats, errors: Floats, layout: Layout, season: int, quiet: NDArray[np.bool_] | None) -> None:
    series = len(layout.names)
    if values.ndim != 2 or values.shape != errors.shape or values.shape[1] != series:  # noqa: PLR2004 - nights x series
        raise ConfigError(
            f"expected values and errors of shape (n_nights, {series}), got {values.shape} and {errors.shape}. "
            "Give each series a column in both."
        )
    if not len(values):
        raise ConfigError("expected at least one night, got none. Give the night that is to be judged.")
    if quiet is not None and quiet.shape != values.shape[:1]:
        raise ConfigError(f"expected a flag for each of {len(values)} nights, got {quiet.shape}. Flag each night.")
    if not 1 <= season <= _LONGEST_SEASON:
        raise ConfigError(
            f"expected a season of 1 to {_LONGEST_SEASON} nights, got {season}. Longer ones are followed as they go."
        )
    if not (errors[np.isfinite(values)] > 0).all():
        raise ConfigError("expected a positive standard error for each value, got others. Give each value its error.")


def _past(unusual: Floats, night: int, shortest: int) -> Floats:
    """What teaches how unusual nights are; not the two before, so that a change is found on its second night, too."""
    unusual = unusual[: max(night - _RUN + 1, 0)]
    settled = unusual[max(_SETTLED, len(unusual) - _PAST) :]
    settled = settled[np.isfinite(settled)]
    if settled.size >= _ENOUGH_PAST:
        return settled
    every = unusual[shortest:]
    return every[np.isfinite(every)][-_ENOUGH_PAST:]


def _run(forecast: Forecast, values: Floats, sampling: Floats) -> tuple[Floats, Floats]:
    """Least distance of nights in a row from one forecast, and how many independent nights they are worth.

    With a correlation matrix R of the distances, all of them exceed a high limit u with a probability of about
    exp(-u^2 / 2 * 1' R^-1 1) (Savage 1962, Mills' ratio for multivariate normal distributions). The last factor is 3
    without autocorrelation and near 1.3 with much of it, where a single step keeps three nights away from a forecast.
    """
    ahead = range(1, len(values) + 1)
    away = values - np.stack([forecast.value(i) for i in ahead])
    distances = away / np.sqrt([forecast.variance(i, sampling[i - 1]) for i in ahead])
    least = np.where((distances > 0).all(axis=0), distances.min(axis=0), 0.0)
    least = np.where((distances < 0).all(axis=0), distances.max(axis=0), least)
    spread = np.sqrt(np.stack([forecast.growth(i) for i in ahead]))
    worth = spread[0] ** 2 + np.square(spread[1:] - forecast.phi * spread[:-1]).sum(axis=0)
    return np.where(np.isfinite(distances).all(axis=0), least, np.nan), worth


def _log_probability(distances: Floats, freedom: Floats, exponents: Floats | float = 1.0) -> Floats:
    """Of distances as large, to either side; NaN stays NaN."""
    one_sided = np.maximum(special.stdtr(freedom, -np.abs(distances)), LEAST_PROBABILITY)
    both: Floats = np.minimum(np.log(2.0) + exponents * np.log(one_sided), 0.0)
    return both
