"""Past windows as a person names them: files, and folders of files."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

from airflow_mlops.errors import ConfigError, DataError

__all__ = ["past_windows", "window_name"]

_SUFFIXES = (".parquet", ".pq", ".csv", ".tsv", ".csv.gz", ".tsv.gz")


def past_windows(sources: Sequence[str], *, current: str) -> list[tuple[str, str]]:
    """Names and places of past windows, in the order of their names.

    Where the current table lies among them, it and what is named after it are left out: they are no past. Where it
    lies elsewhere and bears a date, so are windows of that date and of later ones.

    Parameters
    ----------
    sources : sequence of str
        Files; folders, of which every file and every folder with files in it is a window.
    current : str
        The current table.

    Raises
    ------
    DataError
        If there is no such file or folder, or nothing in it that is a table.
    ConfigError
        If two are named alike.
    """
    from airflow_mlops.drift.past import DATE

    found = {place: window_name(place) for source in sources for place in _windows(source)}
    now = _resolved(current)
    named = sorted((name, place) for place, name in found.items())
    for (name, one), (other_name, other) in itertools.pairwise(named):
        if name == other_name:
            raise ConfigError(
                f"expected windows of different names, got {one} and {other}. Name them by their nights, such as "
                "night=2011-03-05.parquet."
            )
    if now in found:
        return [(name, place) for name, place in named if (name, place) < (found[now], now)]
    if today := DATE.search(window_name(current)):
        return [(name, place) for name, place in named if not (dated := DATE.search(name)) or dated[0] < today[0]]
    return named


def _windows(source: str) -> Iterator[str]:
    if "://" in source:
        yield source
        return
    path = Path(source)
    if not path.exists():
        raise DataError(f"expected past windows at {source}, there is nothing. Name files, or a folder with files.")
    if path.is_file():
        yield _resolved(source)
        return
    inside = [str(one.resolve()) for one in sorted(path.iterdir()) if _is_table(one) or _holds_tables(one)]
    if not inside:
        raise DataError(
            f"expected Parquet or CSV files in {source}, got none. Name the folder that holds the past windows."
        )
    yield from inside


def _is_table(path: Path) -> bool:
    # Spark's marks and hidden files are no windows.
    return path.is_file() and path.name.endswith(_SUFFIXES) and not path.name.startswith((".", "_"))


def _holds_tables(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith((".", "_")) and any(_is_table(one) for one in path.iterdir())


def _resolved(source: str) -> str:
    return source if "://" in source else str(Path(source).resolve())


def window_name(place: str) -> str:
    """A file's name without what says how it is written.

    Examples
    --------
    >>> window_name("data/night=2011-03-05.csv.gz")
    'night=2011-03-05'
    """
    name = place.rstrip("/").rsplit("/", 1)[-1]
    for suffix in sorted(_SUFFIXES, key=len, reverse=True):
        name = name.removesuffix(suffix)
    return name
