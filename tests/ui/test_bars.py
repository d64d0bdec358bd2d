"""What a drawn distance shows agrees with the limit that it is held against."""

from __future__ import annotations

import pytest

from airflow_mlops.records import DriftLimit, FeatureDrift
from airflow_mlops.ui.bars import distance_bar


@pytest.mark.parametrize(
    ("distance", "limit", "length"),
    [(0.0, 0.5, 0.0), (0.5, 0.5, 60.0), (5.0, 0.5, 100.0), (float("nan"), 0.5, 100.0),
     (float("inf"), 0.5, 100.0), (0.1, 0.0, 100.0)],
)  # fmt: skip
def test_a_distance_never_leaves_its_bar(distance: float, limit: float, length: float) -> None:
    drift_limit = DriftLimit(median=0.0, watch=limit / 2, drift=limit)
    bar = distance_bar(
        FeatureDrift(
            feature="f", distance=distance, limit=drift_limit, verdict="drift", reference_mean=0.0, current_mean=0.0
        )
    )
    assert bar.length == length
