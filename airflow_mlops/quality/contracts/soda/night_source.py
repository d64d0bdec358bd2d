"""A night as one of Soda's data sources: its SQL runs on the night's own connection, and sees that night alone."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

from airflow_mlops.errors import MLOpsError
from airflow_mlops.quality.contracts.soda.session import soda
from airflow_mlops.quality.night_sql import name_parts, named_rows, run
from airflow_mlops.quality.night_table import NightTable

__all__ = ["NightCursor", "night_source"]


class NightCursor:
    """Connection and cursor (DB-API) of a night, whose rows answer to the name that stands in the contract.

    Attributes
    ----------
    description : list of tuple
        Columns of the answer: the name of each first, then what else the database says of it.
    lost : MLOpsError or None
        The first error that is not the query's: Soda would go on after it, and make it an answer of each check.
    """

    def __init__(self, table: NightTable, name: str) -> None:
        self.table = table
        self.name = name
        self.lost: MLOpsError | None = None
        self.description: list[tuple[Any, ...]] = []
        self._rows: Iterator[tuple[Any, ...]] = iter(())

    def cursor(self) -> NightCursor:
        """Give itself: one query runs at a time."""
        return self

    def execute(self, sql: str) -> None:
        """Run a query of Soda's, or one that stands in the contract."""
        if self.lost:
            raise self.lost
        try:
            self.description, rows = run(self.table, named_rows(self.table, self.name, sql))
        except MLOpsError as error:
            self.lost = error
            raise
        self._rows = iter(rows)

    def fetchall(self) -> list[tuple[Any, ...]]:
        """Rows of the answer that nobody fetched yet."""
        return list(self._rows)

    def fetchone(self) -> tuple[Any, ...] | None:
        """Next row of the answer, None after the last."""
        return next(self._rows, None)

    def close(self) -> None:
        """Leave the connection to who opened the night."""

    commit = rollback = close


def night_source(cursor: NightCursor, source: str) -> Any:
    """Make Soda's data source of a night.

    Parameters
    ----------
    cursor : NightCursor
        Runs the SQL.
    source : str
        Name of the source, as the contract's header has it.

    Returns
    -------
    soda_core DataSourceImpl
        Of the night's engine.
    """
    connection = soda("soda_core.common.data_source_connection").DataSourceConnection
    table = cursor.table
    if table.engine == "duckdb":
        prefixes, name = ["main"], table.name
        module = soda("soda_duckdb.common.data_sources.duckdb_data_source")
        kind, model = module.DuckDBDataSourceImpl, module.DuckDBDataSourceModel
    else:
        schema, name = name_parts(table.name)
        prefixes = [table.connection.info.dbname, schema]
        module = soda("soda_postgres.common.data_sources.postgres_data_source")
        kind, model = module.PostgresDataSourceImpl, module.PostgresDataSourceModel

    class NightConnection(connection):  # type: ignore[misc, valid-type] # Soda's is not there to inherit from sooner
        """No address and no password: there is a connection already."""

        def _create_connection(self, _: Any) -> Any:
            return cursor

        def _fetch_session_timezone(self) -> dt.tzinfo:
            return dt.UTC

        def _execute_query_get_result_row_column_name(self, column: Any) -> str:
            return str(column[0])

    made = kind(data_source_model=model.model_construct(name=source), connection=NightConnection(source, {}, cursor))
    # The night's rows have a name of their own in each query, which no catalog knows: columns are the table's.
    made.get_schema_check_columns_metadata = lambda **_: made.get_columns_metadata(prefixes, name)
    return made
