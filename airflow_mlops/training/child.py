"""The child's side: to die with its parent, to keep within its memory, to say how it ended."""

from __future__ import annotations

import argparse
import ctypes
import os
import resource
import signal
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

from airflow_mlops.errors import MLOpsError

__all__ = ["EXIT_OUT_OF_MEMORY", "argument_parser", "die_with_parent", "obey", "run_to_exit"]

# EX_OSERR of sysexits.h ("cannot fork" and its like); Python itself uses 1, 2 and 120.
EXIT_OUT_OF_MEMORY = 71
_PR_SET_PDEATHSIG = 1


def argument_parser(description: str) -> argparse.ArgumentParser:
    """Options that the parent gives to every child; by hand they may be left out."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--parent-pid", type=int, help="die when this process does")
    parser.add_argument("--memory-bytes", type=int, help="largest amount of private memory")
    return parser


def obey(arguments: argparse.Namespace) -> None:
    """Tie this process to its parent's life and to its memory limit; first thing in the child.

    The kernel ends it with the *thread* that started it: a caller keeps that thread waiting.
    """
    if arguments.parent_pid is not None and sys.platform == "linux":
        die_with_parent()
        # The parent may have died before the call, and then no signal ever comes.
        if os.getppid() != arguments.parent_pid:
            sys.exit("the process that asked for this is gone")
    if arguments.memory_bytes is not None:
        # Data, not address space: a CUDA build of torch maps gigabytes of code that it never touches.
        resource.setrlimit(resource.RLIMIT_DATA, (arguments.memory_bytes, arguments.memory_bytes))


def die_with_parent() -> None:
    """Have the kernel end this process when the thread that started it ends; does nothing where it cannot."""
    if sys.platform != "linux":
        return
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) was refused")


def run_to_exit(work: Callable[[], None]) -> NoReturn:
    """Do the work and end the process with a status and a last word that the parent can show."""
    try:
        work()
    except MLOpsError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    except (MemoryError, RuntimeError) as error:
        if not _ran_out_of_memory(error):
            raise
        traceback.print_exc()
        sys.exit(EXIT_OUT_OF_MEMORY)
    sys.exit(0)


def _ran_out_of_memory(error: Exception) -> bool:
    # torch's CPU allocator raises a plain RuntimeError.
    return isinstance(error, MemoryError) or any(
        sign in str(error) for sign in ("can't allocate memory", "std::bad_alloc", "not enough memory")
    )
