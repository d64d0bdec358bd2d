from __future__ import annotations

from pathlib import Path

import pytest

from airflow_mlops.cli.windows import past_windows
from airflow_mlops.errors import ConfigError, DataError


def test_windows_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b/2.parquet", "b/10.parquet", "b/_SUCCESS", "b/.hidden.csv", "b/part/x.csv", "1.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = past_windows([str(tmp_path / "b"), str(tmp_path / "1.csv")], current="elsewhere.csv")
    assert [name for name, _ in found] == ["1", "10", "2", "part"]
    # What is named after the current table is no past, nor is the table itself.
    found = past_windows([str(tmp_path / "b")], current=str(tmp_path / "b" / "2.parquet"))
    assert [name for name, _ in found] == ["10"]
    with pytest.raises(DataError, match="expected past windows at"):
        past_windows([str(tmp_path / "nowhere")], current="x")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="expected Parquet or CSV files in"):
        past_windows([str(tmp_path / "empty")], current="x")


def test_windows_of_one_name_are_refused(tmp_path: Path) -> None:
    for night in ("2011-03-05", "2011-03-06"):
        (tmp_path / night).mkdir()
        (tmp_path / night / "data.parquet").touch()
    with pytest.raises(ConfigError, match="expected windows of different names"):
        past_windows([str(path) for path in tmp_path.glob("*/data.parquet")], current="now.parquet")


def test_later_nights_are_no_past_of_a_night_that_lies_elsewhere(tmp_path: Path) -> None:
    for day in (3, 4, 5, 6):
        (tmp_path / f"night=2011-03-0{day}.csv").write_text("a\n1\n")
    (tmp_path / "before.csv").write_text("a\n1\n")
    found = past_windows([str(tmp_path)], current="corrected/night=2011-03-05.parquet")
    assert [name for name, _ in found] == ["before", "night=2011-03-03", "night=2011-03-04"]
