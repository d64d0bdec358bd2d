"""What every place that serves models must offer. A target is one file; ``local`` is the first."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Protocol

__all__ = ["Staged", "Target"]


class Staged(NamedTuple):
    """A version that is up; ``url`` is its own address, which stays the same when another version is made live."""

    version: str
    url: str
    pid: int
    port: int


class Target(Protocol):
    """A place that serves the versions of one model behind one address that never changes.

    Every step may be taken again, by another process, after whoever took it was killed in the middle.
    """

    @property
    def url(self) -> str:
        """Address that users ask: answered by the live version."""

    def stage(self, archive: Path, tag: str) -> Staged:
        """Bring a Bento up beside whatever is live, and return when it is ready; where it is up, do nothing."""

    def make_live(self, version: str) -> Staged:
        """Send the users' requests to a staged version."""

    def live(self) -> Staged | None:
        """Return the version that users get; None if none was made live, or if it no longer runs."""

    def retire(self, version: str) -> None:
        """Let a version that is not live finish its answers, then stop it; where it is gone, do nothing."""

    def retire_idle(self) -> None:
        """Retire every version that is not live."""

    def stop_all(self) -> None:
        """Stop whatever of this model runs here."""
