"""What a file of predictions says, as answers: numbers, or classes with or without their probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from airflow_mlops.errors import ConfigError, DataError
from airflow_mlops.gate.reading.file import PROBABILITY, PredictionFile, Unfit, some
from airflow_mlops.gate.rows import Answers, Floats
from airflow_mlops.project.gate_spec import Task

__all__ = ["CLASSIFICATION", "answers_of", "classes_of", "numbered"]

CLASSIFICATION = frozenset({"binary", "multiclass"})

_BINARY = 2
# Probabilities are often written with three digits.
_SUM_TOLERANCE = 1e-3
# A softmax of 32-bit floats may end a little beyond 1.
_RANGE_TOLERANCE = 1e-6
_OPPOSITES = {"0": "1", "1": "0", "false": "true", "true": "false"}
_POSITIVE = ("1", "true")


def classes_of(task: Task, truth: pa.Array, files: Sequence[PredictionFile], positive: str | None) -> tuple[str, ...]:
    """Names of the classes in the order of their numbers; of a binary task the positive one is the second.

    Parameters
    ----------
    task : str
        ``binary`` or ``multiclass``.
    truth : pyarrow.Array of str, shape (n_rows,)
        What was true.
    files : sequence of PredictionFile
        Which may give probabilities for classes that are not among the truths.
    positive : str or None
        By default ``1`` or ``true``.

    Raises
    ------
    DataError
        If a binary truth has three classes.
    ConfigError
        If nothing says which class is the positive one.
    """
    known = set(pc.unique(truth).to_pylist())
    named = [name.removeprefix(PROBABILITY) for file in files for name in file.probabilities]
    if task != "binary":
        return tuple(sorted(known.union(map(_label, named)), key=_in_order))
    if len(known) > _BINARY:
        raise DataError(
            f"expected two classes in y_true of a binary task, got {_listed(known)}. "
            'If there are more than two, say task = "multiclass".'
        )
    if positive is not None:
        known.add(_label(positive))
    # A window may happen to hold one class only.
    for name in (*map(_label, named), *map(_OPPOSITES.get, tuple(known)), "(other)"):
        if len(known) < _BINARY and name is not None:
            known.add(name)
    yes = next((name for name in _POSITIVE if name in known), None) if positive is None else _label(positive)
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
        decided = _decided(file, classes) if "y_pred" in file.names else None
        return Answers(probabilities.argmax(axis=1).astype(float) if decided is None else decided, probabilities)
    decided = _decided(file, classes, scores=task == "binary")
    if decided is not None:
        return Answers(decided)
    score = file.numbers("y_pred")
    return Answers((score > 0.5).astype(float), np.column_stack([1 - score, score]))  # noqa: PLR2004  the likelier one


def numbered(labels: pa.Array, classes: tuple[str, ...]) -> Floats:
    """The number of each row's class; NaN for what is none."""
    found = pc.index_in(labels, value_set=pa.array(classes, pa.string()))
    return np.asarray(pc.cast(found, pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64)


def _decided(file: PredictionFile, classes: tuple[str, ...], *, scores: bool = False) -> Floats | None:
    """Numbers of the classes that ``y_pred`` names; None where it is the probability of the positive one."""
    labels = file.labels("y_pred")
    numbers = numbered(labels, classes)
    strange = np.isnan(numbers)
    if not strange.any():
        return numbers
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
