"""Realised performance, as labels come: a sequential test that may be looked at every night, for as long as one likes.

It bets, night after night, that losses have become larger. A bet of size b multiplies the capital by
``exp(b z - b^2 / 2)``, where z is the night's distance from its forecast: on average by one if nothing happened. Each
bet may begin anew on any night (the capital is never below one), and three sizes share the stake. Distances come in no
order then, so that a capital is as likely as the highest that a bet from tonight backwards would ever have reached: on
no night is one of c more likely than 1 / c (Ville 1939). The share of nights with a capital of 500 is at most 1 in 500,
for however long; a budget of nights needs no more. `NightlyLuck` has several ways in which nights may hang together;
all must agree.

A night is the unit, not a row: rows of a night share its luck. Distances above 4 count as 4, which only makes the test
slower: one odd night is never drift.

References
----------
Ville, J. (1939). Etude critique de la notion de collectif. Gauthier-Villars.

Podkopaev, A. & Ramdas, A. (2022). Tracking the risk of a deployed model and detecting harmful distribution shifts.
ICLR (a test of the loss against that on the reference, with the errors of both).

Shin, J., Ramdas, A. & Rinaldo, A. (2024). E-detectors: a nonparametric framework for sequential change detection. New
England Journal of Statistics in Data Science 2(2), 229-260 (definition 2.2; mixtures of bets in section 3).

Waudby-Smith, I. & Ramdas, A. (2024). Estimating means of bounded random variables by betting. Journal of the Royal
Statistical Society B 86(1), 1-27.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from airflow_mlops.calibrate import LEAST_NIGHTS, Budget
from airflow_mlops.drift.performance.nightly_luck import NightlyLuck
from airflow_mlops.drift.performance.rows import NightLoss
from airflow_mlops.errors import DataError
from airflow_mlops.records import Channel, DriftVerdict, Opinion, Value

__all__ = ["RealisedState", "judged_nights", "realised"]

Floats = NDArray[np.float64]
# Sizes of the bets: of half a standard deviation of a night's forecast, of one, of two.
_BETS = np.array([0.5, 1.0, 2.0])
_MOST_DISTANCE = 4.0
_ROUNDING = 1e-9
# Older nights are forgotten: of the reference, and of those that were looked at.
_REFERENCE_NIGHTS, _KEPT_NIGHTS = 84, 168


class RealisedState(Value):
    """What the test remembers from one call to the next; as JSON about 20 kB at most.

    ``reference`` are nights with labels that the champion was not trained on, ``eaten`` those that were looked at, in
    the order in which their labels came. Nights up to ``forgotten`` are not taken any more.
    """

    reference: tuple[NightLoss, ...] = ()
    eaten: tuple[NightLoss, ...] = ()
    forgotten: dt.date | None = None

    def knows(self, night: dt.date) -> bool:
        """Whether a night was eaten, or comes too late for it."""
        if self.forgotten is not None and night <= self.forgotten:
            return True
        return any(one.night == night for one in (*self.reference, *self.eaten))

    def restarted(self, *, accepted: bool = False) -> RealisedState:
        """After an incident: what came to light is told, and evidence begins anew.

        With ``accepted``, the nights since the reference become the reference: this is how it is from now on.
        """
        newest = max((one.night for one in self.eaten), default=self.forgotten)
        reference = self.eaten if accepted and len(self.eaten) >= LEAST_NIGHTS else self.reference
        return RealisedState(reference=reference[-_REFERENCE_NIGHTS:], forgotten=newest)


def realised(
    state: RealisedState, nights: Iterable[NightLoss], *, metric: str = "loss", budget: Budget | None = None
) -> tuple[RealisedState, Opinion]:
    """Take in the nights whose labels have come, each once, and say whether the champion has become worse.

    Until there are 14 reference nights, nights that come become part of the reference.

    Parameters
    ----------
    state : RealisedState
        As the call before returned it, or with the reference alone.
    nights : iterable of NightLoss
        In the order in which their labels came; those that were taken in before change nothing.
    metric : str
        What the loss is called.
    budget : Budget, optional
        Shares of nights that may be called watch and drift in vain.

    Raises
    ------
    DataError
        If a loss is not finite, or has no positive error.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> def night(day, loss):
    ...     return NightLoss(night=dt.date(2026, 3, 1) + dt.timedelta(day), loss=loss, error=0.1, rows=500)
    >>> state = RealisedState(reference=tuple(night(day, rng.normal(4.0, 0.1)) for day in range(28)))
    >>> for day in range(28, 32):
    ...     state, opinion = realised(state, [night(day, rng.normal(4.7, 0.1))])
    ...     print(day, opinion.verdict.value)
    28 watch
    29 drift
    30 drift
    31 drift
    """
    budget = budget or Budget()
    for one in nights:
        state = _taken(state, one)
    if len(state.reference) < LEAST_NIGHTS:
        words = f"realised {metric}: labels of {len(state.reference)} nights, at least {LEAST_NIGHTS} are needed"
        return state, Opinion(channel=Channel.REALISED, verdict=DriftVerdict.INSUFFICIENT, words=words)
    return state, _opinion(state, metric, budget)


def _taken(state: RealisedState, night: NightLoss) -> RealisedState:
    if not (math.isfinite(night.loss) and math.isfinite(night.error) and night.error > 0):
        raise DataError(
            f"{night.night}: expected a finite loss with a positive error, got {night.loss} +- {night.error}."
        )
    if state.knows(night.night):
        return state
    if len(state.reference) < LEAST_NIGHTS:
        return state.model_copy(update={"reference": (*state.reference, night)})
    eaten, forgotten = (*state.eaten, night), state.forgotten
    if len(eaten) > _KEPT_NIGHTS:
        oldest = eaten[0].night
        forgotten, eaten = max(forgotten or oldest, oldest), eaten[1:]
    return state.model_copy(update={"eaten": eaten, "forgotten": forgotten})


def judged_nights(
    reference: tuple[NightLoss, ...], eaten: tuple[NightLoss, ...], *, drift: float
) -> tuple[Floats, NDArray[np.intp]]:
    """Every night as if it were the last.

    Parameters
    ----------
    reference, eaten : tuple of NightLoss
        As in `RealisedState`.
    drift : float
        Share of nights that may be called drift: evidence beyond it is not kept.

    Returns
    -------
    probability : ndarray of shape (n_eaten,)
        Bound on the share of nights with as much evidence, in [drift, 1].
    since : ndarray of shape (n_eaten,)
        Number of the night on which the bet that stands highest began.
    """
    luck = NightlyLuck.of(reference)
    scores, _ = luck.scores((*reference, *eaten))
    share, cap = math.log(len(_BETS)), -math.log(drift)
    capital = np.zeros((len(scores), len(_BETS)))
    began = np.zeros(capital.shape, dtype=np.intp)
    probability, since = np.ones(len(eaten)), np.zeros(len(eaten), dtype=np.intp)
    for night, distance in enumerate(np.minimum(scores[:, len(reference) :], _MOST_DISTANCE).T):
        began = np.where(capital <= 0, night, began)
        gained = _BETS * distance[:, None] - np.square(_BETS) / 2
        # Held at what drift takes, it comes down as soon as the losses do.
        capital = np.minimum(np.maximum(capital, 0.0) + gained, cap + share)
        way = int(capital.max(axis=1).argmin())
        # Of bets that stand as high the boldest tells best when it began.
        bet = len(_BETS) - 1 - int(capital[way, ::-1].argmax())
        evidence = float(capital[way, bet]) - share
        # Evidence at the cap is drift, to the last bit.
        probability[night] = drift if evidence >= cap - _ROUNDING else min(math.exp(-evidence), 1.0)
        since[night] = began[way, bet]
    return probability, since


def _opinion(state: RealisedState, metric: str, budget: Budget) -> Opinion:
    reference, eaten = state.reference[-_REFERENCE_NIGHTS:], state.eaten
    of_reference = np.array([one.loss for one in reference])
    expected = float(of_reference.mean())
    if not eaten:
        words = f"realised {metric} {expected:.3g} on the reference; no night since has labels"
        return Opinion(channel=Channel.REALISED, verdict=DriftVerdict.STABLE, words=words, expected=expected)
    probabilities, began = judged_nights(reference, eaten, drift=budget.drift)
    probability, since = float(probabilities[-1]), int(began[-1])
    if probability <= budget.watch:
        verdict = DriftVerdict.DRIFT if probability <= budget.drift else DriftVerdict.WATCH
    else:
        verdict, since = DriftVerdict.STABLE, len(eaten) - 1
    told = eaten[since:]
    estimate = float(np.mean([one.loss for one in told]))
    first = min(one.night for one in told)
    when = f"on {first}" if len(told) == 1 else f"on {len(told)} nights since {first}"
    return Opinion(
        channel=Channel.REALISED,
        verdict=verdict,
        words=f"realised {metric} {estimate:.3g} {when}, {expected:.3g} on {len(reference)} nights of the reference",
        estimate=estimate,
        expected=expected,
        error=float(of_reference.std(ddof=1)) * math.sqrt(1 / len(told) + 1 / len(reference)),
        probability=probability,
    )
