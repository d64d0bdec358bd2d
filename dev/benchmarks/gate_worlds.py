"""Simulated champions and challengers of which the truth is known: by how much the challenger is worse, exactly.

``handicap`` is that truth, on the scale of a rule's margin: a share of the champion's loss for rmse, mae and pinball,
a difference for accuracy and auc. Negative is better.

- Losses: residuals ``u`` of the champion and ``(1 + handicap) v`` of the challenger, where ``u`` and ``v`` have one
  distribution and correlate (0.8). All three losses are homogeneous, so their ratio is ``1 + handicap`` whatever that
  distribution is. In the shape ``rare``, which no bar is about, the challenger's loss sits in one row of a hundred.
- Accuracy: rows where only one of the two is right have probabilities that differ by ``handicap``.
- AUC: scores with the same noise in both classes, positives shifted by what gives the AUC wanted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import integrate, optimize, special

from airflow_mlops.gate.rows import Answers, PairedPredictions
from airflow_mlops.project.gate_spec import GateSpec, RuleSpec, Task

__all__ = ["QUANTILE", "Metric", "Shape", "World"]

Floats = npt.NDArray[np.float64]
Metric = Literal["accuracy", "auc", "rmse", "mae", "pinball"]
Shape = Literal["independent", "clustered", "heavy", "skewed", "rare"]
QUANTILE = 0.9

_TASKS: dict[Metric, Task] = {"accuracy": "binary", "auc": "binary", "pinball": "quantile"}
_CORRELATION = 0.8
# Share of a row's variance that is its cluster's.
_OF_CLUSTER = 0.3
_CHAMPION_AUC = 0.85
# Accuracy of the champion. "heavy" is about rows that say little: it is nearly always right, and so is the challenger.
_CHAMPION_RIGHT, _HEAVY_RIGHT, _HEAVY_DISCORDANT = 0.90, 0.98, 0.03
_RARE_SHARE, _RARE_FACTOR = 0.01, 5.0


@dataclass(frozen=True)
class World:
    """A pair of models and the rows that they are judged on.

    Attributes
    ----------
    metric : str
        What they are compared by.
    shape : str
        ``independent`` rows with normal errors; ``clustered``: 20 to 50 nights of unequal size that share effects;
        ``heavy``: Student's t with 3 degrees of freedom, one positive in ten, few discordant rows; ``skewed``:
        lognormal errors (losses only); ``rare`` (losses only).
    rows : int
        Of the golden set.
    slices : int
        1, or how many levels of ``region`` the rule holds in.
    handicap : float
        By how much the challenger is worse.
    only_first : bool
        Whether that is so in the first slice alone, and the challenger is far better in all others.
    discordant : float
        Of accuracy: in which share of rows exactly one of the two is right.
    """

    metric: Metric
    shape: Shape
    rows: int
    slices: int = 1
    handicap: float = 0.0
    only_first: bool = False
    discordant: float = 0.09

    def spec(self, kind: Literal["non_inferior", "superior"], margin: float | None, resamples: int = 2000) -> GateSpec:
        """One rule; ``min_rows`` is 2, so that no cell is passed by refusing to look."""
        rule = RuleSpec(
            metric=self.metric,
            kind=kind,
            margin=margin,
            slice="region" if self.slices > 1 else None,
            quantile=QUANTILE if self.metric == "pinball" else None,
            min_rows=2,
        )
        return GateSpec(rules=(rule,), resamples=resamples)

    def draw(self, rng: np.random.Generator) -> PairedPredictions:
        """Rows of one trial."""
        layout = _layout(self.rows, self.slices, self.shape == "clustered")
        # Rows in which the challenger is far better.
        better = layout.region > 0 if self.only_first else np.zeros(self.rows, dtype=np.bool_)
        answers = {"accuracy": self._decisions, "auc": self._scores}.get(self.metric, self._estimates)
        y_true, champion, challenger = answers(layout, better, rng)
        return PairedPredictions(
            task=_TASKS.get(self.metric, "regression"),
            row_id=layout.row_id,
            y_true=y_true,
            challenger=challenger,
            champion=champion,
            classes=("0", "1") if _TASKS.get(self.metric) == "binary" else (),
            columns=layout.columns,
        )

    def _estimates(
        self, layout: Layout, better: npt.NDArray[np.bool_], rng: np.random.Generator
    ) -> tuple[Floats, Answers, Answers]:
        champion, challenger = _noise(self.shape, layout, rng)
        if self.metric == "pinball":
            offset = _quantile_of(self.shape)
            champion, challenger = champion - offset, challenger - offset
        scale = 1.0 + self.handicap
        if self.shape == "rare":
            power = 2.0 if self.metric == "rmse" else 1.0
            spread = 1.0 - _RARE_SHARE + _RARE_SHARE * _RARE_FACTOR**power
            rare = rng.random(self.rows) < _RARE_SHARE
            scale = scale * np.where(rare, _RARE_FACTOR, 1.0) / spread ** (1.0 / power)
        champion = np.where(better, 6.0 + champion, champion)
        challenger = np.where(better, 0.1, scale) * challenger
        y_true = 100.0 + 10.0 * rng.standard_normal(self.rows)
        return y_true, Answers(y_true - champion), Answers(y_true - challenger)

    def _decisions(
        self, layout: Layout, better: npt.NDArray[np.bool_], rng: np.random.Generator
    ) -> tuple[Floats, Answers, Answers]:
        few = self.shape == "heavy"
        right, discordant = (_HEAVY_RIGHT, _HEAVY_DISCORDANT) if few else (_CHAMPION_RIGHT, self.discordant)
        only_champion = np.where(better, 0.01, (discordant + self.handicap) / 2)
        only_challenger = np.where(better, 0.95, (discordant - self.handicap) / 2)
        if self.shape == "clustered":
            # Of mean 1, so the truth stays exact; the products stay below 1 (beyond it with probability 1e-9).
            effects = rng.gamma(2.0, 0.5, (2, layout.clusters))[:, layout.cluster]
            only_champion = only_champion * np.where(better, 1.0, effects[0])
            only_challenger = only_challenger * np.where(better, 1.0, effects[1])
        both = np.clip(right - only_champion, 0.0, 1.0 - only_champion - only_challenger)
        drawn = rng.random(self.rows)
        edges = np.cumsum([only_champion, both, only_challenger], axis=0)
        champion_right = drawn < edges[1]
        challenger_right = (drawn >= edges[0]) & (drawn < edges[2])
        y_true = layout.label
        return (
            y_true,
            Answers(np.where(champion_right, y_true, 1.0 - y_true)),
            Answers(np.where(challenger_right, y_true, 1.0 - y_true)),
        )

    def _scores(
        self, layout: Layout, better: npt.NDArray[np.bool_], rng: np.random.Generator
    ) -> tuple[Floats, Answers, Answers]:
        positive = layout.rare_label if self.shape == "heavy" else layout.label
        noise = _noise(self.shape, layout, rng, by_class=2.0 * positive - 1.0)
        aucs = ((0.02, _CHAMPION_AUC), (0.98, _CHAMPION_AUC - self.handicap))
        answers = []
        for values, (where_better, elsewhere) in zip(noise, aucs, strict=True):
            shift = np.where(better, _shift_of(where_better, self.shape), _shift_of(elsewhere, self.shape))
            # Any increasing map into (0, 1) leaves AUC alone; this one does not saturate.
            raised = values + shift * positive
            score = 0.5 + np.arctan(raised) / np.pi
            answers.append(Answers((raised > 0).astype(np.float64), np.column_stack((1.0 - score, score))))
        return positive, answers[0], answers[1]


@dataclass(frozen=True)
class Layout:
    """What rows have besides predictions; the same in every trial of a world."""

    row_id: npt.NDArray[np.str_]
    region: npt.NDArray[np.intp]
    cluster: npt.NDArray[np.intp]
    clusters: int
    label: Floats
    rare_label: Floats
    columns: dict[str, npt.NDArray[np.str_]]


@lru_cache(maxsize=8)
def _layout(rows: int, slices: int, clustered: bool) -> Layout:
    row = np.arange(rows)
    region = row % slices
    # Classes alternate within every slice and every cluster.
    turn = row if slices == 1 else row // slices + region
    clusters = {200: 20, 1000: 30}.get(rows, 50)
    edges = np.cumsum(np.linspace(0.5, 1.5, clusters)) / clusters
    cluster = np.minimum(np.searchsorted(edges, (row + 0.5) / rows), clusters - 1)
    columns = {"region": np.char.mod("r%02d", region)} if slices > 1 else {}
    if clustered:
        columns["night"] = np.char.mod("n%02d", cluster)
    label, rare_label = (turn % 2).astype(np.float64), (turn % 10 == 0).astype(np.float64)
    return Layout(row.astype(np.str_), region, cluster, clusters, label, rare_label, columns)


def _noise(shape: Shape, layout: Layout, rng: np.random.Generator, by_class: Floats | None = None) -> Floats:
    """Noise of champion and challenger, shape (2, n_rows): exchangeable between the two, and correlated."""
    noise = _correlated(rng.standard_normal((2, layout.row_id.size)))
    if shape == "clustered":
        effects = _correlated(rng.standard_normal((2, layout.clusters)))[:, layout.cluster]
        if by_class is None:
            # Nights are noisy or quiet, too, and not the same ones for both models.
            spread = np.exp(0.3 * _correlated(rng.standard_normal((2, layout.clusters))))[:, layout.cluster]
            return spread * (math.sqrt(_OF_CLUSTER) * effects + math.sqrt(1.0 - _OF_CLUSTER) * noise)
        # A night moves both classes together and apart; of the variance of each, the same share.
        apart = _correlated(rng.standard_normal((2, layout.clusters)))[:, layout.cluster]
        return math.sqrt(_OF_CLUSTER / 2) * (effects + by_class * apart) + math.sqrt(1.0 - _OF_CLUSTER) * noise
    if shape == "heavy":
        scale: Floats = np.sqrt(3.0 / rng.chisquare(3.0, noise.shape[1]))
        return noise * scale
    if shape == "skewed":
        return np.exp(noise) - math.exp(0.5)
    return noise


def _correlated(normal: Floats) -> Floats:
    second = _CORRELATION * normal[0] + math.sqrt(1.0 - _CORRELATION**2) * normal[1]
    return np.stack((normal[0], second))


def _quantile_of(shape: Shape) -> float:
    """Of the noise, near enough: what the quantile models of a world aim at."""
    normal = float(special.ndtri(QUANTILE))
    others = {"heavy": float(special.stdtrit(3, QUANTILE)), "skewed": math.exp(normal) - math.exp(0.5)}
    return others.get(shape, normal)


@lru_cache(maxsize=64)
def _shift_of(auc: float, shape: Shape) -> float:
    """How far positives lie above negatives, so that a random one scores higher with probability ``auc``."""
    if shape != "heavy":
        return float(np.sqrt(2.0) * special.ndtri(auc))

    def excess(shift: float) -> float:
        found, _ = integrate.quad(
            # The density of Student's t with 3 degrees of freedom.
            lambda x: special.stdtr(3, x + shift) * 2.0 / (math.pi * math.sqrt(3.0) * (1.0 + x * x / 3.0) ** 2),
            -np.inf,
            np.inf,
            epsabs=1e-10,
            limit=200,
        )
        return float(found) - auc

    return float(optimize.brentq(excess, -50.0, 50.0, xtol=1e-10))
