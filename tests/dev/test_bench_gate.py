"""Whether `dev/bench gate` can be believed: truths are what they are said to be, and bars can be missed."""

from __future__ import annotations

import json
from pathlib import Path

import bench_gate
import numpy as np
import pytest
from benchmarks import gate_errors, gate_references, gate_retrainings, gate_speed
from benchmarks.gate_errors import Cell
from benchmarks.gate_worlds import QUANTILE, Metric, Shape, World
from scipy import optimize, stats
from sklearn.metrics import accuracy_score, mean_absolute_error, mean_pinball_loss, root_mean_squared_error

from airflow_mlops.gate.rows import PairedPredictions
from airflow_mlops.records import Decision

# Right or wrong has no skew; a mean square of heavy tails takes forever to settle.
_SHAPES: dict[Metric, str] = {
    "mae": "independent clustered heavy skewed rare",
    "pinball": "independent clustered heavy skewed rare",
    "rmse": "independent clustered rare",
    "accuracy": "independent clustered heavy",
    "auc": "independent clustered heavy",
}


@pytest.mark.parametrize(
    ("metric", "shape"), [(metric, shape) for metric, shapes in _SHAPES.items() for shape in shapes.split()]
)
def test_a_challenger_is_worse_by_what_is_said(metric: Metric, shape: Shape) -> None:
    points = metric in ("accuracy", "auc")
    world = World(metric, shape, 2000, handicap=0.03 if points else 0.3)
    pairs = np.array([_metrics(metric, world.draw(np.random.default_rng(trial))) for trial in range(60)])
    challenger, champion = pairs.mean(axis=0)
    spread = pairs @ ([1.0, -1.0] if points else [1.0, -challenger / champion])
    error = spread.std(ddof=1) / np.sqrt(len(pairs)) / (1.0 if points else champion)
    found = champion - challenger if points else challenger / champion - 1.0
    # The ratio of mean squares is what is exact; of clusters few are drawn.
    assert abs(found - world.handicap) < 4.0 * error + 0.002
    assert error < 0.05 * (1 if not points else 0.1)


def _metrics(metric: Metric, rows: PairedPredictions) -> tuple[float, float]:
    assert rows.champion is not None
    values = []
    for answers in (rows.challenger, rows.champion):
        if metric == "auc":
            assert answers.probabilities is not None
            scores, positive = answers.probabilities[:, 1], rows.y_true == 1
            found = stats.mannwhitneyu(scores[positive], scores[~positive])
            values.append(float(found.statistic) / (positive.sum() * (~positive).sum()))
        elif metric == "pinball":
            values.append(float(mean_pinball_loss(rows.y_true, answers.values, alpha=QUANTILE)))
        else:
            of = {"rmse": root_mean_squared_error, "mae": mean_absolute_error, "accuracy": accuracy_score}[metric]
            values.append(float(of(rows.y_true, answers.values)))
    return values[0], values[1]


def test_worse_in_the_first_slice_alone() -> None:
    rows = World("rmse", "independent", 10_000, slices=20, handicap=0.3, only_first=True).draw(np.random.default_rng(0))
    first = rows.columns["region"] == "r00"
    assert rows.champion is not None
    worse = np.abs(rows.y_true - rows.challenger.values) > np.abs(rows.y_true - rows.champion.values)
    assert worse[first].mean() > 0.5
    assert worse[~first].mean() < 0.01


def test_tango_is_the_score_test_of_the_likeliest_probabilities() -> None:
    lost, won, rows, margin = 12, 5, 120, 0.03

    def unlikely(probability: float) -> float:
        lose, win = probability, probability - margin
        return -(lost * np.log(lose) + won * np.log(win) + (rows - lost - won) * np.log(1 - lose - win))

    likely = optimize.minimize_scalar(
        unlikely, bounds=(margin + 1e-9, 0.5), method="bounded", options={"xatol": 1e-12}
    ).x
    error = np.sqrt((2 * likely - margin - margin**2) / rows)
    expected = stats.norm.sf(((won - lost) / rows + margin) / error)
    assert gate_references.tango(lost, won, rows, margin) == pytest.approx(expected, rel=1e-5)


def test_mid_p_lies_half_a_probability_under_the_exact_test() -> None:
    exact = stats.binomtest(9, 12, alternative="greater").pvalue
    assert gate_references.mcnemar(3, 9) == pytest.approx(exact - stats.binom.pmf(9, 12, 0.5) / 2)


