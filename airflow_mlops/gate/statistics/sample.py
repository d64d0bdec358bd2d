"""The rows that a question is about: truth, answers, units."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from airflow_mlops.gate.evidence import Design
from airflow_mlops.gate.rows import Answers, Floats, PairedPredictions, Texts
from airflow_mlops.gate.statistics.metrics import Rows, Sums, metric_sums
from airflow_mlops.gate.statistics.units import Units, drawn_units, units_of_rows
from airflow_mlops.project.gate_spec import RuleSpec

__all__ = ["Sample"]


@dataclass(frozen=True, eq=False)
class Sample:
    """Some rows of a set, and how they are drawn.

    ``models`` are the challenger and, if it can be used, the champion; ``fault`` is why they cannot be drawn, if so.
    """

    y_true: Floats
    models: tuple[Answers, ...]
    classes: tuple[str, ...]
    queries: Texts | None
    units: Units
    fault: str = ""

    @classmethod
    def of(cls, predictions: PairedPredictions, rows: npt.NDArray[np.intp | np.bool_] | None, design: Design) -> Sample:
        """Take the rows of a slice; None takes all."""
        within = slice(None) if rows is None else rows
        y_true = predictions.y_true[within]
        drawn = drawn_units(predictions, design)
        by, noun = (None, "rows") if isinstance(drawn, str) else drawn
        strata = predictions.columns.get(design.strata or "")
        queries = predictions.columns.get(design.query or "")
        models = [model for model in (predictions.challenger, predictions.champion) if model is not None]
        return cls(
            y_true,
            tuple(
                Answers(model.values[within], None if model.probabilities is None else model.probabilities[within])
                for model in models
            ),
            predictions.classes,
            None if queries is None else queries[within],
            units_of_rows(
                None if by is None else by[within], None if strata is None else strata[within], y_true.size, noun
            ),
            drawn if isinstance(drawn, str) else "",
        )

    def sums(self, rule: RuleSpec, model: Answers) -> Sums | None:
        """Take a metric of a model apart; None if it is none of sums."""
        numbers = None if self.queries is None else np.unique(self.queries, return_inverse=True)[1]
        return metric_sums(Rows(rule, self.y_true, model, len(self.classes), numbers))

    @cached_property
    def alike(self) -> bool:
        """Whether both models gave the same answers: the same numbers, or probabilities; the same classes are few."""
        if len(self.models) < 2:  # noqa: PLR2004  two models
            return False
        one, other = (model.values if model.probabilities is None else model.probabilities for model in self.models)
        named = bool(self.classes) and bool(np.isin(one, (0.0, 1.0)).all() or one.ndim == 1)
        return not named and one.shape == other.shape and bool((one == other).all())
