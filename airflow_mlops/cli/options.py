"""What commands share: exit codes, options, and how they speak to a program."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from airflow_mlops.errors import ConfigError

if TYPE_CHECKING:
    from airflow_mlops.ledger import Ledger

__all__ = ["BAD_INPUT", "NO", "OUTSIDE", "AsJson", "Folder", "StoreUri", "counted", "echo_json", "ledger_of"]

NO, BAD_INPUT, OUTSIDE = 1, 2, 3

Folder = Annotated[Path, typer.Argument(help="The model project: the folder with model.toml in it.")]
StoreUri = Annotated[
    str | None,
    typer.Option(
        "--store",
        envvar="AIRFLOW_MLOPS_STORE",
        help="Where the records lie: a folder or s3://BUCKET/PREFIX.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON for a program to read.")]


def ledger_of(uri: str | None) -> Ledger:
    """The ledger in the store that ``--store`` names."""
    from airflow_mlops.ledger import Ledger
    from airflow_mlops.store import open_store

    if not uri:
        raise ConfigError("expected the address of the store. Give --store URI, or set AIRFLOW_MLOPS_STORE.")
    return Ledger(open_store(uri))


def counted(count: int, noun: str) -> str:
    """A number of things.

    Examples
    --------
    >>> counted(1, "fault"), counted(2, "fault")
    ('1 fault', '2 faults')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def echo_json(value: dict[str, Any]) -> None:
    """Write a value for a program to read."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))
