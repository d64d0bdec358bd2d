"""Templates: how a value is written on a page."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

from airflow_mlops.gate import drawing, report
from airflow_mlops.records import PartitionPin, Record, RecordRef, short
from airflow_mlops.ui import bars

__all__ = ["facts_of", "render"]


def render(template: str, context: Mapping[str, object]) -> str:
    """Fill a template; whatever stands in a record is text, never markup."""
    return _templates().get_template(template).render(context)


@cache
def _templates() -> Environment:
    templates = Environment(
        # A verdict looks the same here and in the report of `airflow-mlops gate`.
        loader=ChoiceLoader([PackageLoader("airflow_mlops.ui"), PackageLoader("airflow_mlops.gate")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {
        **report.FILTERS,
        "pins": in_words,
        "literal": json.dumps,
        "short": short,
        "when": when,
    }
    templates.globals |= {
        "distance_bar": bars.distance_bar,
        "farthest": bars.farthest,
        "interval_bar": drawing.interval_bar,
    }
    return templates


def when(instant: dt.datetime) -> str:
    """An instant, to the minute."""
    return f"{instant:%Y-%m-%d %H:%M} UTC"


def in_words(pins: tuple[PartitionPin, ...]) -> str:
    """Pinned nights in words.

    Examples
    --------
    >>> in_words(tuple(PartitionPin(night=dt.date(2011, 1, day), digest="", rows=24) for day in (1, 2, 4)))
    '3 nights, 2011-01-01 to 2011-01-04, 72 rows'
    """
    rows = f"{sum(pin.rows for pin in pins):,} rows"
    if not pins:
        return "none"
    if len(pins) == 1:
        return f"{pins[0].night}, {rows}"
    nights = [pin.night for pin in pins]
    return f"{len(pins)} nights, {min(nights)} to {max(nights)}, {rows}"


def facts_of(record: Record) -> list[tuple[str, str]]:
    """Plain fields of a record in words; references stand in a list of their own, the rest in the JSON."""
    facts = []
    for name, value in record:
        if name not in ("model", "rests_on", "dag_run") and (text := _text(value)):
            facts.append((name.replace("_", " "), text))
    return facts


def _text(value: Any) -> str:
    if value is None or isinstance(value, RecordRef):
        return ""
    if isinstance(value, dt.datetime):
        return when(value)
    if isinstance(value, float):
        return drawing.figure(value)
    if isinstance(value, str | int | dt.date):
        return str(value)
    if isinstance(value, tuple):
        return _text_of_tuple(value)
    return ""


def _text_of_tuple(values: tuple[Any, ...]) -> str:
    if values and all(isinstance(value, PartitionPin) for value in values):
        return in_words(values)
    if values and all(isinstance(value, str) for value in values):
        return "; ".join(values)
    return ""