def test_delong_is_a_t_test_of_what_a_jackknife_sees() -> None:
    rows = World("auc", "independent", 400).draw(np.random.default_rng(3))
    assert rows.champion is not None
    scores = [
        answers.probabilities[:, 1] for answers in (rows.challenger, rows.champion) if answers.probabilities is not None
    ]

    def difference(kept: np.ndarray) -> float:
        up, down = kept & (rows.y_true == 1), kept & (rows.y_true == 0)
        aucs = [(score[up][:, None] > score[down]).mean() for score in scores]
        return float(aucs[0] - aucs[1])

    everything = np.ones(400, dtype=bool)
    left_out = np.array([difference(np.arange(400) != row) for row in range(400)])
    variance = sum(
        (size - 1) / size * np.sum((left_out[rows.y_true == label] - left_out[rows.y_true == label].mean()) ** 2)
        for label, size in ((0, 200), (1, 200))
    )
    expected = stats.norm.sf((difference(everything) + 0.02) / np.sqrt(variance))
    assert gate_references.delong(rows.y_true, scores[1], scores[0], 0.02) == pytest.approx(expected, rel=1e-6)


@pytest.mark.slow
def test_a_batch_is_the_same_wherever_it_is_judged() -> None:
    cell = Cell(World("accuracy", "independent", 200, handicap=0.02), "non_inferior", 0.02)
    alone = gate_errors.simulate([cell], trials=20, workers=1)[cell.name]
    told: list[int] = []
    spawned = gate_errors.simulate([cell], trials=20, workers=2, told=told.append)[cell.name]
    assert alone.decisions == spawned.decisions
    assert sum(told) == alone.trials == 20
    assert gate_errors.simulate([cell], trials=20, workers=1, fresh=True)[cell.name].trials == 20


def test_far_worse_and_far_better_challengers() -> None:
    for handicap, expected in ((0.5, Decision.REJECT), (-0.5, Decision.PROMOTE)):
        cell = Cell(World("mae", "independent", 200, handicap=handicap), "non_inferior", 0.05, compared=True)
        tally = gate_errors.tally(cell, 0, 10)
        assert tally.rate(expected) == 1.0
        assert tally.reference == (10 if expected is Decision.PROMOTE else 0)
        assert tally.test == "paired t"


def test_a_cell_that_promotes_too_often_is_judged_again_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A challenger that is worse by a tenth of the margin is mostly promoted, as all are where there is no gate.
    generous = Cell(World("mae", "independent", 1000, handicap=0.01), "non_inferior", 0.1)
    monkeypatch.setattr(gate_errors, "error_cells", lambda *, stress: [generous])
    file = tmp_path / "found.json"
    assert bench_gate.main(["errors", "--trials", "10", "--workers", "1", "--json", str(file)]) == 1
    said = json.loads(file.read_text())
    assert said["errors"]["again"][0]["trials"] == 50
    assert "mae, independent, 1000 rows, one rule" in said["missed"][0]
    assert "MISSED: mae, independent" in capsys.readouterr().out


def test_cells_have_names_of_their_own() -> None:
    for cells in (gate_errors.error_cells(), gate_errors.power_cells(), gate_errors.error_cells(stress=True)):
        assert len({cell.name for cell in cells}) == len(cells) > 0


@pytest.mark.parametrize("arguments", [["sped"], ["errors", "--trials", "0"], ["errors", "--only", "no such cell"]])
def test_nonsense_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        bench_gate.main(arguments)
    assert ended.value.code == 2
    assert "expected" in capsys.readouterr().err


@pytest.mark.slow
def test_scipy_and_we_answer_one_question() -> None:
    found = gate_speed.compare(rows=2000, slices=2, resamples=400, rounds=1)
    assert found["comparisons"] == 10
    assert found["bounds_apart"] < 0.5
    assert found["ours_peak_mb"] > 10
    assert found["scipy_seconds"] > 0


@pytest.mark.parametrize("setting", gate_retrainings.SETTINGS, ids=lambda setting: setting.world.metric)
def test_a_plain_comparison_is_what_mlflow_does_without_a_change(setting: gate_retrainings.Setting) -> None:
    found = gate_retrainings.retrain(setting, 40)
    plain, mlflow, wanting, ours, strict = found.values()
    assert plain == mlflow
    for handicap, counts in strict.items():
        assert counts.total() == 8
        assert counts["promote"] <= plain[handicap]["promote"]
        assert wanting[handicap]["promote"] <= plain[handicap]["promote"]
    assert gate_retrainings.summary(ours)["worse_promoted"] <= gate_retrainings.summary(plain)["worse_promoted"]
