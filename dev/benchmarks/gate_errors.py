"""How often the gate is wrong: error rates at the margin, and power beside the best known tests, by simulation.

Only `judge` is asked, as an operator would ask it. The bootstrap's seed is that of the batch of trials, not of the
trial: draws are kept between judgements, and that is what makes a trial cheap.
"""

from __future__ import annotations

import itertools
import multiprocessing
import time
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from airflow_mlops.gate import judge
from airflow_mlops.project.gate_spec import GateSpec
from airflow_mlops.records import Decision
from benchmarks.gate_references import best_known
from benchmarks.gate_worlds import Metric, Shape, World

__all__ = ["ALPHA", "MARGINS", "Cell", "Tally", "error_cells", "power_cells", "simulate"]

ALPHA = 0.05
MARGINS: dict[Metric, float] = {"accuracy": 0.02, "auc": 0.02, "rmse": 0.05, "mae": 0.05, "pinball": 0.05}
_OF_ANY: tuple[Shape, ...] = ("independent", "clustered", "heavy")
_OF_RESIDUALS: tuple[Shape, ...] = (*_OF_ANY, "skewed")
_SHAPES: dict[Metric, tuple[Shape, ...]] = {
    "accuracy": _OF_ANY,
    "auc": _OF_ANY,
    "rmse": _OF_RESIDUALS,
    "mae": _OF_RESIDUALS,
    "pinball": _OF_RESIDUALS,
}
_STRESS: dict[Metric, tuple[Shape, ...]] = {"rmse": ("rare",), "mae": ("rare",), "pinball": ("rare",)}
_BATCH = 250
# Of a judgement; with 10,000 rows fewer, or their trials would take half a day. The gate's own default is 2,000.
_RESAMPLES, _RESAMPLES_OF_MANY_ROWS, _MANY_ROWS = 2000, 400, 10_000


@dataclass(frozen=True)
class Cell:
    """A world, and the rule that its challenger is judged by."""

    world: World
    kind: Literal["non_inferior", "superior"]
    margin: float | None
    compared: bool = False

    @property
    def spec(self) -> GateSpec:
        """What the trials are judged by."""
        resamples = _RESAMPLES_OF_MANY_ROWS if self.world.rows >= _MANY_ROWS else _RESAMPLES
        return self.world.spec(self.kind, self.margin, resamples)

    @property
    def family(self) -> str:
        """``one rule``, or which of 20 slices are worse."""
        if self.world.slices == 1:
            return "one rule"
        return f"1 of {self.world.slices}" if self.world.only_first else f"all {self.world.slices}"

    @property
    def name(self) -> str:
        """What ``--only`` looks for."""
        kind = "" if self.kind == "non_inferior" else ", superior"
        return f"{self.world.metric}{kind}, {self.world.shape}, {self.world.rows} rows, {self.family}"


@dataclass
class Tally:
    """What was decided in the trials of one cell.

    ``reference`` counts how often the best known test, ``test``, would have promoted; ``seconds`` are those of
    `judge` alone.
    """

    decisions: Counter[str] = field(default_factory=Counter)
    methods: Counter[str] = field(default_factory=Counter)
    reference: int = 0
    test: str = ""
    seconds: float = 0.0

    @property
    def trials(self) -> int:
        """How many were judged."""
        return sum(self.decisions.values())

    def rate(self, decision: Decision) -> float:
        """Share of the trials."""
        return self.decisions[decision.value] / self.trials

    def add(self, other: Tally) -> None:
        """Take in another batch of the same cell."""
        self.decisions += other.decisions
        self.methods += other.methods
        self.reference += other.reference
        self.test = self.test or other.test
        self.seconds += other.seconds

    def as_json(self, cell: Cell) -> dict[str, Any]:
        """Everything known about the cell."""
        return {
            "cell": cell.name,
            "margin": cell.margin,
            "handicap": cell.world.handicap,
            "trials": self.trials,
            "resamples": cell.spec.resamples,
            **{decision.value: self.rate(decision) for decision in Decision},
            "methods": dict(self.methods),
            "judge_ms": 1000 * self.seconds / self.trials,
            **({"test": self.test, "test_promotes": self.reference / self.trials} if self.test else {}),
        }


