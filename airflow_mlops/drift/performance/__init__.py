"""Does it matter? What the champion's performance is, with labels and without, and what a feature weighs in it.

Three channels speak of a night, each in an `Opinion`: the features (`weighed` by what the champion leans on), the
performance that is `estimated` without labels, and the one that is `realised` once they come.
"""

from __future__ import annotations

from airflow_mlops.drift.performance.estimate import EstimatedPerformance, Estimator, estimated, learn_estimator
from airflow_mlops.drift.performance.importance import permutation_importance
from airflow_mlops.drift.performance.realised import RealisedState, realised
from airflow_mlops.drift.performance.rows import Labelled, Metric, NightLoss, Predicted, row_losses
from airflow_mlops.drift.performance.weight import LEAST_SHARE, leaned_on, weighed
from airflow_mlops.records import Channel, Opinion

__all__ = [
    "LEAST_SHARE",
    "Channel",
    "EstimatedPerformance",
    "Estimator",
    "Labelled",
    "Metric",
    "NightLoss",
    "Opinion",
    "Predicted",
    "RealisedState",
    "estimated",
    "leaned_on",
    "learn_estimator",
    "permutation_importance",
    "realised",
    "row_losses",
    "weighed",
]
