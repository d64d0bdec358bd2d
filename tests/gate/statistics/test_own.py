from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest

from airflow_mlops.errors import ConfigError
from airflow_mlops.gate.statistics.own import load_metric, own_value

TWO = np.zeros(2)


def exits(y_true: object, y_pred: object) -> float:
    raise SystemExit(0)


def chatty(y_true: object, y_pred: object) -> float:
    sys.stdout.write("looking\n")
    return 1.5


def test_a_metric_that_exits_has_no_figure() -> None:
    value, why = own_value(exits, TWO, TWO)
    assert math.isnan(value)
    assert why == "the metric raised SystemExit: 0"


def test_what_a_metric_prints_goes_beside_the_answer(capsys: pytest.CaptureFixture[str]) -> None:
    assert own_value(chatty, TWO, TWO) == (1.5, "")
    assert capsys.readouterr() == ("", "looking\n")


def test_a_module_that_exits_or_prints_while_it_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "leaving_metrics.py").write_text("print('bye')\nraise SystemExit(0)\n")
    with pytest.raises(ConfigError, match="SystemExit: 0"):
        load_metric("leaving_metrics.anything")
    assert capsys.readouterr() == ("", "bye\n")
    assert "leaving_metrics" not in sys.modules


def test_a_metric_that_gives_no_number_says_what_it_gave() -> None:
    assert own_value(lambda y_true, y_pred: np.ones(2), TWO, TWO)[1] == "the metric gave array([1., 1.]), no number"
