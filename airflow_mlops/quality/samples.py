"""Failing rows for a person to look at: a few of them, with nothing in them that must not be shown."""

from __future__ import annotations

import datetime as dt
import json
import math
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from airflow_mlops.errors import DataError
from airflow_mlops.quality.night_table import Finding
from airflow_mlops.records import CheckOrigin, CheckOutcome, CheckResult

__all__ = ["MASK", "masked", "sample_of", "without_values"]

MASK = "***"
_ROWS = 100
_COLUMNS = 100
_LONGEST = 200
_QUOTED = re.compile(r"'(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.|\"\")*\"")
_NUMBER = re.compile(r"(?<![\w.'])[-+]?\d[\d.]*(?:[eE][-+]?\d+)?(?!\w)")


def masked(result: CheckResult, *, sensitive: Collection[str], columns: Collection[str]) -> CheckResult:
    """Leave the values of sensitive columns out of what a check says.

    Of a sensitive column only what counts is told. In words on several columns, and in an engine's own message, all
    that is quoted may be a value: what is no name of a column is masked.

    Parameters
    ----------
    result : CheckResult
        As the check gave it.
    sensitive : collection of str
        Columns, in any case.
    columns : collection of str
        Names of the night's columns.

    Examples
    --------
    >>> told = CheckResult(name="max", column="ssn", outcome=CheckOutcome.FAILED, expected="5", actual="078-05-1120")
    >>> masked(told, sensitive={"SSN"}, columns={"ssn"}).actual
    '***'
    """
    hidden = {name.casefold() for name in sensitive}
    if not hidden:
        return result
    if result.column is not None and result.column.casefold() in hidden and not _counts(result):
        rows = f" ({result.failing_rows} rows)" if result.failing_rows is not None else ""
        return result.model_copy(update={"expected": MASK, "actual": f"{MASK}{rows}"})
    if result.column is None and result.outcome is CheckOutcome.ERROR:
        # An engine's message names numbers as they are.
        return result.model_copy(update={"actual": _NUMBER.sub(MASK, without_values(result.actual, columns))})
    if result.column is None or result.outcome is CheckOutcome.ERROR or _counts(result):
        words = {name: without_values(getattr(result, name), columns) for name in ("expected", "actual")}
        return result.model_copy(update=words)
    return result


def _counts(result: CheckResult) -> bool:
    """Whether it tells no value of a row: monitors know none of a sensitive column."""
    return result.origin is CheckOrigin.MONITOR or (result.origin is CheckOrigin.SOUND and result.name == "target")


def sample_of(findings: Sequence[Finding], *, night: dt.date, sensitive: Collection[str]) -> tuple[bytes | None, str]:
    """Take up to a hundred rows in all that do not hold, some of each check.

    Parameters
    ----------
    findings : sequence of Finding
        Of the night, while it is open.
    night : date
        Its day.
    sensitive : collection of str
        Columns whose values are masked.

    Returns
    -------
    sample : bytes or None
        JSON: ``rows``, each with its number in the file (null if it has none), the ``checks`` that it fails, and
        its ``values`` by column, of the first hundred columns; long texts are cut. None if there are none.
    note : str
        What is lacking; empty if nothing is.
    """
    asked = [finding for finding in findings if finding.result.outcome is not CheckOutcome.PASSED and finding.failing]
    hidden = {name.casefold() for name in sensitive}
    rows: dict[int | object, dict[str, Any]] = {}
    lacking = []
    for place, finding in enumerate(asked):
        # What the checks before it left over is for those that follow.
        share = (_ROWS - len(rows)) // (len(asked) - place)
        try:
            for number, values in _failing(finding, max(share, 1), hidden):
                key = object() if number is None else number
                row = rows.setdefault(key, {"row": number, "checks": [], "values": values})
                row["checks"].append(finding.result.label)
        except DataError as error:
            lacking.append(f"no failing rows of {finding.result.label}: {without_values(str(error), ())}")
    note = "; ".join(lacking)
    if not rows:
        return None, note
    document = {"night": str(night), "masked": sorted(sensitive), "rows": list(rows.values())[:_ROWS]}
    return json.dumps(document, ensure_ascii=False, indent=1).encode(errors="backslashreplace"), note


def _failing(finding: Finding, limit: int, hidden: Collection[str]) -> Iterator[tuple[int | None, dict[str, Any]]]:
    assert finding.failing is not None  # noqa: S101 - only those that have one are asked
    table = finding.failing(limit).slice(0, limit)
    names = [name for name in table.column_names if name != "row"]
    # The column that is looked at is there, however many stand before it.
    looked_at = [name for name in names if name == finding.result.column]
    shown = list(dict.fromkeys([*looked_at, *names]))[:_COLUMNS]
    for row in table.select(["row", *shown]).to_pylist():
        values = {name: MASK if name.casefold() in hidden else _shown(row[name]) for name in shown}
        yield row["row"], values


def _shown(value: Any) -> Any:
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        # NaN is a missing value everywhere; infinity has no JSON.
        return value if math.isfinite(value) else None if math.isnan(value) else str(value)
    text = value.hex(" ") if isinstance(value, bytes) else str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}... ({len(text)} characters)"


def without_values(text: str, columns: Collection[str]) -> str:
    """Mask all that is quoted in a text, but for names of columns.

    Examples
    --------
    >>> without_values("could not convert 'Ada' in column 'name' to INT", {"name"})
    "could not convert '***' in column 'name' to INT"
    """
    return _QUOTED.sub(lambda match: match[0] if match[0][1:-1] in columns else f"'{MASK}'", text)
