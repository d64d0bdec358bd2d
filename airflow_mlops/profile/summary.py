"""What is kept of a table, and how parts become a whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Self

from pydantic import Field

from airflow_mlops.errors import DataError
from airflow_mlops.profile.columns import Levels, Numbers
from airflow_mlops.profile.gram import Gram
from airflow_mlops.records import Instant, Value

__all__ = ["Edges", "Profile", "merge"]

Edges = dict[str, tuple[float, ...] | tuple[str, ...]]
"""What a table is counted in: ascending edges of a numeric column, known levels of another one."""


class Profile(Value):
    """A table boiled down; ``parts`` counts the tables (nights) that were merged into it.

    ``types`` holds what every column of the table is (``integer``, ``number``, ``text``, ``boolean``, ``time``, or
    Arrow's own name of another), also of those that were not looked at; ``span`` the first and the last time.
    """

    rows: int
    parts: int = 1
    columns: dict[str, Annotated[Numbers | Levels, Field(discriminator="kind")]]
    gram: Gram | None = None
    types: dict[str, str] = Field(default_factory=dict)
    span: tuple[Instant, Instant] | None = None

    @property
    def edges(self) -> Edges:
        """What another table must be counted in to be compared: bins of numbers, known levels."""
        return {name: column.edges for name, column in self.columns.items()}

    @property
    def blank(self) -> Self:
        """The same columns without rows: merged with any profile it changes nothing but fills in lacking columns."""
        return type(self)(
            rows=0,
            parts=0,
            columns={name: column.blank for name, column in self.columns.items()},
            gram=self.gram and self.gram.blank,
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values that ``json`` can write."""
        return self.model_dump(mode="json")

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Read what ``to_json`` gave."""
        return cls.model_validate(data)


def merge(profiles: Iterable[Profile]) -> Profile:
    """Profile of all the rows that several profiles saw, in whatever order they come.

    A column that a part lacks counts as null there; the Gram matrix keeps the columns that all parts have.

    Raises
    ------
    DataError
        If there is none, or two were made with other edges.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from airflow_mlops.profile import edges_of, profile_table
    >>> table = pa.table({"temp": [1.0, 2.0, 3.0, None]})
    >>> edges = edges_of(table)
    >>> merge([profile_table(table[:1], edges), profile_table(table[1:], edges)]).columns["temp"].mean
    2.0
    """
    parts = list(profiles)
    if not parts:
        raise DataError(
            "expected at least one profile to merge, got none. Hand over the profiles of a window of nights."
        )
    rows = sum(part.rows for part in parts)
    grams = [part.gram for part in parts if part.gram is not None]
    spans = [part.span for part in parts if part.span is not None]
    return Profile(
        rows=rows,
        parts=sum(part.parts for part in parts),
        columns={
            name: _merged(name, [part.columns[name] for part in parts if name in part.columns], rows)
            for name in dict.fromkeys(name for part in parts for name in part.columns)
        },
        gram=Gram.merged(grams) if len(grams) == len(parts) else None,
        types={name: _type(name, parts) for name in dict.fromkeys(name for part in parts for name in part.types)},
        span=(min(since for since, _ in spans), max(until for _, until in spans)) if spans else None,
    )


def _merged(name: str, columns: Sequence[Numbers | Levels], rows: int) -> Numbers | Levels:
    numbers = [column for column in columns if isinstance(column, Numbers)]
    levels = [column for column in columns if isinstance(column, Levels)]
    if len({column.edges for column in numbers} | {frozenset(column.edges) for column in levels}) > 1:
        raise DataError(
            f"column {name!r}: expected profiles with the same edges, got {len(columns)} that differ. "
            "Profile every part with the edges of the reference."
        )
    return Numbers.merged(numbers, rows=rows) if numbers else Levels.merged(levels, rows=rows)


def _type(name: str, parts: Sequence[Profile]) -> str:
    kinds = {kind for part in parts if name in part.types for kind in part.types[name].split(" or ")}
    return " or ".join(sorted(kinds))
