"""Whether `dev/bench alerts` can be believed: streams do what they are said to do, and bars can be missed."""

from __future__ import annotations

import json
from pathlib import Path

import bench_alerts
import numpy as np
import pytest
from benchmarks import alerts, alerts_drawn, alerts_rows
from benchmarks.alerts import Alarms, Cell, Found

from airflow_mlops.calibrate import Budget
from airflow_mlops.drift.series import nightly_series

LAYOUT = alerts_drawn.LAYOUT
ROWS = 400


def of_kind(values: np.ndarray, kind: str, feature: str | None = None) -> np.ndarray:
    places = [
        place
        for place, (name, one) in enumerate(zip(LAYOUT.features, LAYOUT.kinds, strict=True))
        if one == kind and (feature is None or name == feature)
    ]
    return values[:, places]


def test_drawn_statistics_stray_as_those_of_rows_do() -> None:
    rng = np.random.default_rng(0)
    drawn = alerts_drawn.drawn("iid", ROWS, 4000, rng)
    assert drawn.std(axis=0) == pytest.approx(1.0, abs=0.06)
    world = alerts_rows.World("season", ROWS, 150, rng)
    world._effects[:] = 0
    profiles, _ = world.profiles(150)
    series = nightly_series(profiles)
    scaled = series.values / series.errors
    assert np.median(np.nanstd(scaled, axis=0)) == pytest.approx(1.0, abs=0.1)
    # A mean and the shares below fixed values of the same rows hang together, as they do where they are drawn.
    telling = [name == "mean of x1" or name.startswith("share of x1 below") for name in series.layout.names]
    tied = np.corrcoef(scaled[:, telling].T)[0, 1:]
    assert tied == pytest.approx([-0.585, -0.798, -0.585], abs=0.15)
    own = [of_kind(drawn, kind, "x1") for kind in ("mean", "shape")]
    assert np.corrcoef(np.hstack(own).T)[0, 1:] == pytest.approx([-0.585, -0.798, -0.585], abs=0.05)


@pytest.mark.parametrize(
    ("change", "kind", "moved"),
    [
        (alerts_drawn.Change("up", shift=(0.5,)), "mean", 0.5 * np.sqrt(5000)),
        (alerts_drawn.Change("wide", spread=1.5**0.5), "spread", 0.5 * np.log(1.5) * np.sqrt(2 * 5000)),
        (alerts_drawn.Change("nulls", nulls=(0.02, 0.06)), "nulls", 2 * np.sqrt(5000) * 0.1056),
    ],
)
def test_a_change_is_as_large_as_it_says_and_begins_after_the_history(
    change: alerts_drawn.Change, kind: str, moved: float
) -> None:
    values = alerts_drawn.drawn("iid", 5000, 156, np.random.default_rng(0), change)
    means = of_kind(values, kind)
    before, after = means[: alerts_drawn.HISTORY], means[alerts_drawn.HISTORY :]
    assert (after - before.mean(axis=0))[:, :3].mean() == pytest.approx(moved, rel=0.03)
    assert abs((after - before.mean(axis=0))[:, 3:].mean()) < 0.2


def test_effects_are_what_their_names_say() -> None:
    def effects(kind: alerts_drawn.Kind) -> np.ndarray:
        return alerts_drawn.night_effects(kind, 700, 20, np.random.default_rng(0))

    weekly = effects("season")
    assert weekly[:693] == pytest.approx(weekly[7:])
    assert 0.03 < weekly.std(axis=0).min() < weekly.std(axis=0).max() < 0.26
    slow = effects("ar 0.9")
    assert np.mean([np.corrcoef(one[1:], one[:-1])[0, 1] for one in slow.T]) == pytest.approx(0.9, abs=0.03)
    odd = effects("holidays").any(axis=1)
    assert 10 < odd.sum() < 30
    assert effects("ten odd nights").any(axis=1).sum() == 10


