"""What a file of predictions says, as answers: numbers, or classes with or without their probabilities."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from airflow_mlops.errors import ConfigError, DataError
from airflow_mlops.gate.reading.file import PROBABILITY, PredictionFile, Unfit, some
from airflow_mlops.gate.rows import Answers, Floats
from airflow_mlops.project.gate_spec import Task

__all__ = ["CLASSIFICATION", "answers_of", "classes_of", "numbered", "strangers"]

CLASSIFICATION = frozenset({"binary", "multiclass"})

_BINARY = 2
# Probabilities are often written with three digits.
_SUM_TOLERANCE = 1e-3
# A softmax of 32-bit floats may end a little beyond 1.
_RANGE_TOLERANCE = 1e-6
_OPPOSITES = {"0": "1", "1": "0", "-1": "1", "false": "true", "true": "false"}
# What everybody means by 1. Beside any other label it is a name like others: of 1 and 2 nobody knows.
_POSITIVE = {frozenset(("0", "1")): "1", frozenset(("-1", "1")): "1", frozenset(("false", "true")): "true"}
# A label that these rows do not know. Many of them are one class: a column of numbers would be as many as rows.
_STRANGER = "(other)"


def classes_of(task: Task, truth: pa.Array, files: Sequence[PredictionFile], positive: str | None) -> tuple[str, ...]:
    """Names of the classes in the order of their numbers; of a binary task the positive one is the second.

    Parameters
    ----------
    task : str
        ``binary`` or ``multiclass``.
    truth : pyarrow.Array of str, shape (n_rows,)
        What was true.
    files : sequence of PredictionFile
        Which may give probabilities for classes that are not among the truths, or name such a class.
    positive : str or None
        By default ``1`` beside ``0`` or ``-1``, ``true``, or the one class that all probabilities are for.

    Returns
    -------
    tuple of str
        Of several classes the last may stand for all labels that neither truth nor probabilities know: a model that
        says one of them is wrong there, and no worse than that.

    Raises
    ------
    DataError
        If a binary truth has three classes.
    ConfigError
        If nothing says which class is the positive one.
    """
    known = set(pc.unique(truth).to_pylist())
    named = {_label(name.removeprefix(PROBABILITY)) for file in files for name in file.probabilities}
    if task != "binary":
        classes = tuple(sorted(known | named, key=_in_order))
        return (*classes, _stranger(classes)) if any(strangers(file, classes) for file in files) else classes
    if len(known) > _BINARY:
        raise DataError(
            f"expected two classes in y_true of a binary task, got {_listed(known)}. "
            'If there are more than two, say task = "multiclass".'
        )
    if positive is not None:
        known.add(_label(positive))
    # A window may happen to hold one class only.
    others = [name for name in _said(files, known) if positive is not None or frozenset((*known, name)) in _POSITIVE]
    for name in (*sorted(named), *others, *map(_OPPOSITES.get, tuple(known)), _STRANGER):
        if len(known) < _BINARY and name is not None:
            known.add(name)
    yes = _positive(known, named) if positive is None else _label(positive)
    if yes is None or len(known) > _BINARY:
        wanted = "one of them" if positive is None else f"{positive!r} among them"
        raise ConfigError(
            f"expected {wanted} as the positive class; the classes are {_listed(known - {yes})}. "
            "Name it in the rules: positive = ..."
        )
    return (*(known - {yes}), yes)


def answers_of(file: PredictionFile, task: Task, classes: tuple[str, ...], truth: pa.Array | None) -> Answers:
    """What the file says of its rows, in its own order.

    Raises
    ------
    Unfit
        If it says something that cannot be: no number, no class, no probability.
    """
    if task not in CLASSIFICATION:
        if "y_pred" not in file.names:
            raise Unfit("lack the column y_pred")
        return Answers(file.numbers("y_pred"))
    if not file.probabilities and "y_pred" not in file.names:
        raise Unfit("lack the column y_pred, or p_<class> for each class")
    if file.probabilities:
        probabilities = _probabilities(file, task, classes, set(pc.unique(truth).to_pylist()))
        decided = _decided(file, task, classes) if "y_pred" in file.names else None
        return Answers(probabilities.argmax(axis=1).astype(float) if decided is None else decided, probabilities)
    decided = _decided(file, task, classes, scores=task == "binary")
    if decided is not None:
        return Answers(decided)
    score = file.numbers("y_pred")
    return Answers((score > 0.5).astype(float), np.column_stack([1 - score, score]))  # noqa: PLR2004  the likelier one


def strangers(file: PredictionFile, classes: tuple[str, ...]) -> list[str]:
    """Labels in ``y_pred`` that are none of these classes, if others are; of a file that is all strange none."""
    try:
        said = set(pc.unique(file.labels("y_pred")).to_pylist()) if "y_pred" in file.names else set()
    except Unfit:
        # Whoever reads the answers is told.
        return []
    return sorted(said - set(classes), key=_in_order) if said & set(classes) else []


def numbered(labels: pa.Array, classes: tuple[str, ...]) -> Floats:
    """The number of each row's class; NaN for what is none."""
    found = pc.index_in(labels, value_set=pa.array(classes, pa.string()))
    return np.asarray(pc.cast(found, pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


def _stranger(classes: tuple[str, ...]) -> str:
    name = _STRANGER
    while name in classes:
        name = f"({name})"
    return name


def _said(files: Sequence[PredictionFile], known: set[str]) -> list[str]:
    """The one other class that models name, where no probability can be meant."""
    said: set[str] = set()
    for file in files:
        if "y_pred" in file.names and not file.probabilities and not _are_probabilities(file):
            with contextlib.suppress(Unfit):
                said |= set(pc.unique(file.labels("y_pred")).to_pylist())
    return list(said - known) if len(said - known) == 1 else []


def _positive(known: set[str], named: set[str]) -> str | None:
    alone = next(iter(named)) if len(named) == 1 else None
    return _POSITIVE.get(frozenset(known), alone if alone in known else None)


def _decided(file: PredictionFile, task: Task, classes: tuple[str, ...], *, scores: bool = False) -> Floats | None:
    """Numbers of the classes that ``y_pred`` names; None where it is the probability of the positive one."""
    labels = file.labels("y_pred")
    numbers = numbered(labels, classes)
    strange = np.isnan(numbers)
    if not strange.any():
        return numbers
    if task == "multiclass" and not strange.all():
        # The last class stands for them, see `classes_of`.
        return np.where(strange, len(classes) - 1.0, numbers)
    if scores and _are_probabilities(file):
        return None
    rows = file.row_id.filter(pa.array(strange))
    kind = f"no class ({_listed(set(classes))})" + (" and no probability" if scores else "")
    raise Unfit(f"say {labels[int(strange.argmax())].as_py()!r} in y_pred for rows {some(rows)}, which is {kind}")


def _are_probabilities(file: PredictionFile) -> bool:
    try:
        score = file.numbers("y_pred")
    except Unfit:
        return False
    return bool(((score >= 0) & (score <= 1)).all())


def _probabilities(
    file: PredictionFile, task: Task, classes: tuple[str, ...], true_ones: set[str]
) -> npt.NDArray[np.float64]:
    given = {_label(name.removeprefix(PROBABILITY)): file.numbers(name) for name in file.probabilities}
    if len(given) < len(file.probabilities):
        raise Unfit(f"give a class twice: {', '.join(file.probabilities)}")
    if unknown := sorted(set(given) - set(classes)):
        raise Unfit(f"give probabilities for {_listed(set(unknown))}, which is no class ({_listed(set(classes))})")
    if task == "binary" and list(given) == [classes[1]]:
        given[classes[0]] = 1 - given[classes[1]]
    if absent := true_ones - set(given):
        raise Unfit(f"give no probability for {_listed(absent)}, which the truth holds")
    table = np.column_stack([given.get(name, np.zeros(len(file.row_id))) for name in classes])
    outside = ((table < -_RANGE_TOLERANCE) | (table > 1 + _RANGE_TOLERANCE)).any(axis=1)
    if outside.any():
        raise Unfit(f"give probabilities outside 0..1 for rows {some(file.row_id.filter(pa.array(outside)))}")
    apart = np.abs(table.sum(axis=1) - 1) > _SUM_TOLERANCE
    if apart.any():
        raise Unfit(f"give probabilities that do not sum to 1 for rows {some(file.row_id.filter(pa.array(apart)))}")
    return np.clip(table, 0, 1)


def _label(name: str) -> str:
    """A class as `PredictionFile.labels` writes it."""
    return name.lower() if name.lower() in ("true", "false") else name


def _in_order(name: str) -> tuple[bool, int, str]:
    """Whole numbers by size, before everything else."""
    whole = name.removeprefix("-").isdecimal()
    return (not whole, int(name) if whole else 0, name)


def _listed(names: set[str]) -> str:
    shown = sorted(names, key=_in_order)
    return ", ".join(map(repr, shown[:10])) + (f" and {len(shown) - 10} more" if len(shown) > 10 else "")  # noqa: PLR2004
