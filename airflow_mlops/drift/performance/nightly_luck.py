"""How far a night's mean loss strays when nothing happened: all that reference nights do not speak against.

A night's mean loss is taken to be a level, a part of its weekday, a part that fades from night to night, and the luck
of its rows. How large those parts are, and how fast the third fades, a few weeks of nights tell only roughly; so every
way that is nearly as likely as the likeliest is kept, and each forecasts for itself. The level's and the weekdays' own
uncertainty is in each forecast (they are normal, with the level's prior as good as flat). Gaps, and nights whose labels
come late, need nothing else: a forecast rests on all nights that came before it, on whichever side of it they lie.

References
----------
Rasmussen, C. E. & Williams, C. K. I. (2006). Gaussian Processes for Machine Learning, equation 2.25. MIT Press.

Edwards, A. W. F. (1972). Likelihood, chapter 5 (what lies within so much of the greatest support). Cambridge.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import numpy as np
from numpy.typing import NDArray

from airflow_mlops.drift.performance.rows import NightLoss

__all__ = ["NightlyLuck"]

Floats = NDArray[np.float64]
_WEEK = 7
# What is left after a night; nearer to one there is no level to return to.
_FADING = (0.0, 0.3, 0.6, 0.8, 0.9, 0.95)
# Sizes that are tried lie between this part of the luck of rows and this multiple of the scatter of nights.
_LEAST, _MOST, _SIZES, _WEEKDAY_SIZES = 0.3, 3.0, 18, 5
# The level's prior is that many times as wide as the scatter of nights.
_FLAT = 10.0
# Differences in log likelihood up to which a way is kept. At 1 as much as 1.3 of 100 nights were called watch at AR
# 0.7, at 2.3 (90 % confidence) hardly any, and concept drift beside such nights was not found either.
_SUPPORT = 1.5


@dataclass(frozen=True, eq=False)
class NightlyLuck:
    """Ways in which nights may hang together.

    Attributes
    ----------
    ways : ndarray of shape (n_ways, 3)
        Standard deviation of the part that fades, what is left of it after a night, standard deviation of weekdays.
    mean, scatter : float
        Of the reference's nights.
    """

    ways: Floats
    mean: float
    scatter: float

    @classmethod
    # A test that takes nights in one by one asks for the same reference each time.
    @lru_cache(maxsize=8)
    def of(cls, reference: tuple[NightLoss, ...]) -> Self:
        """Learn from reference nights, at least two."""
        losses, errors = (np.array([getattr(one, what) for one in reference]) for what in ("loss", "error"))
        sampling = float(np.median(errors))
        scatter = max(float(losses.std()), sampling)
        least, most = _LEAST * sampling, max(_MOST * scatter, 2 * _LEAST * sampling)
        fading = [(0.0, 0.0), *((size, left) for size in np.geomspace(least, most, _SIZES) for left in _FADING)]
        weekdays = [0.0, *np.geomspace(least, most, _WEEKDAY_SIZES)]
        every = cls(
            np.array([(*part, weekday) for part in fading for weekday in weekdays]), float(losses.mean()), scatter
        )
        scores, spread = every.scores(reference)
        support = (-0.5 * np.square(scores) - np.log(spread)).sum(axis=1).reshape(len(fading), len(weekdays))
        # Of weekdays the likeliest size is enough: how they scatter hardly tells a change from luck.
        best = every.ways.reshape(len(fading), len(weekdays), 3)[np.arange(len(fading)), support.argmax(axis=1)]
        kept = support.max(axis=1) >= support.max() - _SUPPORT
        return cls(best[kept], every.mean, every.scatter)

    def scores(self, nights: tuple[NightLoss, ...]) -> tuple[Floats, Floats]:
        """How far each night lies from its forecast by all those before it in the tuple.

        Returns
        -------
        scores, spread : ndarray of shape (n_ways, n_nights)
            Distances in standard deviations of the forecast, independent and standard normal if the way is the true
            one; and those standard deviations.
        """
        count = len(nights)
        day = np.array([one.night.toordinal() for one in nights])
        errors = np.array([one.error for one in nights])
        size, left, weekday = (column[:, None] for column in self.ways.T)
        apart = np.abs(day[:, None] - day)
        days = np.arange(apart.max() + 1)
        together = np.square(size) * np.power(left, days) + np.square(weekday) * (days % _WEEK == 0)
        away = np.array([one.loss for one in nights]) - self.mean
        # Bordered by the nights' losses, the last line of the Cholesky factor has the scores.
        bordered = np.empty((len(self.ways), count + 1, count + 1))
        bordered[:, :count, :count] = together[:, apart] + (np.diag(np.square(errors)) + (_FLAT * self.scatter) ** 2)
        bordered[:, count, :count] = bordered[:, :count, count] = away
        bordered[:, count, count] = 2 * np.square(away / errors).sum() + 1
        factor = np.linalg.cholesky(bordered)
        spread: Floats = np.diagonal(factor, axis1=1, axis2=2)[:, :count]
        return np.asarray(factor[:, count, :count]), spread
