"""Telling people: one alert when bad nights begin, one when they are over, through any notifier of Airflow's."""

from __future__ import annotations

from airflow_mlops.notifications.incident import alert_due, headline, incident_text
from airflow_mlops.notifications.telling import tell

__all__ = ["alert_due", "headline", "incident_text", "tell"]
