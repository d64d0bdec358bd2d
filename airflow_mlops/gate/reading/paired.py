"""Reads what two models predicted for the same rows, and lays it beside the truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from airflow_mlops.errors import DataError
from airflow_mlops.gate.reading.answers import CLASSIFICATION, answers_of, classes_of, numbered, strangers
from airflow_mlops.gate.reading.file import PredictionFile, Unfit, UnreadableFile, read_file, some, words
from airflow_mlops.gate.rows import Answers, Floats, PairedPredictions, UnusablePredictions
from airflow_mlops.project.gate_spec import Task

__all__ = ["PairedPredictions", "UnusablePredictions", "read_paired"]

T = TypeVar("T")

_NIGHT = "night"
# A truth that was once written as 32-bit floats is the same truth.
_SAME = 1e-7


def read_paired(
    *,
    task: Task,
    truth: Path,
    challenger: Path,
    champion: Path | None,
    columns: Sequence[str] = (),
    positive: str | None = None,
    expected_rows: int | None = None,
    beside: Path | None = None,
) -> PairedPredictions | UnusablePredictions:
    """Read a file of truth and up to two of predictions (Parquet or CSV), and lay them side by side by ``row_id``.

    Predictions are a column ``y_pred`` (a number, a class, or of a binary task the probability of the positive
    class), or for a classification ``p_<class>`` for each class.

    Parameters
    ----------
    task : str
        What is predicted.
    truth : Path
        ``row_id``, ``y_true`` and ``columns``. May be the challenger's own file: then whatever is wrong with it is
        the challenger's fault, and so is a champion's file of other rows or other truths, as nobody knows whose
        are right.
    challenger, champion : Path
        ``row_id`` and predictions; a ``y_true`` or ``night`` in them must agree. No champion is None.
    columns : sequence of str
        What rows are sliced, clustered or ranked by; ``night`` comes along where it is there. Those that are missing
        are left out, for the gate to say so.
    positive : str, optional
        The positive class of a binary task; by default ``1`` or ``true``.
    expected_rows : int, optional
        Rows that the data holds; without it, a first model that left rows out of its own file would go unnoticed.
    beside : Path, optional
        Another file of truth, whose rows the same files of predictions hold too.

    Returns
    -------
    PairedPredictions or UnusablePredictions
        In the order of the truth's rows. Of several classes a label that nothing else knows is a wrong answer, with a
        warning; a file that names no known class at all cannot be used.

    Raises
    ------
    DataError
        If the truth cannot be used, or a file beside it cannot be read.
    ConfigError
        If nothing says which class is the positive one.
    """
    own = truth == challenger
    given = champion is not None
    names = tuple(dict.fromkeys((*columns, _NIGHT)))
    try:
        true = _Truth(_file(truth, task, names, required=("row_id", "y_true")), task, expected_rows)
        kept = {name: words(true.file.texts(name)) for name in names if name in true.file.names}
    except Unfit as fault:
        if own:
            return UnusablePredictions(f"the challenger's predictions {fault}", champion_given=given)
        raise DataError(
            f"expected the truth of each row once, with row_id and y_true; the rows of {truth} {fault}. "
            "Give a file that can be judged by."
        ) from fault
    also = true.row_id[:0] if beside is None else _rows_beside(beside, truth, true.row_id)
    standing = None if champion is None else _tried(lambda: _handed_over(champion, task, names, own=own))
    files = [standing] if isinstance(standing, PredictionFile) else []
    try:
        new = true.file if own else _handed_over(challenger, task, names)
        classes = true.classes([new, *files], positive)
        said = true.answers(new, classes, also)
    except Unfit as fault:
        return UnusablePredictions(f"the challenger's predictions {fault}", champion_given=given)
    answered = (
        _tried(lambda: true.answers(standing, classes, also)) if isinstance(standing, PredictionFile) else standing
    )
    if own and isinstance(answered, _OtherRows):
        return UnusablePredictions(
            f"the two models were not given the same rows: the champion's predictions {answered}", champion_given=given
        )
    return PairedPredictions(
        task=task,
        row_id=words(true.row_id),
        y_true=true.numbers(classes),
        challenger=said,
        champion=answered if isinstance(answered, Answers) else None,
        champion_fault=f"the champion's predictions {answered}" if isinstance(answered, Unfit) else None,
        classes=classes,
        columns=kept,
        warnings=true.warnings(new, said, classes),
    )


def _tried(read: Callable[[], T]) -> T | Unfit:
    """What is wrong with a champion's file is no reason to stop."""
    try:
        return read()
    except Unfit as fault:
        return fault


class _OtherRows(Unfit):
    """Predictions are for other rows than those of the truth."""


