"""``airflow-mlops check``: what is wrong with a model project."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import typer

from airflow_mlops.cli.options import NO, AsJson, Folder, counted, echo_json

if TYPE_CHECKING:
    from airflow_mlops.project import Fault

__all__ = ["check"]


def check(folder: Folder, as_json: AsJson = False) -> None:
    """Say everything that is wrong with a model project, before anything runs."""
    from airflow_mlops.project.check import check_project
    from airflow_mlops.quality import contract_faults

    today = dt.datetime.now(dt.UTC).date()
    found = check_project(folder, today=today, validate_contract=contract_faults)
    faults = [fault for fault in found if not fault.note]
    notes = [fault for fault in found if fault.note]
    if as_json:
        echo_json(
            {
                "folder": str(folder.resolve()),
                "faults": [_fault_values(fault) for fault in faults],
                "notes": [_fault_values(fault) for fault in notes],
            }
        )
    else:
        for fault in faults:
            typer.echo(str(fault))
        for note in notes:
            typer.echo(f"note: {note}")
        typer.echo(f"{folder}: {counted(len(faults), 'fault')}" if faults else f"{folder}: no fault")
    if faults:
        raise typer.Exit(NO)


def _fault_values(fault: Fault) -> dict[str, Any]:
    return {"file": str(fault.file), "key": fault.key, "line": fault.line, "message": fault.message}
