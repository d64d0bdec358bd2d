"""The whole loop of a model in one line: four DAGs, tied by assets. This is what `dev/demo` plays."""

from pathlib import Path

from airflow_mlops.loop import retrain_on_drift

retrain_on_drift(Path(__file__).parent / "bike_demand")
