"""What is asked of a database, without one."""

from __future__ import annotations

import pyarrow as pa
import pytest

from airflow_mlops.errors import ConfigError
from airflow_mlops.profile import profile
from airflow_mlops.profile.sql.statements import gram_statements, groups, novel_levels
from airflow_mlops.profile.tally import plan_of

ibis = pytest.importorskip("ibis", reason="ibis is not installed: pip install 'airflow-provider-mlops[sql]'")


def test_only_tables_of_a_database_are_counted_there() -> None:
    with pytest.raises(ConfigError, match="expected a table of a connection"):
        profile(ibis.table({"x": "float64"}, name="t"), edges={"x": (0.0,)})
    with pytest.raises(ConfigError, match=r"rows of this process \(ibis.memtable\)"):
        profile(ibis.memtable(pa.table({"x": [1.0]})), edges={"x": (0.0,)})


@pytest.mark.parametrize("dialect", ["snowflake", "bigquery"])
def test_engines_that_are_not_here_get_sql_of_their_own(dialect: str) -> None:
    """No server answers: the statements are written, and read again by a parser of the dialect."""
    from sqlglot import parse_one
    from sqlglot.expressions import Create, Literal, Select, Union

    kinds = {"temp": "float64", "wet": "boolean", "day": "date", "at": "timestamp", "zoned": "timestamp('UTC')"}
    table = ibis.table(kinds | {"city": "string"}, name="nights")
    plan = plan_of({"city": (r"C:\Temp", "O'Hare"), **dict.fromkeys(kinds, (0.0, 0.1))}, list(kinds))
    [(_, gram)] = gram_statements(table, plan, [0, 1], dialect)
    novel = novel_levels(table, 0, "city", plan.levels["city"])
    for statement, shape in [(ibis.union(*groups(table, plan, "at", dialect)), Union), (gram, Select), (novel, Select)]:
        parsed = parse_one(ibis.to_sql(statement, dialect=dialect), dialect=dialect)
        assert isinstance(parsed, shape)
        assert parsed.find(Create) is None
    whole = parse_one(ibis.to_sql(ibis.union(*groups(table, plan, "at", dialect)), dialect=dialect), dialect=dialect)
    assert {literal.this for literal in whole.find_all(Literal)} >= {r"C:\Temp", "O'Hare", "0.1"}
