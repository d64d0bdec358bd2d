from __future__ import annotations

import math

import numpy as np
import pytest

from airflow_mlops.gate.statistics.multiplicity import holm


def test_it_steps_down_and_keeps_the_order() -> None:
    # 4 * 0.005, 3 * 0.01, 2 * 0.03, and 1 * 0.04, which may not be below the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.02]).tolist() == [0.02]
    assert holm([]).tolist() == []
    assert holm([0.6, 0.9]).tolist() == [1.0, 1.0]


def test_what_could_not_be_tested_is_no_discovery() -> None:
    assert holm([math.nan, 0.01]).tolist() == [1.0, 0.02]


def test_the_family_wise_error_is_kept_where_each_test_alone_would_not() -> None:
    p_values = np.random.default_rng(0).random((4000, 20))
    any_found = np.mean([(holm(row) <= 0.05).any() for row in p_values])
    assert any_found <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 4000)
    assert (p_values <= 0.05).any(axis=1).mean() > 0.5
