"""Nights in files: one Parquet or CSV file a night, a folder, or a pattern, on a disk or in S3."""

from __future__ import annotations

import contextlib
import datetime as dt
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from airflow_mlops.errors import DataError
from airflow_mlops.ledger import digest_of_file
from airflow_mlops.project.tables import TableSpec
from airflow_mlops.quality.night_table import NightTable
from airflow_mlops.quality.sources.duck import VIEW, connected, exactly, expose
from airflow_mlops.quality.sources.errors import database_errors, disk_errors
from airflow_mlops.quality.sources.text_files import delimiter_of, rewritten
from airflow_mlops.records import PartitionPin, sha256_digest
from airflow_mlops.store import Store
from airflow_mlops.table import Footer, key_pattern, nights_available, read_footer

__all__ = ["FileNights", "NightFiles", "night_files", "opened"]

Stamp = tuple[int, int, int]


class NightFiles(NamedTuple):
    """Files of a night as they were pinned.

    Attributes
    ----------
    pin : PartitionPin
        Digest of their bytes.
    originals : tuple of Path
        The files, fetched if need be.
    stamps : list of tuple
        What tells that one of them was exchanged.
    parts : tuple of Path
        The same rows as Parquet.
    schema : pyarrow.Schema
        Columns of all of them.
    fault : DataError or None
        Why they cannot be read.
    """

    pin: PartitionPin
    originals: tuple[Path, ...]
    stamps: list[Stamp]
    parts: tuple[Path, ...]
    schema: pa.Schema
    fault: DataError | None


class _Held(NamedTuple):
    files: NightFiles
    arrived: dt.datetime | None
    scratch: Path
    drop: Callable[[], object]


class FileNights:
    """The ``NightSource`` of a table with a ``path``.

    Parameters
    ----------
    table : TableSpec
        Says how the files are named.
    store : Store
        Opened at the table's ``data_root``.
    """

    def __init__(self, table: TableSpec, store: Store) -> None:
        self.table = table
        self.store = store
        self._pinned: dict[dt.date, PartitionPin] = {}
        # The last night that was pinned: opened next, it need be fetched and hashed only once.
        self._held: _Held | None = None

    @property
    def location(self) -> str:
        """Where the files lie."""
        return self._place("{night}")

    def nights(self) -> list[dt.date]:
        """Nights that have a file, the oldest first."""
        return nights_available(self.store, self.table)

    def arrived(self, night: dt.date) -> bool:
        """Whether a night has data, without reading any."""
        return bool(self._keys(night))

    def pin(self, night: dt.date) -> PartitionPin | None:
        """Pin a night by its files' bytes, also torn ones (0 rows); None if it has none (yet)."""
        self._drop()
        self._held = self._hold(night)
        if self._held is None:
            return None
        self._pinned[night] = self._held.files.pin
        return self._held.files.pin

    @contextlib.contextmanager
    def open(self, night: dt.date) -> Iterator[NightTable]:
        """Open a night.

        Raises
        ------
        DataError
            If it has no data, its data cannot be read, or it was changed since it was pinned.
        RemoteUnavailable
            If the disk or the store does not answer.
        """
        held, self._held = self._held, None
        if held is not None and (held.files.pin.night != night or _stamps(held.files.originals) != held.files.stamps):
            held.drop()
            held = None
        held = held or self._hold(night)
        if held is None:
            raise DataError(
                f"expected the night {night} at {self._place(night)}, there is no data. Wait until it comes."
            )
        try:
            if self._pinned.get(night, held.files.pin) != held.files.pin:
                raise self._changed(night)
            with opened(held.files, location=self._place(night), arrived=held.arrived, scratch=held.scratch) as table:
                yield table
            if _stamps(held.files.originals) != held.files.stamps:
                raise self._changed(night)
        finally:
            held.drop()

    def file(self, night: dt.date, scratch: Path) -> Path | None:
        """The night's file as it lies, fetched into ``scratch`` if it has to be; None if it has not just one."""
        keys = self._keys(night)
        return self.store.local_path(keys[0], scratch) if len(keys) == 1 else None

    def _hold(self, night: dt.date) -> _Held | None:
        keys = self._keys(night)
        scratch = Path(tempfile.mkdtemp(prefix="night-"))
        # Also if nobody opens the night: what was fetched goes with this source.
        drop = weakref.finalize(self, shutil.rmtree, scratch, ignore_errors=True)
        try:
            found = {key: self.store.local_path(key, scratch) for key in keys}
            named = {key: path for key, path in found.items() if path}
            if not named:
                drop()
                return None
            written = [time for key in keys if (time := self.store.written_at(key))]
            alone = not self._many
            files = night_files(night, named, scratch, location=self._place(night), alone=alone)
            return _Held(files, max(written, default=None), scratch, drop)
        except BaseException:
            drop()
            raise

    @property
    def _many(self) -> bool:
        key = self.table.data_key("")
        return key.endswith("/") or "*" in key

    def _keys(self, night: dt.date) -> list[str]:
        key, pattern = self.table.data_key(night), key_pattern(self.table)
        return [found for found in self.store.keys(key.partition("*")[0]) if pattern.fullmatch(found)]

    def _place(self, night: object) -> str:
        return f"{self.store.uri}/{self.table.data_key(night)}"

    def _changed(self, night: dt.date) -> DataError:
        return DataError(
            f"expected the night {night} at {self._place(night)} to stay as it was pinned, it was exchanged meanwhile. "
            "Run the check again."
        )

    def _drop(self) -> None:
        if self._held is not None:
            self._held.drop()
            self._held = None


