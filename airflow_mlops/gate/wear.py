"""A golden set wears out: who picks the best of many challengers on the same rows also picks the luckiest."""

from __future__ import annotations

import math
from collections.abc import Iterable

from scipy import special

from airflow_mlops.records.verdict import RuleResult

__all__ = ["selection_optimism", "wear_warnings"]

# Of the margin: beyond it, most of what the rule gives away may be luck.
_EATEN = 0.5


def selection_optimism(standard_error: float, judgements: int) -> float:
    """How much better than it is the best of some challengers looks at most, on average, by being picked.

    The expected maximum of k normal errors, independent or not, is at most ``standard_error * sqrt(2 ln k)``. That
    covers challengers made without regard to earlier verdicts. Retraining that answers to the figures may overfit the
    set faster, at worst like sqrt(k) (Dwork et al. 2015); a gate that says no more than promote, hold or reject leaks
    little, and what it leaks grows with log k again (Blum & Hardt 2015).

    Parameters
    ----------
    standard_error : float
        Of one estimate, in its unit.
    judgements : int
        How many challengers have been judged on the set, this one included.

    Returns
    -------
    float
        In the unit of ``standard_error``; 0 for a first judgement.

    References
    ----------
    Boucheron, S., Lugosi, G., Massart, P. (2013). Concentration Inequalities, theorem 2.5 (the bound). Dwork, C. et
    al. (2015). The reusable holdout: Preserving validity in adaptive data analysis. Science 349(6248), 636-638.
    Blum, A., Hardt, M. (2015). The Ladder: A Reliable Leaderboard for Machine Learning Competitions. ICML, PMLR 37,
    1006-1014.

    Examples
    --------
    >>> round(selection_optimism(0.01, 50), 4)
    0.028
    """
    return standard_error * math.sqrt(2.0 * math.log(judgements)) if judgements > 1 else 0.0


def wear_warnings(results: Iterable[RuleResult], *, golden_uses: int, alpha: float) -> tuple[str, ...]:
    """Warn where picking among challengers may have eaten over half the margin of a rule on the golden set.

    Parameters
    ----------
    results : iterable of RuleResult
        What was judged; looked at are comparisons on the golden set that give a margin away.
    golden_uses : int
        Judgements on this golden set before this one.
    alpha : float
        Level of the one-sided bounds in the results, in (0, 0.5).

    Returns
    -------
    tuple of str
        None, or one sentence about the rule that suffers most.
    """
    width = -2.0 * float(special.ndtri(alpha))
    worn: list[tuple[float, str]] = []
    for result in results:
        error = (result.high - result.low) / width
        if result.on != "golden" or not result.rule.endswith(" non_inferior") or not math.isfinite(error):
            continue
        optimism, margin = selection_optimism(error, golden_uses + 1), abs(result.bound)
        if optimism > _EATEN * margin:
            where = f"{result.rule} on golden{f', {result.slice}' if result.slice else ''}"
            amount = f"{100 * optimism:.2g} %" if result.scale == "share" else f"{optimism:.2g}"
            given = f"{100 * margin:.3g} %" if result.scale == "share" else f"{margin:.3g}"
            eaten = optimism / margin if margin else math.inf
            worn.append((eaten, f"{amount} better than it is, of a margin of {given} ({where})"))
    if not worn:
        return ()
    warning = (
        f"the golden set is worn: with {golden_uses + 1} judgements on it, the best challenger may look up to "
        f"{max(worn)[1]}. Freeze another golden set under a new name."
    )
    return (warning,)
