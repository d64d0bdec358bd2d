"""How often a night as unusual as this one comes, learned from nights whose unusualness was reckoned beforehand.

What a model calls one night in a hundred seldom is: series hang together, and a forecast has faults of its own. So the
scale is learned from what the model said of past nights, each forecast from its own past. Most nights make up the body,
whose upper half falls off exponentially. A few may be odd (a holiday, an incident that nobody marked): how many come,
and how far out, is learned apart, since they would make the body look wide.

References
----------
Dawid, A. P. (1984). Present position and potential developments: the prequential approach. Journal of the Royal
Statistical Society A 147(2), 278-292.

Davison, A. C. & Smith, R. L. (1990). Models for exceedances over high thresholds. Journal of the Royal Statistical
Society B 52(3), 393-442.

Vovk, V., Gammerman, A. & Shafer, G. (2005). Algorithmic Learning in a Random World, section 2.2 (the rank of a new
example among those before it).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Tail", "tail_of"]

Floats = NDArray[np.float64]
# -log 0.01: the scale of the body is learned up to there, or to two above its median if that is more.
_BODY, _ABOVE_MEDIAN = 4.6, 2.0
# Held before anything was seen: eight nights of the upper half fell off at rate one, as they do if the model is right.
_PRIOR_NIGHTS = 8.0
# The body's scales above its median from which on a night is odd: 0.5 exp(-5.3) is one night in 400.
_FAR = 5.3
_OF_THE_BODY = 0.5 * math.exp(-_FAR)
# Held beforehand, too: a tenth of a night in eight was odd; and how much farther than ever an odd night may lie.
_PRIOR_ODD, _PRIOR_ODD_OF = 0.1, 8.0


@dataclass(frozen=True)
class Tail:
    """The distribution of unusualness (-log of a probability) over nights on which nothing happened.

    Attributes
    ----------
    middle : float
        Median.
    scale, weight : float
        Of the upper half: mean excess over the median, and how many nights it is learned from.
    odd : tuple of float
        Unusualness of the odd nights, ascending.
    odd_frequency : float
        Of odd nights among all.
    """

    middle: float
    scale: float
    weight: float
    odd: tuple[float, ...]
    odd_frequency: float

    def probability(self, unusual: float) -> float:
        """Of a night at least as unusual, in (0, 1]; 1 in the lower half."""
        if unusual <= self.middle:
            return 1.0
        # Of an exponential distribution whose scale is uncertain by as much as its weight says.
        body = 0.5 * math.pow(1 + (unusual - self.middle) / (self.weight * self.scale), -self.weight)
        return min(1.0, body + self.odd_frequency * self._among_odd(unusual))

    def _among_odd(self, unusual: float) -> float:
        """Share of odd nights that are as unusual: a rank; beyond the farthest it falls with the square of a log."""
        farthest = max((self.middle + _FAR * self.scale, *self.odd))
        farther = sum(one >= unusual for one in self.odd)
        return (farther + 1) / (len(self.odd) + 1) * math.pow(1 + math.log(max(unusual / farthest, 1.0)), -2)

    def unusual(self, probability: float) -> float:
        """Unusualness that a night exceeds with this probability: what `probability` is the inverse of."""
        low, high = self.middle, max((_BODY, self.middle, *self.odd)) + 1.0
        while self.probability(high) > probability:
            low, high = high, 2 * high
        for _ in range(60):
            between = 0.5 * (low + high)
            low, high = (between, high) if self.probability(between) > probability else (low, between)
        return high


def tail_of(past: Floats, *, independent: float = 1.0) -> Tail:
    """Learn how unusual nights usually are.

    Parameters
    ----------
    past : ndarray of shape (n_nights,)
        -log of the probability that the model gave to each past night before it was seen; of none at all, what is held
        beforehand speaks.
    independent : float
        In (0, 1]: how many nights a night is worth; less where nights are looked at in runs that overlap.

    Examples
    --------
    >>> tail = tail_of(np.random.default_rng(2).exponential(size=112))
    >>> round(tail.probability(4.0), 3), round(tail.unusual(0.01), 1)
    (0.02, 4.8)
    """
    middle = float(np.median(past)) if past.size else math.log(2)
    end = max(_BODY, middle + _ABOVE_MEDIAN)
    upper = past[past > middle]
    weight = independent * float((upper < end).sum()) + _PRIOR_NIGHTS
    scale = (independent * float((np.minimum(upper, end) - middle).sum()) + _PRIOR_NIGHTS) / weight
    odd = np.sort(past[past >= middle + _FAR * scale])
    beyond_body = independent * max(odd.size - _OF_THE_BODY * past.size, 0.0)
    return Tail(
        middle=middle,
        scale=scale,
        weight=weight,
        odd=tuple(odd.tolist()),
        odd_frequency=(beyond_body + _PRIOR_ODD) / (past.size + _PRIOR_ODD_OF),
    )
