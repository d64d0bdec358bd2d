"""Metrics made of shares: what rows can show of which few, or none, tell two models apart.

Of models that nothing tells apart the jackknife's spread is 0, and a test would promote on it however few the rows: a
recall of 0.99 against 0.94, of 20 positives and a margin of 0.05, in one of four trials. But at the bound the models
do differ, and a difference needs rows: that gives the least spread that a test of the bound may assume.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from airflow_mlops.gate.statistics.metrics import Sums
from airflow_mlops.gate.statistics.units import Units

__all__ = ["PROPORTIONS", "AtLeastPoisson", "Discordant", "largest_step"]

# Means of right and wrong over rows (queries) that are the same for both models.
PROPORTIONS = frozenset({"accuracy", "recall", "false_positive_rate", "selection_rate", "hit_rate"})
# From the first place to the second: half of a reciprocal rank, a third of a gain.
_ONE_PLACE = 0.5
# Whose spread between clusters nobody can know.
_TOO_FEW = 2


@dataclass(frozen=True)
class Discordant:
    """Rows in which the models differ.

    Attributes
    ----------
    gained, lost : int
        Rows (queries) that only the challenger has, or only the champion, of a metric that is a proportion.
    counted : int
        Rows (queries) that the metric counts.
    per_unit : float
        How many of these hang together, where too few units differ to tell how much; else 1.
    alone : bool
        Whether each of these was drawn by itself.
    """

    gained: int
    lost: int
    counted: int
    per_unit: float
    alone: bool

    @classmethod
    def of(cls, challenger: Sums, champion: Sums, units: Units) -> Discordant:
        """Count them; the last of the sums counts the rows."""
        one, other = challenger.contributions, champion.contributions
        change = one[:, 0] - other[:, 0]
        counts = (one != 0).any(axis=1) | (other != 0).any(axis=1)
        differing = np.unique(units.of_row[(one != other).any(axis=1)]).size
        in_units = np.bincount(units.of_row[counts], minlength=1)
        counted = int(counts.sum())
        together = counted / max(int((in_units > 0).sum()), 1)
        alone = int(in_units.max()) <= 1 and not units.stratum.any()
        return cls(
            int((change > 0).sum()), int((change < 0).sum()), counted, together if differing < _TOO_FEW else 1.0, alone
        )


def largest_step(metric: str, champion: Sums) -> float | None:
    """How far a single answer moves a metric where it moves it most; None where that is not what decides.

    Examples
    --------
    >>> largest_step("precision", Sums(np.array([[1.0, 1.0], [0.0, 1.0], [0.0, 0.0]]), lambda sums: sums[..., 0]))
    0.5
    """
    totals = champion.contributions.sum(axis=0)
    if metric in ("mrr", "ndcg"):
        return float(_ONE_PLACE / totals[-1])
    if metric == "precision":
        return float(1 / max(totals[1], 1))
    if metric not in ("balanced_accuracy", "f1"):
        return None
    above, below = np.split(totals, 2)
    there = below > 0
    share = above[there] / below[there]
    # A hit that is lost takes 2 from above and 1 from below; a recall's only 1 from above.
    steps = (2 - share if metric == "f1" else np.ones(share.size)) / below[there]
    return float(steps.max() / steps.size)


@dataclass(frozen=True)
class AtLeastPoisson:
    """Student's t of a difference, with no less spread than a difference at the bound has by itself.

    A difference of ``bound`` takes ``bound / step`` answers, whose number varies as much as it is large: a variance of
    ``|bound| * step``. It is Tango's variance at the bound without its smaller terms, of metrics that are no
    proportions.

    Attributes
    ----------
    estimate, standard_error, df : float
        Of the jackknife.
    step : float
        How far a single answer, or those of a unit, move the difference.

    References
    ----------
    Tango, T. (1998). Equivalence test and confidence interval for the difference in proportions for the
    paired-sample design. Statistics in Medicine 17(8), 891-908 (the variance at the bound).

    Examples
    --------
    Nothing seen to differ, a step of 1 / 100: the rule of three says 0.03, its normal approximation 0.027.

    >>> [round(bound, 3) for bound in AtLeastPoisson(0.0, 0.0, 1e9, 0.01).bounds(0.05)]
    [-0.027, 0.027]
    """

    estimate: float
    standard_error: float
    df: float
    step: float
    method: str = "Student's t with the spread at the bound"

    def p_below(self, bound: float) -> float:
        """P-value against the truth being at the bound or above it."""
        return self._tail(self.estimate - bound, bound)

    def p_above(self, bound: float) -> float:
        """P-value against the truth being at the bound or below it."""
        return self._tail(bound - self.estimate, bound)

    def bounds(self, alpha: float) -> tuple[float, float]:
        """Lower and upper bound, each at level ``alpha``: where the test turns."""
        if not self.df > 0:
            return -np.inf, np.inf
        quantile = float(special.stdtrit(self.df, 1 - alpha))
        return -self._upper(-self.estimate, quantile), self._upper(self.estimate, quantile)

    def _upper(self, estimate: float, quantile: float) -> float:
        """Largest bound at ``quantile`` errors above the estimate: by the error, or by the roots of a quadratic."""
        half = quantile**2 * self.step / 2
        reaches = [estimate + quantile * self.standard_error]
        # (bound - estimate)^2 = quantile^2 step |bound|, of a bound above 0 and of one below.
        for sign in (1.0, -1.0):
            if (square := half**2 + 2 * half * sign * estimate) >= 0:
                root = estimate + sign * half + np.sqrt(square)
                reaches += [float(root)] if sign * root > 0 else []
        return max(reaches)

    def _tail(self, difference: float, bound: float) -> float:
        error = max(self.standard_error, float(np.sqrt(abs(bound) * self.step)))
        if not self.df > 0 or not np.isfinite(error):
            return 1.0
        if error == 0:
            return 0.0 if difference < 0 else 1.0
        return float(special.stdtr(self.df, difference / error))
