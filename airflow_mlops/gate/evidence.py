"""What is asked of two models' predictions, and what they answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from airflow_mlops.project.gate_spec import RuleSpec

__all__ = ["Design", "Evidence", "Question"]


@dataclass(frozen=True)
class Design:
    """How the evidence is weighed, the same for every question.

    Attributes
    ----------
    alpha : float
        Level of each one-sided bound and test, in (0, 0.5).
    resamples : int
        Of the bootstrap.
    seed : int
        Of the resampling: every metric and slice sees the same draws.
    cluster : str or None
        Column whose rows are drawn together; None draws rows.
    strata : str or None
        Column within whose values units are drawn.
    query : str or None
        Column that says which rows are ranked together.
    """

    alpha: float = 0.05
    resamples: int = 2000
    seed: int = 0
    cluster: str | None = None
    strata: str | None = None
    query: str | None = None


@dataclass(frozen=True)
class Question:
    """A rule, in all rows or in those of a slice.

    Attributes
    ----------
    rule : RuleSpec
        Of the kind ``absolute``, ``non_inferior`` or ``superior``.
    rows : numpy.ndarray of int, or of bool with shape (n_rows,), or None
        The slice, by numbers or as a mask; None is every row.
    """

    rule: RuleSpec
    rows: npt.NDArray[np.intp | np.bool_] | None = None


@dataclass(frozen=True)
class Evidence:
    """One metric in one set of rows; NaN is what could not be measured.

    Attributes
    ----------
    rows, units : int
        Rows that were measured, and units (nights, clusters, queries, rows) that were drawn.
    drawn : str
        The units in words, such as ``20 nights``.
    method : str
        ``BCa bootstrap``, ``exact McNemar``, ``DeLong``, ...
    challenger : float
        The metric itself.
    champion : float or None
        The metric itself; None without a champion.
    estimate : float
        Of an absolute rule the challenger's figure; of a comparison challenger less champion, as a share of the
        champion's unless ``rule.points``. The metric's own direction: of accuracy, positive is better.
    low, high : float
        One-sided bounds of the estimate, each at ``alpha``.
    p_value : float or None
        Against the hypothesis that the challenger is worse than the rule allows: small promotes.
    p_worse : float or None
        Against the hypothesis that it is not: small rejects.
    least_difference : float or None
        Distance of the estimate from the rule's bound that these rows would show with power 0.8.
    rows_needed : int or None
        Rows with which the rule would promote with power 0.8, were the estimate true; None where no number would do.
    alike : bool
        Whether the two models gave the same answers. The same classes are not enough: they may differ elsewhere.
    """

    rows: int
    units: int
    drawn: str
    method: str
    challenger: float
    champion: float | None
    estimate: float
    low: float
    high: float
    p_value: float | None = None
    p_worse: float | None = None
    least_difference: float | None = None
    rows_needed: int | None = None
    alike: bool = False
