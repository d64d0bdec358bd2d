"""A table, boiled down to counts: small, readable as JSON, and two of them make one.

Drift and quality live on profiles: the reference is never read again, and a window of several nights is a merge.
"""

from __future__ import annotations

from airflow_mlops.profile.bins import edges_of
from airflow_mlops.profile.columns import Levels, Numbers
from airflow_mlops.profile.gram import Gram
from airflow_mlops.profile.summary import Edges, Profile, merge
from airflow_mlops.profile.tabulate import profile, profile_table

__all__ = ["Edges", "Gram", "Levels", "Numbers", "Profile", "edges_of", "merge", "profile", "profile_table"]
