"""A night of data: where it lies, how it is read, the digest that pins it."""

from __future__ import annotations

import contextlib
import datetime as dt
import difflib
import errno
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from airflow_mlops.errors import ConfigError, DataError, RemoteUnavailable
from airflow_mlops.ledger import digest_of_file
from airflow_mlops.records import PartitionPin
from airflow_mlops.store import Store

__all__ = [
    "Footer",
    "key_pattern",
    "locate",
    "missing_columns",
    "nights_available",
    "pin_of",
    "read_columns",
    "read_footer",
    "read_table",
]

# Stands for the night while the names of its file are turned into a pattern; no file name can hold it.
_ANY_NIGHT = "\0"


class Partitioned(Protocol):
    """What says how a night's file is named: a ``project.Project``, a ``project.tables.TableSpec``."""

    def data_key(self, night: object) -> str:
        """Key of a night's file below the data's root; of its folder, with a / at the end; or a pattern with ``*``."""


class Footer(NamedTuple):
    """What a Parquet file says of itself."""

    schema: pa.Schema
    rows: int


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a night's Parquet file whole.

    Parameters
    ----------
    path : Path
        A local file.
    columns : sequence of str, optional
        Only these, in this order; by default all, in the order of the file.

    Returns
    -------
    pyarrow.Table
        Shape (n_rows, n_columns).

    Raises
    ------
    DataError
        If there is no file, it is empty, torn or not Parquet, or a column is not in it.
    ConfigError
        If this user may not read it.
    RemoteUnavailable
        If the disk or the network share does not answer.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "night=2011-03-05.parquet"
    >>> pq.write_table(pa.table({"hr": [0, 1], "cnt": [16, 40]}), path)
    >>> read_table(path, ["cnt"]).to_pydict()
    {'cnt': [16, 40]}
    """
    with _parquet(path) as file:
        names = file.schema_arrow.names
        if columns is None:
            return file.read()
        if absent := missing_columns(columns, names):
            raise DataError(
                f"{path}: expected the columns {', '.join(columns)}, {absent}. "
                "Write the file with them, or name the columns that it has in model.toml."
            )
        return file.read(columns=list(columns)).select(list(columns))


def read_columns(path: Path) -> tuple[str, ...]:
    """Names of a Parquet file's columns, from its footer alone.

    Raises
    ------
    DataError
        As ``read_table``.
    """
    return tuple(read_footer(path).schema.names)


def read_footer(path: Path) -> Footer:
    """Columns with their types and the number of rows of a Parquet file, without reading any.

    Raises
    ------
    DataError
        As ``read_table``.
    """
    with _parquet(path) as file:
        return Footer(file.schema_arrow, file.metadata.num_rows)


def missing_columns(expected: Sequence[str], names: Sequence[str]) -> str:
    """Say which of the expected columns are not there, each with the name that comes near; empty if none.

    Examples
    --------
    >>> missing_columns(["temp", "hum"], ["temp", "humidity"])
    "got no column 'hum' (did you mean 'humidity'?)"
    >>> missing_columns(["temp"], ["temp"])
    ''
    """
    absent = [name for name in expected if name not in names]
    if not absent:
        return ""
    return f"got no column {', '.join(_with_hint(name, names) for name in absent)}"


def pin_of(path: Path, night: dt.date) -> PartitionPin:
    """Pin a night by the digest of its file's bytes.

    Raises
    ------
    DataError
        If there is no file, or it is not Parquet.
    """
    with _parquet(path) as file:
        return PartitionPin(night=night, digest=digest_of_file(path), rows=file.metadata.num_rows)


def locate(store: Store, project: Partitioned, night: dt.date, scratch: Path) -> Path | None:
    """Find a readable file with a night's data.

    Parameters
    ----------
    store : Store
        Opened at the project's ``data_root``.
    project : Project
        Says how the file is named.
    night : date
        The night.
    scratch : Path
        Folder that it is fetched into, if it has to be.

    Returns
    -------
    Path or None
        None if the night has no file (yet).
    """
    return store.local_path(project.data_key(night), scratch)


def nights_available(store: Store, project: Partitioned) -> list[dt.date]:
    """Nights that have a file, oldest first; files of any other name are passed over."""
    named = key_pattern(project)
    nights = set()
    for key in store.keys(project.data_key(_ANY_NIGHT).partition(_ANY_NIGHT)[0]):
        # A name such as night=2011-02-30 matches, but is no date.
        with contextlib.suppress(ValueError):
            if match := named.fullmatch(key):
                nights.add(dt.date.fromisoformat(match[1]))
    return sorted(nights)


def key_pattern(project: Partitioned) -> re.Pattern[str]:
    """Pattern of the keys of a table's files, of which the first group is the night.

    A file of a folder is left out if a name on the way to it begins with ``.`` or ``_``, as what writers leave there
    beside the data does.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> folders = SimpleNamespace(data_key=lambda night: f"night={night}/")
    >>> key_pattern(folders).fullmatch("night=2011-03-05/part-0.parquet")[1]
    '2011-03-05'
    >>> key_pattern(folders).fullmatch("night=2011-03-05/_SUCCESS") is None
    True
    """
    head, _, tail = project.data_key(_ANY_NIGHT).partition(_ANY_NIGHT)
    rest = r"[^/]*".join(map(re.escape, tail.split("*")))
    if tail.endswith("/"):
        rest += r"(?:[^/._][^/]*/)*[^/._][^/]*"
    return re.compile(rf"{re.escape(head)}(\d{{4}}-\d\d-\d\d){rest}")


@contextlib.contextmanager
def _parquet(path: Path) -> Iterator[pq.ParquetFile]:
    # Neither the opening nor the reading may fall over with pyarrow's own errors: a torn page shows only when read.
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            yield file
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(
            f"expected a Parquet file at {path}, there is none. Wait until the night's data has arrived."
        ) from error
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        code = error.errno if isinstance(error, OSError) else None
        if code in (errno.EACCES, errno.EPERM):
            raise ConfigError(
                f"expected a file that this user may read, got {path}: permission denied. "
                "Give the Airflow worker's user read access."
            ) from error
        if code in (errno.EIO, errno.ESTALE, errno.ETIMEDOUT):
            raise RemoteUnavailable(f"expected to read {path}, the disk did not answer: {error}.") from error
        raise DataError(f"expected a complete Parquet file at {path}, {_what_is_wrong(path, error)}.") from error


def _what_is_wrong(path: Path, error: Exception) -> str:
    if not path.is_file():
        return "got a folder. Name the file of one night"
    size = path.stat().st_size
    if size == 0:
        return "got an empty file. Write the night again"
    reason = str(error).splitlines()[0][:200].rstrip(".")
    return f"got {size} bytes that are torn or of another format ({reason}). Write the night again, in one piece"


def _with_hint(name: str, names: Sequence[str]) -> str:
    # Two names in another case are near to a person, but not to difflib.
    near = [other for other in names if other.lower() == name.lower()]
    near = near or difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"{name!r} (did you mean {near[0]!r}?)" if near else repr(name)
