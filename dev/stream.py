"""The demo's data: an hourly demand stream, real or generated, cut into nights, one of them corrupted on purpose.

Both sources have the columns of the bike sharing data (UCI 275): ``dteday`` is the naive time of the hour, ``cnt``
the demand, ``temp``, ``atemp``, ``hum`` and ``windspeed`` are shares between 0 and 1.
"""

from __future__ import annotations

import datetime as dt
import difflib
import io
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from airflow_mlops.errors import ConfigError, DataError

__all__ = ["CORRUPTIONS", "SCHEMA", "generated_hours", "nights_of", "read_hours", "write_night"]

SCHEMA = pa.schema(
    [
        ("instant", pa.int64()),
        ("dteday", pa.timestamp("us")),
        *((name, pa.int64()) for name in ("season", "yr", "mnth", "hr", "holiday", "weekday", "workingday")),
        ("weathersit", pa.int64()),
        *((name, pa.float64()) for name in ("temp", "atemp", "hum", "windspeed")),
        *((name, pa.int64()) for name in ("casual", "registered", "cnt")),
    ]
)

_HOURS = 24
_MICROSECONDS_AN_HOUR = 3_600_000_000

# Riders an hour in fair weather of 0.5, by hour of a working day and of another: the real system's year 2011.
# fmt: off
_COMMUTE = np.array(
    [28, 13, 7, 4, 5, 19, 77, 220, 361, 183, 102, 120, 152, 151, 139, 152, 222, 398, 373, 264, 189, 142, 105, 67]
)
_LEISURE = np.array(
    [69, 53, 40, 19, 6, 7, 14, 33, 80, 130, 194, 239, 277, 282, 276, 272, 267, 245, 213, 176, 133, 108, 88, 65]
)
# fmt: on

# Fixed dates on which nobody commutes: (month, day).
_HOLIDAYS = frozenset({(1, 1), (7, 4), (11, 11), (12, 25)})


def generated_hours(start: dt.date, nights: int, seed: int) -> pa.Table:
    """Hourly demand with weather, seasons, a weekday pattern and growth.

    The winter's riders are no guide to spring: warmth brings them out, and the system grows by up to 0.7 percent a
    night. So a model's inputs drift (covariate drift) and so does what they mean (concept drift).

    Parameters
    ----------
    start : date
        First night.
    nights : int
        How many, at least 1. A longer stream begins with the very rows of a shorter one.
    seed : int
        Seed of weather and noise.

    Returns
    -------
    pyarrow.Table
        ``24 * nights`` rows in ``SCHEMA``.

    Raises
    ------
    ConfigError
        If ``nights`` is less than 1.

    Examples
    --------
    >>> import datetime as dt
    >>> hours = generated_hours(dt.date(2025, 1, 20), nights=2, seed=7)
    >>> hours.num_rows, hours["dteday"][24].as_py().isoformat()
    (48, '2025-01-21T00:00:00')
    """
    if nights < 1:
        raise ConfigError(f"expected at least 1 night to generate, got {nights}.")
    hours = np.arange(_HOURS)
    days: list[dict[str, npt.NDArray[Any]]] = []
    warmth = front = 0.0
    for index in range(nights):
        night = start + dt.timedelta(days=index)
        random = np.random.default_rng([seed, night.toordinal()])
        # Weather outlasts a day: today is most of yesterday and a little news.
        warmth = 0.6 * warmth + random.normal(0, 0.04)
        front = 0.5 * front + random.normal(0, 0.8)
        day = _weather(night, warmth, front, random)
        working = night.weekday() < 5 and (night.month, night.day) not in _HOLIDAYS  # noqa: PLR2004 - Saturday is 5
        temp, hum, weathersit = day["temp"], day["hum"], day["weathersit"]
        # Few ride in the cold, most in the warmth, and between them lie few degrees: no winter tells of it.
        comfort = (0.3 + 1.0 / (1 + np.exp((0.42 - temp) / 0.06))) * (1.15 - 0.3 * hum)
        comfort = comfort * np.array([1.0, 0.9, 0.55, 0.25])[weathersit - 1] * (1 - 0.3 * day["windspeed"])
        # Growth wears off: 1.65 times as many riders at last, as in the real system's second year.
        growth = 1.65 - 0.65 * np.exp(-index / 90)
        expected = growth * comfort * (_COMMUTE if working else _LEISURE)
        cnt = random.poisson(expected * random.lognormal(0, 0.08))
        casual = random.binomial(cnt, 0.18 if working else 0.38)
        days.append(
            {
                "instant": hours + 1 + index * _HOURS,
                "dteday": (np.datetime64(night, "h") + hours).astype("datetime64[us]"),
                "season": np.full(_HOURS, _season(night)),
                "yr": np.full(_HOURS, night.year - start.year),
                "mnth": np.full(_HOURS, night.month),
                "hr": hours,
                "holiday": np.full(_HOURS, int((night.month, night.day) in _HOLIDAYS)),
                # The real data count from Sunday.
                "weekday": np.full(_HOURS, night.isoweekday() % 7),
                "workingday": np.full(_HOURS, int(working)),
                **day,
                "casual": casual,
                "registered": cnt - casual,
                "cnt": cnt,
            }
        )
    columns = {name: np.concatenate([day[name] for day in days]) for name in SCHEMA.names}
    return pa.table(columns, schema=SCHEMA)


