"""Training and prediction, each in a process of its own.

``process`` is the operator's side and knows no torch; all else runs inside the child: ``python -m
airflow_mlops.training ORDER.json`` and ``python -m airflow_mlops.training.predict``.
"""
