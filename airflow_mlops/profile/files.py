"""Parquet and CSV: one file, a folder of them, or ``s3://``."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from airflow_mlops.errors import ConfigError, DataError, RemoteUnavailable
from airflow_mlops.profile.kinds import is_numeric, kind_of
from airflow_mlops.profile.remote import open_objects
from airflow_mlops.store import StoreOptions

__all__ = ["Files", "open_files"]

_PARQUET, _CSV = (".parquet", ".pq"), (".csv", ".tsv", ".csv.gz", ".tsv.gz")
# A column's bytes are read in pieces: without that, a whole row group would lie in memory, however small a batch is.
_PIECE_BYTES = 1 << 16
_REMOTE_PIECE_BYTES = 1 << 22
# Of text in a batch; of long ones fewer rows are read at once.
_TEXT_BYTES = 1 << 25


@dataclass(frozen=True)
class File:
    """One file: its name for errors, what is opened, and whether each read is a request to a server."""

    name: str
    handle: str | BinaryIO
    remote: bool = False

    @property
    def is_parquet(self) -> bool:
        """Whether it is Parquet; CSV otherwise."""
        return self.name.endswith(_PARQUET)


@dataclass(frozen=True)
class Files:
    """Parts of one table, which have the same columns."""

    parts: Sequence[File]
    schema: pa.Schema
    rows: int | None
    texts: Mapping[str, bool]

    def batches(self, names: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        """All rows, part after part, these columns in this order."""
        for part in self.parts:
            with _translated(part.name):
                if part.is_parquet:
                    yield from self._parquet_batches(part, names, rows)
                else:
                    yield from self._csv_batches(part, names, rows)

    def _parquet_batches(self, part: File, names: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        # A column of text comes as the dictionary that it was written with, where it was.
        worded = [name for name in names if kind_of(self.schema.field(name).type) == "text"]
        with _parquet(part, worded) as file:
            self._same_columns(part, file.schema_arrow, names)
            rows = min(rows, _fitting_rows(file.metadata, set(worded)))
            for batch in file.iter_batches(rows, columns=list(names), use_threads=False):
                yield batch.select(list(names))

    def _csv_batches(self, part: File, names: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        types = {name: self.schema.field(name).type for name in names}
        with _csv(part, types) as reader:
            self._same_columns(part, reader.schema, names)
            for batch in reader:
                for start in range(0, batch.num_rows, rows):
                    yield batch.slice(start, rows).select(list(names))

    def _same_columns(self, part: File, schema: pa.Schema, names: Sequence[str]) -> None:
        for name in names:
            expected = kind_of(self.schema.field(name).type)
            got = kind_of(schema.field(name).type) if schema.get_field_index(name) >= 0 else "no such column"
            if got != expected and not (is_numeric(got) and is_numeric(expected)) and "null" not in (got, expected):
                raise DataError(
                    f"{part.name}: expected the column {name!r} to be {expected} as in {self.parts[0].name}, "
                    f"got {got}. Write all files of a table with the same columns."
                )


@contextlib.contextmanager
def open_files(source: str | Path, texts: Mapping[str, bool], options: StoreOptions | None) -> Iterator[Files]:
    """Find the files of a table, and read what they say of their columns.

    Raises
    ------
    DataError
        If there is none, one is torn, or they have other columns.
    ConfigError
        If one may not be read, or has a name that is neither Parquet's nor CSV's.
    RemoteUnavailable
        If the store or the disk does not answer.
    """
    address = str(source)
    with contextlib.ExitStack() as stack:
        if address.startswith("s3://"):
            objects = stack.enter_context(open_objects(address, options or StoreOptions(), _PARQUET + _CSV))
            parts = [File(name, handle, remote=True) for name, handle in objects]
        else:
            parts = [File(str(path), str(path)) for path in _found(Path(address.removeprefix("file://")))]
        if not parts:
            raise DataError(
                f"expected Parquet or CSV files at {address}, there is none. Wait until the data has arrived, or "
                f"correct the path; names end in {', '.join(_PARQUET + _CSV)}."
            )
        schema, rows = None, 0 if all(part.is_parquet for part in parts) else None
        for part in parts:
            with _translated(part.name):
                if part.is_parquet:
                    with _parquet(part) as file:
                        schema = schema or file.schema_arrow
                        rows = None if rows is None else rows + file.metadata.num_rows
                elif schema is None:
                    schema = _csv_schema(part, texts)
        yield Files(parts, schema, rows, texts)


def _found(path: Path) -> list[Path]:
    if not path.is_dir():
        if path.exists() and not path.name.endswith(_PARQUET + _CSV):
            raise ConfigError(
                f"expected a file named {', '.join('*' + ending for ending in _PARQUET + _CSV)}, got {path}. "
                "Name it after its format."
            )
        return [path] if path.exists() else []
    return sorted(
        file
        for file in path.rglob("*")
        if file.name.endswith(_PARQUET + _CSV)
        and not any(name.startswith((".", "_")) for name in file.relative_to(path).parts)
    )


def _parquet(part: File, worded: Sequence[str] = ()) -> Any:
    if not isinstance(part.handle, str):
        part.handle.seek(0)
    return pq.ParquetFile(
        part.handle if isinstance(part.handle, str) else pa.PythonFile(part.handle, mode="r"),
        read_dictionary=list(worded),
        buffer_size=_REMOTE_PIECE_BYTES if part.remote else _PIECE_BYTES,
        pre_buffer=False,
        page_checksum_verification=True,
    )


def _fitting_rows(metadata: Any, worded: Collection[str]) -> int:
    """Rows whose text fits into a batch, where the row group with the longest ones is."""
    places = [place for place in range(metadata.num_columns) if metadata.schema.column(place).path in worded]
    groups = [metadata.row_group(place) for place in range(metadata.num_row_groups)] if places else []
    longest = max(
        (
            sum(group.column(place).total_uncompressed_size for place in places) / max(group.num_rows, 1)
            for group in groups
        ),
        default=0.0,
    )
    return max(1, int(_TEXT_BYTES / max(longest, 1.0)))


def _csv(part: File, types: Mapping[str, pa.DataType]) -> Any:
    if not isinstance(part.handle, str):
        part.handle.seek(0)
    return pyarrow.csv.open_csv(
        pa.input_stream(part.handle, compression="gzip" if part.name.endswith(".gz") else None),
        parse_options=pyarrow.csv.ParseOptions(delimiter="\t" if ".tsv" in part.name[-7:] else ","),
        convert_options=pyarrow.csv.ConvertOptions(column_types=types, strings_can_be_null=True),
    )


def _csv_schema(part: File, texts: Mapping[str, bool]) -> pa.Schema:
    """Types as the first block of rows suggests them, but for what the reference knows to be text.

    Whole numbers there, or nothing yet, may be followed by broken ones: those are float64.
    """
    with _csv(part, {name: pa.string() for name, text in texts.items() if text}) as reader:
        schema = reader.schema
    for place, field in enumerate(schema):
        if pa.types.is_integer(field.type) or (pa.types.is_null(field.type) and texts.get(field.name) is False):
            schema = schema.set(place, field.with_type(pa.float64()))
    return schema


@contextlib.contextmanager
def _translated(name: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(
            f"expected a file at {name}, there is none any more. Leave a table in peace while it is read."
        ) from error
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        code = error.errno if isinstance(error, OSError) else None
        if code in (errno.EACCES, errno.EPERM):
            raise ConfigError(
                f"expected a file that this user may read, got {name}: permission denied. Give it read access."
            ) from error
        if code in (errno.EIO, errno.ESTALE, errno.ETIMEDOUT):
            raise RemoteUnavailable(f"expected to read {name}, the disk did not answer: {error}.") from error
        reason = str(error).splitlines()[0][:200].rstrip(".")
        raise DataError(
            f"expected a complete {'Parquet' if name.endswith(_PARQUET) else 'CSV'} file at {name}, got one that is "
            f"torn or of another format ({reason}). Write it again, in one piece."
        ) from error
