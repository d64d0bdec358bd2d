"""``airflow-mlops quality``: a first contract, a table against a contract, past nights before the monitors."""

from __future__ import annotations

import datetime as dt
import getpass
import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from airflow_mlops.cli.many_values import many_values
from airflow_mlops.cli.options import NO, AsJson, StoreUri, counted, echo_json, ledger_of
from airflow_mlops.cli.tables import (
    TABLE,
    DatabaseEnv,
    Night,
    TimeColumn,
    has_nights,
    newest,
    nightly_spec,
    nights_of,
    opened_table,
)
from airflow_mlops.errors import ConfigError

if TYPE_CHECKING:
    from airflow_mlops.quality.night_table import Finding, NightTable
    from airflow_mlops.records import CheckResult, Quality, RecordRef

__all__ = ["quality_app"]

quality_app = typer.Typer(no_args_is_help=True, help="Is a table fit for use? What should it hold?")


class ContractFormat(StrEnum):
    """What a suggested contract is written in."""

    SODA = "soda"
    GX = "gx"


@quality_app.command(cls=many_values("--history"))
def suggest(
    table: Annotated[str, typer.Argument(metavar="TABLE", help=f"{TABLE}.")],
    history: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE_OR_FOLDER ...",
            help="Earlier nights of it, taken in the order of their names: only what held on all is suggested.",
            show_default=False,
        ),
    ] = None,
    nights: Annotated[int, typer.Option(min=1, help="Of a table of many nights, look at this many newest ones.")] = 60,
    time_column: TimeColumn = None,
    database_env: DatabaseEnv = None,
    language: Annotated[
        ContractFormat, typer.Option("--format", help="Soda's YAML, or a suite of Great Expectations.")
    ] = ContractFormat.SODA,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write it there, not to the terminal.", show_default=False)
    ] = None,
) -> None:
    """Suggest a first contract for a table, from what it was like: for a person to read and correct."""
    from airflow_mlops.cli.windows import window_name
    from airflow_mlops.quality.sources import database_errors
    from airflow_mlops.quality.suggest import learned_rules, seen_in, written_contract

    if out is not None and out.exists():
        raise ConfigError(f"expected a new file to write, {out} is there already. Remove it, or name another.")
    if history and has_nights(table, database_env):
        raise typer.BadParameter("--history goes with a TABLE of one night; of many, --nights says how many")
    seen = []
    for opened in _nights(table, history or [], nights, time_column, database_env):
        with opened as night, database_errors(night.location):
            seen.append(seen_in(night))
    text = written_contract(learned_rules(seen), name=window_name(table), language=language.value)
    if out is None:
        typer.echo(text, nl=False)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        raise ConfigError(f"expected a file that can be written, {out} cannot: {error.strerror}.") from error
    typer.echo(f"{out}: from {counted(len(seen), 'night')}. Read it before you use it.", err=True)


