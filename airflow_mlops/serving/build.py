"""From a trained artefact to a Bento: a service is generated for it, built in a fresh process, and exported."""

from __future__ import annotations

import json
import re
import shutil
import string
import tempfile
from collections.abc import Callable, Mapping
from importlib import metadata, resources
from pathlib import Path

from airflow_mlops.errors import ConfigError, DataError, require
from airflow_mlops.records import short
from airflow_mlops.serving.bento_store import BentoStore

__all__ = ["bento_tag", "build_bento", "service_source"]

# What BentoML accepts in a tag.
_NAME = re.compile(r"[a-z0-9]([-._a-z0-9]*[a-z0-9])?")


def bento_tag(model: str, artefact_digest: str) -> str:
    """Tag of the Bento of an artefact: the version comes from its digest.

    Raises
    ------
    ConfigError
        If BentoML does not accept the model's name.

    Examples
    --------
    >>> bento_tag("demand", "sha256:e3b0c44298fc1c149afbf4c8")
    'demand:e3b0c44298fc'
    """
    if not _NAME.fullmatch(model):
        raise ConfigError(
            f"expected a model name of small letters, digits, '_', '-' and '.' that ends in a letter or digit, "
            f"got {model!r}; BentoML accepts no other. Rename the model in model.toml."
        )
    return f"{model}:{short(artefact_digest)}"


def service_source(model: str, artefact_digest: str) -> str:
    """Source of the service that answers for an artefact, which it expects beside it in ``artefact/``."""
    template = resources.files(__package__).joinpath("service.py.template").read_text(encoding="utf-8")
    return string.Template(template).substitute(
        model=json.dumps(model), version=json.dumps(short(artefact_digest)), digest=json.dumps(artefact_digest)
    )


def build_bento(
    artefact: Path,
    *,
    model: str,
    artefact_digest: str,
    labels: Mapping[str, str],
    bentoml_home: Path,
    archive: Path,
    on_line: Callable[[str], None],
) -> str:
    """Build the Bento of an artefact and export it; where it is built already, only export it.

    Nothing is downloaded: the requirements name the installed versions of torch and numpy, and are not resolved.

    Parameters
    ----------
    artefact : Path
        Folder with ``model.pt2`` and ``signature.json``.
    model : str
        Name of the model.
    artefact_digest : str
        ``sha256:...`` of the artefact; its first 12 hex digits become the version.
    labels : mapping of str to str
        Kept in the Bento, such as run id and manifest.
    bentoml_home : Path
        Store that it is built into.
    archive : Path
        Where the exported ``.bento`` file goes; an older one there is replaced.
    on_line : callable
        Gets each line of the build's output.

    Returns
    -------
    str
        ``model:version``.

    Raises
    ------
    ConfigError
        If BentoML does not accept the model's name, or is not installed.
    DataError
        If the artefact lacks a file, or its signature names no features.
    RemoteJobFailed
        If BentoML fails, with what it said last.
    """
    require("bentoml", extra="bentoml")
    tag = bento_tag(model, artefact_digest)
    _check_artefact(artefact)
    with tempfile.TemporaryDirectory(prefix="bento-context-") as folder:
        context = Path(folder)
        shutil.copytree(artefact, context / "artefact")
        (context / "service.py").write_text(service_source(model, artefact_digest), encoding="utf-8")
        options = {
            "service": "service:Service",
            "labels": dict(labels),
            "python": {"packages": [_pinned("numpy"), _pinned("torch")], "lock_packages": False},
        }
        BentoStore(bentoml_home).build(context, tag, archive, options=options, on_line=on_line)
    return tag


def _check_artefact(artefact: Path) -> None:
    if missing := [name for name in ("model.pt2", "signature.json") if not (artefact / name).is_file()]:
        raise DataError(
            f"expected model.pt2 and signature.json in the artefact {artefact}, {' and '.join(missing)} missing. "
            "Train the model again."
        )
    try:
        features = json.loads((artefact / "signature.json").read_text(encoding="utf-8"))["features"]
    except (ValueError, KeyError, TypeError) as error:
        features = error
    if not (isinstance(features, list) and features and all(isinstance(name, str) for name in features)):
        raise DataError(
            f'expected {{"features": ["...", ...]}} in {artefact / "signature.json"}, got {features!r}. '
            "Train the model again."
        )


def _pinned(package: str) -> str:
    try:
        # Without the local part: 2.13.0+cpu is what one machine has, 2.13.0 what every index has.
        return f"{package}=={metadata.version(package).partition('+')[0]}"
    except metadata.PackageNotFoundError:
        raise ConfigError(
            f"expected the library {package!r}, which the service needs and which is not installed here. "
            "Run: pip install 'airflow-provider-mlops[train]'"
        ) from None
