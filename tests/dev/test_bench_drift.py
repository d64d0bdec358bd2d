"""Whether `dev/bench drift` can be believed: its tables are what they are said to be, and bars can be missed."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import bench_drift
import numpy as np
import pyarrow.parquet as pq
import pytest
from benchmarks import drift_speed
from benchmarks.drift_programs import OURS, PROFILE, Program, Run, environment, run
from benchmarks.drift_speed import Timed
from benchmarks.drift_tables import columns_of, write_table

HERE = Path(sys.executable)


def timed(name: str, *seconds: float, peak_mb: float = 100.0) -> Timed:
    found = [Run({"seconds": one}, one, one, peak_mb) for one in seconds]
    return Timed(Program(name, ""), runs=found)


def test_tables_hold_what_they_are_said_to_hold(tmp_path: Path) -> None:
    paths = [tmp_path / f"{place}.parquet" for place in range(3)]
    for path, shift in zip(paths, (0.0, 0.0, 1.0), strict=True):
        write_table(path, rows=5000, columns=20, seed=4, shift=shift)
    one, again, moved = (pq.read_table(path) for path in paths)
    assert one.equals(again)
    assert one.column_names == columns_of(20)
    assert (one["normal_0"].null_count > 0, one["normal_1"].null_count) == (True, 0)
    assert len(one["text_9"].unique()) == 3 + 1
    for name, sds in (("normal_2", 1.0), ("normal_3", 0.0)):
        before, now = (table[name].to_numpy() for table in (one, moved))
        assert (np.mean(now) - np.mean(before)) / np.std(before) == pytest.approx(sds, abs=0.05)


@pytest.mark.slow
def test_a_program_is_timed_from_outside_and_from_inside(tmp_path: Path) -> None:
    table, edges = tmp_path / "night.parquet", tmp_path / "edges.json"
    write_table(table, rows=2000, columns=10, seed=0)
    edges.write_text(json.dumps({"normal_1": [0.0, 1.0]}))
    found = run(PROFILE, HERE, table, edges)
    assert found.found["rows"] == 2000
    assert 0 < found.found["seconds"] < found.wall_seconds
    # Of a child, it begins with the size of who started it: here, of everything that the tests have loaded.
    assert found.peak_mb > 30
    with pytest.raises(RuntimeError, match=r"our profile ended with 1: (?s:.*)none\.parquet"):
        run(PROFILE, HERE, tmp_path / "none.parquet", edges)


@pytest.mark.slow
def test_ours_is_the_command_itself(tmp_path: Path) -> None:
    for name, shift in (("reference", 0.0), ("current", 2.0)):
        write_table(tmp_path / f"{name}.parquet", rows=5000, columns=10, seed=len(name), shift=shift)
    found = run(OURS, HERE, tmp_path / "reference.parquet", tmp_path / "current.parquet").found
    assert found["verdict"] == "drift"


def test_a_package_that_does_not_come_is_named(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"expected no-such/package, uv said: .*no-such"):
        environment(Program("none", "", ("no-such/package",)), tmp_path)
    assert environment(Program("ours", ""), tmp_path) == HERE


@pytest.mark.parametrize(
    ("ours", "peak_mb", "missed"),
    [((1.2, 1.3, 9.0), 100.0, 0), ((1.4, 1.5, 1.6), 100.0, 2), ((1.0, 1.0, 1.0), 701.0, 2)],
)
def test_a_scan_that_is_too_slow_or_too_large_is_told(
    ours: tuple[float, ...],
    peak_mb: float,
    missed: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def compared(*_: object, **__: object) -> list[Timed]:
        return [timed("ours", *ours, peak_mb=peak_mb), timed("scan", 1.0, 1.0, 1.0), timed("frame", 2.0, 2.0, 2.0)]

    monkeypatch.setattr(bench_drift, "compare_scan", compared)
    assert bench_drift.main(["scan"]) == (1 if missed else 0)
    assert capsys.readouterr().out.count("MISSED") == missed


def test_a_pair_that_is_not_fast_enough_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def compared(*_: object, **__: object) -> list[Timed]:
        return [timed("ours", 1.0), timed("NannyML", 11.0), timed("Evidently", 40.0)]

    monkeypatch.setattr(bench_drift, "compare_pair", compared)
    assert bench_drift.main(["pair", "--json", str(tmp_path / "out.json")]) == 1
    missed = [line for line in capsys.readouterr().out.splitlines() if "MISSED" in line]
    assert missed == ["MISSED: 1M x 20: Evidently takes 40.0 times as long as ours, 50 wanted"]
    assert json.loads((tmp_path / "out.json").read_text())["missed"] == [missed[0].removeprefix("MISSED: ")]
    assert bench_drift.main(["pair", "--rows", "1000"]) == 0


def test_programs_take_turns(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    order: list[str] = []

    def noted(program: Program, *_: object) -> Run:
        order.append(program.name)
        return Run({"seconds": 1.0}, 1.0, 1.0, 1.0)

    monkeypatch.setattr(drift_speed, "run", noted)
    monkeypatch.setattr(drift_speed, "environment", lambda program, cache: HERE)
    ours, *_ = drift_speed.compare_pair(100, rounds=2, folder=tmp_path, cache=tmp_path, told=lambda _: None)
    assert order == [ours.program.name, "NannyML", "Evidently"] * 2


@pytest.mark.parametrize("arguments", [["fast"], ["--rows", "0"], ["--rounds", "-1"]])
def test_what_is_no_argument_ends_with_two(arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        bench_drift.main(arguments)
