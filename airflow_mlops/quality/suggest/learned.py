"""What held on all nights that were seen, and would have been right when only the older half of them was known."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal

from airflow_mlops.errors import DataError
from airflow_mlops.quality.suggest.seen import SeenColumn, SeenNight

__all__ = ["ColumnRules", "Range", "Rules", "learned_rules"]

# A longer list nobody reads; and where one value is rarer than this, the next new one is not far.
_MOST_VALUES, _LEAST_ROWS_OF_A_VALUE = 31, 5
# Fewer rows may differ from one another by luck.
_LEAST_ROWS_OF_A_KEY, _UNLIKELY = 20, 0.01
# How far numbers may go beyond what was seen, as a share of the range that was seen.
_SLACK_OF_ONE_NIGHT, _SLACK = 1.0, 0.5
# Numbers that differ by less than this share of their size are all the same to float64.
_SAME = 1e-9
_DIGITS = Context(prec=400)


@dataclass(frozen=True)
class Range:
    """Bounds of a number, and what was seen between them; the same where there is no slack."""

    low: float
    high: float
    seen_low: float
    seen_high: float

    def holds(self, low: float, high: float) -> bool:
        """Whether what lies between these lies within the bounds."""
        return self.low <= low and high <= self.high


@dataclass(frozen=True)
class ColumnRules:
    """What a contract can say of a column."""

    type: str | None
    never_missing: bool
    unique: bool
    values: tuple[int | str, ...] | None
    range: Range | None


@dataclass(frozen=True)
class Rules:
    """What a contract can say of a table; ``rows`` is None if the nights outgrew what the older ones had.

    ``inconstant`` are columns that only some nights have.
    """

    nights: int
    total_rows: int
    rows: Range | None
    columns: dict[str, ColumnRules]
    inconstant: tuple[str, ...]


def learned_rules(nights: Sequence[SeenNight]) -> Rules:
    """Learn what held on all nights.

    A rule that the older half of the nights suggests and the newer half breaks is left out: it would have been wrong
    already. So a month, a season or a price that rises gets no bounds. With one night there is nothing to try a rule
    on, and slack is wider.

    Parameters
    ----------
    nights : sequence of SeenNight
        The oldest first.

    Raises
    ------
    DataError
        If there is none, or no column is in all of them.
    """
    names = [name for name in nights[-1].columns if all(name in night.columns for night in nights)] if nights else []
    if not names:
        raise DataError(f"expected nights of one table, got {len(nights)} without a column in common. Name its nights.")
    counts = [SeenColumn("", "integer", night.rows, 0, night.rows, night.rows) for night in nights]
    return Rules(
        nights=len(nights),
        total_rows=sum(night.rows for night in nights),
        rows=_tried(counts, of_rows=True),
        columns={name: _column([night.columns[name] for night in nights]) for name in names},
        inconstant=tuple(dict.fromkeys(name for night in nights for name in night.columns if name not in names)),
    )


def _column(columns: Sequence[SeenColumn]) -> ColumnRules:
    types = {column.type for column in columns}
    values, bounds, unique = _values(columns), None, _is_key(columns)
    if values and isinstance(values[0], int):
        low, high = int(values[0]), int(values[-1])
        if high - low + 1 == len(values):  # sorted, and all differ
            values, bounds = None, Range(low, high, low, high)
    elif values is None and not (unique and len(columns) == 1):
        # Of one night nobody knows whether its keys are hours, which come again, or numbers that count on.
        bounds = _tried(columns)
    return ColumnRules(
        type=(types.pop() or None) if len(types) == 1 else None,
        never_missing=not any(column.nulls for column in columns),
        unique=unique,
        values=values,
        range=bounds,
    )


def _older(columns: Sequence[SeenColumn]) -> int:
    return (len(columns) + 1) // 2


def _values(columns: Sequence[SeenColumn]) -> tuple[int | str, ...] | None:
    """The few values that there are, if the newer half of the nights brought no new one."""
    older, newer = columns[: _older(columns)], columns[_older(columns) :]
    if any(column.values is None and column.nulls < column.rows for column in columns):
        return None
    known = Counter[int | str]()
    for column in older:
        known.update(column.values or {})
    # That a number is always the same says little, and a word only if it was so for some nights.
    constant = len(known) == 1 and (not newer or any(isinstance(value, int) for value in known))
    if not known or constant or len(known) > _MOST_VALUES or min(known.values()) < _LEAST_ROWS_OF_A_VALUE:
        return None
    if any(value not in known for column in newer for value in column.values or {}):
        return None
    return tuple(sorted(known, key=lambda value: (isinstance(value, str), value)))


def _tried(columns: Sequence[SeenColumn], *, of_rows: bool = False) -> Range | None:
    """Range of all nights, if that of the older half would have held in the newer one."""
    learned = _row_range if of_rows else _value_range
    bounds, before = learned(columns), learned(columns[: _older(columns)])
    if bounds is None or before is None:
        return None
    if not of_rows and all(column.low == column.high for column in columns):
        # One value a night, such as a month: it moves on by steps that are smaller than any slack.
        before = Range(before.seen_low, before.seen_high, before.seen_low, before.seen_high)
    newer = [column for column in columns[_older(columns) :] if column.low is not None and column.high is not None]
    return bounds if all(before.holds(column.low or 0, column.high or 0) for column in newer) else None


def _value_range(columns: Sequence[SeenColumn]) -> Range | None:
    filled = [column for column in columns if column.nulls < column.rows]
    lows = [column.low for column in filled if column.low is not None]
    highs = [column.high for column in filled if column.high is not None]
    kinds = {column.kind for column in filled}
    if not filled or len(lows) < len(filled) or not kinds <= {"integer", "number"}:
        return None
    low, high = min(lows), max(highs)
    if high - low <= _SAME * max(abs(low), abs(high)):
        return None
    slack = (high - low) * (_SLACK_OF_ONE_NIGHT if len(columns) == 1 else _SLACK)
    least, most = _outward(low - slack, high + slack, slack, whole=kinds == {"integer"})
    # What was never negative is taken to be a count, a price, a length: it does not become so by slack.
    return Range(max(least, 0) if low >= 0 else least, min(most, 0) if high <= 0 else most, low, high)


def _row_range(columns: Sequence[SeenColumn]) -> Range:
    least, most = min(column.rows for column in columns), max(column.rows for column in columns)
    # Of one night from half of it to twice as much; of more as much again as they differ, and a tenth at least.
    slack = max(most - least, math.ceil(most / 10))
    below, above = (least / 2, most) if len(columns) == 1 else (slack, slack)
    low, high = _outward(least - below, most + above, max(below, above), whole=True)
    return Range(max(low, 1), high, least, most)


def _is_key(columns: Sequence[SeenColumn]) -> bool:
    """Whether the column told all rows of every night apart, and not by luck.

    Whole numbers drawn at random out of m would all differ among n with the probability exp(-n^2 / 2m): if that is
    small, they were not drawn at random; if it is nearly 1, they will go on to differ.
    """
    rows = sum(column.rows for column in columns)
    if rows < _LEAST_ROWS_OF_A_KEY or any(column.distinct != column.rows for column in columns):
        return False
    if columns[0].kind != "integer":
        return True
    surprise = sum(
        column.rows**2 / (2 * (column.high - column.low + 1))
        for column in columns
        if column.low is not None and column.high is not None
    )
    return not _UNLIKELY < math.exp(-surprise) < 1 - _UNLIKELY


def _outward(low: float, high: float, slack: float, *, whole: bool) -> tuple[float, float]:
    """Bounds that a person can read: rounded away from each other, to two digits of the slack."""
    digit = math.floor(math.log10(slack)) - 1
    step = Decimal(1).scaleb(max(digit, 0) if whole else digit, _DIGITS)
    rounded = [
        _DIGITS.multiply(_DIGITS.divide(Decimal(bound), step).to_integral_value(rounding), step)
        for bound, rounding in ((low, ROUND_FLOOR), (high, ROUND_CEILING))
    ]
    least, most = (int(bound) if whole or bound == int(bound) else float(bound) for bound in rounded)
    return least, most
