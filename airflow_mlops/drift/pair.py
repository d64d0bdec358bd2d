"""Two tables without a past: what can be said when nobody knows how nights usually differ.

Sampling error alone would call every night of a large table drift, since nights differ without anything having
happened. So a night is taken to be worth at most 64 independent rows, however many it has: as if every mean, spread,
share and correlation strayed by an eighth of a standard deviation from night to night. With a history, what is really
usual is learned; this is for the time before.

References
----------
Sidak, Z. (1967). Rectangular confidence regions for the means of multivariate normal distributions. Journal of the
American Statistical Association 62, 626-633.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from airflow_mlops.calibrate import least_of, single_of
from airflow_mlops.drift.change import Change, ChangeKind
from airflow_mlops.profile import Profile

__all__ = ["NIGHT_TO_NIGHT", "PairJudgement", "judge_pair"]

NIGHT_TO_NIGHT = 0.125
"""How far nights are taken to stray without cause, in standard deviations of a row."""
# What is asked of a column: its mean, spread, shape and nulls; of more levels more.
_LEAST_QUESTIONS = 4
# The least effect that could be seen is what would be seen in four of five cases.
_POWER = 0.8
_A_PAIR = 2


@dataclass(frozen=True)
class PairJudgement:
    """How unlikely the changes between two tables are without cause.

    Attributes
    ----------
    p_values : dict of str to float
        Of each feature, adjusted for all questions that were asked of all features: 0.01 is one pair in a hundred.
    p_changes : dict of Change to float
        Likewise adjusted, change by change.
    least_effect : float
        Shift of a mean, in standard deviations, that would be called drift in four of five cases.
    """

    p_values: dict[str, float]
    p_changes: dict[Change, float]
    least_effect: float

    def beyond(self, probability: float) -> tuple[Change, ...]:
        """Changes as unlikely as this, or unmistakable."""
        return tuple(change for change, p in self.p_changes.items() if change.unmistakable or p <= probability)


def judge_pair(
    reference: Profile, current: Profile, found: Iterable[Change], *, tail_probability: float
) -> PairJudgement:
    """Judge what `changes` found between two tables, by sampling error and with caution.

    Parameters
    ----------
    reference, current : Profile
        What was compared.
    found : iterable of Change
        From `changes`.
    tail_probability : float
        In (0, 1), of any drift between two tables without cause; the least effect is stated for it.
    """
    found = list(found)
    rows = (
        min((column.present for column in reference.columns.values() if column.present), default=0),
        min((column.present for column in current.columns.values() if column.present), default=0),
    )
    families = len(reference.columns) + (reference.gram is not None)
    questions = {
        name: max(
            _LEAST_QUESTIONS, sum(one.feature == name and one.kind is not ChangeKind.CORRELATION for one in found)
        )
        for name in reference.columns
    }
    pairs = math.comb(len(reference.gram.columns), _A_PAIR) if reference.gram is not None else 0

    def adjusted(change: Change) -> float:
        if change.unmistakable:
            return 0.0
        asked = pairs if change.kind is ChangeKind.CORRELATION else questions[change.feature]
        away = abs(change.size) / math.hypot(change.error, NIGHT_TO_NIGHT)
        # Few rows know their own spread badly.
        p = 2 * float(stats.t.sf(away, max(min(reference.rows, current.rows) - 1, 1)))
        return float(least_of(np.array(p), asked * families))

    p_changes = {change: adjusted(change) for change in found}
    single = float(single_of(np.array(tail_probability), _LEAST_QUESTIONS * families))
    reach = float(stats.norm.isf(single / 2) + stats.norm.isf(1 - _POWER))
    thinness = sum(1 / count if count else math.inf for count in rows)
    return PairJudgement(
        p_values={
            name: min((p for change, p in p_changes.items() if change.feature == name), default=1.0)
            for name in reference.columns
        },
        p_changes=p_changes,
        least_effect=reach * math.sqrt(thinness + NIGHT_TO_NIGHT**2),
    )
