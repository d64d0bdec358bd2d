"""What the training code says without being run: which files it is, what it imports, paths that it should not hold."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from airflow_mlops.project.faults import Fault

__all__ = ["Import", "Source", "faults_of_imports", "faults_of_paths", "read_requirements", "sources_of"]

# An absolute path of POSIX or Windows, a home, a share, an object store.
_ABSOLUTE = re.compile(
    r"~/"
    r"|/[\w.@-]+/"
    r"|/(?:data|home|media|mnt|opt|root|scratch|srv|tmp|var)$"
    r"|[A-Za-z]:[\\/]"
    r"|\\\\\w"
    r"|(?:abfss?|adl|azure|file|gcs|gs|hdfs|oss|r2|s3[an]?|wasbs?)://"
)


class Import(NamedTuple):
    """One top-level module that a file imports."""

    module: str
    line: int


class Source(NamedTuple):
    """A file of the project's own code, parsed."""

    file: Path
    tree: ast.Module

    @property
    def imports(self) -> list[Import]:
        """Every absolute import, wherever it stands in the file."""
        found = []
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found += [Import(alias.name.partition(".")[0], node.lineno) for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.append(Import(node.module.partition(".")[0], node.lineno))
        return sorted(found, key=lambda one: one.line)


def sources_of(folder: Path, module: str) -> tuple[list[Source], list[Fault]]:
    """Parse the entrypoint's module and every module of the folder that it leads to.

    Parameters
    ----------
    folder : Path
        The model project.
    module : str
        Dotted name, such as ``"train"``.

    Returns
    -------
    tuple of list
        The files, and a fault for each that is missing or no Python.
    """
    sources: dict[Path, Source] = {}
    faults: list[Fault] = []
    start = _file_of(folder, module)
    if start is None:
        expected = folder / f"{module.replace('.', '/')}.py"
        return [], [Fault(expected, "", None, "is missing; training.entrypoint names it")]
    waiting = [start]
    seen = {start}
    while waiting:
        file = waiting.pop()
        try:
            tree = ast.parse(file.read_bytes(), filename=str(file))
        except SyntaxError as error:
            faults.append(Fault(file, "", error.lineno, f"expected Python, got a syntax error: {error.msg}"))
            continue
        except ValueError as error:
            faults.append(Fault(file, "", None, f"expected Python, got: {error}"))
            continue
        sources[file] = Source(file, tree)
        nearby = {found for name in _modules_named(tree) for found in _files_of(folder, file.parent, name)}
        waiting += sorted(nearby - seen)
        seen |= nearby
    return list(sources.values()), faults


def faults_of_paths(source: Source) -> list[Fault]:
    """Texts of a file that are paths of one machine or store: the data comes through the context.

    Examples
    --------
    >>> code = 'DATA = "/home/ada/night.parquet"'
    >>> faults_of_paths(Source(Path("train.py"), ast.parse(code)))[0].line
    1
    """
    return [
        Fault(source.file, "", line, f"hard-coded path {text!r}; the data comes through the context, take the path out")
        for line, text in _texts(source.tree)
        if _ABSOLUTE.match(text)
    ]


def faults_of_imports(folder: Path, sources: Sequence[Source], requirements: Mapping[str, int]) -> list[Fault]:
    """Imports that no line of ``requirements.txt`` brings.

    Parameters
    ----------
    folder : Path
        The model project: its own modules need no requirement.
    sources : sequence of Source
        The code.
    requirements : mapping of str to int
        From ``read_requirements``.
    """
    brings = packages_distributions()
    installed = {canonicalize_name(name) for names in brings.values() for name in names}
    # One that is not installed here may bring any module: then nothing can be said about modules that are not either.
    unknown_named = any(name not in installed for name in requirements)
    faults = []
    told: set[str] = set()
    for source in sources:
        for module, line in source.imports:
            own = any(_files_of(folder, source.file.parent, module))
            if own or module in told or module in sys.stdlib_module_names or module == "airflow_mlops":
                continue
            distributions = brings.get(module, [])
            names = {canonicalize_name(name) for name in distributions} or {canonicalize_name(module)}
            if names & requirements.keys() or (not distributions and unknown_named):
                continue
            told.add(module)
            remedy = f"{distributions[0]}=={version(distributions[0])}" if distributions else f"what brings {module!r}"
            faults.append(
                Fault(source.file, "", line, f"imports {module!r}, which requirements.txt does not name; add {remedy}")
            )
    return faults


def read_requirements(file: Path) -> tuple[dict[str, int], list[Fault]]:
    """Names of a requirements file, with their lines; ``-r`` leads to further files.

    Returns
    -------
    tuple of dict and list
        Normalised names of distributions with the line that names them, and a fault for each line that pip
        would refuse.
    """
    names: dict[str, int] = {}
    faults: list[Fault] = []
    waiting, seen = [file], {file}
    while waiting:
        current = waiting.pop()
        try:
            text = current.read_text(encoding="utf-8-sig")
        except (FileNotFoundError, IsADirectoryError):
            faults.append(
                Fault(current, "", None, "is missing; it names the distributions that the training code needs")
            )
            continue
        except UnicodeDecodeError as error:
            faults.append(Fault(current, "", None, f"expected UTF-8 text: {error.reason}"))
            continue
        for number, line in _joined_lines(text):
            option, _, value = line.partition(" ")
            if option in ("-r", "--requirement"):
                further = (current.parent / value.strip()).resolve()
                waiting += [further] if further not in seen else []
                seen.add(further)
            elif not line.startswith("-"):
                try:
                    # Hashes follow the requirement; a comment needs a blank before it.
                    requirement = Requirement(re.split(r"\s+(?:--|#)", line)[0])
                except InvalidRequirement as error:
                    reason = str(error).splitlines()[0]
                    faults.append(Fault(current, "", number, f"expected a requirement such as torch==2.13.0: {reason}"))
                else:
                    names.setdefault(canonicalize_name(requirement.name), number)
    return names, faults


def _joined_lines(text: str) -> Iterator[tuple[int, str]]:
    start, held = 0, ""
    for number, line in enumerate(text.splitlines(), start=1):
        start = start if held else number
        if line.endswith("\\"):
            held += line[:-1] + " "
            continue
        joined = (held + line).strip()
        held = ""
        if joined and not joined.startswith("#"):
            yield start, joined
    if held.strip():
        yield start, held.strip()


def _modules_named(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ([node.module] if node.module else [])
            # What is imported from a package may be a module of it.
            yield from (f"{node.module}.{alias.name}" if node.module else alias.name for alias in node.names)


def _files_of(folder: Path, beside: Path, module: str) -> Iterator[Path]:
    for root in {folder, beside}:
        if found := _file_of(root, module):
            yield found
        # A package's own __init__ runs with any of its modules.
        if found := _file_of(root, module.partition(".")[0]):
            yield found


def _file_of(folder: Path, module: str) -> Path | None:
    place = folder.joinpath(*module.split("."))
    candidates = (place.with_name(f"{place.name}.py"), place / "__init__.py")
    return next((file for file in candidates if file.is_file()), None)


def _texts(tree: ast.Module) -> Iterator[tuple[int, str]]:
    # Documentation may name a path, and a text that is appended to another is no path of its own.
    passed: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):
            passed.add(id(node.value))
        elif isinstance(node, ast.JoinedStr):
            passed.update(id(part) for part in node.values[1:])
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            passed.add(id(node.right))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in passed:
            yield node.lineno, node.value
