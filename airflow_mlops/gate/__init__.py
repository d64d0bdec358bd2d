"""The gate: a challenger against the champion on the same rows, rule by rule, fail-closed."""

from __future__ import annotations

from airflow_mlops.gate.judge import Judgement, judge
from airflow_mlops.gate.predictions import PairedPredictions, UnusablePredictions, read_paired

__all__ = ["Judgement", "PairedPredictions", "UnusablePredictions", "judge", "read_paired"]
