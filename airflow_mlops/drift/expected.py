"""Between which limits each window was expected to lie, for a page to draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from airflow_mlops.calibrate import Budget, past_needed, replay
from airflow_mlops.drift.past import Past

__all__ = ["Expected", "expected_limits"]

Floats = NDArray[np.float64]
# Windows that are drawn.
_DRAWN = 60


@dataclass(frozen=True)
class Expected:
    """One series in its own unit (a mean, a standard deviation, a share, a correlation), window by window.

    ``low`` and ``high`` are NaN where nothing was expected: of the first windows, and of those that are missing.
    """

    names: tuple[str, ...]
    values: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


def expected_limits(past: Past, series: Sequence[str], *, budget: Budget) -> dict[str, Expected]:
    """Values of some series in the last windows, and the limits beyond which one of them alone would be drift.

    Parameters
    ----------
    past : Past
        From `past_of`.
    series : sequence of str
        Names in ``past.series.layout``; others are passed over.
    budget : Budget
        Of false alarms.
    """
    values, layout = past.series.values, past.series.layout
    first = max(len(values) - _DRAWN, 0)
    replayed = replay(
        values,
        past.series.errors,
        layout,
        season=past.season,
        quiet=np.array(past.quiet),
        first=past_needed(first + 1),
        alpha=budget.drift,
    )
    reach = replayed.reach * replayed.scatter
    low, high = replayed.expected - reach, replayed.expected + reach
    places = [place for place in range(first, len(values)) if past.names[place]]
    found = {}
    for column, (name, kind) in enumerate(zip(layout.names, layout.kinds, strict=True)):
        if name in series:
            shown = (_in_own_unit(side[places, column], kind) for side in (values, low, high))
            found[name] = Expected(tuple(past.names[place] for place in places), *map(tuple, shown))
    return found


def _in_own_unit(values: Floats, kind: str) -> list[float]:
    """Undo what makes errors alike: logarithms of spreads, arcsines of shares, Fisher's z of correlations."""
    match kind:
        case "mean":
            back = values
        case "spread":
            back = np.exp(values)
        case "correlation":
            back = np.tanh(values)
        case _:
            back = np.square(np.sin(np.clip(values, 0.0, np.pi / 2)))
    found: list[float] = back.tolist()
    return found
