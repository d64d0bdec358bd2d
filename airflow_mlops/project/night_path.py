"""Where nights lie: a path with ``{night}`` in it, as a root that a store is opened at and keys below it."""

from __future__ import annotations

import os
import re
from pathlib import Path

__all__ = ["expanded", "key_of", "root_of", "with_night"]

_NIGHT = "{night}"
_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::-(?P<default>[^}]*))?\}")


def expanded(path: str) -> str:
    """Put the values of environment variables in.

    Raises
    ------
    ValueError
        If one is not set, and has no default.

    Examples
    --------
    >>> expanded("${NO_SUCH_VARIABLE:-data}/night={night}.parquet")
    'data/night={night}.parquet'
    """

    def value(match: re.Match[str]) -> str:
        found = os.environ.get(match["name"], match["default"])
        if found is None:
            raise ValueError(
                f"names the environment variable {match['name']}, which is not set; "
                f"set it, or give a default: ${{{match['name']}:-data}}"
            )
        return found

    return _VARIABLE.sub(value, path)


def with_night(path: str) -> str:
    """Return the path itself, if the night stands below the root, which is where the store is opened.

    Raises
    ------
    ValueError
        If it does not, or not once.
    """
    if path.count(_NIGHT) != 1 or "/" not in path.partition(_NIGHT)[0]:
        raise ValueError(f"expected one {{night}} below a folder, such as data/night={{night}}.parquet, got {path!r}")
    return path


def root_of(path: str, folder: Path) -> str:
    """Address of the folder (or S3 prefix) that the nights lie below.

    Examples
    --------
    >>> root_of("s3://lake/bikes/night={night}/", Path("/srv")), root_of("data/{night}.csv", Path("/srv"))
    ('s3://lake/bikes', '/srv/data')
    """
    root = path.partition(_NIGHT)[0].rpartition("/")[0]
    return root if "://" in root else str(folder / root) if root else "/"


def key_of(path: str, night: object) -> str:
    """Key of a night's file (folder, pattern) below the root.

    Examples
    --------
    >>> key_of("s3://lake/bikes/night={night}/", "2011-03-05")
    'night=2011-03-05/'
    """
    head, _, tail = path.partition(_NIGHT)
    return f"{head.rpartition('/')[2]}{night}{tail}"
