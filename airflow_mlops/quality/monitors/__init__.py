"""Monitors: what a night's own past says of it, with no threshold to write.

`facts_of` boils a night down to numbers; `judge_night` holds them against those of the nights before.
"""

from airflow_mlops.quality.monitors.facts import FACTS_VERSION, facts_of
from airflow_mlops.quality.monitors.judgement import MONITORS, MonitorJudgement, judge_night
from airflow_mlops.quality.monitors.past import MOST_PAST, PastNight

__all__ = ["FACTS_VERSION", "MONITORS", "MOST_PAST", "MonitorJudgement", "PastNight", "facts_of", "judge_night"]
