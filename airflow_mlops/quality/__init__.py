"""Is this night fit for use? By what every night must hold, by a person's contract, and by the table's own past."""

from __future__ import annotations

from airflow_mlops.quality.acceptance import accept
from airflow_mlops.quality.contracts import check_contract, contract_faults
from airflow_mlops.quality.look import look_at
from airflow_mlops.quality.night_table import Finding, NightSource, NightTable
from airflow_mlops.quality.nightly import NightlyChecks
from airflow_mlops.quality.sound import sound_night

__all__ = [
    "Finding",
    "NightSource",
    "NightTable",
    "NightlyChecks",
    "accept",
    "check_contract",
    "contract_faults",
    "look_at",
    "sound_night",
]
