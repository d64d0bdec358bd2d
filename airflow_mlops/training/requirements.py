"""What a requirements file asks for, and whether it is here."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from airflow_mlops.errors import ConfigError

__all__ = ["is_satisfied", "requirement_lines"]

_HASH = re.compile(r"\s+--hash[= ]\S+")
_COMMENT = re.compile(r"(^|\s)#.*$")
_INCLUDE = re.compile(r"(?:-r|--requirement|-c|--constraint)[\s=]\s*(?P<file>\S+)")


def requirement_lines(requirements: Path) -> list[str]:
    """Lines of a requirements file and of those that it includes, without comments, hashes and breaks.

    Raises
    ------
    ConfigError
        If a file cannot be read, or includes itself.
    """
    return list(_lines(requirements, ()))


def is_satisfied(line: str) -> bool:
    """Whether what is installed here is what a line of a requirements file asks for.

    Options say where packages come from, not which; what is no name with a version (a path, an address) is installed
    to be sure.

    Examples
    --------
    >>> is_satisfied("packaging>=1"), is_satisfied("packaging==0.1"), is_satisfied("x; python_version < '3'")
    (True, False, True)
    """
    if line.startswith("-"):
        return not line.startswith(("-e", "--editable"))
    try:
        requirement = Requirement(line)
    except InvalidRequirement:
        return False
    return _is_met(requirement, frozenset())


def _is_met(requirement: Requirement, seen: frozenset[tuple[str, str]]) -> bool:
    if requirement.marker is not None and not requirement.marker.evaluate():
        return True
    try:
        installed = importlib.metadata.distribution(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return False
    # A local version such as 2.13.0+cpu is a 2.13.0 where none is asked for: that is what the specifiers mean.
    if requirement.url is not None or not requirement.specifier.contains(installed.version, prereleases=True):
        return False
    return all(_extra_is_met(installed, extra, seen) for extra in requirement.extras)


def _extra_is_met(distribution: importlib.metadata.Distribution, extra: str, seen: frozenset[tuple[str, str]]) -> bool:
    # Extras may ask for each other in circles.
    this = (canonicalize_name(distribution.name), canonicalize_name(extra))
    if this in seen:
        return True
    for line in distribution.requires or ():
        part = Requirement(line)
        if part.marker is not None and "extra" in str(part.marker) and part.marker.evaluate({"extra": extra}):
            part.marker = None
            if not _is_met(part, seen | {this}):
                return False
    return True


def _lines(file: Path, above: tuple[Path, ...]) -> Iterator[str]:
    file = file.resolve()
    if file in above:
        raise ConfigError(f"expected requirements that end, {file.name} includes itself. Remove that line.")
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"expected a readable requirements file {file.name}: {error}. Put it into the model project's folder."
        ) from error
    for raw in text.replace("\\\n", " ").splitlines():
        line = _HASH.sub("", _COMMENT.sub("", raw)).strip()
        if include := _INCLUDE.fullmatch(line):
            # What is only constrained is checked like what is required: at worst an environment too many.
            yield from _lines(file.parent / include["file"], (*above, file))
        elif line:
            yield line
