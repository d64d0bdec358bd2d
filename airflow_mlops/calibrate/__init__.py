"""How unusual is tonight among its own past, within a stated budget of false alarms.

Nothing here knows of drift or quality: both hand over series of numbers, one a night, with their sampling errors.

>>> import numpy as np
>>> rng = np.random.default_rng(0)
>>> nights = rng.normal(20.0, 0.1, size=(60, 6))
>>> layout = Layout(names=tuple("abcdef"), features=tuple("abcdef"), kinds=("mean",) * 6)
>>> judge(nights, np.full_like(nights, 0.1), layout, budget=Budget.of(false_alarms_per_year=4)).watch
False
"""

from __future__ import annotations

from airflow_mlops.calibrate.budget import Budget, nightly_probability
from airflow_mlops.calibrate.combination import least_of, single_of
from airflow_mlops.calibrate.judge import Contribution, NightJudgement, judge
from airflow_mlops.calibrate.limits import upper_limits
from airflow_mlops.calibrate.replay import LEAST_NIGHTS, Layout, Replay, past_needed, replay
from airflow_mlops.calibrate.rhythm import Rhythm, rhythm_of

__all__ = [
    "LEAST_NIGHTS",
    "Budget",
    "Contribution",
    "Layout",
    "NightJudgement",
    "Replay",
    "Rhythm",
    "judge",
    "least_of",
    "nightly_probability",
    "past_needed",
    "replay",
    "rhythm_of",
    "single_of",
    "upper_limits",
]
