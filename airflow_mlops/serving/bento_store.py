"""A BentoML store in a folder, in which a Bento stands whole or not at all.

BentoML itself writes into the final folder, so that a kill in the middle leaves half a Bento under a good tag. Here
each Bento is made in a scratch store on the same disk and renamed into place, under a lock.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from airflow_mlops.errors import RemoteJobFailed
from airflow_mlops.serving.lock import exclusive
from airflow_mlops.serving.process import clean_environment, run_to_end

__all__ = ["BentoStore"]

# A second build in one process repeats lines in the Dockerfile (bentoml 1.4): every build gets a process of its own.
_BUILD = """
import json, sys, bentoml
todo = json.load(sys.stdin)
bento = bentoml.bentos.build(**todo["build"]) if todo["build"] else bentoml.bentos.get(todo["tag"])
bento.export(todo["archive"])
"""
_IMPORT = """
import json, sys, bentoml
print("imported", bentoml.bentos.import_bento(json.load(sys.stdin)["archive"]).tag)
"""
_TIMEOUT_SECONDS = 600.0


class BentoStore:
    """The Bentos below a ``BENTOML_HOME``.

    Parameters
    ----------
    home : Path
        Created when something is put in.
    """

    def __init__(self, home: Path) -> None:
        self.home = home.expanduser().resolve()

    def __contains__(self, tag: str) -> bool:
        return (self._path(self.home, tag) / "bento.yaml").is_file()

    def build(
        self, context: Path, tag: str, archive: Path, *, options: Mapping[str, Any], on_line: Callable[[str], None]
    ) -> None:
        """Build a Bento unless it is there, and export it to a file, which appears whole.

        Parameters
        ----------
        context : Path
            Folder with ``service.py`` and what it needs.
        tag : str
            ``name:version``.
        archive : Path
            Where the exported ``.bento`` file goes.
        options : mapping
            Further arguments of ``bentoml.bentos.build``.
        on_line : callable
            Gets each line of the build's output.

        Raises
        ------
        RemoteJobFailed
            With what BentoML said last.
        """
        name, _, version = tag.partition(":")
        with self._scratch() as scratch:
            standing = tag in self
            build = {"name": name, "version": version, "build_ctx": str(context), **options}
            exported = scratch / "exported.bento"
            self._run(
                _BUILD,
                {"tag": tag, "archive": str(exported), "build": None if standing else build},
                home=self.home if standing else scratch,
                doing=f"{'export' if standing else 'build'} the Bento {tag}",
                on_line=on_line,
            )
            if not standing:
                self._take(scratch, tag)
            archive.parent.mkdir(parents=True, exist_ok=True)
            # The archive may lie on another disk, where only a rename within it is all or nothing.
            unfinished = archive.with_name(f".{archive.name}.{os.getpid()}")
            try:
                shutil.copyfile(exported, unfinished)
                unfinished.replace(archive)
            finally:
                unfinished.unlink(missing_ok=True)

    def add(self, archive: Path, tag: str) -> None:
        """Import an exported Bento unless it is there.

        Raises
        ------
        RemoteJobFailed
            If the file is no Bento, or one of another tag.
        """
        if tag in self:
            return
        with self._scratch() as scratch:
            if tag in self:
                return
            # BentoML guesses the format from the ending.
            source = scratch / "imported.bento"
            shutil.copyfile(archive, source)
            said: list[str] = []
            self._run(_IMPORT, {"archive": str(source)}, home=scratch, doing=f"import {archive}", on_line=said.append)
            if not (self._path(scratch, tag) / "bento.yaml").is_file():
                raise RemoteJobFailed(
                    f"expected the Bento {tag} in {archive}, BentoML said: {' '.join(said)}. Build it again."
                )
            self._take(scratch, tag)

    def _take(self, scratch: Path, tag: str) -> None:
        target = self._path(self.home, tag)
        target.parent.mkdir(parents=True, exist_ok=True)
        # Half a Bento, left by something other than this class.
        shutil.rmtree(target, ignore_errors=True)
        self._path(scratch, tag).rename(target)

    @contextlib.contextmanager
    def _scratch(self) -> Iterator[Path]:
        room = self.home / ".scratch"
        with exclusive(self.home / ".lock"):
            # Whoever left something here was killed: the lock is ours.
            shutil.rmtree(room, ignore_errors=True)
            room.mkdir(parents=True)
            with tempfile.TemporaryDirectory(dir=room) as folder:
                yield Path(folder)

    @staticmethod
    def _path(home: Path, tag: str) -> Path:
        name, _, version = tag.partition(":")
        return home / "bentos" / name / version

    @staticmethod
    def _run(code: str, todo: Mapping[str, Any], *, home: Path, doing: str, on_line: Callable[[str], None]) -> None:
        env = clean_environment(
            BENTOML_HOME=str(home),
            BENTOML_DO_NOT_TRACK="true",
            # Its newer image description asks pip for uv over the network, even where nothing is to be locked.
            BENTOML_ENABLE_FEATURES="no_image",
        )
        run_to_end(
            code, stdin=json.dumps(todo), env=env, doing=doing, on_line=on_line, timeout_seconds=_TIMEOUT_SECONDS
        )