class _Truth:
    """What was true of each row."""

    def __init__(self, file: PredictionFile, task: Task, expected_rows: int | None) -> None:
        if expected_rows is not None and len(file.row_id) != expected_rows:
            raise Unfit(f"hold {len(file.row_id)} rows, the data {expected_rows}")
        self.file, self.task, self.row_id = file, task, file.row_id
        self._labels = file.labels("y_true") if task in CLASSIFICATION else None
        self._numbers = None if task in CLASSIFICATION else file.numbers("y_true")

    def classes(self, files: Sequence[PredictionFile], positive: str | None) -> tuple[str, ...]:
        """Names of the classes; none unless it is a classification."""
        return () if self._labels is None else classes_of(self.task, self._labels, files, positive)

    def numbers(self, classes: tuple[str, ...]) -> Floats:
        """The truths, or the numbers of their classes."""
        if self._labels is not None:
            return numbered(self._labels, classes)
        assert self._numbers is not None  # noqa: S101  one of the two; this tells mypy
        return self._numbers

    def answers(self, file: PredictionFile, classes: tuple[str, ...], also: pa.Array) -> Answers:
        """What a file says of each row, in the truth's order.

        Raises
        ------
        _OtherRows
            If it is about other rows, or the same ones with another truth or night.
        Unfit
            If it says what cannot be said.
        """
        places = self._places(file, also)
        said = answers_of(file, self.task, classes, self._labels)
        chances = said.probabilities
        return Answers(said.values[places], None if chances is None else chances[places])

    def warnings(self, file: PredictionFile, said: Answers, classes: tuple[str, ...]) -> tuple[str, ...]:
        """What a challenger says that is no fault, but should be looked at."""
        strange = strangers(file, classes) if self.task == "multiclass" else []
        rows = int((said.values == len(classes) - 1).sum()) if strange else 0
        if not rows:
            return ()
        told = f"the challenger answers {rows} rows with labels that these truths do not hold, such as {strange[0]!r}"
        return (f"{told}: each counts as wrong",)

    def _places(self, file: PredictionFile, also: pa.Array) -> npt.NDArray[np.int64]:
        if file is self.file:
            return np.arange(len(self.row_id))
        found = pc.index_in(self.row_id, value_set=file.row_id)
        if found.null_count:
            raise _OtherRows(f"leave out the rows {some(self.row_id.filter(pc.is_null(found)))}")
        known = pc.or_(pc.is_in(file.row_id, self.row_id), pc.is_in(file.row_id, also))
        if strangers := file.row_id.filter(pc.invert(known)):
            raise _OtherRows(f"name rows that are not to be judged: {some(strangers)}")
        places: npt.NDArray[np.int64] = found.to_numpy().astype(np.int64)
        for name in ("y_true", _NIGHT):
            if name in file.names and name in self.file.names:
                other = self.row_id.filter(pa.array(~self._same(name, file, places)))
                if len(other):
                    raise _OtherRows(f"were made with another {name} for rows {some(other)}")
        return places

    def _same(self, name: str, file: PredictionFile, places: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        if name == "y_true" and self._numbers is not None:
            return np.isclose(file.numbers(name)[places], self._numbers, rtol=_SAME, atol=0)
        theirs, ours = (
            (file.labels(name), self._labels) if name == "y_true" else (file.texts(name), self.file.texts(name))
        )
        same: npt.NDArray[np.bool_] = words(theirs)[places] == words(ours)
        return same


def _file(path: Path, task: Task, names: Sequence[str], required: Sequence[str] = ("row_id",)) -> PredictionFile:
    wanted = {"row_id", "y_true", "y_pred", *names}
    return read_file(path, wanted, required=required, probabilities=task in CLASSIFICATION)


def _handed_over(path: Path, task: Task, names: Sequence[str], *, own: bool = False) -> PredictionFile:
    """A file of predictions. One that a person gave and that is none says nothing about a model."""
    try:
        return _file(path, task, names)
    except UnreadableFile as fault:
        if own:
            raise
        raise DataError(f"expected predictions in {path}; they {fault}. Give a Parquet or CSV file.") from fault


def _rows_beside(path: Path, truth: Path, row_id: pa.Array) -> pa.Array:
    """Rows of the other file of truth; a name that both use could mean either row."""
    try:
        other = read_file(path, {"row_id"}, required=["row_id"], probabilities=False).row_id
    except Unfit as fault:
        raise DataError(f"expected rows in {path}; they {fault}.") from fault
    if both := other.filter(pc.is_in(other, row_id)):
        raise DataError(
            f"expected other rows in {path} than in {truth}; both name {some(both)}, and one file of predictions "
            "cannot tell them apart. Give a file of predictions for each."
        )
    return other
