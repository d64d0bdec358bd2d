"""The faults of the benchmark: each changes what it says it does, and the same way each time."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from benchmarks.planted_faults import FAULTS, Planted, with_weather_words
from benchmarks.stable_nights import stable_nights
from stream import generated_hours


def planted(fault: str) -> Planted:
    hours = with_weather_words(generated_hours(dt.date(2025, 3, 1), nights=2, seed=3))
    before, night = hours.slice(0, 24), hours.slice(24)
    return FAULTS[fault](night, before, np.random.default_rng(1))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_a_fault_and_the_same_each_time(fault: str) -> None:
    untouched = with_weather_words(generated_hours(dt.date(2025, 3, 1), nights=2, seed=3)).slice(24)
    first = planted(fault)
    assert first.late_hours > 0 or not first.rows.equals(untouched)
    assert first.rows.equals(planted(fault).rows)


def test_a_fifth_of_the_rows_is_meant() -> None:
    assert planted("nulls in a fifth of a column").rows["temp"].null_count == 5
    assert pc.sum(pc.equal(planted("-999 for a fifth of the values").rows["hum"], -999.0)).as_py() == 5


def test_stable_nights_are_the_same_each_time() -> None:
    first, again = (pa.concat_tables(table for _, table in stable_nights(9, 50, seed=1)) for _ in range(2))
    assert first.equals(again)
    assert first["order"].to_pylist() == list(range(first.num_rows))
