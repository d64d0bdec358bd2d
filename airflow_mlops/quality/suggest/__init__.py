"""A first contract, from what a table was like: a text for a person to read, correct and keep."""

from __future__ import annotations

from airflow_mlops.quality.suggest.learned import learned_rules
from airflow_mlops.quality.suggest.seen import SeenNight, seen_in
from airflow_mlops.quality.suggest.written import written_contract

__all__ = ["SeenNight", "learned_rules", "seen_in", "written_contract"]
