"""What the nights before a night say of it: a forecast that odd nights among them do not spoil.

References
----------
Kendall, M. G. (1954). Note on bias in the estimation of autocorrelation. Biometrika 41(3-4), 403-404.

Tukey, J. W. (1977). Exploratory Data Analysis, chapter 7 (running medians). Addison-Wesley.

Smyth, G. K. (2004). Linear models and empirical Bayes methods for assessing differential expression in microarray
experiments. Statistical Applications in Genetics and Molecular Biology 3(1), article 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from airflow_mlops.calibrate.variance import squeezed_variances

__all__ = ["Forecast", "forecast_of"]

Floats = NDArray[np.float64]
# A cell is odd if it sticks out of its neighbours by this many sd. That sd is 1.6 times the median size of what the
# running median of five leaves of independent normal numbers (the zeros at the medians themselves left out): the
# factor is 1.5 to 1.8 for 3 to 8 seasons, by simulation.
_ODD, _MEDIAN_TO_SD = 4.0, 1.6
# No autocorrelation beyond this: at one there is no level to return to.
_MOST_PHI = 0.95
# The last night is taken as it was seen, but for a fault: farther from its level than this many sd it is cut off.
_CREDIBLE = 3.0
# Levels of a season and one autocorrelation are learned from the same nights.
_LEAST_FREEDOM = 3.0
# A series that was seen in fewer seasons has no forecast.
_LEAST_SEASONS = 2


@dataclass(frozen=True)
class Forecast:
    """A level for each night of the season, and how the last night's distance from it fades.

    Attributes
    ----------
    levels : ndarray of shape (season, n_series)
        Of the nights that follow, beginning with the next.
    level_errors : ndarray of shape (season, n_series)
        Their variances, over that of the innovations.
    last : ndarray of shape (n_series,)
        How far the last night lay from its level.
    phi : ndarray of shape (n_series,)
        What a night keeps of the distance of the night before, in [0, 0.95].
    drift : ndarray of shape (n_series,)
        What is new in a night on average: where a series climbs through the window, as it does in spring.
    innovation : ndarray of shape (n_series,)
        Variance of what is new in a night, at least that of sampling.
    sampling : ndarray of shape (n_series,)
        Mean variance of sampling in the window.
    freedom : ndarray of shape (n_series,)
        Degrees of freedom of the innovation's variance, those borrowed from other series among them.
    """

    levels: Floats
    level_errors: Floats
    last: Floats
    phi: Floats
    drift: Floats
    innovation: Floats
    sampling: Floats
    freedom: Floats

    def value(self, ahead: int) -> Floats:
        """Expected values ``ahead`` nights on (1 is the next), of shape (n_series,)."""
        climbed = self.drift * (1 - self.phi**ahead) / (1 - self.phi)
        value: Floats = self.levels[(ahead - 1) % len(self.levels)] + self.phi**ahead * self.last + climbed
        return value

    def growth(self, ahead: int) -> Floats:
        """Variance of an autoregression ``ahead`` nights on, over that of its innovations."""
        squared = self.phi**2
        growth: Floats = (1 - squared**ahead) / (1 - squared)
        return growth

    def variance(self, ahead: int, sampling: Floats) -> Floats:
        """Variance of a night's distance from `value`, where the sampling of that night has the variance given."""
        uncertain = self.growth(ahead) + self.level_errors[(ahead - 1) % len(self.levels)]
        variance: Floats = np.maximum(self.innovation * uncertain + sampling - self.sampling, sampling)
        return variance