def error_cells(*, stress: bool = False) -> list[Cell]:
    """Challengers that are worse by exactly the margin: everywhere, or in one slice of 20 and far better elsewhere.

    Accuracy and AUC have no residuals to be skewed. With ``stress`` the cells that no bar is about: a challenger
    that is better in 99 rows of 100, and much worse in the hundredth.
    """
    families = [(1, False)] if stress else [(1, False), (20, False), (20, True)]
    cells = []
    for metric, margin in MARGINS.items():
        for shape in _STRESS.get(metric, ()) if stress else _SHAPES[metric]:
            for (slices, only_first), rows in itertools.product(families, (200, 1000, 10_000)):
                world = World(metric, shape, rows, slices, handicap=margin, only_first=only_first)
                cells.append(Cell(world, "non_inferior", margin))
    return cells


def power_cells() -> list[Cell]:
    """Challengers as good as the champion on 1,000 rows, margins that power is between 50 and 95 % with; two better."""
    equal: tuple[tuple[Metric, Shape, float], ...] = (
        ("rmse", "independent", 0.04),
        ("mae", "independent", 0.05),
        ("pinball", "independent", 0.08),
        ("accuracy", "independent", 0.02),
        ("auc", "independent", 0.02),
        ("rmse", "clustered", 0.15),
        ("mae", "clustered", 0.15),
        ("pinball", "clustered", 0.25),
        ("mae", "heavy", 0.08),
        ("pinball", "heavy", 0.15),
    )
    better: tuple[tuple[Metric, float], ...] = (("accuracy", -0.02), ("auc", -0.015))
    return [
        *(Cell(World(metric, shape, 1000), "non_inferior", margin, compared=True) for metric, shape, margin in equal),
        *(
            Cell(World(metric, "independent", 1000, handicap=handicap), "superior", None, compared=True)
            for metric, handicap in better
        ),
    ]


def tally(cell: Cell, first: int, last: int, *, fresh: bool = False) -> Tally:
    """Judge trials ``first`` to ``last`` of a cell; ``fresh`` are other trials than those judged without it."""
    spec = cell.spec
    found = Tally()
    for trial in range(first, last):
        rng = np.random.default_rng([zlib.crc32(cell.name.encode()), int(fresh), trial])
        predictions = cell.world.draw(rng)
        started = time.perf_counter()
        judgement = judge(spec, golden=predictions, recent=None, seed=first)
        found.seconds += time.perf_counter() - started
        found.decisions[judgement.decision.value] += 1
        found.methods.update({result.method for result in judgement.rules})
        if cell.compared:
            found.test, p_value = best_known(cell.world.metric, predictions, cell.margin or 0.0)
            found.reference += p_value <= ALPHA
    return found


def simulate(
    cells: Sequence[Cell],
    *,
    trials: int,
    workers: int,
    fresh: bool = False,
    told: Callable[[int], None] = lambda _: None,
) -> dict[str, Tally]:
    """Judge every cell ``trials`` times on ``workers`` processes; ``told`` hears of trials that are done."""
    found = {cell.name: Tally() for cell in cells}
    if len(found) != len(cells):
        raise ValueError("expected cells of different names.")
    batches = [(cell, first, min(first + _BATCH, trials)) for cell in cells for first in range(0, trials, _BATCH)]
    if workers == 1:
        for cell, first, last in batches:
            found[cell.name].add(tally(cell, first, last, fresh=fresh))
            told(last - first)
        return found
    # A spawned worker has no locks or threads of this process.
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting = {pool.submit(tally, *batch, fresh=fresh): batch for batch in batches}
        for done in as_completed(waiting):
            cell, first, last = waiting[done]
            found[cell.name].add(done.result())
            told(last - first)
    return found
