"""A metric of the user's own: a function by its dotted name, called and not trusted."""

from __future__ import annotations

import importlib
import math
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any

import numpy as np

from airflow_mlops.errors import ConfigError
from airflow_mlops.gate.rows import Floats

__all__ = ["load_metric", "own_value"]


def load_metric(name: str) -> Callable[..., Any]:
    """Import a metric by its name.

    Parameters
    ----------
    name : str
        ``package.module.function`` or ``package.module:function``.

    Raises
    ------
    ConfigError
        If there is no such module, it cannot be imported, or what it holds under that name cannot be called.

    Examples
    --------
    >>> load_metric("math.dist")([0.0, 0.0], [3.0, 4.0])
    5.0
    """
    module, _, function = name.replace(":", ".").rpartition(".")
    try:
        # What it prints is not the gate's answer, and what it exits with is not its verdict.
        with redirect_stdout(sys.stderr):
            found = getattr(importlib.import_module(module), function)
    except (Exception, SystemExit) as error:
        raise ConfigError(
            f"the metric {name!r} cannot be imported: {_raised(error)}. Put its package where this process finds "
            "it, or name one of the gate's own metrics."
        ) from error
    if not callable(found):
        raise ConfigError(f"expected a function under {name!r}, got {type(found).__name__}. Name a function.")
    return found  # type: ignore[no-any-return]


def own_value(metric: Callable[..., Any], y_true: Floats, y_pred: Floats) -> tuple[float, str]:
    """Call a metric; what is not one finite number is NaN, with why.

    Examples
    --------
    >>> own_value(lambda y_true, y_pred: "good", np.zeros(2), np.zeros(2))
    (nan, "the metric gave 'good', no number")
    """
    try:
        # Copies: a function that sorts its arguments in place would change what is judged after it.
        with redirect_stdout(sys.stderr):
            given = metric(y_true.copy(), y_pred.copy())
    except (Exception, SystemExit) as error:  # noqa: BLE001  whatever it raises, the rule has no figure
        return math.nan, f"the metric raised {_raised(error)}"
    try:
        value = float(np.asarray(given, dtype=np.float64).reshape(()))
    except (TypeError, ValueError):
        return math.nan, f"the metric gave {_shown(given)}, no number"
    return (value, "") if math.isfinite(value) else (math.nan, f"the metric gave {value}")


def _raised(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."  # noqa: PLR2004  characters that fit in a sentence
