"""Airflow connections to clients: they translate foreign errors, and decide nothing."""
