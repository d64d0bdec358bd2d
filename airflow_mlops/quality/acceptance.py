"""A person's "this was fine": the night is let through, and history learns from it."""

from __future__ import annotations

import datetime as dt
from typing import Any

from airflow_mlops.errors import ConfigError
from airflow_mlops.incident import Sign, follow
from airflow_mlops.ledger import Ledger
from airflow_mlops.nights import nights_checked, quality_by_night, quality_of
from airflow_mlops.quality.incident import trained_meanwhile, trainings_on
from airflow_mlops.records import Acceptance, Notice, Quality, QualityIncident

__all__ = ["accept"]


def accept(ledger: Ledger, table: str, night: dt.date, *, reason: str, by: str, now: dt.datetime) -> Quality:
    """Let a night through that did not pass: it is no longer quarantined, and monitors learn from it.

    An incident that it began is taken back; nights after it keep their records.

    Parameters
    ----------
    ledger : Ledger
        Where the records are.
    table : str
        Name of the table.
    night : date
        The night.
    reason, by : str
        Why, and who says so.
    now : datetime
        With a time zone.

    Returns
    -------
    Quality
        The record that stands now; the same one if the night was accepted before.

    Raises
    ------
    ConfigError
        If the night was never checked, or passed; if no reason is given.
    """
    if not reason.strip():
        raise ConfigError(f"expected a reason why {table} was fine on {night}, got none. Say it in a sentence.")
    known = quality_of(ledger, table, night)
    if known is None:
        raise ConfigError(
            f"expected a night of {table} that was checked, there is no record of {night}. "
            "Check the name of the table and the date, and that this is the store that its records are in."
        )
    if known.accepted is not None:
        return known
    if any(check.name == "readable" for check in known.faults):
        raise ConfigError(
            f"expected a night of {table} that can be read, {night} cannot: there is nothing to learn from. "
            "Write it again; it is checked again then."
        )
    if not known.faults:
        raise ConfigError(f"expected a night of {table} that did not pass, {night} passed. There is nothing to accept.")
    answer = ledger.write(
        Acceptance(
            model=table, recorded_at=now, rests_on=(known.ref,), night=night, quality=known.ref, reason=reason, by=by
        )
    )
    digests = {record.partition.digest for record in quality_by_night(ledger, table).values()}
    meanwhile = trained_meanwhile(trainings_on(ledger, table, digests), known, known.partition)
    changed: dict[str, Any] = {
        "recorded_at": now,
        "dag_run": None,
        "rests_on": (*known.rests_on, answer.ref),
        "replaces": known.ref,
        "accepted": answer.ref,
        "incident": _as_it_stood_before(ledger, known),
        "notice": Notice.NONE,
        "trained_meanwhile": meanwhile,
    }
    return ledger.write(Quality(**dict(known) | changed))


def _as_it_stood_before(ledger: Ledger, known: Quality) -> QualityIncident | None:
    """The incident that the night before left behind: an accepted night neither prolongs nor calms it."""
    before = [night for night in nights_checked(ledger, known.model) if night < known.night]
    record = quality_of(ledger, known.model, before[-1]) if before else None
    if record is None or record.incident is None or known.incident is None:
        return None
    tonight = known.incident.model_copy(update={"noticed": known.night})
    return follow(record.incident, tonight, Sign.UNKNOWN)[0]
