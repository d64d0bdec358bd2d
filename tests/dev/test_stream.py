from __future__ import annotations

import datetime as dt
import hashlib
import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_mlops.errors import ConfigError, DataError

START = dt.date(2025, 2, 1)


def _load() -> ModuleType:
    # dev/ is a folder of commands, no package: its modules are found by their path.
    spec = importlib.util.spec_from_file_location("stream", Path(__file__).parents[2] / "dev" / "stream.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


stream = _load()


@pytest.fixture(scope="module")
def hours() -> pa.Table:
    return stream.generated_hours(START, nights=77, seed=7)


def _column(table: pa.Table, name: str) -> np.ndarray:
    return table[name].to_numpy()


def test_generated_hours_have_the_columns_of_the_real_data(hours: pa.Table) -> None:
    assert hours.schema.equals(stream.SCHEMA)
    assert hours.num_rows == 77 * 24
    assert all(column.null_count == 0 for column in hours.columns)
    assert stream.nights_of(hours) == [START + dt.timedelta(days=day) for day in range(77)]


def test_generated_values_lie_in_the_ranges_of_the_real_data(hours: pa.Table) -> None:
    for name in ("temp", "atemp", "hum", "windspeed"):
        assert 0 <= _column(hours, name).min() <= _column(hours, name).max() <= 1
    assert set(_column(hours, "weathersit")) <= {1, 2, 3, 4}
    assert set(_column(hours, "hr")) == set(range(24))
    assert set(_column(hours, "weekday")) == set(range(7))
    assert _column(hours, "cnt").min() >= 0
    assert (_column(hours, "casual") + _column(hours, "registered") == _column(hours, "cnt")).all()
    first = hours.slice(0, 1).to_pylist()[0]
    assert (first["weekday"], first["workingday"], first["season"]) == (6, 0, 1)  # Saturday, winter


def test_generated_seasons_follow_the_calendar() -> None:
    year = stream.generated_hours(dt.date(2025, 1, 1), nights=365, seed=1)
    season = dict(zip(stream.nights_of(year), _column(year, "season")[::24], strict=True))
    days = [(3, 20), (3, 21), (6, 21), (9, 23), (12, 20), (12, 21)]
    assert [season[dt.date(2025, *day)] for day in days] == [1, 2, 3, 4, 4, 1]
    assert _column(year, "holiday").sum() == 4 * 24


def test_a_longer_stream_begins_with_the_shorter_one(hours: pa.Table) -> None:
    assert stream.generated_hours(START, nights=10, seed=7).equals(hours.slice(0, 240))
    assert not stream.generated_hours(START, nights=10, seed=8).equals(hours.slice(0, 240))


def test_what_was_learned_in_winter_fails_in_spring_and_a_retrain_helps(hours: pa.Table) -> None:
    """Least squares on hour-of-day, working day and weather: even it can follow the drift."""
    working, hr, temp = (_column(hours, name) for name in ("workingday", "hr", "temp"))
    slots = np.eye(48)[hr + 24 * working]
    inputs = np.hstack([slots, slots * temp[:, None]])
    demand = _column(hours, "cnt").astype(float)

    def rmse_after(start: int, stop: int) -> float:
        weights, *_ = np.linalg.lstsq(inputs[start * 24 : stop * 24], demand[start * 24 : stop * 24], rcond=1e-6)
        last = slice(70 * 24, 77 * 24)
        return float(np.sqrt(np.mean((inputs[last] @ weights - demand[last]) ** 2)))

    assert temp[70 * 24 :].mean() > temp[: 49 * 24].mean() + 2 * temp[: 49 * 24].std()
    assert rmse_after(0, 70) < 0.8 * rmse_after(0, 49)


def test_no_night_cannot_be_generated() -> None:
    with pytest.raises(ConfigError, match="at least 1 night"):
        stream.generated_hours(START, nights=0, seed=7)


CSV_HEADER = ",".join(stream.SCHEMA.names)
CSV_ROWS = """
1,2011-01-01,1,0,1,0,0,6,0,1,0.24,0.2879,0.81,0.0,3,13,16
2,2011-01-01,1,0,1,23,0,6,0,1,0.22,0.2727,0.8,0,8,32,40
3,2011-01-02,1,0,1,5,0,0,0,1,0.22,0.2727,,0.0,5,27,32
"""


def _csv(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "hour.csv"
    path.write_text(text)
    return path


def test_read_hours_puts_date_and_hour_together(tmp_path: Path) -> None:
    table = stream.read_hours(_csv(tmp_path, CSV_HEADER + CSV_ROWS))
    assert table.schema.equals(stream.SCHEMA)
    assert table["dteday"].to_pylist() == [
        dt.datetime(2011, 1, 1, 0),
        dt.datetime(2011, 1, 1, 23),
        dt.datetime(2011, 1, 2, 5),
    ]
    assert table["hum"].to_pylist() == [0.81, 0.8, None]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a CSV"),
        (CSV_HEADER + "\n", "header alone"),
        (CSV_HEADER.replace("temp,", "tempp,", 1) + CSV_ROWS, "temp not there .is it 'tempp'"),
        (CSV_HEADER + "\n1,2011-01-01,1\n", "expected a CSV"),
        (CSV_HEADER + CSV_ROWS.replace("0.24", "cold"), "cold"),
        (CSV_HEADER + CSV_ROWS.replace("2011-01-02", "2nd of January"), "2nd of January"),
        (CSV_HEADER + CSV_ROWS.replace("1,0,1,5,", "1,0,1,,"), "hr in every row, 1 of 3"),
        (CSV_HEADER + CSV_ROWS.replace("1,0,1,5,", "1,0,1,24,"), "hr from 0 to 23, got 0 to 24"),
        ("\0\1\2PAR1", "expected a CSV|not there"),
    ],
)
def test_read_hours_says_what_is_wrong_with_a_file(tmp_path: Path, text: str, message: str) -> None:
    path = _csv(tmp_path, text)
    with pytest.raises(DataError, match=message) as caught:
        stream.read_hours(path)
    assert str(path) in str(caught.value)


