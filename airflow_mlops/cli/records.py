"""``airflow-mlops chain`` and ``verify-ledger``: what the records say, and whether they still say it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from airflow_mlops.cli.options import NO, AsJson, StoreUri, counted, echo_json, ledger_of
from airflow_mlops.errors import ConfigError

if TYPE_CHECKING:
    from airflow_mlops.chain import Chain
    from airflow_mlops.records import Record

__all__ = ["chain", "verify_ledger"]


def chain(
    model: Annotated[str, typer.Argument(metavar="MODEL|FOLDER", help="Name of a model, or its project's folder.")],
    store: StoreUri = None,
    as_json: AsJson = False,
) -> None:
    """Show the chain of records: champion, live version, and what became of each night."""
    from airflow_mlops.chain import chain_of
    from airflow_mlops.project import load_project
    from airflow_mlops.terminal import print_chain

    ledger = ledger_of(store)
    is_folder = "/" in model or (Path(model) / "model.toml").is_file()
    name = load_project(model).name if is_folder else model
    found = chain_of(ledger, name)
    if as_json:
        echo_json(_chain_values(found))
    elif found.nights or found.pointers:
        print_chain(found)
    if not found.nights and not found.pointers:
        typer.echo(f"{ledger.store.uri} holds no record of a model {name!r}", err=True)
        raise typer.Exit(NO)


def verify_ledger(store: StoreUri = None) -> None:
    """Read every record and pointer, and say which were edited, moved, or rest on a record or blob that is gone."""
    from airflow_mlops.chain import audit

    ledger = ledger_of(store)
    found = audit(ledger)
    if not found.records:
        raise ConfigError(f"expected records in {ledger.store.uri}, there are none. Check the address of --store.")
    for fault in found.faults:
        typer.echo(fault.reason)
    typer.echo(f"{counted(found.records, 'record')} read, {counted(len(found.faults), 'fault')}")
    if found.faults:
        raise typer.Exit(NO)


def _chain_values(chain: Chain) -> dict[str, Any]:
    stages = ("quality", "drift", "manifest", "verdict", "deployment")
    return {
        "model": chain.model,
        "pointers": {pointer.name: _values(pointer) for pointer in chain.pointers},
        "nights": [
            {"night": str(night.night), **{stage: _values(getattr(night, stage)) for stage in stages}}
            for night in chain.nights
        ],
    }


def _values(record: Record | None) -> dict[str, Any] | None:
    return None if record is None else {"ref": str(record.ref), **json.loads(record.model_dump_json())}
