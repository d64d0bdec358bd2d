"""How far two profiles of one column lie apart: one distance a file, with its source."""

from __future__ import annotations

from airflow_mlops.drift.distance.column import column_distance, scale_of
from airflow_mlops.drift.distance.contingency import Contingency, chi_square, g_statistic
from airflow_mlops.drift.distance.correlation import (
    correlation_differences,
    correlation_distance,
    correlation_scatter,
)
from airflow_mlops.drift.distance.jensen_shannon import jensen_shannon_distance
from airflow_mlops.drift.distance.kolmogorov_smirnov import Bounds, kolmogorov_smirnov_distance
from airflow_mlops.drift.distance.null_rate import cohen_h, null_rate_difference
from airflow_mlops.drift.distance.psi import population_stability_index
from airflow_mlops.drift.distance.sampling import design_effect, sampling_distance
from airflow_mlops.drift.distance.total_variation import total_variation_distance
from airflow_mlops.drift.distance.wasserstein import wasserstein_distance

__all__ = [
    "Bounds",
    "Contingency",
    "chi_square",
    "cohen_h",
    "column_distance",
    "correlation_differences",
    "correlation_distance",
    "correlation_scatter",
    "design_effect",
    "g_statistic",
    "jensen_shannon_distance",
    "kolmogorov_smirnov_distance",
    "null_rate_difference",
    "population_stability_index",
    "sampling_distance",
    "scale_of",
    "total_variation_distance",
    "wasserstein_distance",
]
