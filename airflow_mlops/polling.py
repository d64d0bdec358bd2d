"""One decision for trigger, sensor and sync loop: given what was seen and the time, wait on, or end with an event.

Decides purely: the clock is an argument, and a test needs neither a loop nor a sleep.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from airflow_mlops.errors import MLOpsError

__all__ = ["Ended", "Waiting", "decide"]


@dataclass(frozen=True)
class Waiting:
    """Ask again after ``seconds``."""

    seconds: float


@dataclass(frozen=True)
class Ended:
    """The one event that ends the wait: ``found`` is what was waited for, ``error`` why it will not come.

    ``late`` tells the passing of the deadline from an answer that will not change.
    """

    found: Any = None
    error: str | None = None
    late: bool = False

    def payload(self) -> dict[str, Any]:
        """JSON-able form for a trigger event."""
        return asdict(self)


def decide(seen: Any, *, now: float, deadline: float, poll_seconds: float, waiting_for: str) -> Waiting | Ended:
    """Decide what a look at the world means.

    Parameters
    ----------
    seen : object
        What was found; None if it is not there yet; an exception if looking failed.
    now, deadline : float
        Unix times in seconds. The deadline is absolute, so a restarted trigger does not wait longer.
    poll_seconds : float
        Pause between two looks.
    waiting_for : str
        Named in the error.

    Examples
    --------
    >>> decide(None, now=10.0, deadline=60.0, poll_seconds=5.0, waiting_for="the night")
    Waiting(seconds=5.0)
    >>> decide(None, now=60.0, deadline=60.0, poll_seconds=5.0, waiting_for="the night").error
    'expected the night before the deadline, it did not come. Look upstream, then clear the task.'
    """
    # An answer that will not change is the end; a silence is not: it is asked again until the deadline.
    if isinstance(seen, Exception) and not (isinstance(seen, MLOpsError) and seen.retryable):
        return Ended(error=f"{type(seen).__name__}: {seen}")
    if seen is not None and not isinstance(seen, Exception):
        return Ended(found=seen)
    if now >= deadline:
        why = f"the last look failed: {seen}" if seen else "it did not come"
        error = f"expected {waiting_for} before the deadline, {why}. Look upstream, then clear the task."
        return Ended(error=error, late=True)
    return Waiting(min(poll_seconds, deadline - now))
