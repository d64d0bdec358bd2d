"""What every sensor does: look once; then wait, deferred or here, until it is there or the time is up."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Collection
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airflow_mlops.boundary import airflow_errors
from airflow_mlops.errors import ConfigError
from airflow_mlops.polling import Ended, decide

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_mlops.triggers import LookoutTrigger

__all__ = ["LookoutSensor"]

# The trigger ends the wait itself, at its own deadline; Airflow's is only there for a triggerer that is gone.
_GRACE = timedelta(minutes=5)


class LookoutSensor(BaseOperator):
    """Wait for something until it is there or ``timeout_seconds`` have passed.

    Parameters
    ----------
    poll_seconds : float
        Pause between two looks.
    timeout_seconds : float
        Longest wait.
    deferrable : bool
        Wait in the triggerer, without a worker's slot.
    soft_fail : bool
        Skip instead of failing when it did not come in time.

    Raises
    ------
    ConfigError
        If ``poll_seconds`` is not positive: the triggerer would do nothing else.
    """

    template_fields: Collection[str] = ()

    def __init__(
        self,
        *,
        poll_seconds: float = 30.0,
        timeout_seconds: float = 6 * 3600.0,
        deferrable: bool = True,
        soft_fail: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if poll_seconds <= 0:
            raise ConfigError(f"expected poll_seconds above 0 in {self.task_id}, got {poll_seconds}. Try 30.")
        self.poll_seconds = poll_seconds
        self.timeout_seconds = timeout_seconds
        self.deferrable = deferrable
        self.soft_fail = soft_fail

    @abstractmethod
    def lookout(self, **when: float) -> LookoutTrigger:
        """Make the trigger that looks."""

    @airflow_errors
    def execute(self, context: Context) -> Any:
        """Look once; then wait, deferred or here."""
        deadline = time.time() + self.timeout_seconds
        lookout = self.lookout(deadline=deadline, poll_seconds=self.poll_seconds)
        while True:
            try:
                seen: Any = lookout.look()
            except Exception as error:  # noqa: BLE001 - decide tells a passing fault from a lasting one
                seen = error
            outcome = decide(
                seen,
                now=time.time(),
                deadline=deadline,
                poll_seconds=self.poll_seconds,
                waiting_for=lookout.waiting_for,
            )
            if isinstance(outcome, Ended):
                return self.resume(context, outcome.payload())
            if self.deferrable:
                self.defer(
                    trigger=lookout,
                    method_name="resume",
                    timeout=timedelta(seconds=self.timeout_seconds) + _GRACE,
                )
            time.sleep(outcome.seconds)

    def resume(self, context: Context, event: dict[str, Any]) -> Any:
        """End as the event says."""
        del context
        if event["error"] is None:
            return event["found"]
        # Never retried: the wait was as long as it was meant to be, and a lasting answer does not change.
        kind = AirflowSkipException if self.soft_fail and event["late"] else AirflowFailException
        raise kind(event["error"])
