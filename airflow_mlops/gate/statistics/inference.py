"""What a test knows of an estimate: how likely it is on either side of a bound, and between which bounds it lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Inference", "MostCautious"]


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