def read_hours(csv: Path) -> pa.Table:
    """Read the real data, the file ``hour.csv`` of UCI 275.

    Parameters
    ----------
    csv : Path
        With a header that names at least the 17 columns; ``dteday`` is a date, ``hr`` the hour of it.

    Returns
    -------
    pyarrow.Table
        In ``SCHEMA``: ``dteday`` becomes date and hour, naive, in microseconds.

    Raises
    ------
    ConfigError
        If there is no such file.
    DataError
        If it is not a CSV with these columns, or a value is not of its column's type.
    """
    types = {field.name: field.type for field in SCHEMA} | {"dteday": pa.date32()}
    try:
        table = pyarrow.csv.read_csv(
            csv,
            # An empty field is a null for the contract to find, not an empty text.
            convert_options=pyarrow.csv.ConvertOptions(column_types=types),
        )
    except FileNotFoundError:
        raise ConfigError(f"expected the hourly data in {csv}, there is no such file. Check --data.") from None
    except (pa.ArrowInvalid, OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{csv}: expected a CSV with the columns {', '.join(SCHEMA.names)}, got: {error}. "
            "Give the file hour.csv of the bike sharing data, or leave --data out to generate a stream."
        ) from error
    if missing := [name for name in SCHEMA.names if name not in table.column_names]:
        near = difflib.get_close_matches(missing[0], table.column_names, n=1)
        raise DataError(
            f"{csv}: expected the columns {', '.join(SCHEMA.names)}; {', '.join(missing)} not there"
            f"{f' (is it {near[0]!r}?)' if near else ''}, got {', '.join(table.column_names)}."
        )
    table = table.select(SCHEMA.names)
    for name in ("dteday", "hr"):
        if nulls := table[name].null_count:
            raise DataError(f"{csv}: expected a value of {name} in every row, {nulls} of {table.num_rows} are empty.")
    if table.num_rows == 0:
        raise DataError(f"{csv}: expected hourly rows, got a header alone.")
    hour = table["hr"]
    bounds = pc.min_max(hour).as_py()
    if not 0 <= bounds["min"] <= bounds["max"] < _HOURS:
        raise DataError(f"{csv}: expected hr from 0 to 23, got {bounds['min']} to {bounds['max']}.")
    shift = pc.multiply(hour, _MICROSECONDS_AN_HOUR).cast(pa.duration("us"))
    time = pc.add(table["dteday"].cast(pa.timestamp("us")), shift)
    return table.set_column(SCHEMA.get_field_index("dteday"), "dteday", time).cast(SCHEMA).combine_chunks()


def nights_of(table: pa.Table) -> list[dt.date]:
    """Nights that a stream has rows of, in order."""
    return sorted(pc.unique(table["dteday"].cast(pa.date32())).to_pylist())


