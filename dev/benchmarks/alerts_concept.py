"""Concept drift alone: how often realised performance is called worse in vain, and how soon when it is.

    PYTHONPATH=dev:. python -m benchmarks.alerts_concept [--histories N] [--only TEXT] [--seed N] [--json FILE]

No feature changes. The champion predicts a target of standard deviation one with an error of 0.5, or is right on 85 %
of rows; nights differ from each other as the alert streams do, which moves the loss by a tenth of itself (standard
deviation). Then the target moves by 0.3 against its features, or accuracy falls by five points. 56 labelled reference
nights, then 100 that are judged one by one.
"""

from __future__ import annotations

import argparse
import datetime as dt
import itertools
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from airflow_mlops.calibrate import Budget
from airflow_mlops.drift.performance import NightLoss
from airflow_mlops.drift.performance.realised import judged_nights
from benchmarks.alerts_drawn import Kind, night_effects

__all__ = ["KINDS", "LOSSES", "ROWS", "Concept", "concept"]

Floats = npt.NDArray[np.float64]
Loss = Literal["squared error", "accuracy"]
KINDS: tuple[Kind, ...] = ("iid", "season", "ar 0.7", "ar 0.9", "holidays", "nights of 0.15 sd")
LOSSES: tuple[Loss, ...] = ("squared error", "accuracy")
ROWS = (500, 5_000)
REFERENCE, NIGHTS = 56, 100
FIRST = dt.date(2026, 1, 1)
# The alert streams shift features by about a tenth of a standard deviation; so much of itself the loss moves by.
_ERROR, _SHIFT, _RIGHT, _POINTS = 0.5, 0.3, 0.85, 0.05


@dataclass
class Concept:
    """Of each history: nights called watch (drift among them) and drift in vain, and on which night drift was found."""

    watch: list[int] = field(default_factory=list)
    drift: list[int] = field(default_factory=list)
    found: list[int] = field(default_factory=list)
    found_watch: list[int] = field(default_factory=list)


def nights_of(kind: Kind, loss: Loss, rows: int, rng: np.random.Generator, *, changed: bool) -> list[NightLoss]:
    """A history of nights; ``changed`` after the reference."""
    effects = night_effects(kind, REFERENCE + NIGHTS, 1, rng)[:, 0]
    nights = []
    for number, effect in enumerate(effects):
        after = changed and number >= REFERENCE
        if loss == "squared error":
            # The square of an error moves by twice what the error does.
            errors = rng.normal(_SHIFT * after, _ERROR * np.exp(effect / 2), size=rows)
            losses = np.square(errors)
        else:
            wrong = (1 - _RIGHT) * np.exp(effect) + _POINTS * after
            losses = (rng.random(rows) < wrong).astype(np.float64)
        nights.append(NightLoss.of(FIRST + dt.timedelta(number), losses))
    return nights


def concept(kind: Kind, loss: Loss, rows: int, *, histories: int, seed: int = 0) -> Concept:
    """Judge histories without and with concept drift, at the default budget."""
    result, budget = Concept(), Budget()
    name = zlib.crc32(f"{kind} {loss} {rows}".encode())
    for history, changed in itertools.product(range(histories), (False, True)):
        nights = nights_of(kind, loss, rows, np.random.default_rng([seed, history, name, changed]), changed=changed)
        probability, _ = judged_nights(tuple(nights[:REFERENCE]), tuple(nights[REFERENCE:]), drift=budget.drift)
        watch, drift = probability <= budget.watch, probability <= budget.drift
        if changed:
            result.found_watch.append(int(watch.argmax()) + 1 if watch.any() else 0)
            result.found.append(int(drift.argmax()) + 1 if drift.any() else 0)
        else:
            result.watch.append(int(watch.sum()))
            result.drift.append(int(drift.sum()))
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.alerts_concept", description=__doc__)
    parser.add_argument("--histories", type=int, default=100, help="of each stream (default: 100)")
    parser.add_argument("--only", default="", metavar="TEXT", help="streams whose name has it")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there, too")
    asked = parser.parse_args(arguments)
    table = Table(title=f"Realised performance, {asked.histories} histories x {NIGHTS} nights")
    table.add_column("stream")
    for column in (
        "watch in vain, of 100 (mean / p95)",
        "drift in vain",
        "watch by night 4, %",
        "drift by night 14, %",
    ):
        table.add_column(column, justify="right")
    table.add_column("drift, median night", justify="right")
    report = {}
    for kind, loss, rows in itertools.product(KINDS, LOSSES, ROWS):
        name = f"{kind}, {loss}, {rows} rows"
        if asked.only not in name:
            continue
        one = concept(kind, loss, rows, histories=asked.histories, seed=asked.seed)
        report[name] = vars(one)
        found, watched = np.array(one.found), np.array(one.found_watch)
        table.add_row(
            name,
            f"{np.mean(one.watch):.2f} / {np.percentile(one.watch, 95, method='inverted_cdf'):.0f}",
            f"{np.mean(one.drift):.2f}",
            f"{100 * ((watched > 0) & (watched <= 4)).mean():.0f}",  # noqa: PLR2004 - nights
            f"{100 * ((found > 0) & (found <= 14)).mean():.0f}",  # noqa: PLR2004 - nights
            f"{np.median(np.where(found > 0, found, np.inf)):g}",
        )
    Console(width=160).print(table)
    if asked.json:
        asked.json.write_text(json.dumps(report) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
