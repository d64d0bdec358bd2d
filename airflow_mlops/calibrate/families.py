"""The series of each feature, and those of none, together: one answer for a night, and what it asks of each series."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import special

from airflow_mlops.calibrate.combination import LEAST_PROBABILITY, least_of, single_of, truncated_product

__all__ = ["Families", "numbered"]

Floats = NDArray[np.float64]


def numbered(names: tuple[str, ...]) -> NDArray[np.intp]:
    """Of each name its place among those that differ."""
    places = {name: place for place, name in enumerate(dict.fromkeys(names))}
    return np.array([places[name] for name in names], dtype=np.intp)


class Families:
    """Series by the feature that they tell of.

    Parameters
    ----------
    features : tuple of (str or None)
        Of each series; None if it tells of none alone.
    """

    def __init__(self, features: tuple[str | None, ...]) -> None:
        self._features = len({feature for feature in features if feature is not None})
        self._family = np.full(len(features), self._features, dtype=np.intp)
        self._family[[feature is not None for feature in features]] = numbered(
            tuple(f"feature {feature}" for feature in features if feature is not None)
        )
        self._order = np.argsort(self._family, kind="stable")
        self._counts = np.bincount(self._family)
        self._starts = np.cumsum(self._counts) - self._counts
        # One that stands out, several that lean together, and those of no single feature.
        self._questions = 2 * (self._features > 0) + (len(self._counts) > self._features)

    def unusualness(self, log_probability: Floats) -> float:
        """-log of the probability that anything stands out as much; NaN if there is nothing to look at."""
        if not np.isfinite(log_probability).any():
            return float("nan")
        held = np.maximum(np.where(np.isnan(log_probability), 0.0, log_probability), np.log(LEAST_PROBABILITY))
        of_family = least_of(np.exp(np.minimum.reduceat(held[self._order], self._starts)), self._counts)
        found = list(of_family[self._features :])
        if self._features:
            own = of_family[: self._features]
            found += [least_of(own.min(), self._features), truncated_product(own)]
        return -float(np.log(least_of(np.min(found), self._questions)))

    def reach(self, unusualness: float, freedom: Floats) -> Floats:
        """How far a single series must stand out to make a night this unusual, in standard deviations."""
        least = single_of(np.exp(-np.array(unusualness)), self._questions)
        of_family = np.where(self._family < self._features, single_of(least, max(self._features, 1)), least)
        single = single_of(of_family, self._counts[self._family])
        reach: Floats = -special.stdtrit(np.minimum(freedom, 1e6), single / 2)
        return reach
