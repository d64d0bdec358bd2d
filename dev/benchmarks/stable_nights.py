"""Nights on which nothing happens: orders, drawn from what never changes but by the weekday."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

__all__ = ["stable_nights"]

_MICROSECONDS_A_DAY = 24 * 3600 * 1_000_000
_REGIONS = ("north", "south", "east", "west", "überseeisch")


def stable_nights(nights: int, rows: int, seed: int) -> Iterator[tuple[dt.date, pa.Table]]:
    """Draw nights of about so many rows; Saturdays and Sundays have a third more.

    Parameters
    ----------
    nights, rows : int
        How many, and the mean number of rows of a working day.
    seed : int
        Of all that is drawn.

    Yields
    ------
    tuple of date and pyarrow.Table
        In order.
    """
    first = dt.date(2025, 1, 6)
    orders = 0
    weather = 0.0
    for place in range(nights):
        night = first + dt.timedelta(days=place)
        random = np.random.default_rng([seed, rows, place])
        size = int(random.poisson(rows * (4 / 3 if night.weekday() >= 5 else 1.0) * random.lognormal(0, 0.05)))  # noqa: PLR2004 - Saturday is 5
        weather = 0.7 * weather + random.normal(0, 2.0)
        start = np.datetime64(night, "us")
        items = random.poisson(3.0, size) + 1
        price = random.lognormal(3.0, 0.8, size).round(2)
        note = random.random(size) < 0.02  # noqa: PLR2004 - two in a hundred
        yield (
            night,
            pa.table(
                {
                    "at": pa.array(
                        start + np.sort(random.integers(0, _MICROSECONDS_A_DAY, size)).astype("timedelta64[us]")
                    ),
                    "order": pa.array(np.arange(orders, orders + size)),
                    "region": pa.array(random.choice(_REGIONS, size, p=[0.4, 0.3, 0.2, 0.09, 0.01])),
                    "items": pa.array(items),
                    "price": pa.array(price),
                    "total": pa.array((items * price).round(2)),
                    "degrees": pa.array((15 + weather + random.normal(0, 1.0, size)).round(1)),
                    "discount": pa.array(random.random(size).round(2), mask=random.random(size) < 0.1),  # noqa: PLR2004 - one in ten
                    "returned": pa.array(random.random(size) < 0.03),  # noqa: PLR2004 - three in a hundred
                    "customer": pa.array([f"C{number:05d}" for number in random.integers(0, 20_000, size)]),
                    "note": pa.array(np.where(note, "call first", ""), mask=~note),
                }
            ),
        )
        orders += size
