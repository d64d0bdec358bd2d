"""Whether two tables can be compared at all; if not, why, by name."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_mlops.errors import DataError
from airflow_mlops.profile import Profile

__all__ = ["require_comparable"]

_NUMERIC = {"integer", "number"}
_SHOWN = 5


def require_comparable(reference: Profile, current: Profile, *, name: str = "current") -> None:
    """Refuse what is no input for a comparison; what merely differs, however much, passes.

    A column that the current table lacks passes too: that it vanished is an answer.

    Parameters
    ----------
    reference, current : Profile
        Both in the bins of the reference.
    name : str
        What errors call the current table, such as its file.

    Raises
    ------
    DataError
        If one side has no rows, they have no column in common, a column changed its type, or holds on one side nothing
        but nulls.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from airflow_mlops.profile import edges_of, profile_table
    >>> tables = pa.table({"temp": [1.0, 2.0]}), pa.table({"temp": [None, None]})
    >>> edges = edges_of(tables[0])
    >>> require_comparable(*(profile_table(table, edges) for table in tables))
    Traceback (most recent call last):
    airflow_mlops.errors.DataError: expected values in the column 'temp' of current, got only nulls. ...
    """
    for side, called in ((reference, "the reference"), (current, name)):
        if not side.rows:
            raise DataError(f"expected {called} to have rows, got 0. Take nights that hold data.")
    shared = [column for column in reference.columns if column in current.columns]
    if not shared:
        raise DataError(
            f"expected {name} to have columns of the reference ({_some([*reference.columns])}), got only "
            f"{_some([*current.types])}. Compare tables of one kind."
        )
    for column in shared:
        before, now = reference.types.get(column, "?"), current.types.get(column, "?")
        if current.columns[column].present and _kind(before) != _kind(now):
            raise DataError(
                f"expected the column {column!r} of {name} to hold what it held in the reference ({before}), "
                f"got {now}. Write it as {before}, or leave it out with --ignore {column}."
            )
    for side, called in ((reference, "the reference"), (current, name)):
        empty = [column for column in shared if not side.columns[column].present]
        if empty:
            raise DataError(
                f"expected values in the column {', '.join(map(repr, empty[:_SHOWN]))} of {called}, got only nulls. "
                f"Find out why it is empty, or leave it out with --ignore {empty[0]}."
            )


def _kind(name: str) -> str:
    return "number" if name in _NUMERIC else name


def _some(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
