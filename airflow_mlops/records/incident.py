"""What goes on for several nights, from its beginning to its end."""

from __future__ import annotations

import datetime as dt
from abc import ABC, abstractmethod
from enum import StrEnum
from typing import Self

from airflow_mlops.records.record import RecordRef, Value

__all__ = ["AffectedModel", "Course", "Incident", "Notice", "QualityIncident"]


class Notice(StrEnum):
    """What a person is told tonight."""

    NONE = "none"
    BEGAN = "began"
    ENDED = "ended"


class Course(Value, ABC):
    """From its beginning to its end.

    ``began`` is the night since which it has been so, ``noticed`` the night of the alert, ``latest`` the last unusual
    night, ``ended`` the night on which it was found to be over. ``calm_nights`` counts the calm nights since
    ``latest``; ``followed`` is the last night that was looked at.
    """

    began: dt.date
    noticed: dt.date
    latest: dt.date
    followed: dt.date
    ended: dt.date | None = None
    calm_nights: int = 0

    @property
    @abstractmethod
    def subjects(self) -> tuple[str, ...]:
        """What it is about: what comes back with no other subject soon after the end is the same incident."""

    @abstractmethod
    def joined(self, other: Self) -> Self:
        """Itself, about what the other is about as well."""


class Incident(Course):
    """Something that happened to some features."""

    features: tuple[str, ...]

    @property
    def subjects(self) -> tuple[str, ...]:
        """The features."""
        return self.features

    def joined(self, other: Self) -> Self:
        """Itself, with the other's features."""
        return self.model_copy(update={"features": _union(self.features, other.features)})


class AffectedModel(Value):
    """A model that was trained on nights of a table.

    ``manifest`` is its newest training that was, ``nights`` how many of the table's nights that one holds. ``champion``
    and ``live`` say whether the version that is so was trained on the table, too.
    """

    model: str
    manifest: RecordRef
    nights: int
    champion: bool = False
    live: bool = False


class QualityIncident(Course):
    """Bad nights of a table in a row.

    ``checks`` are those that did not pass on any of them (``NAME`` or ``NAME:COLUMN``). ``before`` says what came just
    before it began; ``models`` are those that eat this table: both as they were known on the night of the alert.
    """

    checks: tuple[str, ...]
    columns: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    models: tuple[AffectedModel, ...] = ()

    @property
    def subjects(self) -> tuple[str, ...]:
        """The checks."""
        return self.checks

    def joined(self, other: Self) -> Self:
        """Itself, with the other's checks and columns."""
        checks, columns = _union(self.checks, other.checks), _union(self.columns, other.columns)
        return self.model_copy(update={"checks": checks, "columns": columns})


def _union(ours: tuple[str, ...], theirs: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*ours, *theirs)))
