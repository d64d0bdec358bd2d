"""``airflow-mlops ...``: the same domain functions, on a laptop, without a scheduler.

Every command ends with 0 if all is well, 1 if its answer is no, 2 if what it was given cannot be used, and 3 if
something outside did not work. Whatever a command needs is imported when it runs, so that ``--help`` is quick.
"""

from __future__ import annotations

import datetime as dt
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from airflow_mlops.errors import ConfigError, DataError, MLOpsError, RemoteError

if TYPE_CHECKING:
    from airflow_mlops.chain import Chain
    from airflow_mlops.ledger import Ledger
    from airflow_mlops.project import Fault, Project
    from airflow_mlops.records import Record
    from airflow_mlops.store import Store

__all__ = ["app", "main"]

_NO, _BAD_INPUT, _OUTSIDE = 1, 2, 3

# A golden set of this many nights that are all one weekday was hardly meant so.
_NIGHTS_OF_ONE_WEEKDAY = 3

app = typer.Typer(
    no_args_is_help=True,
    # A traceback of ours is for us: plain, and without the values of variables, which may be secrets.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
golden_app = typer.Typer(no_args_is_help=True, help="The golden set: nights that judge every challenger.")
app.add_typer(golden_app, name="golden")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the one place where an error becomes an exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        By default those of the process.

    Returns
    -------
    int
        0 fine, 1 the answer is no, 2 bad input, 3 something outside did not work.
    """
    try:
        app(args=None if arguments is None else list(arguments), prog_name="airflow-mlops")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else _NO
    except (ConfigError, DataError) as error:
        return _said(error, _BAD_INPUT)
    except (RemoteError, OSError) as error:
        return _said(error, _OUTSIDE)
    except MLOpsError as error:
        return _said(error, _NO)
    return 0


def _said(error: Exception, code: int) -> int:
    typer.echo(f"airflow-mlops: {type(error).__name__}: {error}", err=True)
    return code


def _date(text: str) -> dt.date:
    try:
        return dt.date.fromisoformat(text.strip())
    except ValueError:
        raise typer.BadParameter(f"expected a night as YYYY-MM-DD, got {text!r}") from None


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"airflow-mlops {version('airflow-provider-mlops')}")
        raise typer.Exit


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


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Data quality, drift, training, gate and deployment, from the command line."""
    del version


@app.command()
def check(folder: Folder, as_json: AsJson = False) -> None:
    """Say everything that is wrong with a model project, before anything runs."""
    from airflow_mlops.project.check import check_project
    from airflow_mlops.quality import validate_contract

    today = dt.datetime.now(dt.UTC).date()
    found = check_project(folder, today=today, validate_contract=validate_contract)
    faults = [fault for fault in found if not fault.note]
    notes = [fault for fault in found if fault.note]
    if as_json:
        _echo_json(
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
        typer.echo(f"{folder}: {_counted(len(faults), 'fault')}" if faults else f"{folder}: no fault")
    if faults:
        raise typer.Exit(_NO)


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
    ledger, project = _ledger(store), load_project(folder)
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

    ledger = _ledger(store)
    print_golden(read_golden(ledger, load_project(folder)))


@app.command()
def chain(
    model: Annotated[str, typer.Argument(metavar="MODEL|FOLDER", help="Name of a model, or its project's folder.")],
    store: StoreUri = None,
    as_json: AsJson = False,
) -> None:
    """Show the chain of records: champion, live version, and what became of each night."""
    from airflow_mlops.chain import chain_of
    from airflow_mlops.project import load_project
    from airflow_mlops.terminal import print_chain

    ledger = _ledger(store)
    is_folder = "/" in model or (Path(model) / "model.toml").is_file()
    name = load_project(model).name if is_folder else model
    found = chain_of(ledger, name)
    if as_json:
        _echo_json(_chain_values(found))
    elif found.nights or found.pointers:
        print_chain(found)
    if not found.nights and not found.pointers:
        typer.echo(f"{ledger.store.uri} holds no record of a model {name!r}", err=True)
        raise typer.Exit(_NO)


@app.command()
def verify_ledger(store: StoreUri = None) -> None:
    """Read every record and pointer, and say which were edited, moved, or rest on a record or blob that is gone."""
    from airflow_mlops.chain import audit

    ledger = _ledger(store)
    found = audit(ledger)
    if not found.records:
        raise ConfigError(f"expected records in {ledger.store.uri}, there are none. Check the address of --store.")
    for fault in found.faults:
        typer.echo(fault.reason)
    typer.echo(f"{_counted(found.records, 'record')} read, {_counted(len(found.faults), 'fault')}")
    if found.faults:
        raise typer.Exit(_NO)


def _ledger(uri: str | None) -> Ledger:
    from airflow_mlops.ledger import Ledger
    from airflow_mlops.store import open_store

    if not uri:
        raise ConfigError("expected the address of the store. Give --store URI, or set AIRFLOW_MLOPS_STORE.")
    return Ledger(open_store(uri))


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
    from airflow_mlops.nights import quality_by_night
    from airflow_mlops.quality import check_partition
    from airflow_mlops.records import CheckOutcome
    from airflow_mlops.table import locate

    known = quality_by_night(ledger, project.name).get(night)
    if known is not None:
        return not known.quarantined
    with tempfile.TemporaryDirectory() as scratch:
        path = locate(data, project, night, Path(scratch))
        # A night without data is for `freeze_golden` to report, with the nights that there are.
        checks = path and check_partition(
            path,
            night=night,
            contract=project.contract,
            time_column=project.spec.time_column,
            target=project.spec.target,
            columns=project.columns,
        )
    return all(check.outcome in (CheckOutcome.PASSED, CheckOutcome.WARNED) for check in checks or ())


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


def _fault_values(fault: Fault) -> dict[str, Any]:
    return {"file": str(fault.file), "key": fault.key, "line": fault.line, "message": fault.message}


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _echo_json(value: dict[str, Any]) -> None:
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))
