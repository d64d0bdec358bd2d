"""The shape of the house, file by file."""

from __future__ import annotations

import pkgutil
from importlib import import_module
from pathlib import Path

import pytest

import airflow_mlops

ROOT = Path(__file__).parents[1]
MODULES = [
    name
    for _, name, _ in pkgutil.walk_packages(airflow_mlops.__path__, "airflow_mlops.")
    if not name.endswith("__main__")
]
FILES = [path for folder in ("airflow_mlops", "dags", "dev", "tests") for path in sorted((ROOT / folder).rglob("*.py"))]


@pytest.mark.slow
@pytest.mark.parametrize("name", MODULES)
def test_all_is_true(name):
    module = import_module(name)
    exported = getattr(module, "__all__", ())
    assert list(exported) == sorted(exported, key=lambda one: (not one.isupper(), not one[0].isupper(), one))
    assert len(exported) == len(set(exported))
    assert all(hasattr(module, one) for one in exported)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_holds_one_idea(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= 400, f"expected at most 400 lines, found {lines}: find the second idea in it and give it a file"


def test_an_operator_has_at_most_ten_arguments_of_its_own():
    from airflow.sdk import BaseOperator

    for name in MODULES:
        if name.split(".")[1] in ("operators", "sensors"):
            for one in vars(import_module(name)).values():
                if isinstance(one, type) and issubclass(one, BaseOperator) and one.__module__ == name:
                    own = [arg for arg in _arguments(one) if arg not in ("self", "kwargs")]
                    assert len(own) <= 10, f"{one.__name__}: {own}"


def _arguments(operator: type) -> list[str]:
    import inspect

    return list(inspect.signature(operator.__init__).parameters)
