from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from airflow_mlops.drift.unit import unit_change
from airflow_mlops.profile import Numbers, edges_of, profile_table

Floats = NDArray[np.float64]


def changed(before: Floats, after: Floats) -> str | None:
    table = pa.table({"x": before})
    edges = edges_of(table)
    one, other = (profile_table(pa.table({"x": values}), edges).columns["x"] for values in (before, after))
    assert isinstance(one, Numbers)
    assert isinstance(other, Numbers)
    return unit_change(one, other)


def celsius(rows: int = 500, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(14, 6, rows)


@pytest.mark.parametrize(
    ("formula", "name"),
    [
        (lambda x: 10 * x, "times 10"),
        (lambda x: 100 * x, "times 100"),
        (lambda x: x / 1000, "divided by 1,000"),
        (lambda x: 1.8 * x + 32, "Celsius in Fahrenheit"),
        (lambda x: (x - 32) / 1.8, "Fahrenheit in Celsius"),
        (lambda x: x + 273.15, "in kelvins"),
        (lambda x: 60 * x, "hours in minutes"),
        (lambda x: -x, "times -1"),
    ],
)
@pytest.mark.parametrize("seed", range(5))
def test_a_unit_is_named_although_nights_differ(formula: Callable[[Floats], Floats], name: str, seed: int) -> None:
    # Another night, half a degree warmer, in the other unit.
    assert name in str(changed(celsius(), formula(celsius(200, seed + 1) + 0.5)))


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x,
        lambda x: x + 6,
        lambda x: 1.5 * x,
        lambda x: 2 * x,
        lambda x: x + 100,
        lambda x: np.where(np.arange(x.size) == 0, 1e9, x),
        lambda x: 0 * x,
    ],
)
def test_what_merely_moved_is_in_no_other_unit(change: Callable[[Floats], Floats]) -> None:
    assert changed(celsius(), change(celsius(200, 1))) is None


@pytest.mark.parametrize("seed", range(10))
def test_one_far_value_in_a_heavy_tail_is_no_unit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    reference, tonight = rng.standard_t(3, 14_000), rng.standard_t(3, 500)
    tonight[0] = 10 * reference.std() * np.sqrt(tonight.size)
    assert abs(np.log10(tonight.std() / reference.std()) - 1) < 0.1
    assert changed(reference, tonight) is None
    assert changed(reference, 10 * reference) == "times 10"


def test_a_flag_in_per_cent() -> None:
    flag = np.repeat([0.0, 1.0], [300, 200])
    assert changed(flag, 100 * flag) == "times 100"


def test_a_few_rows_say_nothing() -> None:
    assert changed(celsius(500), 10 * celsius(49, 1)) is None


def test_constants() -> None:
    assert changed(np.full(20, 2.5), np.full(20, 2500.0)) == "times 1,000"
    assert changed(np.full(20, 2.5), np.full(20, 3.5)) is None
    assert changed(np.zeros(20), np.zeros(20)) is None


def test_formulas_that_change_nothing_name_no_unit() -> None:
    rng = np.random.default_rng(0)
    # Minus a number around zero is like it; an income plus 273.15 is an income.
    assert changed(rng.normal(0, 1, 500), rng.normal(0, 1, 200)) is None
    assert changed(rng.normal(50_000, 20_000, 500), rng.normal(50_000, 20_000, 200)) is None
