from __future__ import annotations

import inspect
import sys

import pytest

from airflow_mlops import errors
from airflow_mlops.errors import MissingExtra, MLOpsError, require, require_installed


def test_all_is_true() -> None:
    defined = {
        name
        for name, value in vars(errors).items()
        if getattr(value, "__module__", None) == errors.__name__ and not name.startswith("_")
    }
    assert set(errors.__all__) == defined
    assert list(errors.__all__) == sorted(errors.__all__, key=lambda name: (name.islower(), name))


def test_the_drawing_shows_the_whole_family() -> None:
    family = [value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, MLOpsError)]
    assert len(family) > 5
    for error in family:
        line = next(line for line in (errors.__doc__ or "").splitlines() if error.__name__ in line.split())
        if error.__subclasses__() == [] or "retry" in line:
            assert ("a retry can help" in line) == error.retryable


def test_a_missing_library_names_the_pip_command() -> None:
    with pytest.raises(MissingExtra, match=r"pip install 'airflow-provider-mlops\[soda\]'") as caught:
        require("no_such_library.inside", extra="soda")
    assert "no_such_library" in str(caught.value)
    assert isinstance(caught.value, ValueError)
    assert not caught.value.retryable


def test_a_library_that_another_process_needs_is_looked_for_and_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    require_installed("json", "this", extra="train")
    assert "this" not in sys.modules
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtra, match=r"'torch'.* pip install 'airflow-provider-mlops\[train\]'"):
        require_installed("json", "torch", extra="train")
    with pytest.raises(MissingExtra, match="'no_such_library'"):
        require_installed("no_such_library", "torch", extra="train")


def test_a_library_that_is_there_but_broken_speaks_for_itself(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_library.py").write_text("import what_it_needs_itself\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="what_it_needs_itself"):
        require("broken_library", extra="soda")