def test_read_hours_without_a_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no such file. Check --data"):
        stream.read_hours(tmp_path / "hour.csv")
    with pytest.raises(DataError, match="expected a CSV"):
        stream.read_hours(tmp_path)


def test_write_night_is_whole_and_the_same_every_time(hours: pa.Table, tmp_path: Path) -> None:
    night = START + dt.timedelta(days=3)
    path = stream.write_night(hours, night, tmp_path / "data")
    assert path == tmp_path / "data" / "night=2025-02-04.parquet"
    assert pq.read_table(path).equals(hours.slice(72, 24))
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    # Other chunks and another way to the same rows: the same bytes.
    again = stream.write_night(pa.concat_tables([hours.slice(0, 80), hours.slice(80)]), night, tmp_path / "data")
    assert hashlib.sha256(again.read_bytes()).hexdigest() == before
    assert [file.name for file in (tmp_path / "data").iterdir()] == [path.name]
    assert path.stat().st_mode & 0o777 == 0o644


def test_write_night_refuses_what_it_does_not_know(hours: pa.Table, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="2024-01-01, the stream has none; it has nights from 2025-02-01 to"):
        stream.write_night(hours, dt.date(2024, 1, 1), tmp_path)
    with pytest.raises(ConfigError, match=r"among torn, unit, .* got 'rust'"):
        stream.write_night(hours, START, tmp_path, corrupt="rust")
    assert list(tmp_path.iterdir()) == []


def test_each_corruption_is_one(hours: pa.Table, tmp_path: Path) -> None:
    whole = pq.read_table(stream.write_night(hours, START, tmp_path))

    def corrupted(kind: str) -> pa.Table:
        return pq.read_table(stream.write_night(hours, START, tmp_path, corrupt=kind))

    assert corrupted("unit")["temp"].to_pylist() == [value * 100 for value in whole["temp"].to_pylist()]
    assert corrupted("nulls")["temp"].null_count == 8
    assert "temperature" in corrupted("schema").column_names
    assert corrupted("timezone")["dteday"][0].as_py() == dt.datetime(2025, 2, 1, 5)
    assert corrupted("empty").num_rows == 0
    assert set(stream.CORRUPTIONS) == {"unit", "nulls", "schema", "timezone", "empty"}
    with pytest.raises(pa.ArrowInvalid):
        corrupted("torn")
