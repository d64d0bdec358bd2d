from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_mlops.cli import main


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    monkeypatch.delenv("AIRFLOW_MLOPS_STORE", raising=False)
    monkeypatch.setenv("COLUMNS", "160")

    def ran(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return ran
