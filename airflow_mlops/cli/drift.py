"""``airflow-mlops drift``: file against file, and what a table is like."""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from airflow_mlops.cli.many_values import many_values
from airflow_mlops.cli.options import NO, AsJson, echo_json
from airflow_mlops.errors import ConfigError, DataError

if TYPE_CHECKING:
    from airflow_mlops.drift.compare import Comparison, FeatureComparison
    from airflow_mlops.profile import Levels, Numbers, Profile

__all__ = ["drift_app"]

drift_app = typer.Typer(no_args_is_help=True, help="Has a table changed? What is it like?")

_TABLE = "Parquet or CSV: a file, a folder, or s3://BUCKET/KEY"
_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


class FailOn(StrEnum):
    """From which verdict on a command ends with 1."""

    DRIFT = "drift"
    WATCH = "watch"


@drift_app.command(cls=many_values("--history"))
def check(
    current: Annotated[str, typer.Argument(metavar="CURRENT", help=f"What came now. {_TABLE}.")],
    reference: Annotated[
        str, typer.Option(metavar="REF", help="What it is held against, such as what the model was trained on.")
    ],
    history: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE_OR_FOLDER ...",
            help="Past windows, taken in the order of their names: from them is learned what is usual.",
            show_default=False,
        ),
    ] = None,
    false_alarms_per_year: Annotated[
        float, typer.Option(metavar="N", help="Nights a year that may be called drift when nothing happened.")
    ] = 0.73,
    ignore: Annotated[
        list[str] | None,
        typer.Option(metavar="COLUMN", help="Leave a column out, such as an id or the month.", show_default=False),
    ] = None,
    fail_on: Annotated[FailOn, typer.Option(help="End with 1 from this verdict on.")] = FailOn.DRIFT,
    as_json: AsJson = False,
    html: Annotated[
        Path | None, typer.Option(metavar="R.html", help="Also write a page that shows all.", show_default=False)
    ] = None,
) -> None:
    """Compare a table with a reference: ends with 1 for drift, 0 otherwise, 2 if it was given what is no input."""
    from airflow_mlops.cli.windows import past_windows, window_name
    from airflow_mlops.drift.comparable import require_comparable
    from airflow_mlops.drift.compare import compare
    from airflow_mlops.records import DriftVerdict

    if html is not None and not html.absolute().parent.is_dir():
        raise ConfigError(f"expected a folder to write {html.name} in, {html.absolute().parent} is none. Make it.")
    before = _reference(reference, ignore or ())
    now = _like(before, current)
    require_comparable(before, now, name=current)
    past = {name: _like(before, source) for name, source in past_windows(history or [], current=current)}
    comparison = compare(
        before, now, history=past, name=window_name(current), false_alarms_per_year=false_alarms_per_year
    )
    alarm = comparison.verdict is DriftVerdict.DRIFT or (
        comparison.verdict is DriftVerdict.WATCH and fail_on is FailOn.WATCH
    )
    sources = {"reference": reference, "current": current}
    if html is not None:
        _write_page(html, comparison, before, now, past, sources)
    if as_json:
        echo_json(_comparison_values(comparison, before, now, alarm=alarm, sources=sources))
    else:
        from airflow_mlops.terminal import print_comparison

        print_comparison(comparison)
    if alarm:
        raise typer.Exit(NO)


@drift_app.command()
def profile(
    table: Annotated[str, typer.Argument(metavar="TABLE", help=f"{_TABLE}.")],
    as_json: AsJson = False,
) -> None:
    """Say what a table is like: rows, and for each column its mean, spread, nulls, quantiles or levels."""
    from airflow_mlops.profile import profile as profile_of

    found = profile_of(table)
    if as_json:
        columns = {name: _column_values(name, column, found) for name, column in found.columns.items()}
        echo_json({"table": table, "rows": found.rows, "columns": columns})
    else:
        from airflow_mlops.terminal import print_profile

        print_profile(found, title=table)


def _reference(source: str, ignore: Sequence[str]) -> Profile:
    """Profile of a reference, without what it was told to leave out, and without times: they move by the calendar."""
    from airflow_mlops.profile import profile
    from airflow_mlops.profile.kinds import kind_of
    from airflow_mlops.profile.source import open_stream

    with open_stream(source) as stream:
        kinds = {field.name: kind_of(field.type) for field in stream.schema}
    if unknown := [name for name in ignore if name not in kinds]:
        raise ConfigError(
            f"expected columns of {source} after --ignore, got {', '.join(unknown)}. It has {', '.join(kinds)}."
        )
    left = [name for name, kind in kinds.items() if name not in ignore and kind != "time"]
    if not left:
        raise ConfigError(f"expected columns to compare in {source}, none is left. Leave fewer of them out.")
    return _finite(source, profile(source, columns=left))


