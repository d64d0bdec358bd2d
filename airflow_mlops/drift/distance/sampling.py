"""How far chance alone puts two profiles of one column.

References
----------
Kish, L. (1965). Survey Sampling. Wiley.

McDiarmid, C. (1989). On the method of bounded differences. Surveys in Combinatorics, 148-188.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from airflow_mlops.profile import Levels, Numbers

__all__ = ["design_effect", "sampling_distance"]


def design_effect(nights: Sequence[Numbers | Levels]) -> float:
    """How many rows are worth one, since rows of one night are alike (Kish 1965, section 5.4); at least 1.

    Variance between the nights' means (of levels: shares), over what it were if rows fell into nights by chance. A
    column that is constant within each night, such as a holiday, has as many as a night has rows.

    Parameters
    ----------
    nights : sequence of Numbers or Levels
        One column's profiles, night by night.
    """
    filled = [night for night in nights if night.present]
    if len(filled) < 2:  # noqa: PLR2004 - one night varies from no other
        return 1.0
    weights = np.array([night.present for night in filled])
    if all(isinstance(night, Numbers) for night in filled):
        means = np.array([[night.mean] for night in filled if isinstance(night, Numbers)])
        within = float(np.sum([night.deviation for night in filled if isinstance(night, Numbers)])) / weights.sum()
    else:
        levels = [night.counts for night in filled if isinstance(night, Levels)]
        names = sorted(set().union(*levels))
        means = np.array([[counts.get(name, 0) for name in names] for counts in levels]) / weights[:, None]
        within = float((weights @ (means * (1 - means)).sum(axis=1)) / weights.sum())
    between = float(means.var(axis=0, ddof=1).sum())
    total = within + between
    return max(1.0, between / total * float(weights.mean())) if total else 1.0


def sampling_distance(
    reference: Numbers | Levels, *, rows: float, tail_probability: float, design_effect: float = 1.0
) -> float:
    """Distance that ``rows`` drawn from the reference itself exceed with about this probability.

    No limit may be below it: it is what chance does even where nights are all alike. For numbers the tail of the
    shift of a mean; for levels the expected distance plus McDiarmid's (1989) bound.

    Parameters
    ----------
    reference : Numbers or Levels
        What is drawn from.
    rows : float
        Rows of the window.
    tail_probability : float
        In (0, 1).
    design_effect : float
        Rows that are worth one independent row.

    Examples
    --------
    >>> levels = Levels(counts={"A": 500, "B": 500}, nulls=0)
    >>> round(sampling_distance(levels, rows=168, tail_probability=0.001), 3)
    0.188
    """
    thinness = design_effect * (1 / rows + 1 / reference.rows)
    if isinstance(reference, Numbers):
        return float(stats.norm.isf(tail_probability / 2)) * math.sqrt(thinness)
    shares = np.array([*reference.counts.values(), reference.nulls]) / reference.rows
    expected = 0.5 * math.sqrt(2 / math.pi * thinness) * float(np.sqrt(shares * (1 - shares)).sum())
    return expected + math.sqrt(0.5 * thinness * math.log(1 / tail_probability))
