"""Records as tables on a terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from airflow_mlops.chain import Chain, NightOfChain
from airflow_mlops.records import CheckOutcome, CheckResult, Decision, DriftVerdict, Golden, Quality, RuleResult, short

if TYPE_CHECKING:
    from airflow_mlops.drift.compare import Comparison
    from airflow_mlops.gate import Judgement
    from airflow_mlops.profile import Levels, Numbers, Profile

__all__ = [
    "print_chain",
    "print_checks",
    "print_comparison",
    "print_golden",
    "print_judgement",
    "print_nights",
    "print_profile",
]

_FIGURES = ("rows", "challenger", "champion", "estimate", "interval", "bound", "p", "least difference", "rows needed")
_FEWER = ("estimate", "interval", "bound")
_WIDEST = 400
_COLOURS = {Decision.PROMOTE: "green", Decision.HOLD: "yellow", Decision.REJECT: "red"}
_ALARMS = {
    DriftVerdict.STABLE: "green",
    DriftVerdict.WATCH: "yellow",
    DriftVerdict.DRIFT: "red",
    DriftVerdict.INSUFFICIENT: "dim",
}
_OUTCOMES = {
    CheckOutcome.PASSED: "green",
    CheckOutcome.WARNED: "yellow",
    CheckOutcome.FAILED: "red",
    CheckOutcome.ERROR: "red",
}
# Of very many features those that nothing is said of are in the JSON and on the page.
_MOST_FEATURES = 40


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


def print_judgement(judgement: Judgement) -> None:
    """Show what the gate found rule by rule, why it decided so, and the decision as the last line."""
    from airflow_mlops.gate.drawing import chance, figure

    if judgement.rules:
        full, console = _rules(judgement.rules, _FIGURES), _console()
        # A file is as wide as it needs to be; on a narrow terminal the reasons below say the rest.
        fits = not console.is_terminal or console.width >= _whole_width(full, console)
        _print_whole(full if fits else _rules(judgement.rules, _FEWER))
    if judgement.weak_spots:
        spots = _table(
            "where the challenger loses most (a hint)", "slice", "on", "metric", "rows", "challenger", "champion", "p"
        )
        for spot in judgement.weak_spots:
            losses = (figure(spot.challenger), figure(spot.champion), chance(spot.p_worse))
            spots.add_row(spot.slice, spot.on, spot.metric, f"{spot.rows:,}", *losses)
        _print(spots)
    for reason in judgement.reasons:
        _print(reason)
    for warning in judgement.warnings:
        _print(f"warning: {warning}")
    _print(Text(judgement.decision, f"bold {_COLOURS[judgement.decision]}"))


def print_comparison(comparison: Comparison) -> None:
    """Show how far each feature lies from the reference, what changed, and the verdict as the last line."""
    from airflow_mlops.drift.report import chance, figure

    shown = ("wasserstein_sd", "ks", "total_variation", "psi")
    heads = ("p", "wasserstein (sd)", "ks", "total variation", "psi")
    table = _table("", "feature", *heads, "verdict")
    for column in table.columns[1:-1]:
        column.justify = "right"
    for feature in comparison.features[:_MOST_FEATURES]:
        figures = [figure(feature.distances.get(name)) for name in shown]
        table.add_row(
            feature.feature, chance(feature.p_value), *figures, Text(feature.verdict, _ALARMS[feature.verdict])
        )
    _print(table)
    if len(comparison.features) > _MOST_FEATURES:
        _print(f"and {len(comparison.features) - _MOST_FEATURES} features more")
    for reason in comparison.reasons:
        _print(reason)
    for note in comparison.notes:
        _print(f"note: {note}")
    _print(Text(comparison.verdict, f"bold {_ALARMS[comparison.verdict]}"))


def print_profile(profile: Profile, *, title: str) -> None:
    """Show a line for each column of a table."""
    from airflow_mlops.drift.report import figure

    table = _table(f"{title}: {profile.rows:,} rows", "column", "type", "nulls", "mean", "sd", "min", "max", "levels")
    for name, column in profile.columns.items():
        nulls = "0 %" if column.present == column.rows else f"{100 * (1 - column.present / column.rows):.2g} %"
        table.add_row(name, profile.types.get(name, column.kind), nulls, *_described(column, figure))
    _print(table)


def print_checks(
    checks: Sequence[CheckResult], *, title: str, verdict: str, sample: Mapping[str, Any] | None = None
) -> None:
    """Show what each check expected and found, rows that do not hold if there is a sample, and the verdict last."""
    table = _table(title, "check", "column", "expected", "actual", "outcome")
    for check in checks:
        outcome = Text(check.outcome, _OUTCOMES[check.outcome])
        table.add_row(check.name, check.column or "", check.expected, check.actual, outcome)
    _print_whole(table)
    rows = sample["rows"] if sample else []
    if rows:
        columns = list(dict.fromkeys(name for row in rows for name in row["values"]))
        failing = _table("rows that do not hold", "row", "checks", *columns)
        for row in rows:
            number = "" if row["row"] is None else str(row["row"])
            values = [_cell(row["values"].get(name)) for name in columns]
            failing.add_row(number, ", ".join(row["checks"]), *values)
        _print_whole(failing)
    if sample and sample["note"]:
        _print(f"note: {sample['note']}")
    _print(Text(verdict, f"bold {'green' if verdict == 'passed' else 'red'}"))


def print_nights(nights: Sequence[Quality], *, title: str) -> None:
    """Show what was found in nights that were not as they should be, and how many those are."""
    bad = sum(night.quarantined for night in nights)
    warned = sum(bool(night.faults) and not night.quarantined for night in nights)
    silent = sum(night.lacking is not None for night in nights)
    if bad or warned:
        table = _table(title, "night", "check", "column", "expected", "actual", "outcome")
        for night in nights:
            for check in night.faults:
                outcome = Text(check.outcome, _OUTCOMES[check.outcome])
                table.add_row(
                    f"{night.night} {night.night:%a}",
                    check.name,
                    check.column or "",
                    check.expected,
                    check.actual,
                    outcome,
                )
        _print_whole(table)
    _print(f"nights: {len(nights)}, bad: {bad}, warned: {warned}, with too little past to say all: {silent}")


def _cell(value: object) -> str:
    return "" if value is None else str(value)


def _described(column: Numbers | Levels, figure: Callable[[float | None], str]) -> list[str]:
    from airflow_mlops.profile import Levels

    if not isinstance(column, Levels):
        return [figure(value) for value in (column.mean, column.sd, column.low, column.high)] + [""]
    seen = sorted(((count, name) for name, count in column.counts.items() if count), reverse=True)
    distinct = len(seen) + column.other_levels
    most = ", ".join(f"{name} {100 * count / column.present:.2g} %" for count, name in seen[:3])
    return ["-", "-", "-", "-", f"{distinct:,}: {most}" if most else f"{distinct:,}"]


def _rules(rules: Sequence[RuleResult], columns: Sequence[str]) -> Table:
    table = _table("", "rule", "on", *columns, "verdict")
    for rule in rules:
        figures = _figures(rule)
        table.add_row(
            rule.rule if rule.required else f"{rule.rule} (reported only)",
            rule.on if rule.slice is None else f"{rule.on} {rule.slice}",
            *[figures[column] for column in columns],
            Text(rule.decision, _COLOURS[rule.decision]),
        )
    return table


def _figures(rule: RuleResult) -> dict[str, str]:
    from airflow_mlops.gate.drawing import chance, distance, estimate, figure, interval, place

    return {
        "rows": f"{rule.rows:,}",
        "challenger": figure(rule.challenger),
        "champion": figure(rule.champion),
        "estimate": estimate(rule),
        "interval": interval(rule),
        "bound": place(rule.bound, rule.scale),
        "p": chance(rule.p_value),
        "least difference": distance(rule.least_difference, rule.scale),
        "rows needed": "" if rule.rows_needed is None else f"{rule.rows_needed:,}",
    }


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


def _print_whole(table: Table) -> None:
    """Show a table: on a terminal as wide as that, in a file as wide as it needs to be."""
    console = _console()
    (console if console.is_terminal else _console(_whole_width(table, console))).print(table)


def _whole_width(table: Table, console: Console) -> int:
    return console.measure(table, options=console.options.update(max_width=_WIDEST)).maximum


def _print(shown: Table | Text | str) -> None:
    # A sentence is not broken: a program may look for it.
    _console().print(shown, soft_wrap=not isinstance(shown, Table))


def _console(width: int | None = None) -> Console:
    # What stands in a record is text, not markup.
    return Console(markup=False, highlight=False, emoji=False, width=width)
