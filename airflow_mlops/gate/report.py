"""The gate's judgement as a page that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from airflow_mlops.gate import drawing
from airflow_mlops.gate.rows import Answers, PairedPredictions, UnusablePredictions

if TYPE_CHECKING:
    from airflow_mlops.gate.judge import Judgement

__all__ = ["FILTERS", "ReliabilityBin", "reliability", "render_report"]

_BINS = 10
_BINARY = 2


class ReliabilityBin(NamedTuple):
    """Rows to which a model gave about the same probability: what it said, and how often it happened."""

    low: float
    high: float
    rows: int
    said: float
    happened: float


def render_report(
    judgement: Judgement,
    *,
    title: str,
    facts: Mapping[str, str] | None = None,
    sets: Mapping[str, PairedPredictions | UnusablePredictions | None] | None = None,
) -> str:
    """Write a judgement as HTML without any outside resource.

    Parameters
    ----------
    judgement : Judgement
        What ``judge`` decided.
    title : str
        Heading of the page.
    facts : mapping of str to str, optional
        What was judged: files and their digests, in the order of the page.
    sets : mapping of str to PairedPredictions, optional
        The predictions by the name of their set; of a classification the reliability is shown.
    """
    reliable = {}
    for name, rows in (sets or {}).items():
        if isinstance(rows, PairedPredictions) and (models := _models(rows)):
            reliable[name] = models
    context = {"judgement": judgement, "title": title, "facts": facts or {}, "reliability": reliable}
    return _templates().get_template("report.html").render(context)


def reliability(predictions: PairedPredictions, answers: Answers) -> tuple[ReliabilityBin, ...]:
    """How often a class was true, by the probability that the model gave it, in ten bins of equal width.

    Of a binary task the positive class is looked at; of several classes the one that the model decided for.

    Returns
    -------
    tuple of ReliabilityBin
        Bins that hold rows; empty where the model gives no probabilities.

    References
    ----------
    DeGroot, M. H., Fienberg, S. E. (1983). The Comparison and Evaluation of Forecasters. The Statistician 32, 12-22.

    Examples
    --------
    >>> chances = np.array([[0.9, 0.1], [0.8, 0.2], [0.15, 0.85], [0.12, 0.88]])
    >>> answers = Answers(np.array([0.0, 0.0, 1.0, 1.0]), chances)
    >>> rows = PairedPredictions(task="binary", row_id=np.arange(4).astype(str), y_true=np.array([0.0, 0.0, 1.0, 1.0]),
    ...                          challenger=answers, classes=("0", "1"))
    >>> [(bin.rows, round(bin.said, 3), bin.happened) for bin in reliability(rows, answers)]
    [(1, 0.1, 0.0), (1, 0.2, 0.0), (2, 0.865, 1.0)]
    """
    if answers.probabilities is None:
        return ()
    chances = answers.probabilities
    looked_at = np.ones(len(chances), dtype=int) if len(predictions.classes) == _BINARY else chances.argmax(axis=1)
    said = chances[np.arange(len(chances)), looked_at]
    happened = predictions.y_true == looked_at
    which = np.minimum((said * _BINS).astype(int), _BINS - 1)
    return tuple(
        ReliabilityBin(
            low=number / _BINS,
            high=(number + 1) / _BINS,
            rows=int(inside.sum()),
            said=float(said[inside].mean()),
            happened=float(happened[inside].mean()),
        )
        for number in range(_BINS)
        if (inside := which == number).any()
    )


FILTERS: Mapping[str, Callable[..., Any]] = {
    "chance": drawing.chance,
    "distance": drawing.distance,
    "estimate": drawing.estimate,
    "figure": drawing.figure,
    "interval": drawing.interval,
    "place": drawing.place,
}


def _models(rows: PairedPredictions) -> dict[str, tuple[ReliabilityBin, ...]]:
    both = {"challenger": rows.challenger, "champion": rows.champion}
    drawn = {name: reliability(rows, answers) for name, answers in both.items() if answers is not None}
    return {name: bins for name, bins in drawn.items() if bins}


@cache
def _templates() -> Environment:
    templates = Environment(
        loader=PackageLoader("airflow_mlops.gate"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= FILTERS
    templates.globals["interval_bar"] = drawing.interval_bar
    return templates
