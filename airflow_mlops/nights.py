"""Which nights are good, and what each is for: training, the recent window, the golden set."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from airflow_mlops.errors import ConfigError, DataError
from airflow_mlops.ledger import Ledger, digest_of_file
from airflow_mlops.project import Project
from airflow_mlops.records import Manifest, PartitionPin, Quality
from airflow_mlops.store import Store
from airflow_mlops.table import locate

__all__ = [
    "Split",
    "cooldown_ends",
    "good_nights",
    "nights_checked",
    "parse_night",
    "pinned_file",
    "quality_by_night",
    "quality_keys",
    "quality_of",
    "split_nights",
]


# Days after which the side changes on which a night falls, the first that divides the newest nights at all.
_STRIDES = (1, 2, 4, 8)


class Split(NamedTuple):
    """Nights to train on, and recent nights held out for the gate; both oldest first, never overlapping."""

    training: tuple[PartitionPin, ...]
    recent: tuple[PartitionPin, ...]


def parse_night(text: str) -> dt.date:
    """Read the date of a night; a partition key or a timestamp of the night serves as well.

    Raises
    ------
    ConfigError
        If it is no date.

    Examples
    --------
    >>> parse_night("2011-03-05T00:00:00+00:00")
    datetime.date(2011, 3, 5)
    """
    day = text.replace(" ", "T").partition("T")[0]
    try:
        return dt.date.fromisoformat(day)
    except ValueError as error:
        raise ConfigError(
            f"expected a night as YYYY-MM-DD, got {text!r}. Trigger the DAG with a partition key such as 2011-03-05."
        ) from error


def quality_keys(ledger: Ledger, model: str) -> dict[dt.date, list[str]]:
    """Keys of the quality records of each night, oldest first; the records are not read."""
    keys: dict[dt.date, list[str]] = {}
    for path in ledger.store.keys(f"records/{Quality.kind}/{model}/"):
        key = path.split("/", 2)[2].removesuffix(".json")
        keys.setdefault(dt.date.fromisoformat(key.split("/")[1]), []).append(key)
    return keys


def nights_checked(ledger: Ledger, model: str) -> list[dt.date]:
    """Nights that have a quality record, oldest first; the records are not read."""
    return list(quality_keys(ledger, model))


def quality_by_night(ledger: Ledger, model: str) -> dict[dt.date, Quality]:
    """Quality record that stands of each night: a corrected night takes the place of the bad one."""
    records: dict[dt.date, list[Quality]] = {}
    for record in ledger.all(Quality, f"{model}/"):
        records.setdefault(record.night, []).append(record)
    return {night: _standing(ones) for night, ones in records.items()}


def quality_of(ledger: Ledger, model: str, night: dt.date) -> Quality | None:
    """Quality record that stands of one night; None if it was never checked."""
    records = list(ledger.all(Quality, f"{model}/{night}/"))
    return _standing(records) if records else None


def _standing(records: Sequence[Quality]) -> Quality:
    """The record that no other replaces, whatever the clocks of those said who wrote them; of several the newest."""
    replaced = {record.replaces for record in records}
    last = [record for record in records if record.ref not in replaced] if len(records) > 1 else records
    return max(last, key=lambda record: record.recorded_at)


def good_nights(ledger: Ledger, model: str, *, until: dt.date) -> list[Quality]:
    """Quality records of the nights that may be learned from, oldest first."""
    records = quality_by_night(ledger, model)
    return [records[night] for night in sorted(records) if night <= until and not records[night].quarantined]


def split_nights(
    good: Sequence[PartitionPin], *, golden: Collection[dt.date], window_nights: int, recent_nights: int
) -> Split:
    """Divide good nights between training and judging.

    The golden nights are left out altogether. Of the newest ``2 * recent_nights`` others those of every second date are
    held out for the gate: training still sees the newest habits, and the gate judges on recent nights that the
    challenger never saw. It goes by the date, so that what this training holds out the one before it held out, too:
    the champion has no advantage on them either.

    Parameters
    ----------
    good : sequence of PartitionPin
        Oldest first.
    golden : collection of date
        Nights of the golden set.
    window_nights, recent_nights : int
        Nights, from ``[training]`` and ``[gate]`` of ``model.toml``.

    Examples
    --------
    >>> pins = [PartitionPin(night=dt.date(2011, 1, day), digest="", rows=24) for day in range(1, 9)]
    >>> split = split_nights(pins, golden=[dt.date(2011, 1, 1)], window_nights=4, recent_nights=2)
    >>> [pin.night.day for pin in split.training], [pin.night.day for pin in split.recent]
    ([3, 4, 5, 7], [6, 8])
    """
    free = [pin for pin in good if pin.night not in golden]
    newest = free[-2 * recent_nights :]
    recent: tuple[PartitionPin, ...] = ()
    for days in _STRIDES:
        recent = tuple(pin for pin in newest if pin.night.toordinal() // days % 2)
        # Data that comes every second day would fall to one side whole.
        if 0 < len(recent) < len(newest):
            break
    training = [pin for pin in free if pin not in recent]
    return Split(tuple(training[-window_nights:]), recent)


def cooldown_ends(manifests: Sequence[Manifest], *, cooldown_nights: int) -> dt.date | None:
    """First night on which the model may be trained again; None if it was never trained."""
    if not manifests:
        return None
    return max(manifest.night for manifest in manifests) + dt.timedelta(days=cooldown_nights)


def pinned_file(data: Store, project: Project, pin: PartitionPin, scratch: Path) -> Path:
    """Find the very file that a night was pinned with.

    Parameters
    ----------
    data : Store
        Opened at the project's ``data_root``.
    project : Project
        Says how the file is named.
    pin : PartitionPin
        The night and the digest of its file.
    scratch : Path
        Folder that it is fetched into, if it has to be.

    Raises
    ------
    DataError
        If the file is gone, or was changed after it was checked.
    """
    path = locate(data, project, pin.night, scratch)
    where = f"{data.uri}/{project.data_key(pin.night)}"
    if path is None:
        raise DataError(f"expected the night {pin.night} at {where}, it is gone since it was checked. Restore it.")
    actual = digest_of_file(path)
    if actual != pin.digest:
        raise DataError(
            f"expected the night {pin.night} at {where} as it was checked ({pin.digest}), it is {actual} now. "
            "Run the quality DAG for this night again."
        )
    return path