def test_the_rows_of_a_change_show_it() -> None:
    world = alerts_rows.World("season", 2000, 60, np.random.default_rng(0))
    plain = world.table(56)
    tables = {change: world.table(56, change) for change in alerts_rows.CHANGES}
    assert "x1" not in tables["vanished"].column_names
    assert tables["nulls 2 to 6 %"]["x0"].null_count > 80 > plain["x0"].null_count
    assert np.nanstd(tables["unit"]["x0"].to_numpy()) > 8
    correlations = []
    for table in (plain, tables["correlation flips"]):
        both = np.stack([table[name].to_numpy() for name in ("x0", "x1")])
        correlations.append(np.corrcoef(both[:, np.isfinite(both).all(axis=0)])[0, 1])
    assert correlations[0] > 0.05 > -0.05 > correlations[1]
    new = set(tables["new level"]["c0"].unique().to_pylist()) - set(plain["c0"].unique().to_pylist())
    assert len(new) == 1


def test_counting() -> None:
    alarms = Alarms(probability=[np.array([0.001, 0.01, 0.5]), np.array([0.02, 0.3, 0.4])], faults=[0, 0])
    assert alarms.within(0.01).tolist() == [2, 0]
    assert alarms.within(0.002).tolist() == [1, 0]
    found = Found(watch=[1, 4, 0, 6], drift=[2, 0, 0, 0])
    assert (found.within(1), found.within(4), found.within(4, "drift"), found.median) == (0.25, 0.5, 0.25, 5.0)


def test_a_noisy_stream_misses_its_bars_and_a_calm_one_misses_another() -> None:
    noisy = Alarms(probability=[np.full(100, 0.001)] * 4, faults=[0, 0, 0, 1])
    missed = bench_alerts._missed_alarms("drawn: iid, 500 rows", noisy, [Budget()])
    for words in ("watch on 100.00", "drift on 100.00", "95th percentile", "unmistakable"):
        assert any(words in line for line in missed)
    calm = Alarms(probability=[np.ones(100)] * 4, faults=[0] * 4)
    assert len(bench_alerts._missed_alarms("drawn: iid, 500 rows", calm, [Budget()])) == 1
    assert bench_alerts._missed_alarms("drawn: ten odd nights, 500 rows", calm, [Budget()]) == []


def test_what_is_found_late_is_named() -> None:
    cell = Cell("drawn", "season", 5000)
    assert bench_alerts._missed_change(cell, "0.5 sd", Found(watch=[1, 4], drift=[0, 0])) == []
    assert "50%" in bench_alerts._missed_change(cell, "0.5 sd", Found(watch=[1, 5], drift=[0, 0]))[0]
    assert "on night 1" in bench_alerts._missed_change(cell, "unit", Found(watch=[2, 2], drift=[0, 0]))[0]
    assert "night 9" in bench_alerts._missed_change(cell, bench_alerts._RAMP, Found(watch=[9, 9], drift=[0, 0]))[0]


def test_the_command_counts_and_writes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = Cell("drawn", "iid", 500)
    monkeypatch.setattr(bench_alerts, "false_alarm_cells", lambda *, large: [cell])
    file = tmp_path / "found.json"
    code = bench_alerts.main(["false", "--histories", "2", "--workers", "1", "--json", str(file)])
    said = json.loads(file.read_text())
    assert code == bool(said["missed"])
    assert "Nothing happens" in capsys.readouterr().out
    assert set(said["false"][cell.name]) == {"faults", "watch 0.01", "drift 0.002", "watch 0.05", "drift 0.01"}
    assert len(said["false"][cell.name]["faults"]) == 2


def test_cells_have_names_of_their_own() -> None:
    for cells in (alerts.false_alarm_cells(large=True), alerts.finding_cells()):
        assert len({cell.name for cell in cells}) == len(cells) > 0
    assert len(alerts.false_alarm_cells(large=False)) < len(alerts.false_alarm_cells(large=True))


@pytest.mark.parametrize("arguments", [["fals"], ["false", "--histories", "0"], ["found", "--only", "no such stream"]])
def test_nonsense_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        bench_alerts.main(arguments)
    assert ended.value.code == 2
    assert "expected" in capsys.readouterr().err
