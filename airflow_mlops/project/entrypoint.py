"""Imports a project's entrypoint in a process of its own, without the secrets of this one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple

__all__ = ["ImportFault", "import_fault"]

# What an import needs of the environment; nothing of it names a store, a connection or a key.
_PASSED_ON = ("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "PYTHONHOME", "PYTHONPATH", "TMPDIR", "VIRTUAL_ENV")

# torch alone takes 5 s on two busy cores, and a minute from a cold network disk.
_TIMEOUT_SECONDS = 120.0

# The answer goes to a file: a module that prints or exits cannot forge one by chance.
_CHILD = """
import difflib, importlib, inspect, json, os, sys, traceback
folder, module, function, answer = sys.argv[1:]
sys.path.insert(0, folder)
fault = None
try:
    found = importlib.import_module(module)
except SyntaxError as error:
    fault = {"message": f"SyntaxError: {error.msg}", "file": error.filename, "line": error.lineno}
except BaseException as error:
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename.startswith(folder + os.sep)]
    last = own[-1] if own else None
    text = traceback.format_exception_only(error)[-1].strip()
    fault = {"message": text, "file": last and last.filename, "line": last and last.lineno}
else:
    value = getattr(found, function, None)
    if not callable(value):
        known = [name for name, one in vars(found).items() if inspect.isfunction(one) and one.__module__ == module]
        near = difflib.get_close_matches(function, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"its functions are {', '.join(known) or 'none'}"
        fault = {"message": f"module {module!r} has no function {function!r}; {hint}", "file": None, "line": None}
    else:
        try:
            inspect.signature(value).bind(object())
        except ValueError:
            pass  # compiled, and tells nothing of its arguments
        except TypeError:
            line = value.__code__.co_firstlineno if inspect.isfunction(value) else None
            text = f"{function}{inspect.signature(value)} cannot be called with the training context alone"
            fault = {"message": text, "file": found.__file__ if line else None, "line": line}
with open(answer, "w") as file:
    json.dump(fault, file)
sys.stdout.flush()
os._exit(0)
"""


class ImportFault(NamedTuple):
    """Why an entrypoint cannot be used; file and line of the project's own code where it is known."""

    message: str
    file: Path | None
    line: int | None


def import_fault(folder: Path, entrypoint: str, *, timeout_seconds: float = _TIMEOUT_SECONDS) -> ImportFault | None:
    """Import ``module:function`` as training will, and say what is wrong with it.

    Parameters
    ----------
    folder : Path
        The model project; training puts it at the head of ``sys.path``.
    entrypoint : str
        ``module:function``.
    timeout_seconds : float
        The import and all it started are killed after this.

    Returns
    -------
    ImportFault or None
        None if the function is there and takes one argument.
    """
    module, _, function = entrypoint.partition(":")
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    # A check leaves nothing in the project: its files are what the code's digest is made of.
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    with tempfile.TemporaryDirectory() as scratch, tempfile.TemporaryFile() as errors:
        answer = Path(scratch) / "answer.json"
        child = subprocess.Popen(
            # -P: the working directory is not where modules come from.
            [sys.executable, "-P", "-c", _CHILD, str(folder), module, function, str(answer)],
            cwd=scratch,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        )
        try:
            status = child.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            return ImportFault(
                f"expected the import of {module!r} to end within {timeout_seconds:g} s, it did not; "
                "training belongs in the function, not at the top of the module",
                None,
                None,
            )
        finally:
            # Its group: what the module started goes with it, also on Ctrl-C here.
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            child.wait()
        if not answer.exists():
            ended = f"by {signal.Signals(-status).name}" if status < 0 else f"with status {status}"
            return ImportFault(
                f"the process that imported {module!r} was ended {ended}{_last_line(errors)}", None, None
            )
        fault = json.loads(answer.read_text())
    if fault is None:
        return None
    return ImportFault(fault["message"], Path(fault["file"]) if fault["file"] else None, fault["line"])


def _last_line(errors: IO[bytes]) -> str:
    size = errors.seek(0, os.SEEK_END)
    errors.seek(max(0, size - 4096))
    lines = errors.read().decode(errors="replace").strip().splitlines()
    return f": {lines[-1]}" if lines else ""
