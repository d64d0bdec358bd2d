"""A table, boiled down to counts: small, readable as JSON, and two of them make one.

Drift and quality live on profiles: the reference is never read again, and a window of several nights is a merge.
"""

from __future__ import annotations

from airflow_mlops.profile.summary import Levels, Numbers, Profile, merge
from airflow_mlops.profile.tabulate import edges_of, profile_table

__all__ = ["Levels", "Numbers", "Profile", "edges_of", "merge", "profile_table"]