@quality_app.command()
def check(
    table: Annotated[str, typer.Argument(metavar="TABLE", help=f"{TABLE}.")],
    contract: Annotated[Path, typer.Option(metavar="C", help="Soda's YAML, or a suite of Great Expectations.")],
    night: Night = None,
    time_column: TimeColumn = None,
    database_env: DatabaseEnv = None,
    show_rows: Annotated[int, typer.Option(min=0, max=100, help="Also show up to so many failing rows.")] = 0,
    sensitive: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Show no value of this column.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Hold a table against a contract: ends with 1 if a check failed or could not be evaluated, 0 otherwise."""
    from airflow_mlops.quality.contracts import check_contract, contract_faults
    from airflow_mlops.quality.samples import masked

    if faults := contract_faults(contract):
        raise ConfigError("\n".join(["expected a contract that can be evaluated:", *faults]))
    with opened_table(table, night=night, time_column=time_column, database_env=database_env) as opened:
        _require_columns(sensitive or (), opened)
        findings = check_contract(opened, contract)
        columns = opened.schema.names
        checks = [masked(finding.result, sensitive=sensitive or (), columns=columns) for finding in findings]
        sample = _sample(findings, opened, sensitive or (), show_rows) if show_rows else None
        verdict = _verdict(checks)
        if as_json:
            echo_json(_check_values(opened, contract, verdict, checks, sample))
        else:
            from airflow_mlops.terminal import print_checks

            print_checks(checks, title=f"{opened.location}: {opened.pin.rows:,} rows", verdict=verdict, sample=sample)
    if verdict != "passed":
        raise typer.Exit(NO)


@quality_app.command()
def monitor(
    table: Annotated[
        str,
        typer.Argument(
            metavar="NIGHTS",
            help="Nights such as 'data/night={night}.parquet'; FILE#NAME of a tables.yml; with --database-env, "
            "SCHEMA.TABLE.",
        ),
    ],
    nights: Annotated[
        int | None, typer.Option(min=1, help="Only so many of the newest ones; all by default.", show_default=False)
    ] = None,
    false_alarms_per_year: Annotated[
        float | None,
        typer.Option(metavar="N", help="Nights a year that may be called bad when nothing happened. [default: 4]"),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Leave a column out, such as a random id.", show_default=False),
    ] = None,
    time_column: TimeColumn = None,
    database_env: DatabaseEnv = None,
    as_json: AsJson = False,
) -> None:
    """Judge past nights one after the other, as a nightly DAG would have: ends with 1 if the newest one is bad.

    No ledger is needed, and none is written: good for trying a budget.
    """
    from airflow_mlops.ledger import Ledger
    from airflow_mlops.quality.nightly import NightlyChecks
    from airflow_mlops.records import Quality
    from airflow_mlops.store import open_store

    changed: dict[str, Any] = {"contract": None}
    changed |= {} if false_alarms_per_year is None else {"false_alarms_per_year": false_alarms_per_year}
    changed |= {"ignore": tuple(ignore)} if ignore else {}
    spec = nightly_spec(table, time_column=time_column, database_env=database_env, quality=changed)
    source = nights_of(spec, database_env)
    looked_at = newest(source, nights)
    spec = spec.model_copy(update={"quality": spec.quality.model_copy(update={"since": looked_at[0]})})
    with tempfile.TemporaryDirectory() as scratch:
        ledger = Ledger(open_store(scratch))
        NightlyChecks(spec, source, ledger, _stamp).check(looked_at[-1])
        found = sorted(ledger.all(Quality, f"{spec.name}/"), key=lambda record: record.night)
    if as_json:
        echo_json({"nights": [_night_values(record) for record in found]})
    else:
        from airflow_mlops.terminal import print_nights

        print_nights(found, title=source.location)
    if found[-1].quarantined:
        raise typer.Exit(NO)


@quality_app.command()
def accept(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The table, or the model, as its records have it.")],
    night: Annotated[str, typer.Argument(metavar="DATE", help="The night that was quarantined.")],
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why it was fine: kept for good, in the record.")],
    by: Annotated[
        str | None, typer.Option(metavar="NAME", help="Who says so; by default the login name.", show_default=False)
    ] = None,
    store: StoreUri = None,
) -> None:
    """Say of a quarantined night that it was fine: it is let through, and history learns from it."""
    from airflow_mlops.nights import parse_night
    from airflow_mlops.quality import accept as accepted

    ledger = ledger_of(store)
    record = accepted(
        ledger, name, parse_night(night), reason=reason, by=by or getpass.getuser(), now=dt.datetime.now(dt.UTC)
    )
    typer.echo(f"{record.model} {record.night}: accepted, {record.ref}")


def _nights(
    table: str, history: Sequence[str], nights: int, time_column: str | None, database_env: str | None
) -> Iterator[AbstractContextManager[NightTable]]:
    """Each night, the oldest first."""
    from airflow_mlops.cli.windows import past_windows
    from airflow_mlops.quality.sources import open_table

    if not has_nights(table, database_env):
        for place in [*(place for _, place in past_windows(history, current=table)), table]:
            yield open_table(place, time_column=time_column)
        return
    source = nights_of(nightly_spec(table, time_column=time_column, database_env=database_env), database_env)
    for night in newest(source, nights):
        yield source.open(night)


def _require_columns(names: Sequence[str], table: NightTable) -> None:
    from airflow_mlops.table import missing_columns

    if absent := missing_columns(names, table.schema.names):
        # A name that is not there masks nothing.
        raise ConfigError(f"expected columns of {table.location} after --sensitive, {absent}.")


def _sample(findings: Sequence[Finding], table: NightTable, sensitive: Sequence[str], rows: int) -> dict[str, Any]:
    from airflow_mlops.quality.samples import sample_of

    text, note = sample_of(findings, night=table.night, sensitive=sensitive)
    found = json.loads(text)["rows"] if text else []
    return {"rows": found[:rows], "note": note}


def _verdict(checks: Sequence[CheckResult]) -> str:
    from airflow_mlops.records import CheckOutcome

    outcomes = {check.outcome for check in checks}
    if CheckOutcome.FAILED in outcomes:
        return "failed"
    # What could not be evaluated is no pass; and neither is a contract that asked nothing.
    return "error" if CheckOutcome.ERROR in outcomes or not checks else "passed"


def _check_values(
    table: NightTable, contract: Path, verdict: str, checks: Sequence[CheckResult], sample: dict[str, Any] | None
) -> dict[str, Any]:
    from airflow_mlops.ledger import digest_of_file

    return {
        "verdict": verdict,
        "table": table.location,
        "night": str(table.night),
        "rows": table.pin.rows,
        "checks": [_check_value(check) for check in checks],
        **({} if sample is None else {"failing_rows": sample}),
        "digests": {"table": table.pin.digest, "contract": digest_of_file(contract)},
    }


def _check_value(check: CheckResult) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(check.model_dump_json())
    return value


def _night_values(record: Quality) -> dict[str, Any]:
    return {
        "night": str(record.night),
        "rows": record.partition.rows,
        "quarantined": record.quarantined,
        "lacking": record.lacking,
        "faults": [_check_value(check) for check in record.faults],
    }


def _stamp(*rests_on: RecordRef | None) -> dict[str, Any]:
    return {
        "recorded_at": dt.datetime.now(dt.UTC),
        "dag_run": "airflow-mlops quality monitor",
        "rests_on": tuple(ref for ref in rests_on if ref is not None),
    }
