"""Serving on this machine: a ``bentoml serve`` process for each version, behind a router on one port.

For laptops, the demo and tests. The processes outlive the task that starts them, but not its container or machine:
where those end, stage and make live again.

Files below ``HOME/MODEL``: ``live`` (the version that users get), ``versions/VERSION.json`` (tag, port and number of
its process), ``logs/``. They say where a process answers; whether it lives, the kernel says (see ``process``).
"""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any

from airflow_mlops.errors import ConfigError, RemoteJobFailed, require
from airflow_mlops.serving import router
from airflow_mlops.serving.bento_store import BentoStore
from airflow_mlops.serving.lock import exclusive, write_whole
from airflow_mlops.serving.process import clean_environment, last_lines, marked, spawn, stop
from airflow_mlops.serving.target import Staged

__all__ = ["LocalTarget"]

_HOST = "127.0.0.1"
_POLL_SECONDS = 0.1
_ROUTER_SECONDS = 10.0
# The service's own limit for one answer: a retired version is given as long to finish.
_ANSWER_SECONDS = 60.0


class LocalTarget:
    """Serve the versions of one model as processes of this machine.

    Parameters
    ----------
    home : Path
        Folder of this target; several models may share it. Also holds the BentoML store.
    model : str
        Name of the model.
    port : int
        Port on 127.0.0.1 that users ask; it never changes.
    ready_timeout_seconds : float
        How long a server may take to be ready (10 to 20 s on two cores, nearly all of it importing torch and bentoml).
    drain_seconds : float
        How long a retired version goes on listening, so that a request under way to it arrives. What it has begun to
        answer then, it still finishes.
    """

    name = "local"

    def __init__(
        self,
        home: Path,
        model: str,
        port: int,
        *,
        ready_timeout_seconds: float = 180.0,
        drain_seconds: float = 0.5,
    ) -> None:
        self.home = home.expanduser().resolve()
        self.model = model
        self.port = port
        self.ready_timeout_seconds = ready_timeout_seconds
        self.drain_seconds = drain_seconds
        self.folder = self.home / model

    @property
    def url(self) -> str:
        """Address that users ask: answered by the live version."""
        return f"http://{_HOST}:{self.port}"

    @property
    def bentoml_home(self) -> Path:
        """BentoML store that versions are served from; what was built into it need not be imported."""
        return self.home / "bentoml"

    def stage(self, archive: Path, tag: str) -> Staged:
        """Start a server of a Bento and return when it is ready; where it runs, do nothing.

        Two tasks that stage one version at once get the same process.

        Parameters
        ----------
        archive : Path
            Exported ``.bento`` file; not read if the store has the tag.
        tag : str
            ``model:version``.

        Raises
        ------
        ConfigError
            If the tag is not one of this model.
        RemoteJobFailed
            If the archive does not hold that Bento, or the server does not get ready, with the last lines of its log.
        """
        require("bentoml", extra="bentoml")
        model, _, version = tag.partition(":")
        if model != self.model or not version:
            raise ConfigError(f"expected the tag of a Bento of {self.model}, such as {self.model}:ab12, got {tag!r}.")
        with exclusive(self._lock(version)):
            standing = self._staged(version)
            if standing is not None and self._becomes_ready(standing):
                return standing
            self._stop(version)
            BentoStore(self.bentoml_home).add(archive, tag)
            staged = self._start(tag, version)
            if not self._becomes_ready(staged):
                self._stop(version)
                raise RemoteJobFailed(
                    f"expected {tag} to be ready within {self.ready_timeout_seconds:.0f} s, it was not; it was "
                    f"stopped. Its log {self._log(version)} ends:\n{last_lines(self._log(version))}"
                )
            return staged

    def make_live(self, version: str) -> Staged:
        """Send every request from now on to a staged version; requests under way are answered by the one before.

        Raises
        ------
        RemoteJobFailed
            If that version does not run, or the router does not reach it.
        ConfigError
            If another program has the port.
        """
        with exclusive(self._lock("live")):
            staged = self._staged(version)
            if staged is None or self._version_at(staged.url) != version:
                raise RemoteJobFailed(
                    f"expected version {version} of {self.model} to run and answer here, it does not. Stage it first."
                )
            self._start_router()
            write_whole(self.folder / "live", version)
            if self._version_at(self.url) != version:
                raise RemoteJobFailed(
                    f"expected {self.url} to be answered by version {version}, it was not; its router's log ends:\n"
                    f"{last_lines(self._log('router'))}"
                )
            return staged

    def live(self) -> Staged | None:
        """Return the version that users get; None if none was made live, or if its process or the router's is gone."""
        version = self._live_version()
        routed = marked(self._mark(f"router:{self.port}"))
        return self._staged(version) if version is not None and routed else None

    def retire(self, version: str) -> None:
        """Stop a version that is not live; where it is gone, do nothing.

        Raises
        ------
        ConfigError
            If it is live.
        """
        with exclusive(self._lock("live")):
            if version == self._live_version():
                raise ConfigError(
                    f"expected a version of {self.model} that is not live, got {version}. "
                    "Make another one live first, or stop them all."
                )
            with exclusive(self._lock(version)):
                if self._staged(version) is not None:
                    time.sleep(self.drain_seconds)
                self._stop(version, grace_seconds=_ANSWER_SECONDS)

    def retire_idle(self) -> None:
        """Stop every version that is not live."""
        for file in sorted((self.folder / "versions").glob("*.json")):
            if file.stem != self._live_version():
                self.retire(file.stem)

    def stop_all(self) -> None:
        """Stop the router and every server of this model, also those that no file names any more."""
        with exclusive(self._lock("live")):
            (self.folder / "live").unlink(missing_ok=True)
            stop(self._mark("router"), grace_seconds=0, below=True)
            for file in (self.folder / "versions").glob("*.json"):
                with exclusive(self._lock(file.stem)):
                    self._stop(file.stem)
            stop(self._mark(""), below=True)

    def _start(self, tag: str, version: str) -> Staged:
        with socket.socket() as probe:
            probe.bind((_HOST, 0))
            port: int = probe.getsockname()[1]
        env = clean_environment(
            BENTOML_HOME=str(self.bentoml_home),
            BENTOML_DO_NOT_TRACK="true",
            # A line for every request would fill the disk in the end; errors are logged all the same.
            BENTOML_CONFIG_OPTIONS="api_server.logging.access.enabled=false",
        )
        arguments = ["-m", "bentoml", "serve", tag, "--host", _HOST, "--port", str(port)]
        pid = spawn(arguments, mark=self._mark(version), env=env, log=self._log(version))
        write_whole(self._state(version), json.dumps({"tag": tag, "port": port, "pid": pid}))
        return Staged(version, f"http://{_HOST}:{port}", pid, port)

    def _staged(self, version: str) -> Staged | None:
        try:
            state: dict[str, Any] = json.loads(self._state(version).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        # Its workers may outlive a supervisor that was killed, but nobody would start them again.
        if state["pid"] not in marked(self._mark(version)):
            return None
        return Staged(version, f"http://{_HOST}:{state['port']}", state["pid"], state["port"])

    def _becomes_ready(self, staged: Staged) -> bool:
        deadline = time.monotonic() + self.ready_timeout_seconds
        mark = self._mark(staged.version)
        workers: set[int] = set()
        while time.monotonic() < deadline:
            if self._version_at(staged.url) == staged.version:
                return True
            alive = marked(mark)
            workers |= {pid for pid in alive if _is_worker(pid)}
            # A supervisor starts a worker that fails anew, for ever: when there is a second, the first could not load.
            if staged.pid not in alive or len(workers) > 1:
                return False
            time.sleep(_POLL_SECONDS)
        return False

    def _start_router(self) -> None:
        mark = self._mark(f"router:{self.port}")
        if marked(mark):
            return
        # One on another port: model.toml was changed.
        stop(self._mark("router"), grace_seconds=0, below=True)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((_HOST, self.port))
            except OSError as error:
                raise ConfigError(
                    f"expected port {self.port} of {_HOST} for {self.model}, got {error.strerror!r}. See who has it "
                    f"with: ss -ltnp 'sport = :{self.port}'; end that program, or give serving.port another number."
                ) from error
        # Isolated and without site-packages: its whole import is the standard library's.
        arguments = ["-I", "-S", router.__file__, str(self.folder), str(self.port)]
        spawn(arguments, mark=mark, env=clean_environment(), log=self._log("router"))
        deadline = time.monotonic() + _ROUTER_SECONDS
        while time.monotonic() < deadline and marked(mark):
            with socket.socket() as probe:
                if probe.connect_ex((_HOST, self.port)) == 0:
                    return
            time.sleep(_POLL_SECONDS / 10)
        stop(mark, grace_seconds=0)
        raise RemoteJobFailed(
            f"expected the router of {self.model} to listen on port {self.port}, it did not; its log ends:\n"
            f"{last_lines(self._log('router'))}"
        )

    def _stop(self, version: str, *, grace_seconds: float = 5.0) -> None:
        staged = self._staged(version)
        stop(self._mark(version), first=staged.pid if staged else None, grace_seconds=grace_seconds)
        self._state(version).unlink(missing_ok=True)

    @staticmethod
    def _version_at(url: str) -> str | None:
        import httpx

        try:
            # No proxy of the environment stands between this machine and itself.
            answer = httpx.get(f"{url}/readyz", timeout=5.0, trust_env=False)
        except httpx.TransportError:
            return None
        return answer.headers.get("x-model-version") if answer.is_success else None

    def _live_version(self) -> str | None:
        try:
            return (self.folder / "live").read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return None

    def _mark(self, what: str) -> str:
        return f"{self.folder}/{what}"

    def _state(self, version: str) -> Path:
        return self.folder / "versions" / f"{version}.json"

    def _log(self, name: str) -> Path:
        return self.folder / "logs" / f"{name}.log"

    def _lock(self, name: str) -> Path:
        return self.folder / ".locks" / name


def _is_worker(pid: int) -> bool:
    try:
        return b"_bentoml_impl.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
