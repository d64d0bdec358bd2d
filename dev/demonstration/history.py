"""What lies there before the first night is played: a stream, a place for its nights, a history, a golden set."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
from stream import generated_hours, nights_of, read_hours, write_night

import airflow_mlops.cli
from airflow_mlops.errors import ConfigError
from airflow_mlops.ledger import Ledger
from airflow_mlops.project import Project
from airflow_mlops.records import Golden
from demonstration.services import ServiceFault

__all__ = ["DATA_VARIABLE", "check_place", "lay_history", "planned_nights", "read_stream"]

# Tells the model project where the demo's nights lie.
DATA_VARIABLE = "BIKE_DEMAND_DATA"
# How `write_night` names them.
_NIGHT_FILE = "night={night}.parquet"

# Nights that lie there before the demo begins: what the first model is trained on.
_HISTORY_NIGHTS = 42
# Every n-th night of the history is golden; 6, so that the weekdays take turns.
_GOLDEN_EVERY = 6
# The first played night. In the bike sharing data a warm spell follows a week later; in the generated stream, spring.
_FIRST_NIGHT_OF_DATA = dt.date(2011, 2, 12)
_FIRST_NIGHT_GENERATED = dt.date(2011, 3, 20)
_SEED = 2011


def read_stream(data: Path | None, start: dt.date | None, count: int) -> tuple[pa.Table, dt.date]:
    """Read the hours, or generate them; with the first night to play."""
    if data is None:
        start = start or _FIRST_NIGHT_GENERATED
        first = start - dt.timedelta(days=_HISTORY_NIGHTS)
        return generated_hours(first, nights=_HISTORY_NIGHTS + count, seed=_SEED), start
    hours = read_hours(data)
    known = nights_of(hours)
    usual = _FIRST_NIGHT_OF_DATA if _FIRST_NIGHT_OF_DATA in known else known[min(_HISTORY_NIGHTS, len(known) - 1)]
    return hours, start or usual


def planned_nights(hours: pa.Table, start: dt.date, count: int) -> tuple[list[dt.date], list[dt.date]]:
    """Nights of the history, and those to play.

    Raises
    ------
    ServiceFault
        If the stream has not got them.
    """
    known = nights_of(hours)
    history = [night for night in known if night < start][-_HISTORY_NIGHTS:]
    nights = [night for night in known if night >= start][:count]
    if len(history) < _HISTORY_NIGHTS or len(nights) < count:
        raise ServiceFault(
            f"expected {_HISTORY_NIGHTS} nights before {start} and {count} from there on, the data has "
            f"{len(history)} and {len(nights)} ({known[0]} to {known[-1]}). Choose another --start or fewer --nights."
        )
    return history, nights


def check_place(project: Project, folder: Path) -> None:
    """Make sure that the nights that the demo writes are nobody else's.

    Parameters
    ----------
    project : Project
        As it was read with ``DATA_VARIABLE`` set to ``folder``.
    folder : Path
        The demo's own.

    Raises
    ------
    ConfigError
        If the project keeps its nights elsewhere, or names them otherwise than the demo does.
    """
    root, pattern, file = project.data_root, project.data_key("{night}"), project.folder / "model.toml"
    if "://" in root or not Path(root).resolve().is_relative_to(folder.resolve()):
        raise ConfigError(
            f"expected {file} to keep its nights in {folder}, where the demo writes its own, got {root}. Nothing was "
            f"written there. The demo tells its folder in {DATA_VARIABLE}: under [data] write "
            f'path = "${{{DATA_VARIABLE}:-{root}}}/{pattern}", which without the demo is {root} as before.'
        )
    if pattern != _NIGHT_FILE:
        raise ConfigError(
            f"expected {file} to name a night {_NIGHT_FILE}, as the demo writes it, got {pattern}. Nothing was "
            f'written there. Play a copy of the project, with path = "${{{DATA_VARIABLE}:-data}}/{_NIGHT_FILE}" '
            "under [data]."
        )


def lay_history(
    project: Project, ledger: Ledger, hours: pa.Table, history: Sequence[dt.date], say: Callable[[str], None]
) -> None:
    """Write the nights of the history, and freeze the golden set if there is none.

    Raises
    ------
    ServiceFault
        If it cannot be frozen.
    """
    for night in history:
        write_night(hours, night, Path(project.data_root))
    if ledger.find(Golden, f"{project.name}/{project.spec.gate.golden}") is None:
        command = ["golden", "freeze", str(project.folder), "--every", str(_GOLDEN_EVERY)]
        command += ["--to", str(history[-1]), "--store", ledger.store.uri]
        say(f"airflow-mlops {' '.join(command)}")
        if airflow_mlops.cli.main(command):
            raise ServiceFault("expected the golden set to be frozen, the message above says why it was not.")
