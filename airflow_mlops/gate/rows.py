"""What two models said of the same rows, beside the truth: everything that the gate measures is a function of this.

Predictions that cannot be used are a value, not an exception: a refused model is a verdict. Whose fault it is
decides what follows. A challenger's broken predictions reject it; a champion's only mean that nothing can be
compared with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from airflow_mlops.errors import DataError
from airflow_mlops.project.gate_spec import Task

__all__ = ["Answers", "PairedPredictions", "UnusablePredictions"]

Floats = npt.NDArray[np.float64]
Texts = npt.NDArray[np.str_]


@dataclass(frozen=True)
class Answers:
    """What one model said.

    Attributes
    ----------
    values : numpy.ndarray of float, shape (n_rows,)
        The prediction, in the target's unit; the score of a ranking; of a classification the number of the class
        that it decided for.
    probabilities : numpy.ndarray of float, shape (n_rows, n_classes), or None
        Of each class, in the order of ``PairedPredictions.classes``; None where a model names its class only.
    """

    values: Floats
    probabilities: Floats | None = None


@dataclass(frozen=True)
class PairedPredictions:
    """The truth, and what two models said about the same rows.

    Attributes
    ----------
    task : str
        What is predicted.
    row_id : numpy.ndarray of str, shape (n_rows,)
        Which row; unique.
    y_true : numpy.ndarray of float, shape (n_rows,)
        In the target's unit; of a classification the number of the class.
    challenger : Answers
        Of the new model.
    champion : Answers or None
        Of the model in service; None if there is none, or its predictions cannot be used.
    champion_fault : str or None
        Why a champion's predictions cannot be used.
    classes : tuple of str
        Of a classification, in the order of their numbers. Of a binary one the second is the positive one.
    columns : mapping of str to numpy.ndarray of str, shape (n_rows,)
        What rows are sliced, clustered or ranked by.
    warnings : tuple of str
        What should be looked at, and decides nothing.
    """

    task: Task
    row_id: Texts
    y_true: Floats
    challenger: Answers
    champion: Answers | None = None
    champion_fault: str | None = None
    classes: tuple[str, ...] = ()
    columns: Mapping[str, Texts] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        shapes = {column.shape for column in (self.row_id, self.y_true, *self.columns.values())}
        for answers in (self.challenger, self.champion):
            if answers is not None:
                shapes.add(answers.values.shape)
                if answers.probabilities is not None and answers.probabilities.shape[1:] != (len(self.classes),):
                    raise DataError(
                        f"expected a probability for each of the {len(self.classes)} classes, got the shape "
                        f"{answers.probabilities.shape}."
                    )
                if answers.probabilities is not None:
                    shapes.add(answers.probabilities.shape[:1])
        # numpy would stretch a single prediction over all rows.
        if len(shapes) > 1 or self.y_true.ndim != 1:
            raise DataError(f"expected one value for each row in every column, got shapes {sorted(shapes)}.")

    @property
    def knows_champion(self) -> bool:
        """Whether there is a champion, even one whose predictions cannot be used."""
        return self.champion is not None or self.champion_fault is not None


@dataclass(frozen=True)
class UnusablePredictions:
    """The challenger's predictions cannot be judged.

    Attributes
    ----------
    reason : str
        One clause of plain language.
    champion_given : bool
        Whether there is a champion, of whose answers nothing is known here: the challenger is not the first model.
    """

    reason: str
    champion_given: bool = False

    @property
    def knows_champion(self) -> bool:
        """Whether there is a champion."""
        return self.champion_given