def _like(reference: Profile, source: str) -> Profile:
    """Profile in the bins of the reference."""
    from airflow_mlops.profile import profile

    try:
        return _finite(source, profile(source, edges=reference.edges))
    except DataError as error:
        raise error if source in str(error) else DataError(f"{source}: {error}") from error


def _finite(source: str, profile: Profile) -> Profile:
    """The profile, unless the table holds an infinity; NaN is how many libraries write what is missing."""
    import pyarrow.compute as pc

    from airflow_mlops.profile import Numbers
    from airflow_mlops.profile.source import open_stream

    asked = [name for name, one in profile.columns.items() if isinstance(one, Numbers) and one.not_finite]
    if asked:
        with open_stream(source) as stream:
            for batch in stream.batches(asked):
                for name, column in zip(asked, batch.columns, strict=True):
                    if pc.any(pc.is_inf(column)).as_py():
                        raise DataError(
                            f"expected finite numbers in the column {name!r} of {source}, got an infinity. "
                            f"Write missing values as null, or leave it out with --ignore {name}."
                        )
    return profile


def _comparison_values(
    comparison: Comparison, reference: Profile, current: Profile, *, alarm: bool, sources: dict[str, str]
) -> dict[str, Any]:
    return {
        "verdict": comparison.verdict.value,
        "alarm": alarm,
        "judged_by": comparison.judged_by,
        "rows": current.rows,
        "reference_rows": reference.rows,
        "windows": comparison.windows,
        "false_alarms_per_year": comparison.false_alarms_per_year,
        "least_effect_sd": _plain(comparison.least_effect),
        "reasons": list(comparison.reasons),
        "notes": list(comparison.notes),
        "features": {one.feature: _feature_values(one) for one in comparison.features},
        "new_columns": [name for name in current.types if name not in reference.types],
        "digests": _digests(sources),
    }


def _feature_values(feature: FeatureComparison) -> dict[str, Any]:
    return {
        "verdict": feature.verdict.value,
        "p_value": _plain(feature.p_value),
        **{name: _plain(value) for name, value in feature.distances.items()},
        "words": feature.words,
        "since": feature.since,
        "changes": [
            {
                "kind": one.kind.value,
                "about": one.about,
                "before": _plain(one.before),
                "after": _plain(one.after),
                "size_sd": _plain(one.size),
                "unmistakable": one.unmistakable,
            }
            for one in feature.changes
        ],
    }


def _column_values(name: str, column: Numbers | Levels, profile: Profile) -> dict[str, Any]:
    from airflow_mlops.drift.quantile import quantiles
    from airflow_mlops.profile import Numbers

    shared = {
        "kind": column.kind,
        "type": profile.types.get(name),
        "rows": column.rows,
        "nulls": column.nulls,
        "null_rate": column.nulls / column.rows if column.rows else None,
    }
    if isinstance(column, Numbers):
        return shared | {
            "not_finite": column.not_finite,
            "mean": _plain(column.mean),
            "sd": _plain(column.sd),
            "min": column.low,
            "max": column.high,
            "quantiles": dict(zip(map(str, _QUANTILES), map(_plain, quantiles(column, _QUANTILES)), strict=True)),
        }
    levels = dict(sorted(column.counts.items(), key=lambda item: (-item[1], item[0])))
    return shared | {
        "distinct": sum(count > 0 for count in levels.values()) + column.other_levels,
        "levels": levels,
        "other": column.other,
    }


def _plain(value: float | None) -> float | None:
    """JSON has no NaN and no infinity."""
    return value if value is not None and math.isfinite(value) else None


def _digests(sources: dict[str, str]) -> dict[str, str]:
    from airflow_mlops.ledger import digest_of_file

    return {name: digest_of_file(Path(source)) for name, source in sources.items() if Path(source).is_file()}


def _write_page(
    out: Path, comparison: Comparison, before: Profile, now: Profile, past: dict[str, Profile], sources: dict[str, str]
) -> None:
    from airflow_mlops.cli.windows import window_name
    from airflow_mlops.drift.report import render_report

    digests = _digests(sources)
    facts = {name: f"{source} {digests.get(name, '')}".strip() for name, source in sources.items()}
    if past:
        facts["history"] = f"{len(past)} windows, {next(iter(past))} to {list(past)[-1]}"
    page = render_report(
        comparison,
        reference=before,
        current=now,
        title="Drift",
        name=window_name(sources["current"]),
        history=past,
        facts=facts,
    )
    try:
        out.write_text(page, encoding="utf-8")
    except (IsADirectoryError, PermissionError) as error:
        raise ConfigError(f"expected a file that can be written, {out} cannot: {error.strerror}.") from error
