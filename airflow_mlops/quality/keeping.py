"""Quarantine keeps the night: whoever wants to know what was wrong still has it when it was corrected."""

from __future__ import annotations

import datetime as dt
import tempfile
from pathlib import Path

import pyarrow.parquet as pq

from airflow_mlops.errors import DataError, RemoteRejected
from airflow_mlops.ledger import Ledger
from airflow_mlops.profile.sql.answers import batches
from airflow_mlops.quality.night_table import NightSource
from airflow_mlops.quality.sources.errors import database_errors
from airflow_mlops.records import PartitionPin

__all__ = ["MOST_BYTES", "MOST_ROWS", "keep_night"]

MOST_BYTES = 1 << 30
"""A larger file stays where it lies."""
MOST_ROWS = 1_000_000
"""Of a night that is no file of its own, so many rows are kept."""


def keep_night(ledger: Ledger, source: NightSource, pin: PartitionPin) -> tuple[str | None, str]:
    """Keep a bad night as a blob: its file byte by byte; of a folder or a database its rows, as Parquet.

    Parameters
    ----------
    ledger : Ledger
        Where it is kept.
    source : NightSource
        Where it lies.
    pin : PartitionPin
        The night, as it was checked.

    Returns
    -------
    digest : str or None
        None if it was not kept.
    note : str
        What was not, and why; empty if all was.
    """
    with tempfile.TemporaryDirectory() as scratch:
        path = source.file(pin.night, Path(scratch))
        if path is None:
            return _keep_rows(ledger, source, pin.night, Path(scratch) / "rows.parquet")
        if (size := path.stat().st_size) > MOST_BYTES:
            return None, f"not kept: {size / 1e9:.1f} GB, more than {MOST_BYTES / 1e9:.1f}"
        digest = ledger.put_blob(path)
    if source.pin(pin.night) != pin:
        return None, "not kept: its file was changed while it was checked"
    return digest, ""


def _keep_rows(ledger: Ledger, source: NightSource, night: dt.date, path: Path) -> tuple[str | None, str]:
    try:
        with source.open(night) as table, database_errors(table.location):
            rows = table.rows.limit(MOST_ROWS)
            with pq.ParquetWriter(path, rows.schema().to_pyarrow()) as writer:
                for batch in batches(rows, rows.get_backend()):
                    writer.write_batch(batch)
            count = table.pin.rows
    except (DataError, RemoteRejected) as error:
        # What the error says may quote values; why the night is bad stands in the record already.
        return None, f"not kept: its rows could not be read ({type(error).__name__})"
    left = f"kept: the first {MOST_ROWS} of {count} rows" if count > MOST_ROWS else ""
    return ledger.put_blob(path), left
