"""Data quality, drift, training, gate and deployment for Apache Airflow, tied by a chain of records."""

__version__ = "0.1.0"
