from __future__ import annotations

import numpy as np

from airflow_mlops.gate.levels import level_codes


def test_it_says_what_numpy_says() -> None:
    column = np.random.default_rng(0).choice(["ä", "", "b", "B", "10", "9"], 500)
    codes, names = level_codes(column)
    levels, inverse = np.unique(column, return_inverse=True)
    assert names == levels.tolist()
    np.testing.assert_array_equal(codes, inverse)


def test_nothing_has_no_level() -> None:
    codes, names = level_codes(np.array([], dtype=str))
    assert (codes.size, names) == (0, [])