def night_files(
    night: dt.date, files: Mapping[str, Path], scratch: Path, *, location: str, alone: bool = True
) -> NightFiles:
    """Pin the files of a night, and see that they can be read.

    Parameters
    ----------
    night : date
        The night.
    files : mapping of str to Path
        By their key, in order.
    scratch : Path
        Folder that CSV is rewritten into.
    location : str
        Where they lie, for people.
    alone : bool
        Whether the file is the night's only one by its name, and its digest that of the night; that of a folder or a
        pattern is made of the keys and digests of its files.

    Raises
    ------
    ConfigError
        If this user may not read them.
    RemoteUnavailable
        If the disk does not answer.
    """
    originals = tuple(files.values())
    stamps, fault = _stamps(originals), None
    parts: tuple[Path, ...] = ()
    footer = Footer(pa.schema([]), 0)
    try:
        parts = _as_parquet(files, scratch, location)
        footer = _footer_of(parts, location)
    except DataError as error:
        fault = error
    digests = {}
    for name, path in files.items():
        with disk_errors(str(path)):
            digests[name] = digest_of_file(path)
    digest = next(iter(digests.values()))
    if not alone:
        digest = sha256_digest("".join(f"{name}\0{one}\n" for name, one in sorted(digests.items())).encode())
    pin = PartitionPin(night=night, digest=digest, rows=footer.rows)
    return NightFiles(pin, originals, stamps, parts, footer.schema, fault)


@contextlib.contextmanager
def opened(files: NightFiles, *, location: str, arrived: dt.datetime | None, scratch: Path) -> Iterator[NightTable]:
    """Open the files of a night as one table.

    Raises
    ------
    DataError
        If they cannot be read.
    """
    if files.fault is not None:
        raise files.fault
    names = ", ".join(exactly(part) for part in files.parts)
    with connected(scratch) as connection, database_errors(location):
        rows = expose(connection, f"read_parquet([{names}], hive_partitioning = false)")
        yield NightTable(
            night=files.pin.night,
            name=VIEW,
            engine="duckdb",
            connection=connection,
            rows=rows,
            where=None,
            schema=files.schema,
            pin=files.pin,
            location=location,
            arrived=arrived,
        )


def _as_parquet(files: Mapping[str, Path], scratch: Path, location: str) -> tuple[Path, ...]:
    formats = {delimiter_of(name) for name in files}
    if len(formats) > 1:
        raise DataError(f"expected files of one format at {location}, got several. Write all of a night's in one.")
    paths, delimiter = tuple(files.values()), formats.pop()
    return paths if delimiter is None else (rewritten(paths, delimiter, scratch, location=location),)


def _footer_of(parts: Sequence[Path], location: str) -> Footer:
    footers = [read_footer(part) for part in parts]
    first = footers[0].schema
    for part, footer in zip(parts, footers, strict=True):
        if not footer.schema.equals(first):
            unlike = [f"{one.name} ({one.type})" for one in footer.schema if one not in list(first)] or [
                "another order"
            ]
            raise DataError(
                f"expected the files of {location} to have the same columns, got {', '.join(unlike[:3])} in "
                f"{part.name} alone. Write all files of a night with the same columns."
            )
    return Footer(first, sum(footer.rows for footer in footers))


def _stamps(files: Sequence[Path]) -> list[Stamp]:
    found = []
    for file in files:
        with disk_errors(str(file)):
            stat = file.stat()
        found.append((stat.st_ino, stat.st_size, stat.st_mtime_ns))
    return found
