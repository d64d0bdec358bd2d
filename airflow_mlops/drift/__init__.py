"""Whether something happened, and how the last nights lie to the champion's training window.

>>> import numpy as np, pyarrow as pa
>>> from airflow_mlops.profile import edges_of, merge, profile_table
>>> rng = np.random.default_rng(0)
>>> nights = [pa.table({"temp": rng.normal(size=24), "wind": rng.normal(size=24)}) for _ in range(49)]
>>> edges = edges_of(pa.concat_tables(nights))
>>> past = [profile_table(night, edges) for night in nights]
>>> limits = learn_limits(past, window_nights=7, false_alarms_per_year=4)
>>> warmer = [profile_table(pa.table({"temp": rng.normal(1, size=24), "wind": rng.normal(size=24)}), edges)] * 7
>>> detect(merge(past), merge(warmer), limits, window_nights=7).verdict
<DriftVerdict.DRIFT: 'drift'>
"""

from __future__ import annotations

from airflow_mlops.drift.compare import Comparison, compare
from airflow_mlops.drift.decide import Detection, detect
from airflow_mlops.drift.distance import column_distance, total_variation_distance, wasserstein_distance
from airflow_mlops.drift.incident import follow
from airflow_mlops.drift.learn import learn_limits

__all__ = [
    "Comparison",
    "Detection",
    "column_distance",
    "compare",
    "detect",
    "follow",
    "learn_limits",
    "total_variation_distance",
    "wasserstein_distance",
]
