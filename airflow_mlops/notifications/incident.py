"""What people are told of bad nights, and whether they have to be told."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import shorten
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_mlops.ledger import Ledger
    from airflow_mlops.records import AffectedModel, CheckResult, Notice, Quality

__all__ = ["alert_due", "headline", "incident_text"]

_FAULTS_TOLD = 10
_LONGEST = 300


def alert_due(ledger: Ledger, quality: Quality) -> Notice:
    """Say whether people have to be told of a night's incident, and what.

    It goes by what stands in the ledger, not by whether this task is the first to see it: a task that died before it
    told is made up for by its retry, or on the next bad night. People are told at least once, and twice only if a task
    dies between the telling and the writing down of it.

    Parameters
    ----------
    ledger : Ledger
        Where the records and the alerts are.
    quality : Quality
        The standing record of the night that was asked for.
    """
    from airflow_mlops.nights import nights_checked
    from airflow_mlops.records import Alert, Notice

    incident = quality.incident
    # Whoever clears the task of an old night wakes nobody.
    if incident is None or nights_checked(ledger, quality.model)[-1] > quality.night:
        return Notice.NONE
    began, ended = (
        ledger.find(Alert, Alert.key_of(quality.model, incident.noticed, notice)) is not None
        for notice in (Notice.BEGAN, Notice.ENDED)
    )
    if incident.ended is None:
        return Notice.BEGAN if quality.quarantined and not began else Notice.NONE
    return Notice.ENDED if began and not ended else Notice.NONE


def headline(quality: Quality, notice: Notice) -> str:
    """Say in one line what an alert is about: the subject of a mail."""
    if notice == "ended":
        return f"{quality.model}: good nights again since {quality.incident.latest if quality.incident else ''}"
    state = "blocked" if quality.blocked else "quarantined"
    return f"{quality.model}: {quality.night} {state}"


def incident_text(quality: Quality, notice: Notice, page: str = "") -> str:
    """Write the alert, as plain text.

    Parameters
    ----------
    quality : Quality
        The night; its incident says which checks, which columns, since when.
    notice : Notice
        Whether it began or ended.
    page : str
        Address of the record's page.
    """
    return "\n".join([headline(quality, notice), *_lines(quality, notice), *([page] if page else [])])


def _lines(quality: Quality, notice: Notice) -> Iterator[str]:
    incident = quality.incident
    if incident is None:
        return
    if notice == "ended":
        yield f"The incident of {', '.join(incident.checks)} lasted from {incident.began} to {incident.latest}."
    else:
        yield from (f"- {_fault(check)}" for check in quality.faults[:_FAULTS_TOLD])
        if len(quality.faults) > _FAULTS_TOLD:
            yield f"- and {len(quality.faults) - _FAULTS_TOLD} more"
        yield f"Since {incident.began}." + (f" Just before: {'; '.join(incident.before)}." if incident.before else "")
    if incident.models:
        yield f"Trained on this table: {', '.join(_model(one) for one in incident.models)}."
    yield f"Data: {quality.location.replace('{night}', str(quality.night))}"


def _fault(check: CheckResult) -> str:
    of = f" of {check.column}" if check.column else ""
    rows = f", {check.failing_rows} rows" if check.failing_rows else ""
    expected, actual = (shorten(text, _LONGEST, placeholder=" ...") for text in (check.expected, check.actual))
    return f"{check.outcome.value}: {check.name}{of}: expected {expected}, got {actual}{rows}"


def _model(one: AffectedModel) -> str:
    marks = [mark for mark, is_so in (("champion", one.champion), ("live", one.live)) if is_so]
    return f"{one.model} ({', '.join([*marks, f'{one.nights} nights'])})"
