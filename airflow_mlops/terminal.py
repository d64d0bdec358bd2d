"""Records as tables on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from airflow_mlops.chain import Chain, NightOfChain
from airflow_mlops.records import Golden, short

__all__ = ["print_chain", "print_golden"]


def print_golden(golden: Golden) -> None:
    """Show the nights of a golden set, with the weekday of each."""
    table = _table(f"golden set {golden.name} of {golden.model}, frozen {golden.recorded_at:%Y-%m-%d}", "night")
    table.add_column("rows", justify="right")
    table.add_column("digest", no_wrap=True)
    for pin in golden.partitions:
        table.add_row(f"{pin.night} {pin.night:%a}", str(pin.rows), short(pin.digest))
    _print(table)


def print_chain(chain: Chain) -> None:
    """Show where a model's pointers stand, and a line for each night."""
    pointers = _table(f"pointers of {chain.model}", "pointer", "stands at", "since (UTC)", "why")
    for pointer in chain.pointers:
        since = f"{pointer.recorded_at:%Y-%m-%d %H:%M}"
        pointers.add_row(pointer.name, f"{pointer.to.kind}/{pointer.to.key}", since, pointer.reason)
    nights = _table(f"nights of {chain.model}", "night", "quality", "drift", "training", "gate", "served")
    for night in chain.nights:
        nights.add_row(str(night.night), *_story(night))
    if chain.pointers:
        _print(pointers)
    _print(nights)


def _story(night: NightOfChain) -> list[str]:
    quality = drift = training = verdict = served = ""
    if night.quality is not None:
        faults = ", ".join(check.name for check in night.quality.faults)
        quality = f"quarantined: {faults}" if night.quality.quarantined else "good"
    if night.drift is not None:
        drift = night.drift.verdict.value
    if night.manifest is not None:
        training = f"{short(night.manifest.fingerprint)}, nights: {len(night.manifest.snapshot)}"
    if night.verdict is not None:
        verdict = night.verdict.decision.value
    if night.deployment is not None:
        served = night.deployment.served_version
    return [quality, drift, training, verdict, served]


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for column in columns:
        table.add_column(column, no_wrap=column == "night", overflow="fold")
    return table


def _print(table: Table) -> None:
    # What stands in a record is text, not markup.
    Console(markup=False, highlight=False).print(table)
