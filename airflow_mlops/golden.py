"""The golden set: whole nights that are frozen once, judge every challenger, and that no training ever sees."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Sequence
from pathlib import Path

from airflow_mlops.errors import ConfigError
from airflow_mlops.ledger import Ledger
from airflow_mlops.project import Project
from airflow_mlops.records import Golden, Manifest, PartitionPin, Quality, Verdict
from airflow_mlops.store import Store
from airflow_mlops.table import locate, nights_available, pin_of

__all__ = ["freeze_golden", "read_golden", "select_every"]


def select_every(nights: Sequence[dt.date], every: int) -> list[dt.date]:
    """Every n-th night in the order of their dates, beginning with the n-th.

    Seven days apart they would all be one weekday: take 6 or 8, so that the weekdays take turns.

    Parameters
    ----------
    nights : sequence of date
        To choose from.
    every : int
        At least 1.

    Raises
    ------
    ConfigError
        If ``every`` is less than 1, or there are fewer nights than that.

    Examples
    --------
    >>> nights = [dt.date(2011, 1, day) for day in range(1, 16)]
    >>> [night.day for night in select_every(nights, every=6)]
    [6, 12]
    """
    if every < 1:
        raise ConfigError(f"expected every n-th night with n of at least 1, got {every}.")
    chosen = sorted(set(nights))[every - 1 :: every]
    if not chosen:
        raise ConfigError(f"expected at least {every} nights to choose every {every}th of, got {len(set(nights))}.")
    return chosen


def freeze_golden(
    ledger: Ledger, data: Store, project: Project, nights: Sequence[dt.date], *, now: dt.datetime
) -> Golden:
    """Copy nights into the ledger and pin them by digest, once under the name ``gate.golden`` of ``model.toml``.

    Freezing the same nights again gives the set that stands.

    Parameters
    ----------
    ledger : Ledger
        Keeps the record and the copies.
    data : Store
        Where the nights lie, opened at ``project.data_root``.
    project : Project
        The model.
    nights : sequence of date
        Each with data that is not quarantined and that the champion was not trained on.
    now : datetime
        When the record is written.

    Raises
    ------
    ConfigError
        If a night cannot serve, or other nights were frozen under this name.
    DataError
        If a night's file cannot be read.
    """
    wanted = sorted(set(nights))
    if not wanted:
        raise ConfigError("expected at least one night to freeze, got none.")
    with tempfile.TemporaryDirectory() as scratch:
        found = {night: locate(data, project, night, Path(scratch)) for night in wanted}
        files = {night: path for night, path in found.items() if path is not None}
        if len(files) < len(wanted):
            raise ConfigError(_absent([night for night in wanted if night not in files], data, project))
        pins = tuple(pin_of(path, night) for night, path in files.items())
        standing = ledger.find(Golden, f"{project.name}/{project.spec.gate.golden}")
        if standing is None:
            _refuse_unfit(ledger, project, pins)
            # The copies first: a record never names a blob that is not there, whatever is killed in between.
            for path in files.values():
                ledger.put_blob(path)
            record = Golden(model=project.name, recorded_at=now, name=project.spec.gate.golden, partitions=pins)
            standing = ledger.write(record)
    if standing.partitions != pins:
        raise ConfigError(_frozen_otherwise(standing, pins))
    return standing


def read_golden(ledger: Ledger, project: Project) -> Golden:
    """The golden set that ``model.toml`` names.

    Raises
    ------
    ConfigError
        If it was never frozen, or is not the one that ``gate.golden_digest`` pins.
    """
    gate = project.spec.gate
    golden = ledger.find(Golden, f"{project.name}/{gate.golden}")
    if golden is None:
        raise ConfigError(
            f"expected a golden set {gate.golden!r} of {project.name} in {ledger.store.uri}, none was frozen. "
            f"Run: airflow-mlops golden freeze {project.folder} --every 6 --store {ledger.store.uri}"
        )
    if gate.golden_digest is not None and golden.ref.digest != gate.golden_digest:
        raise ConfigError(
            f"expected the golden set {gate.golden!r} of {project.name} with digest {gate.golden_digest}, got "
            f"{golden.ref.digest}. Correct gate.golden_digest in {project.folder / 'model.toml'}, or name the store "
            "that the pinned set was frozen in."
        )
    return golden


def _absent(absent: Sequence[dt.date], data: Store, project: Project) -> str:
    there = nights_available(data, project)
    span = f"it has {len(there)} nights from {there[0]} to {there[-1]}" if there else "it has no night yet"
    return f"expected data of {_listed(absent)} in {project.data_root}, there is none; {span}. Choose other nights."


def _refuse_unfit(ledger: Ledger, project: Project, pins: Sequence[PartitionPin]) -> None:
    newest: dict[str, Quality] = {}
    for pin in pins:
        for record in ledger.all(Quality, f"{project.name}/{pin.night}/"):
            if record.partition.digest == pin.digest:
                newest[pin.digest] = max(newest.get(pin.digest, record), record, key=lambda one: one.recorded_at)
    if bad := [record for record in newest.values() if record.quarantined]:
        faults = ", ".join(check.name for check in bad[0].faults)
        raise ConfigError(
            f"expected good nights, {_listed([record.night for record in bad])} are in quarantine "
            f"(on {bad[0].night}: {faults}). Choose other nights."
        )
    pointer = ledger.pointer(project.name, "champion")
    if pointer is None:
        return
    champion = ledger.read(Manifest, ledger.read(Verdict, pointer.to).manifest)
    seen = {pin.night for pin in champion.snapshot}
    if known := [pin.night for pin in pins if pin.night in seen]:
        raise ConfigError(
            f"expected nights that the champion never saw, it was trained on {_listed(known)}: it would be judged by "
            "what it knows by heart. Choose other nights."
        )


def _frozen_otherwise(standing: Golden, pins: Sequence[PartitionPin]) -> str:
    frozen, asked = ([pin.night for pin in some] for some in (standing.partitions, pins))
    if frozen == asked:
        kept = {pin.night: pin.digest for pin in standing.partitions}
        changed = [pin.night for pin in pins if pin.digest != kept[pin.night]]
        got = f"the data of {_listed(changed)} were replaced since"
    else:
        got = f"it holds {_listed(frozen)}, asked for were {_listed(asked)}"
    return (
        f"expected to freeze the golden set {standing.name!r} of {standing.model}, it was frozen on "
        f"{standing.recorded_at:%Y-%m-%d} already; {got}. A golden set never changes: give another name "
        "under [gate] in model.toml, such as golden = 'v2', to freeze a new one."
    )


def _listed(nights: Sequence[dt.date], most: int = 5) -> str:
    more = f" and {len(nights) - most} more" if len(nights) > most else ""
    return ", ".join(map(str, nights[:most])) + more
