"""What every trigger does: look again and again, in a thread, until it is there or the deadline has passed."""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_mlops.polling import Ended, decide

__all__ = ["LookoutTrigger"]


class LookoutTrigger(BaseTrigger):
    """Look again and again until something is there or the deadline has passed.

    Parameters
    ----------
    deadline : float
        Unix time in seconds, absolute.
    poll_seconds : float
        Pause between two looks.
    """

    # Names of the attributes that make the trigger again after a restart.
    arguments: tuple[str, ...] = ("deadline", "poll_seconds")

    def __init__(self, *, deadline: float, poll_seconds: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # Airflow has no annotation there
        self.deadline = deadline
        self.poll_seconds = poll_seconds

    @property
    @abstractmethod
    def waiting_for(self) -> str:
        """What is waited for, in words."""

    @abstractmethod
    def look(self) -> Any:
        """Look once, blocking: what was found, or None."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Give Airflow what it makes the trigger from again."""
        cls = type(self)
        return f"{cls.__module__}.{cls.__qualname__}", {name: getattr(self, name) for name in self.arguments}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until ``decide`` ends it; yields one event."""
        while True:
            try:
                seen: Any = await asyncio.to_thread(self.look)
            except Exception as error:  # noqa: BLE001 - decide tells a passing fault from a lasting one
                seen = error
            outcome = decide(
                seen,
                now=time.time(),
                deadline=self.deadline,
                poll_seconds=self.poll_seconds,
                waiting_for=self.waiting_for,
            )
            if isinstance(outcome, Ended):
                yield TriggerEvent(outcome.payload())
                return
            await asyncio.sleep(outcome.seconds)
