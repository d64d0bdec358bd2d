"""What a database answers: the one place where its errors become ours."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from airflow_mlops.errors import MLOpsError, RemoteRejected, RemoteUnavailable

__all__ = ["answer", "batches"]

_ROWS = 1 << 15
# ibis 12.0 collects all that Spark answers, and asks DuckDB 2.0 for what only 1.x had.
_BY_ROWS = ("duckdb", "pyspark")
# Names of errors, of whichever driver, that say that the database did not answer.
_UNAVAILABLE = ("OperationalError", "InterfaceError", "ConnectionException", "Py4JNetworkError", "ServiceUnavailable")


def answer(expression: Any, backend: Any) -> list[tuple[Any, ...]]:
    """All rows of a short answer.

    Raises
    ------
    RemoteUnavailable
        If the database does not answer.
    RemoteRejected
        If it refuses the query.
    """
    with _translated(backend):
        # As the driver gives it: ibis takes Arrow from PostgreSQL through a cursor, for which that uses one process.
        result = backend.raw_sql(backend.compile(expression))
        if hasattr(result, "toLocalIterator"):
            return list(result.collect())
        return list(result.fetchall() if hasattr(result, "fetchall") else result)


def batches(expression: Any, backend: Any) -> Iterator[pa.RecordBatch]:
    """All rows of a long answer, in bounded memory.

    Raises
    ------
    RemoteUnavailable, RemoteRejected
        As `answer`.
    """
    with _translated(backend):
        if backend.name in _BY_ROWS:
            yield from _packed(backend.raw_sql(backend.compile(expression)), expression.schema().to_pyarrow())
        else:
            yield from backend.to_pyarrow_batches(expression, limit=None, chunk_size=_ROWS)


def _packed(result: Any, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    rows = result.toLocalIterator() if hasattr(result, "toLocalIterator") else iter(result.fetchone, None)
    while part := list(itertools.islice(rows, _ROWS)):
        columns = zip(*part, strict=True)
        arrays = [pa.array(column, kind) for column, kind in zip(columns, schema.types, strict=True)]
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


@contextlib.contextmanager
def _translated(backend: Any) -> Iterator[None]:
    try:
        yield
    except MLOpsError:
        raise
    except Exception as error:  # every driver has a family of its own, and need not be installed
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:300]
        if any(kind.__name__ in _UNAVAILABLE for kind in type(error).__mro__):
            raise RemoteUnavailable(f"expected an answer of {backend.name}, got: {reason}.") from error
        raise RemoteRejected(
            f"expected {backend.name} to count the table, got: {reason}. See that this user may read it, and that "
            "its columns are what the connection says."
        ) from error
