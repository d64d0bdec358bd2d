from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from airflow_mlops.gate import Answers, PairedPredictions
from airflow_mlops.gate.weakspots import weak_spots
from airflow_mlops.project.gate_spec import GateSpec, RuleSpec

MAE = RuleSpec(metric="mae", kind="non_inferior", margin=0.1)


def spec(*slices: str, rule: RuleSpec = MAE, **more: Any) -> GateSpec:
    return GateSpec(rules=(rule,), slices=slices, **more)


def world(seed: int = 0, n: int = 6000) -> tuple[np.random.Generator, dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    columns = {
        "region": rng.choice(["north", "south", "east", "west"], n),
        "weekday": rng.integers(0, 7, n).astype(str),
        "temperature": np.round(rng.normal(15, 8, n), 1).astype(str),
    }
    return rng, columns


def paired(challenger: np.ndarray, champion: np.ndarray, columns: dict[str, np.ndarray], **more: Any) -> Any:
    n = challenger.size
    return PairedPredictions(
        **{"task": "regression", "row_id": np.arange(n).astype(str), "y_true": np.zeros(n)} | more,
        challenger=Answers(challenger),
        champion=Answers(champion),
        columns=columns,
    )


def test_it_finds_the_level_where_the_challenger_loses_and_nothing_beside() -> None:
    rng, columns = world()
    new, old = rng.normal(0, 40, (2, 6000))
    new[columns["region"] == "north"] *= 1.4
    new[columns["region"] == "south"] *= 0.6
    spots, warnings = weak_spots(spec("region", "weekday", "temperature"), paired(new, old, columns), on="golden")
    assert warnings == ()
    [spot] = spots
    inside = columns["region"] == "north"
    assert (spot.on, spot.slice, spot.rows) == ("golden", "region=north", inside.sum())
    assert spot.challenger == pytest.approx(np.abs(new[inside]).mean())
    assert spot.champion == pytest.approx(np.abs(old[inside]).mean())
    assert spot.p_worse < 1e-6


def test_it_finds_two_conditions_that_only_hurt_together() -> None:
    rng, columns = world(1)
    new, old = rng.normal(0, 40, (2, 6000))
    hurt = (columns["region"] == "east") & (columns["weekday"] == "6")
    new[hurt] *= 3.0
    spots, _ = weak_spots(spec("weekday", "region", "temperature"), paired(new, old, columns), on="recent")
    assert [(spot.slice, spot.rows) for spot in spots[:1]] == [("weekday=6, region=east", hurt.sum())]


def test_numbers_are_cut_at_their_quartiles() -> None:
    rng, columns = world(2)
    new, old = rng.normal(0, 40, (2, 6000))
    temperature = columns["temperature"].astype(float)
    edges = np.quantile(temperature, [0.75, 1.0])
    new[temperature > edges[0]] *= 1.5
    columns["temperature"][:40] = ""
    [spot] = weak_spots(spec("temperature"), paired(new, old, columns), on="golden")[0]
    assert spot.slice.startswith("temperature=2")
    assert spot.slice.endswith(f" to {edges[1]:g}")
    assert 1400 < spot.rows < 1600


def test_at_most_three_the_worst_first() -> None:
    rng, columns = world(3, 12000)
    columns = {"month": rng.integers(1, 13, 12000).astype(str)}
    new, old = rng.normal(0, 40, (2, 12000))
    for month, factor in {"2": 1.5, "5": 3.0, "7": 2.5, "11": 2.0}.items():
        new[columns["month"] == month] *= factor
    spots, _ = weak_spots(spec("month"), paired(new, old, columns), on="golden")
    assert [spot.slice for spot in spots] == ["month=5", "month=7", "month=11"]


def test_of_equal_models_it_mostly_finds_nothing() -> None:
    """Found by looking at about eighty slices: without Holm, nearly every trial would find something."""
    found = 0
    for seed in range(60):
        rng, columns = world(100 + seed, 3000)
        new, old = rng.normal(0, 40, (2, 3000))
        found += bool(weak_spots(spec("region", "weekday", "temperature"), paired(new, old, columns), on="golden")[0])
    # 5 % of 60, and three standard errors.
    assert found <= 3 + 5


def test_rows_of_a_night_are_not_counted_as_witnesses() -> None:
    """A night whose rows all err alike is one bad night, however many rows it has."""
    found = {"nights": 0, "rows": 0}
    for seed in range(30):
        rng = np.random.default_rng(seed)
        night, region = np.repeat(np.arange(20), 100), np.tile(np.repeat(["a", "b"], 50), 20)
        new, old = (np.abs(np.repeat(rng.normal(0, 40, 40), 50)) + rng.random(2000) for _ in range(2))
        columns = {"region": region, "night": night.astype(str)}
        found["nights"] += bool(weak_spots(spec("region"), paired(new, old, columns), on="golden")[0])
        found["rows"] += bool(weak_spots(spec("region"), paired(new, old, {"region": region}), on="golden")[0])
    assert found["nights"] <= 6
    assert found["rows"] >= 12


def test_thin_slices_are_not_looked_into() -> None:
    rng, columns = world(4)
    new, old = rng.normal(0, 1, (2, 6000))
    columns["region"][:49] = "tiny"
    new[:49] = 1e6
    assert weak_spots(spec("region"), paired(new, old, columns), on="golden")[0] == []
    columns["region"][49] = "tiny"
    new[:50] = 1e6 + rng.random(50)
    [spot] = weak_spots(spec("region"), paired(new, old, columns), on="golden")[0]
    assert (spot.slice, spot.rows) == ("region=tiny", 50)


@pytest.mark.parametrize("metric", ["rmse", "auc", "accuracy", "log_loss", "brier"])
def test_every_task_has_a_loss_to_look_into(metric: str) -> None:
    rng, columns = world(5)
    north = columns["region"] == "north"
    if metric == "rmse":
        new, old = rng.normal(0, 40, (2, 6000))
        new[north] *= 1.6
        rows = paired(new, old, columns)
    else:
        y_true = rng.integers(0, 2, 6000).astype(float)
        sure = np.stack([np.where(north, 0.45, 0.8), np.full(6000, 0.75)]) + rng.normal(0, 0.1, (2, 6000))
        of_truth = np.clip(sure, 0.01, 0.99)
        positive = np.where(y_true == 1, of_truth, 1 - of_truth)
        answers = [Answers((each > 0.5).astype(float), np.stack([1 - each, each], axis=1)) for each in positive]
        rows = PairedPredictions(
            "binary", np.arange(6000).astype(str), y_true, *answers, classes=("no", "yes"), columns=columns
        )
    rule = RuleSpec(metric=metric, kind="non_inferior", margin=0.05)
    spots, _ = weak_spots(spec("region", "weekday", rule=rule), rows, on="golden")
    assert spots[0].slice == "region=north"
    worse = spots[0].challenger < spots[0].champion if metric == "accuracy" else spots[0].challenger > spots[0].champion
    assert worse
    if metric == "rmse":
        new = rows.challenger.values[north]
        assert spots[0].challenger == pytest.approx(np.sqrt((new**2).mean()))


def test_of_a_ranking_queries_are_counted() -> None:
    rng = np.random.default_rng(6)
    queries, each = 1200, 5
    query = np.repeat(np.arange(queries), each).astype(str)
    y_true = np.tile([0.0, 0.0, 1.0, 0.0, 2.0], queries)
    device = np.repeat(rng.choice(["phone", "desk"], queries), each)
    good = y_true + rng.normal(0, 0.5, y_true.size)
    bad = np.where(device == "phone", rng.normal(0, 1, y_true.size), good)
    rule = RuleSpec(metric="ndcg", kind="non_inferior", margin=0.02)
    rows = paired(bad, good, {"query": query, "device": device}, task="ranking", y_true=y_true)
    [spot] = weak_spots(spec("device", rule=rule, query="query"), rows, on="golden")[0]
    assert spot.slice == "device=phone"
    assert spot.rows == len(set(query[device == "phone"]))
    assert 0 < spot.challenger < spot.champion <= 1


def test_what_cannot_be_looked_into_is_no_error() -> None:
    rng, columns = world(7, 100)
    new, old = rng.normal(0, 1, (2, 100))
    rows = paired(new, old, columns)
    assert weak_spots(spec("nowhere"), rows, on="golden") == (
        [], ("golden has no column 'nowhere', in which weak spots were to be looked for",),
    )  # fmt: skip
    assert weak_spots(spec(), rows, on="golden") == ([], ())
    assert weak_spots(spec("region"), paired(new[:9], old[:9], {"region": columns["region"][:9]}), on="x")[0] == []
    new[3] = np.nan
    assert weak_spots(spec("region"), rows, on="golden")[0] == []
    new[3] = 1e300
    assert weak_spots(spec("region", "weekday"), rows, on="golden")[0] == []
    zeros = paired(np.zeros(100), np.zeros(100), columns)
    assert weak_spots(spec("region", "temperature"), zeros, on="golden")[0] == []
    infinite = {"temperature": np.array(["inf", "nan", *map(str, range(98))])}
    assert weak_spots(spec("temperature"), paired(np.ones(100), np.zeros(100), infinite), on="golden")[0] == []


def test_a_hundred_thousand_rows_and_ten_columns_take_about_a_second() -> None:
    rng = np.random.default_rng(8)
    n = 100_000
    columns: dict[str, np.ndarray] = {f"level{i}": rng.integers(0, 8, n).astype(str) for i in range(7)}
    columns |= {f"number{i}": rng.normal(0, 1, n).astype(str) for i in range(3)}
    new, old = rng.normal(0, 1, (2, n))
    rows = paired(new, old, columns | {"night": np.sort(rng.integers(0, 60, n)).astype(str)})
    started = time.process_time()
    weak_spots(spec(*columns), rows, on="golden")
    assert time.process_time() - started < 3.0
