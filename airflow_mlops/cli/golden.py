"""``airflow-mlops golden``: the nights that judge every challenger."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Annotated

import typer

from airflow_mlops.cli.options import Folder, StoreUri, ledger_of
from airflow_mlops.errors import ConfigError

if TYPE_CHECKING:
    from airflow_mlops.ledger import Ledger
    from airflow_mlops.project import Project
    from airflow_mlops.store import Store

__all__ = ["golden_app"]

# A golden set of this many nights that are all one weekday was hardly meant so.
_NIGHTS_OF_ONE_WEEKDAY = 3

golden_app = typer.Typer(no_args_is_help=True, help="The golden set: nights that judge every challenger.")


@golden_app.command()
def freeze(
    folder: Folder,
    nights: Annotated[str | None, typer.Option(metavar="DATE,...", help="These nights.")] = None,
    every: Annotated[int | None, typer.Option(min=1, help="Every n-th good night: 6 or 8 mix the weekdays.")] = None,
    first: Annotated[str | None, typer.Option("--from", metavar="DATE", help="With --every: none before.")] = None,
    last: Annotated[str | None, typer.Option("--to", metavar="DATE", help="With --every: none after.")] = None,
    store: StoreUri = None,
) -> None:
    """Freeze the golden set, once: its nights are copied into the store and pinned by digest."""
    from airflow_mlops.golden import freeze_golden
    from airflow_mlops.project import load_project
    from airflow_mlops.store import open_store
    from airflow_mlops.terminal import print_golden

    if (nights is None) == (every is None):
        raise typer.BadParameter("expected either --nights DATE,... or --every N")
    if nights is not None and (first or last):
        raise typer.BadParameter("--from and --to go with --every; --nights names each night already")
    ledger, project = ledger_of(store), load_project(folder)
    data = open_store(project.data_root)
    if nights is not None:
        chosen = [_date(part) for part in nights.split(",")]
        if bad := [str(night) for night in chosen if not _is_good(ledger, data, project, night)]:
            raise ConfigError(f"expected nights that pass the contract, {', '.join(bad)} do not. Choose others.")
    else:
        chosen = _every(ledger, data, project, every or 1, first, last)
    golden = freeze_golden(ledger, data, project, chosen, now=dt.datetime.now(dt.UTC))
    print_golden(golden)
    if len(chosen) >= _NIGHTS_OF_ONE_WEEKDAY and len({night.weekday() for night in chosen}) == 1:
        typer.echo(f"note: every night of it is a {chosen[0]:%A}; --every 6 or 8 would mix the weekdays", err=True)
    if project.spec.gate.golden_digest is None:
        typer.echo("To refuse any other set, write under [gate] in model.toml:")
        typer.echo(f'golden_digest = "{golden.ref.digest}"')


@golden_app.command()
def show(folder: Folder, store: StoreUri = None) -> None:
    """Show the golden set that model.toml names."""
    from airflow_mlops.golden import read_golden
    from airflow_mlops.project import load_project
    from airflow_mlops.terminal import print_golden

    ledger = ledger_of(store)
    print_golden(read_golden(ledger, load_project(folder)))


def _date(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text.strip())
    except ValueError:
        raise typer.BadParameter(f"expected a night as YYYY-MM-DD, got {text!r}") from None


def _every(
    ledger: Ledger, data: Store, project: Project, every: int, first: str | None, last: str | None
) -> list[dt.date]:
    from airflow_mlops.golden import select_every
    from airflow_mlops.table import nights_available

    start, end = (_date(first) if first else dt.date.min), (_date(last) if last else dt.date.max)
    there = [night for night in nights_available(data, project) if start <= night <= end]
    return select_every([night for night in there if _is_good(ledger, data, project, night)], every)


def _is_good(ledger: Ledger, data: Store, project: Project, night: dt.date) -> bool:
    """Whether a night passed its check, or would: the golden set is often frozen before any night was checked."""
    from airflow_mlops.nights import quality_of
    from airflow_mlops.quality import look_at
    from airflow_mlops.quality.sources import open_source

    known = quality_of(ledger, project.name, night)
    if known is not None:
        return not known.quarantined
    source = open_source(project.table, store=data)
    pin = source.pin(night)
    # A night without data is for `freeze_golden` to report, with the nights that there are.
    return pin is None or not look_at(project.table, source, pin).bad
