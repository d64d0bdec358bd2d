"""That people were told of an incident."""

from __future__ import annotations

import datetime as dt
from typing import ClassVar

from airflow_mlops.records.incident import Notice
from airflow_mlops.records.record import Record, RecordRef

__all__ = ["Alert"]


class Alert(Record):
    """People were told that an incident began, or that it is over; written after the telling.

    ``noticed`` is the night on which the incident was, which tells it from the others of the table. ``told`` names the
    notifiers that went through.
    """

    kind: ClassVar[str] = "alert"

    night: dt.date
    noticed: dt.date
    notice: Notice
    quality: RecordRef
    told: tuple[str, ...]

    @property
    def key(self) -> str:
        """One alert when an incident begins, one when it ends."""
        return self.key_of(self.model, self.noticed, self.notice)

    @staticmethod
    def key_of(model: str, noticed: dt.date, notice: Notice) -> str:
        """Key under which the alert of an incident is found."""
        return f"{model}/{noticed}/{notice.value}"
