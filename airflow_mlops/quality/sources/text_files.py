"""CSV: read once, whole, into a Parquet file. A column has one type in all rows, and a fault is found at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from airflow_mlops.errors import DataError, MLOpsError
from airflow_mlops.quality.sources.duck import connected, exactly, text_literal
from airflow_mlops.quality.sources.errors import disk_errors, reason_of

__all__ = ["delimiter_of", "rewritten"]

_DELIMITERS = {".csv": ",", ".csv.gz": ",", ".tsv": "\t", ".tsv.gz": "\t"}
# All rows decide on a type. Nothing else is guessed: a guess may be another one tomorrow.
_OPTIONS = """header = true, delim = {delimiter}, quote = '"', escape = '"', comment = '', skip = 0,
    sample_size = -1, files_to_sniff = -1, hive_partitioning = false"""


def delimiter_of(name: str) -> str | None:
    """What divides the columns of a file, by its name; None if it is no CSV.

    Examples
    --------
    >>> delimiter_of("night=2011-03-05.csv.gz"), delimiter_of("night=2011-03-05.parquet")
    (',', None)
    """
    return next((delimiter for ending, delimiter in _DELIMITERS.items() if name.endswith(ending)), None)


def rewritten(files: Sequence[Path], delimiter: str, scratch: Path, *, location: str) -> Path:
    """Write CSV files of one night as one Parquet file, rows and columns in the same order.

    Parameters
    ----------
    files : sequence of Path
        With a header, in UTF-8; compressed where the name ends in gz.
    delimiter : str
        What divides the columns.
    scratch : Path
        Folder that it is written into.
    location : str
        Where the files lie, for people.

    Raises
    ------
    DataError
        If a file is not UTF-8, or not every row has the columns of the header.
    RemoteUnavailable
        If the disk is full or does not answer.
    """
    import duckdb

    for file in files:
        with disk_errors(str(file)):
            with file.open("rb") as opened:
                empty = not opened.read(1)
            if empty:
                raise DataError(f"expected a CSV file with a header at {location}, got an empty file. Write it again.")
    names = ", ".join(exactly(file) for file in files)
    target = scratch / "rewritten.parquet"
    reading = f"read_csv([{names}], {_OPTIONS.format(delimiter=text_literal(delimiter))})"
    with connected(scratch) as connection:
        try:
            connection.execute(f"COPY (SELECT * FROM {reading}) TO {text_literal(str(target))} (FORMAT parquet)")  # noqa: S608 - quoted
        except duckdb.Error as error:
            raise _fault(error, location) from error
    return target


def _fault(error: Exception, location: str) -> MLOpsError:
    text = str(error)
    if "nicode" in text or "utf-8 encoded" in text:
        line = text.partition("CSV Error on Line: ")[2].partition("\n")[0]
        return DataError(
            f"expected CSV in UTF-8 at {location}, got bytes of another encoding{f' in line {line}' if line else ''}. "
            "Write the file in UTF-8."
        )
    return DataError(
        f"expected CSV at {location} whose rows all have the columns of the header: {reason_of(error)}. "
        "Write the night again, in one piece."
    )
