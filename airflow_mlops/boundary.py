"""The one boundary between our errors and Airflow's, and the template of a run's night."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from airflow_mlops.errors import MLOpsError

__all__ = ["NIGHT", "airflow_errors"]

# The night of a partitioned run; of a plain daily one, its logical date.
NIGHT = "{{ partition_key or ds | default('', true) }}"

P = ParamSpec("P")
T = TypeVar("T")


def airflow_errors(function: Callable[P, T]) -> Callable[P, T]:
    """Turn our errors into Airflow's: one that a retry can help is retried, any other fails the task at once."""

    @functools.wraps(function)
    def translated(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except MLOpsError as error:
            kind = AirflowException if error.retryable else AirflowFailException
            raise kind(f"{type(error).__name__}: {error}") from error

    return translated
