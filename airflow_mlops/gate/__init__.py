"""The gate: a challenger against the champion on the same rows, rule by rule, fail-closed."""

from __future__ import annotations

from airflow_mlops.gate.judge import Judgement, judge
from airflow_mlops.gate.reading.paired import read_paired
from airflow_mlops.gate.rows import Answers, PairedPredictions, UnusablePredictions

__all__ = ["Answers", "Judgement", "PairedPredictions", "UnusablePredictions", "judge", "read_paired"]
