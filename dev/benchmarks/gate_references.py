"""The best tests known for what the gate asks, written plainly from their papers and independent of its code."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from airflow_mlops.gate.rows import PairedPredictions
from benchmarks.gate_worlds import QUANTILE, Metric

__all__ = ["best_known", "delong", "mcnemar", "paired_t", "tango"]

Floats = npt.NDArray[np.float64]


def best_known(metric: Metric, predictions: PairedPredictions, margin: float) -> tuple[str, float]:
    """Name and one-sided p-value of the test that a statistician would take; small means "worse by less than margin".

    ``margin`` 0 of accuracy and auc asks for superiority.
    """
    y_true, champion, challenger = predictions.y_true, predictions.champion, predictions.challenger
    if champion is None:
        raise ValueError("expected two models, got one.")
    if metric == "auc":
        if champion.probabilities is None or challenger.probabilities is None:
            raise ValueError("expected probabilities, got classes.")
        return "DeLong", delong(y_true, champion.probabilities[:, 1], challenger.probabilities[:, 1], margin)
    if metric == "accuracy":
        right, right_challenger = champion.values == y_true, challenger.values == y_true
        lost, won = int(np.sum(right & ~right_challenger)), int(np.sum(~right & right_challenger))
        if margin == 0.0:
            return "McNemar, mid-p", mcnemar(lost, won)
        return "Tango", tango(lost, won, y_true.size, margin)
    loss: dict[str, Callable[[Floats], Floats]] = {
        "rmse": np.square,
        "mae": np.abs,
        "pinball": lambda residual: np.where(residual < 0, QUANTILE - 1.0, QUANTILE) * residual,
    }
    allowed = (1.0 + margin) ** (2 if metric == "rmse" else 1)
    excess = loss[metric](y_true - challenger.values) - allowed * loss[metric](y_true - champion.values)
    night = predictions.columns.get("night")
    if night is None:
        return "paired t", paired_t(excess)
    numbers = np.unique(night, return_inverse=True)[1]
    return "paired t of nights", paired_t(np.bincount(numbers, weights=excess).astype(np.float64))


def paired_t(excess: Floats) -> float:
    """P-value against a mean of at least 0, by Student's t over units."""
    error = excess.std(ddof=1) / np.sqrt(excess.size)
    return float(special.stdtr(excess.size - 1, excess.mean() / error))


def tango(lost: int, won: int, rows: int, margin: float) -> float:
    """P-value against "accuracy fell by at least margin": the score test of paired proportions.

    References
    ----------
    Tango, T. (1998). Equivalence test and confidence interval for the difference in proportions for the
    paired-sample design. Statistics in Medicine 17, 891-908, equations 6 to 8.
    """
    # The least likely probability of a lost row under a difference of exactly -margin.
    square, linear = 2.0 * rows, -(lost + won) - (2.0 * rows - won + lost) * margin
    constant = lost * margin * (1.0 + margin)
    likely = (np.sqrt(linear**2 - 4.0 * square * constant) - linear) / (2.0 * square)
    variance = rows * (2.0 * likely - margin * (1.0 + margin))
    return float(special.ndtr(-(won - lost + rows * margin) / np.sqrt(variance))) if variance > 0 else 1.0


def mcnemar(lost: int, won: int) -> float:
    """P-value against "the challenger is right no more often", the mid-p form.

    References
    ----------
    Fagerland, M. W., Lydersen, S., Laake, P. (2013). The McNemar test for binary matched-pairs data: mid-p and
    asymptotic are better than exact conditional. BMC Medical Research Methodology 13:91.
    """
    beyond = stats.binom.sf(won - 1, lost + won, 0.5)
    return float(beyond - 0.5 * stats.binom.pmf(won, lost + won, 0.5))


def delong(y_true: Floats, champion: Floats, challenger: Floats, margin: float) -> float:
    """P-value against "AUC fell by at least margin".

    References
    ----------
    DeLong, E. R., DeLong, D. M., Clarke-Pearson, D. L. (1988). Comparing the areas under two or more correlated
    receiver operating characteristic curves. Biometrics 44, 837-845.
    """
    positive = y_true == 1.0
    above, below = _placements(challenger, positive)
    above_champion, below_champion = _placements(champion, positive)
    above, below = above - above_champion, below - below_champion
    error = np.sqrt(above.var(ddof=1) / above.size + below.var(ddof=1) / below.size)
    return float(special.ndtr(-(above.mean() + margin) / error))


def _placements(scores: Floats, positive: npt.NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Of each positive the share of negatives below it, of each negative the share of positives above it."""
    ups, downs = scores[positive], scores[~positive]

    def share_below(values: Floats, others: Floats) -> Floats:
        others = np.sort(others)
        ranks = np.searchsorted(others, values, "left") + np.searchsorted(others, values, "right")
        return ranks / (2.0 * others.size)

    return share_below(ups, downs), 1.0 - share_below(downs, ups)