def write_night(table: pa.Table, night: dt.date, folder: Path, corrupt: str | None = None) -> Path:
    """Write one night of a stream as ``night=YYYY-MM-DD.parquet``: whole or not at all, the same bytes every time.

    Parameters
    ----------
    table : pyarrow.Table
        From ``generated_hours`` or ``read_hours``.
    night : date
        Which rows.
    folder : Path
        Where the nights lie; made if need be.
    corrupt : str, optional
        A key of ``CORRUPTIONS`` (``unit``, ``nulls``, ``schema``, ``timezone``, ``empty``) or ``torn``.

    Returns
    -------
    Path
        The file, replaced if it was there.

    Raises
    ------
    DataError
        If the stream has no row of that night.
    ConfigError
        If the corruption is not known.
    """
    if corrupt not in (None, "torn", *CORRUPTIONS):
        raise ConfigError(f"expected a corruption among torn, {', '.join(CORRUPTIONS)}, got {corrupt!r}.")
    rows = table.filter(pc.equal(table["dteday"].cast(pa.date32()), pa.scalar(night)))
    if rows.num_rows == 0:
        nights = nights_of(table)
        span = f"{nights[0]} to {nights[-1]}" if nights else "none"
        raise DataError(f"expected rows of the night {night}, the stream has none; it has nights from {span}.")
    if corrupt in CORRUPTIONS:
        rows = CORRUPTIONS[corrupt](rows)
    buffer = io.BytesIO()
    # Neither the pandas metadata nor the chunks of the source reach the file: bytes depend on the rows alone.
    pq.write_table(rows.replace_schema_metadata(None).combine_chunks(), buffer, compression="zstd")
    content = buffer.getvalue()
    if corrupt == "torn":
        content = content[: len(content) * 2 // 3]
    return _replaced(folder / f"night={night}.parquet", content)


def _weather(night: dt.date, warmth: float, front: float, random: np.random.Generator) -> dict[str, npt.NDArray[Any]]:
    hours = np.arange(_HOURS)
    # Coldest on the 20th of January, and at five in the morning.
    year = 0.47 - 0.27 * np.cos(2 * np.pi * (night.timetuple().tm_yday - 20) / 365.25)
    day = -0.06 * np.cos(2 * np.pi * (hours - 3) / _HOURS)
    temp = np.clip(year + day + warmth - 0.02 * front + random.normal(0, 0.01, _HOURS), 0.02, 1.0)
    hum = np.clip(0.6 + 0.1 * front - day + random.normal(0, 0.03, _HOURS), 0.1, 1.0)
    windspeed = np.clip(0.2 + 0.04 * front + random.normal(0, 0.06, _HOURS), 0.0, 0.85)
    # 1 clear, 2 mist, 3 light rain or snow, 4 storm.
    weathersit = 1 + np.digitize(front + random.normal(0, 0.3, _HOURS), [0.4, 1.3, 3.2])
    return {
        "weathersit": weathersit,
        "temp": temp.round(2),
        "atemp": np.clip(temp - 0.1 * windspeed, 0.0, 1.0).round(4),
        "hum": hum.round(2),
        "windspeed": windspeed.round(4),
    }


def _season(night: dt.date) -> int:
    # As in the real data: 1 from 21 December (winter), 2 spring, 3 summer, 4 autumn.
    starts = ((3, 21), (6, 21), (9, 23), (12, 21))
    return sum((night.month, night.day) >= start for start in starts) % 4 + 1


def _every_third_empty(rows: pa.Table, name: str) -> pa.Table:
    keep = pa.array(np.arange(rows.num_rows) % 3 != 0)
    return _with(rows, name, pc.if_else(keep, rows[name], pa.scalar(None, rows[name].type)))


def _with(rows: pa.Table, name: str, values: pa.ChunkedArray | pa.Array) -> pa.Table:
    return rows.set_column(rows.column_names.index(name), name, values)


CORRUPTIONS: dict[str, Callable[[pa.Table], pa.Table]] = {
    # The sensor's new firmware reports per cent instead of a share.
    "unit": lambda rows: _with(rows, "temp", pc.multiply(rows["temp"], 100.0)),
    "nulls": lambda rows: _every_third_empty(rows, "temp"),
    "schema": lambda rows: rows.rename_columns([{"temp": "temperature"}.get(name, name) for name in rows.column_names]),
    # A naive time that is no longer local time: Washington's winter is five hours behind UTC.
    "timezone": lambda rows: _with(rows, "dteday", pc.add(rows["dteday"], pa.scalar(dt.timedelta(hours=5)))),
    "empty": lambda rows: rows.slice(0, 0),
}


def _replaced(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=".unfinished-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        # mkstemp lets nobody else read it; the night is for every worker.
        Path(name).chmod(0o644)
        return Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
