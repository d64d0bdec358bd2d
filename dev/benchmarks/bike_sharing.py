"""Nights of a real table, two years of bike rentals by the hour, seen by us and by others with their defaults."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from airflow_mlops.drift import compare
from airflow_mlops.profile import edges_of, merge, profile_table
from benchmarks.drift_programs import EVIDENTLY, NANNYML, Program, environment, run

__all__ = ["COLUMNS", "FIRST_NIGHTS", "Seen", "draw", "nights_of", "seen_by_others", "seen_by_us"]

COLUMNS = ("weathersit", "temp", "atemp", "hum", "windspeed", "casual", "registered", "cnt")
"""What does not move by the calendar alone; the first is one of levels."""
FIRST_NIGHTS = 60
"""Nights that everybody learns from before anything is asked."""
_MOST_PAST = 173

_EVIDENTLY = Program(
    EVIDENTLY.name,
    """
import json, sys
import pandas
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset
columns, first = sys.argv[2].split(","), int(sys.argv[3])
table = pandas.read_csv(sys.argv[1], dtype={"weathersit": str})
nights = sorted(table["dteday"].unique())
kinds = DataDefinition(categorical_columns=columns[:1], numerical_columns=columns[1:])
reference = Dataset.from_pandas(table.loc[table["dteday"].isin(nights[:first]), columns], kinds)
found = {}
for night in nights[first:]:
    rows = Dataset.from_pandas(table.loc[table["dteday"] == night, columns], kinds)
    value = Report([DataDriftPreset()]).run(rows, reference).dict()["metrics"][0]["value"]
    found[night] = [bool(value["share"] >= 0.5), int(value["count"])]
print(json.dumps(found))
""",
    EVIDENTLY.needs,
    EVIDENTLY.leave_out,
)

_NANNYML = Program(
    NANNYML.name,
    """
import json, sys
import nannyml, pandas
columns, first = sys.argv[2].split(","), int(sys.argv[3])
table = pandas.read_csv(sys.argv[1], dtype={"weathersit": str})
table["time"] = pandas.to_datetime(table["dteday"]) + pandas.to_timedelta(table["hr"], unit="h")
nights = sorted(table["dteday"].unique())
learned = table["dteday"].isin(nights[:first])
calculator = nannyml.UnivariateDriftCalculator(
    column_names=columns, timestamp_column_name="time", chunk_period="D"
).fit(table[learned])
result = calculator.calculate(table[~learned]).filter(period="analysis").to_df(multilevel=False)
alerts = [name for name in result.columns if name.endswith("_alert")]
found = {str(row["chunk_key"]): [bool(row[alerts].any()), int(row[alerts].sum())] for _, row in result.iterrows()}
print(json.dumps(found))
""",
    NANNYML.needs,
    NANNYML.leave_out,
)


@dataclass(frozen=True)
class Seen:
    """What one of them says of a night: alarm or not, and in words."""

    night: dt.date
    verdict: str
    words: str = ""


def nights_of(path: Path) -> dict[dt.date, pa.Table]:
    """Rows of each night, the oldest first."""
    table = pyarrow.csv.read_csv(path)
    table = table.set_column(
        table.column_names.index("weathersit"), "weathersit", table["weathersit"].cast(pa.string())
    )
    return {
        night: table.filter(pc.equal(table["dteday"], pa.scalar(night))).select(COLUMNS)
        for night in sorted(set(table["dteday"].to_pylist()))
    }


def seen_by_us(nights: dict[dt.date, pa.Table]) -> list[Seen]:
    """Night after night, each by those before it, with the default budget."""
    named = {str(night): table for night, table in nights.items()}
    first = list(named)[:FIRST_NIGHTS]
    edges = edges_of(pa.concat_tables(named[name] for name in first))
    profiles = {name: profile_table(table, edges) for name, table in named.items()}
    reference = merge(profiles[name] for name in first)
    names = list(profiles)
    found = []
    for place in range(FIRST_NIGHTS, len(names)):
        past = {name: profiles[name] for name in names[max(place - _MOST_PAST, 0) : place]}
        said = compare(reference, profiles[names[place]], history=past, name=names[place])
        found.append(Seen(dt.date.fromisoformat(names[place]), said.verdict.value, "; ".join(said.reasons)))
    return found


def seen_by_others(path: Path, cache: Path) -> dict[str, list[Seen]]:
    """Each night against the first sixty, in environments of their own."""
    found = {}
    for program in (_EVIDENTLY, _NANNYML):
        answer: dict[str, Any] = run(
            program, environment(program, cache), path, ",".join(COLUMNS), str(FIRST_NIGHTS)
        ).found
        found[program.name] = [
            Seen(dt.date.fromisoformat(night[:10]), "drift" if alarm else "stable", f"{count} columns")
            for night, (alarm, count) in sorted(answer.items())
        ]
    return found


def draw(nights: dict[dt.date, pa.Table], seen: dict[str, list[Seen]], picture: Path) -> None:
    """Two curves of the data, and below them a strip for each that marks its alarms."""
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        2 + len(seen), 1, figsize=(11, 4.6), sharex=True, height_ratios=[3, 3, *[0.6] * len(seen)], layout="constrained"
    )
    dates = list(nights)
    for axis, column, label in ((axes[0], "cnt", "rentals an hour"), (axes[1], "temp", "temperature (of 41 °C)")):
        axis.plot(dates, [pc.mean(table[column]).as_py() for table in nights.values()], color="#3b6fd4", linewidth=0.8)
        axis.set_ylabel(label, fontsize=8)
        axis.axvspan(dates[0], dates[FIRST_NIGHTS - 1], color="#eceef2")
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    for axis, (name, verdicts) in zip(axes[2:], seen.items(), strict=True):
        for verdict, color in (("watch", "#e0a030"), ("drift", "#c22f2f")):
            marked = [one.night for one in verdicts if one.verdict == verdict]
            axis.vlines(marked, 0, 1, color=color, linewidth=1.0)
        axis.set_yticks([])
        axis.set_ylim(0, 1)
        axis.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=8)
        axis.tick_params(labelsize=8)
    figure.savefig(picture, dpi=100, format="png", metadata={"Software": None})
    plt.close(figure)
