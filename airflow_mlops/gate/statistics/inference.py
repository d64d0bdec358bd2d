"""What a test knows of an estimate: how likely it is on either side of a bound, and between which bounds it lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Folded", "Inference", "MostCautious"]


class Inference(Protocol):
    """A test of an estimate, with the bounds that come of inverting it."""

    @property
    def method(self) -> str:
        """What it is called."""

    def p_below(self, bound: float) -> float:
        """P-value against the hypothesis that the truth is at the bound or above it: small shows it is below."""

    def p_above(self, bound: float) -> float:
        """P-value against the hypothesis that the truth is at the bound or below it: small shows it is above."""

    def bounds(self, alpha: float) -> tuple[float, float]:
        """Lower and upper bound of the truth, each at level ``alpha``; infinite where nothing is known."""


@dataclass(frozen=True)
class MostCautious:
    """Several tests of one estimate: what all of them show is shown.

    The size is at most the least of theirs, so a challenger has to pass each in the place where it is the honest one.
    """

    parts: Sequence[Inference]

    @property
    def method(self) -> str:
        """All their names."""
        return " and ".join(part.method for part in self.parts)

    def p_below(self, bound: float) -> float:
        """Largest of theirs."""
        return max(part.p_below(bound) for part in self.parts)

    def p_above(self, bound: float) -> float:
        """Largest of theirs."""
        return max(part.p_above(bound) for part in self.parts)

    def bounds(self, alpha: float) -> tuple[float, float]:
        """Widest of theirs."""
        lows, highs = zip(*(part.bounds(alpha) for part in self.parts), strict=True)
        return min(lows), max(highs)


@dataclass(frozen=True)
class Folded:
    """A test of |a| - |b|, of two signed figures, by the tests of what a - b, a + b, -a - b and -a + b are.

    The fold biases |a| and |b| upwards, and most of all that of the model that is right: a challenger that is worse by
    exactly the margin would be promoted in 24 % of trials at alpha = 5 %. The signed sums are not biased. |a| - |b| is
    below a bound if, for either sign of a, one of the two sums is (union-intersection and intersection-union, Roy
    1953, Berger 1982); of two tests either may be right by chance, so their level is halved.

    Attributes
    ----------
    parts : sequence of (Inference, Inference)
        For a and for -a: of the sum with -b, and of that with b.

    References
    ----------
    Roy, S. N. (1953). On a heuristic method of test construction and its use in multivariate analysis. Annals of
    Mathematical Statistics 24(2), 220-238. Berger, R. L. (1982). Technometrics 24(4), 295-300.
    """

    parts: Sequence[tuple[Inference, Inference]]

    @property
    def method(self) -> str:
        """The name of the tests, which all are the same."""
        return f"{self.parts[0][0].method}, of either sign"

    def p_below(self, bound: float) -> float:
        """Largest over the signs of a of the smaller of the two, doubled."""
        return min(1.0, 2 * max(min(part.p_below(bound) for part in pair) for pair in self.parts))

    def p_above(self, bound: float) -> float:
        """Smallest over the signs of a of the larger of the two, doubled."""
        return min(1.0, 2 * min(max(part.p_above(bound) for part in pair) for pair in self.parts))

    def bounds(self, alpha: float) -> tuple[float, float]:
        """Lower and upper bound, each at level ``alpha``: where the tests turn."""
        within = [[part.bounds(alpha / 2) for part in pair] for pair in self.parts]
        low = max(min(low for low, _ in pair) for pair in within)
        return low, max(min(high for _, high in pair) for pair in within)
