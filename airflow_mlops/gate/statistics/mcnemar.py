"""Two classifiers on the same rows: tests of the rows in which one of them alone is right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

__all__ = ["McNemar", "Tango"]


@dataclass(frozen=True)
class _Discordant:
    """Rows in which the challenger alone (``gained``) or the champion alone (``lost``) is right, of ``rows``."""

    gained: int
    lost: int
    rows: int

    @property
    def estimate(self) -> float:
        """The challenger's accuracy less the champion's."""
        return (self.gained - self.lost) / self.rows


@dataclass(frozen=True)
class Tango(_Discordant):
    """Score test of the difference of two paired accuracies, against any bound.

    The variance is that at the bound, not that of the estimate, which keeps the size with few discordant rows. Rows
    that hang together count for fewer: ``design_effect`` is how many times the variance is that of single rows, and
    ``df`` the degrees of freedom with which it was found.

    References
    ----------
    Tango, T. (1998). Equivalence test and confidence interval for the difference in proportions for the
    paired-sample design. Statistics in Medicine 17(8), 891-908. Fagerland, M. W., Lydersen, S., Laake, P. (2014).
    Recommended tests and confidence intervals for paired binomial proportions. Statistics in Medicine 33(16).

    Examples
    --------
    Fagerland, Lydersen & Laake (2014), table I: 21 children before and after a transplantation, 1 and 7 discordant.

    >>> [round(bound, 3) for bound in Tango(gained=1, lost=7, rows=21).bounds(0.025)]
    [-0.517, -0.026]
    """

    design_effect: float = 1.0
    df: float = np.inf
    method: str = "Tango's score test"

    def p_below(self, bound: float) -> float:
        """P-value against the difference being at the bound or above it."""
        return float(special.stdtr(self.df, self._score(bound)))

    def p_above(self, bound: float) -> float:
        """P-value against the difference being at the bound or below it."""
        return float(special.stdtr(self.df, -self._score(bound)))

    def bounds(self, alpha: float) -> tuple[float, float]:
        """Lower and upper bound, each at level ``alpha``: where the score crosses its quantile."""
        quantile = float(special.stdtrit(self.df, 1 - alpha))
        return self._crossing(quantile, -1.0), self._crossing(-quantile, 1.0)

    def _crossing(self, score: float, end: float) -> float:
        """Difference between the estimate and an end at which the test gives a score."""
        near, far = self.estimate, end * (1 - 1e-12)
        if (self._score(far) - score) * end > 0:
            return end
        return float(optimize.brentq(lambda bound: self._score(bound) - score, near, far, xtol=1e-12))

    def _score(self, bound: float) -> float:
        if not -1 < bound < 1:
            return -np.inf if bound >= 1 else np.inf
        n, b, c = (count / self.design_effect for count in (self.rows, self.gained, self.lost))
        # Share of rows that the champion alone has right, most likely at the bound: the root of a quadratic.
        linear = -b - c + (2 * n - b + c) * bound
        constant = -c * bound * (1 - bound)
        share = (np.sqrt(max(linear**2 - 8 * n * constant, 0.0)) - linear) / (4 * n)
        variance = n * (2 * share + bound * (1 - bound))
        distance = b - c - n * bound
        if variance <= 0:
            return float(np.sign(distance) * np.inf) if distance else 0.0
        return float(distance / np.sqrt(variance))


@dataclass(frozen=True)
class McNemar(_Discordant):
    """Exact test of equal accuracies, its p-value taken to the middle of the observed step.

    Given how many rows are discordant, those that the challenger gained are binomial with one half. The exact
    p-value keeps its level by so much that it costs power at every size; the mid-p stays at or below the level in
    all but a sliver of the designs that Fagerland and others went through, and is what they recommend.

    References
    ----------
    McNemar, Q. (1947). Psychometrika 12(2), 153-157. Fagerland, M. W., Lydersen, S., Laake, P. (2013). The McNemar
    test for binary matched-pairs data: mid-p and asymptotic are better than exact conditional. BMC Med. Res. Meth.
    13:91.

    Examples
    --------
    >>> test = McNemar(gained=8, lost=1, rows=100)
    >>> round(test.p_above(0.0), 6), [round(bound, 4) for bound in test.bounds(0.05)]
    (0.010742, [0.0213, 0.088])
    """

    method: str = "exact McNemar (mid-p)"

    def p_above(self, bound: float) -> float:
        """P-value against the difference being at the bound or below it, given the discordant rows."""
        share = self._share(bound)
        return float(special.bdtrc(self.gained, self._n, share)) + 0.5 * self._exactly(share)

    def p_below(self, bound: float) -> float:
        """P-value against the difference being at the bound or above it, given the discordant rows."""
        return 1.0 - self.p_above(bound)

    def bounds(self, alpha: float) -> tuple[float, float]:
        """Lower and upper bound, each at level ``alpha``: where the test turns, given the discordant rows."""
        if self._n == 0:
            return 0.0, 0.0
        span = self._n / self.rows
        low = -span if self.gained == 0 else self._crossing(alpha, span)
        high = span if self.lost == 0 else self._crossing(1 - alpha, span)
        return low, high

    @property
    def _n(self) -> int:
        return self.gained + self.lost

    def _share(self, bound: float) -> float:
        """Share of the discordant rows that the challenger gains, where the difference is the bound."""
        return 0.5 if self._n == 0 else float(np.clip((1 + bound * self.rows / self._n) / 2, 0, 1))

    def _exactly(self, share: float) -> float:
        return float(special.bdtr(self.gained, self._n, share)) - (
            float(special.bdtr(self.gained - 1, self._n, share)) if self.gained else 0.0
        )

    def _crossing(self, p: float, span: float) -> float:
        return float(optimize.brentq(lambda bound: self.p_above(bound) - p, -span, span, xtol=1e-12))
