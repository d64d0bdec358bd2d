import numpy as np
import pytest

from airflow_mlops.errors import ConfigError
from airflow_mlops.serving.verify import Verification, verify
from airflow_mlops.serving.verify import _compared as _compared_arrays


def _compared(served: list, expected: list, *, tolerance: float) -> Verification:
    return _compared_arrays(np.array(served), np.array(expected), tolerance=tolerance)


@pytest.mark.parametrize(("rows", "expected"), [([], []), ([{"hr": 1.0}], []), ([{"hr": 1.0}], [1.0, 2.0])])
def test_rows_without_their_expectations_are_refused(rows, expected):
    with pytest.raises(ConfigError, match="as many predictions"):
        verify("http://127.0.0.1:1", rows, expected, version="v", digest="d", tolerance=1.0)


def test_difference_is_relative_and_calm_near_zero():
    assert _compared([101.0, 100.0], [100.0, 100.0], tolerance=0.0101).largest_difference == pytest.approx(0.01)
    # A thousandth beside a mean of 100 is nothing, also where zero was expected.
    assert _compared([0.001, 200.0], [0.0, 200.0], tolerance=1e-4).passed


def test_the_tolerance_itself_passes_and_zeros_agree():
    assert _compared([1.5], [1.0], tolerance=0.5).passed
    assert not _compared([1.5], [1.0], tolerance=0.499).passed
    assert _compared([0.0, 0.0], [0.0, 0.0], tolerance=0.0).passed
    assert not _compared([0.0, 1e-9], [0.0, 0.0], tolerance=0.0).passed


@pytest.mark.parametrize(("served", "expected"), [([1.0], [float("nan")]), ([1.0], [float("inf")])])
def test_no_number_is_met_by_none(served, expected):
    assert not _compared(served, expected, tolerance=1e9).passed


def test_probabilities_are_compared_class_by_class():
    judged = [[0.2, 0.3, 0.5], [0.1, 0.1, 0.8]]
    assert _compared(judged, judged, tolerance=0.0).passed
    swapped = _compared([[0.2, 0.3, 0.5], [0.1, 0.8, 0.1]], judged, tolerance=0.1)
    assert not swapped.passed
    assert "row 1, class 1: expected 0.1, got 0.8" in swapped.reason
