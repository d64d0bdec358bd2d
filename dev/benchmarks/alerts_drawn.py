"""Nights as their summary statistics, drawn directly: what 20 features of a table would have given, without the rows.

Fourteen numeric features (mean, spread, three shares below fixed values, nulls, correlations of all pairs) and six
categorical ones (shares of eight levels and of the rarer ones, nulls), 235 series. What the nights do beside sampling
shifts the features' locations, in standard deviations of a row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from airflow_mlops.calibrate import Layout

__all__ = ["KINDS", "LAYOUT", "Change", "drawn", "night_effects"]

Floats = npt.NDArray[np.float64]
Kind = Literal[
    "iid", "season", "ar 0.7", "ar 0.9", "wander", "yearly", "holidays", "nights of 0.15 sd", "ten odd nights"
]
KINDS: tuple[Kind, ...] = (
    "iid", "season", "ar 0.7", "ar 0.9", "wander", "yearly", "holidays", "nights of 0.15 sd", "ten odd nights"
)  # fmt: skip
NUMERIC, CATEGORICAL, LEVELS = 14, 6, 8
FEATURES = NUMERIC + CATEGORICAL
HISTORY = 56
# Shares below the 10 %, 50 % and 90 % points of a normal distribution: by how many of their standard errors they fall
# where the mean rises by one of its own; the same numbers are their correlations with it.
_BELOW = (0.585, 0.798, 0.585)
_AR_SD, _NIGHT_SD, _HOLIDAY_SD, _ODD_SD, _STEP_SD = 0.1, 0.15, 0.2, 0.5, 0.01
_HOLIDAYS_A_YEAR, _ODD_NIGHTS, _YEAR = 10, 10, 365


@dataclass(frozen=True)
class Change:
    """What happens to the first three numeric features from the night after the history on.

    ``shift`` in standard deviations, night by night (the last value stays); ``spread`` as a factor; ``nulls`` as shares
    before and after.
    """

    name: str
    shift: tuple[float, ...] = (0.0,)
    spread: float = 1.0
    nulls: tuple[float, float] = (0.02, 0.02)


def _layout() -> Layout:
    names: list[tuple[str, str | None, str]] = []
    numbers = [f"x{i}" for i in range(NUMERIC)]
    for kind in ("mean", "shape 10", "shape 50", "shape 90", "spread"):
        names += [(f"{kind} of {name}", name, kind.split()[0]) for name in numbers]
    for i in range(NUMERIC):
        names += [(f"correlation of x{i} and x{j}", None, "correlation") for j in range(i + 1, NUMERIC)]
    levels = [f"c{i}" for i in range(CATEGORICAL)]
    names += [(f"share of {name} {level}", name, "level") for name in levels for level in range(LEVELS + 1)]
    names += [(f"nulls of {name}", name, "nulls") for name in numbers + levels]
    return Layout(*(tuple(column) for column in zip(*names, strict=True)))


LAYOUT = _layout()


def night_effects(kind: Kind, nights: int, features: int, rng: np.random.Generator) -> Floats:
    """Where each night puts each feature's location, in standard deviations of a row, shape (nights, features)."""
    night = np.arange(nights)
    if kind == "season":
        weekdays = rng.normal(size=(7, features))
        weekdays = (weekdays - weekdays.mean(axis=0)) / weekdays.std(axis=0)
        return np.asarray(rng.uniform(0.03, 0.25, features) * weekdays[night % 7])
    if kind.startswith("ar"):
        phi = float(kind.split()[1])
        effects = rng.normal(size=(nights, features)) * _AR_SD
        for i in range(1, nights):
            effects[i] = phi * effects[i - 1] + np.sqrt(1 - phi**2) * effects[i]
        return effects
    if kind == "wander":
        return np.cumsum(rng.normal(size=(nights, features)) * _STEP_SD, axis=0)
    if kind == "yearly":
        phase = rng.uniform(0, 2 * np.pi, features)
        return np.asarray(rng.uniform(0.1, 0.5, features) * np.sin(2 * np.pi * night[:, None] / _YEAR + phase))
    if kind == "nights of 0.15 sd":
        return rng.normal(size=(nights, features)) * _NIGHT_SD
    odd = np.zeros(nights, dtype=bool)
    if kind == "holidays":
        odd = rng.random(nights) < _HOLIDAYS_A_YEAR / _YEAR
    elif kind == "ten odd nights":
        odd[rng.choice(HISTORY, _ODD_NIGHTS, replace=False)] = True
    size = _HOLIDAY_SD if kind == "holidays" else _ODD_SD
    return np.asarray(odd[:, None] * rng.normal(size=(nights, features)) * size)


def drawn(kind: Kind, rows: int, nights: int, rng: np.random.Generator, change: Change | None = None) -> Floats:
    """Values of all series in units of their standard errors, shape (nights, 235)."""
    effects = night_effects(kind, nights, FEATURES, rng)
    after = np.arange(nights) >= HISTORY
    change = change or Change("none")
    shift = np.array([change.shift[min(i, len(change.shift) - 1)] for i in range(int(after.sum()))])
    effects[after, :3] += shift[:, None]
    root = np.sqrt(rows)
    chance = rng.normal(size=(nights, NUMERIC))
    moved = effects[:, :NUMERIC] * root
    parts = [chance + moved]
    for tied in _BELOW:
        own = rng.normal(size=chance.shape)
        parts.append(-tied * (chance + moved) + np.sqrt(1 - tied**2) * own)
    spread = rng.normal(size=chance.shape)
    spread[after, :3] += np.log(change.spread) * np.sqrt(2 * rows)
    parts += [spread, rng.normal(size=(nights, NUMERIC * (NUMERIC - 1) // 2))]
    weights = rng.normal(size=(CATEGORICAL, LEVELS + 1))
    weights -= weights.mean(axis=1, keepdims=True)
    levels = 0.3 * root * effects[:, NUMERIC:, None] * weights + rng.normal(size=(nights, CATEGORICAL, LEVELS + 1))
    nulls = rng.normal(size=(nights, FEATURES))
    before, now = (np.arcsin(np.sqrt(share)) for share in change.nulls)
    nulls[after, :3] += 2 * root * (now - before)
    return np.concatenate([*parts, levels.reshape(nights, -1), nulls], axis=1)