def forecast_of(window: Floats, sampling: Floats, kinds: NDArray[np.intp], *, season: int) -> Forecast:
    """Learn from whole seasons of nights what the nights after them will be like.

    Cells that stick out of their neighbours are left out of levels, autocorrelation and variance. A change that lasts
    sticks out for two nights only: then its neighbours have changed too.

    Parameters
    ----------
    window : ndarray of shape (n_nights, n_series)
        Nights in order, whole seasons of them; NaN where there is nothing to learn.
    sampling : ndarray of shape (n_nights, n_series)
        Variance of each cell from sampling alone, in the series' own unit squared; series lend each other variance as a
        multiple of it.
    kinds : ndarray of shape (n_series,)
        0, 1, ...; series of one kind lend each other strength.
    season : int
        Nights after which levels come again.

    Returns
    -------
    Forecast
        NaN for a series that was seen in fewer nights than two seasons have.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> weekday = np.tile([0.0, 0, 0, 0, 0, 5, 5], 8)[:, None]
    >>> nights = weekday + rng.normal(size=(56, 4))
    >>> forecast = forecast_of(nights, np.ones_like(nights), np.zeros(4, dtype=np.intp), season=7)
    >>> [round(float(forecast.value(ahead).mean()), 1) for ahead in (1, 6)]
    [0.0, 5.2]
    """
    nights = len(window)
    by_season = (nights // season, season, window.shape[1])
    seen = np.isfinite(window)
    seen_nights = seen.sum(axis=0)
    sampled = np.where(seen, sampling, 0.0).sum(axis=0) / np.maximum(seen_nights, 1)
    unit = np.where(seen_nights > 0, np.sqrt(sampled), 1.0)
    window = window / unit
    usual = _median(window.reshape(by_season))
    usual = np.where(np.isnan(usual), _median(window), usual)
    kept = _inliers(np.where(seen, (window.reshape(by_season) - usual).reshape(window.shape), 0.0), seen, kinds)

    count = kept.reshape(by_season).sum(axis=0)
    total = np.where(kept, window, 0.0).reshape(by_season).sum(axis=0)
    levels = np.where(count > 0, total / np.maximum(count, 1), usual)
    levels -= _climb(window, kept, season)
    residuals = (window.reshape(by_season) - levels).reshape(window.shape)
    inliers = np.where(kept, residuals, 0.0)
    in_a_row = kept[1:] & kept[:-1]
    phi = _autocorrelation(inliers, kept, in_a_row, kinds)

    innovations = np.where(in_a_row, inliers[1:] - phi * inliers[:-1], 0.0)
    drift = innovations.sum(axis=0) / np.maximum(in_a_row.sum(axis=0), 1)
    innovations = np.where(in_a_row, innovations - drift, 0.0)
    own = np.maximum(in_a_row.sum(axis=0) - (season + 1), _LEAST_FREEDOM)
    variances, freedom = np.square(innovations).sum(axis=0) / own, np.empty_like(phi)
    for kind in range(int(kinds.max()) + 1):
        alike = kinds == kind
        variances[alike], freedom[alike] = squeezed_variances(
            variances[alike], degrees_of_freedom=float(np.median(own[alike]))
        )
    innovation = np.maximum(variances, 1.0)

    age = np.argmax(seen[::-1], axis=0)
    before, last = (
        np.take_along_axis(residuals, np.maximum(nights - 1 - age - earlier, 0)[None], axis=0)[0] for earlier in (1, 0)
    )
    follows = np.nan_to_num(phi * before) + drift
    reach, step = _CREDIBLE * np.sqrt(innovation / (1 - phi**2)), _CREDIBLE * np.sqrt(innovation)
    last = np.clip(last, np.minimum(-reach, follows - step), np.maximum(reach, follows + step))
    last = np.where(seen_nights > 0, phi**age * last, 0.0)
    levels = np.where(seen_nights >= _LEAST_SEASONS * season, levels, np.nan)
    return Forecast(
        levels=levels * unit,
        level_errors=1.0 / np.maximum(count, 1),
        last=last * unit,
        phi=phi,
        drift=drift * unit,
        innovation=innovation * unit**2,
        sampling=sampled,
        freedom=freedom,
    )


def _inliers(departures: Floats, seen: NDArray[np.bool_], kinds: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Cells that do not stick out, of shape (n_nights, n_series)."""
    spread = np.abs(departures - _running_median(departures))
    sizes = _MEDIAN_TO_SD * np.nan_to_num(_median(np.where(seen & (spread > 0), spread, np.nan)))
    # A median of few nights is a shaky scale: half of it, on the log scale, is its kind's.
    for kind in range(int(kinds.max()) + 1):
        alike = kinds == kind
        sizes[alike] = np.sqrt(sizes[alike] * np.median(sizes[alike]))
    kept: NDArray[np.bool_] = seen & (spread < _ODD * np.maximum(sizes, 1.0))
    return kept


def _climb(window: Floats, kept: NDArray[np.bool_], season: int) -> Floats:
    """What nights of a season differ by because it climbs, of shape (season, n_series): no pattern that comes again.

    The median from season to season: a step that lasts is no climb.
    """
    both = kept[season:] & kept[:-season]
    climb = np.nan_to_num(_median(np.where(both, window[season:] - window[:-season], np.nan)))
    return np.outer((np.arange(season) - (season - 1) / 2) / season, climb)


def _autocorrelation(
    inliers: Floats, kept: NDArray[np.bool_], in_a_row: NDArray[np.bool_], kinds: NDArray[np.intp]
) -> Floats:
    """Of lag one; half a series' own and half its kind's, with what a short window hides of it given back (Kendall)."""
    together = (inliers[1:] * inliers[:-1]).sum(axis=0) / np.maximum(in_a_row.sum(axis=0), 1)
    alone = np.square(inliers).sum(axis=0) / np.maximum(kept.sum(axis=0), 1)
    phi: Floats = np.divide(together, alone, out=np.zeros_like(alone), where=alone > 0)
    phi += (1 + 3 * phi) / len(inliers)
    for kind in range(int(kinds.max()) + 1):
        alike = kinds == kind
        phi[alike] = 0.5 * (phi[alike] + np.median(phi[alike]))
    return np.clip(phi, 0.0, _MOST_PHI)


def _running_median(values: Floats) -> Floats:
    """Of five nights in a row, mirrored at the ends; by comparisons, which are faster than sorting."""
    padded = np.concatenate([values[2:0:-1], values, values[-2:-4:-1]])
    one, two, three, four, five = (padded[start : start + len(values)] for start in range(5))
    # Of two pairs, neither the smallest nor the largest of the four is the median of five.
    lower = np.maximum(np.minimum(one, two), np.minimum(three, four))
    upper = np.minimum(np.maximum(one, two), np.maximum(three, four))
    medians: Floats = np.clip(five, np.minimum(lower, upper), np.maximum(lower, upper))
    return medians


def _median(values: Floats) -> Floats:
    """Along the first axis, NaN left out; NaN where there is nothing else."""
    ordered = np.sort(values, axis=0)
    count = np.isfinite(values).sum(axis=0)
    middle = np.stack([np.maximum(count - 1, 0) // 2, np.minimum(count // 2, len(values) - 1)])
    medians: Floats = np.take_along_axis(ordered, middle, axis=0).mean(axis=0)
    return medians
