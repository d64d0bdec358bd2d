"""Figures of some rows, what they are on resamples, and what they are with each unit left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from airflow_mlops.gate.rows import Floats
from airflow_mlops.gate.statistics.bootstrap import BCa, acceleration, left_out, resample_counts, resampled_sums
from airflow_mlops.gate.statistics.inference import Inference, MostCautious
from airflow_mlops.gate.statistics.metrics import Sums
from airflow_mlops.gate.statistics.student import ShareT, StudentT, SubsetShare, jackknife_covariance
from airflow_mlops.gate.statistics.units import Units

__all__ = ["Resampled", "beside", "relative_difference", "resampled_function", "resampled_metrics"]

Numbers = npt.NDArray[np.intp]

# A function of the user's may be slow: it is called this often for the jackknife, at most.
_JACKKNIFE_GROUPS = 200
# Resamples in which a figure is not defined (no positive was drawn) are left out, if they are few.
_DEFINED = 0.99
_ROUNDING = 1e-9
# Fewer than five cannot reach alpha = 5 % by their signs; of more, t needs no help. A rare loss that none of few units
# has had is seen by no resample of them either: BCa then costs power (3 to 4 points) and guards against nothing.
_FEW_UNITS = range(5, 61)


@dataclass(frozen=True)
class Resampled:
    """Some figures (of two models, of several groups) on the same resamples.

    Attributes
    ----------
    figures : numpy.ndarray, shape (n_figures,)
        Of the rows themselves.
    replicates : numpy.ndarray, shape (resamples, n_figures)
        Of each resample.
    jackknife : numpy.ndarray, shape (n_units, n_figures)
        With each unit left out.
    stratum : numpy.ndarray of int, shape (n_units,)
        Of each unit.
    power : int
        The figures to this power are means over rows.
    """

    figures: Floats
    replicates: Floats
    jackknife: Floats
    stratum: Numbers
    power: int = 1

    @property
    def degrees_of_freedom(self) -> int:
        """Units less strata."""
        return self.stratum.size - int(self.stratum.max(initial=-1)) - 1

    def inference(self, of: Callable[[Floats], Floats]) -> Inference:
        """Test one estimate that is made of the figures.

        Parameters
        ----------
        of : callable
            From figures of shape (..., n_figures) to the estimate, shape (...): a difference, a range.

        Returns
        -------
        Inference
            The more cautious of Student's t on the jackknife and BCa. BCa is right where losses are skewed (a
            challenger that is seldom and badly wrong), and promotes 10 to 14 % where they are symmetric with a heavy
            tail, or clusters are few; there t is right. Both together stay at 5 %, and cost less than a point of power.
        """
        student = self.student(of)
        scale = float(np.abs(self.figures).max())
        return self._with_bca(student, student.estimate, of(self.replicates), of(self.jackknife), scale=scale)

    def student(self, of: Callable[[Floats], Floats]) -> StudentT:
        """Test it by Student's t alone."""
        covariance = jackknife_covariance(of(self.jackknife)[:, np.newaxis], self.stratum)
        return StudentT(float(of(self.figures)), float(covariance[0, 0] ** 0.5), self.degrees_of_freedom)

    def share(self) -> Inference:
        """Test the first figure less the second as a share of the second, which is positive."""
        means, left_out = self.figures**self.power, self.jackknife**self.power
        units = means + (self.stratum.size - 1) * (means - left_out)
        few = self.degrees_of_freedom + 1 == self.stratum.size in _FEW_UNITS
        if few and units[:, 1].min() > 0:
            return SubsetShare(units, self.power)
        covariance = jackknife_covariance(left_out, self.stratum)
        test = ShareT((float(means[0]), float(means[1])), covariance, self.degrees_of_freedom, self.power)
        if few:
            return test
        return self._with_bca(
            test,
            float(relative_difference(self.figures)),
            relative_difference(self.replicates),
            relative_difference(self.jackknife),
            scale=1.0,
        )

    def _with_bca(
        self, test: Inference, estimate: float, replicates: Floats, jackknife: Floats, *, scale: float
    ) -> Inference:
        defined = np.sort(replicates[~np.isnan(replicates)])
        # Errors in one proportion: what is left of the spread is rounding, of which bias and acceleration are noise.
        if defined.size and np.abs(defined - estimate).max() <= _ROUNDING * scale:
            defined, jackknife = np.full_like(defined, estimate), np.full_like(jackknife, estimate)
        if self.degrees_of_freedom < 1 or not np.isfinite(jackknife).all() or defined.size < _DEFINED * replicates.size:
            return StudentT(estimate, np.inf, 0, "no test: too few units in which it is defined")
        return MostCautious(
            (test, BCa(estimate, defined, acceleration(jackknife, self.stratum), self.degrees_of_freedom))
        )


def relative_difference(figures: Floats) -> Floats:
    """First figure less the second, as a share of the second."""
    challenger, champion = figures[..., 0], figures[..., 1]
    flawless = champion == 0
    share = (challenger - champion) / np.where(flawless, 1.0, np.abs(champion))
    # Where the champion has no error, any of the challenger's is infinitely more.
    return np.where(flawless, np.where(challenger == 0, 0.0, np.inf), share)


def beside(parts: Sequence[Resampled]) -> Resampled:
    """Put figures on the same draws side by side."""
    return Resampled(
        np.concatenate([part.figures for part in parts]),
        np.concatenate([part.replicates for part in parts], axis=1),
        np.concatenate([part.jackknife for part in parts], axis=1),
        parts[0].stratum,
        parts[0].power,
    )


def resampled_metrics(parts: Sequence[Sums], units: Units, *, resamples: int, seed: int) -> list[Resampled]:
    """Resample figures that are functions of sums, each by itself, all on the same draws.

    Parameters
    ----------
    parts : sequence of Sums
        Over the same rows.
    units : Units
        Of these rows.
    resamples, seed : int
        Of the bootstrap.

    Returns
    -------
    list of Resampled
        Of one figure each; ``beside`` puts such together.
    """
    sums = [units.sums(part.contributions) for part in parts]
    # Metrics share columns (each model's counts its rows): summed once.
    columns: dict[bytes, Floats] = {}
    keys = [[_kept(columns, column) for column in table.T] for table in sums]
    everything, number = np.stack(list(columns.values()), axis=1), {key: place for place, key in enumerate(columns)}
    drawn = resampled_sums(everything, units.stratum, resamples=resamples, seed=seed)
    without = left_out(everything, units.stratum)
    places = [[number[key] for key in table] for table in keys]
    with np.errstate(all="ignore"):
        return [
            Resampled(
                np.array([part.value()]),
                part.of_sums(drawn[:, place])[:, np.newaxis],
                part.of_sums(without[:, place])[:, np.newaxis],
                units.stratum,
                part.power,
            )
            for part, place in zip(parts, places, strict=True)
        ]


def _kept(columns: dict[bytes, Floats], column: Floats) -> bytes:
    key = column.tobytes()
    columns.setdefault(key, column)
    return key


def resampled_function(
    figures_of: Callable[[Numbers], Floats], units: Units, *, resamples: int, seed: int
) -> Resampled:
    """Resample figures that are no function of sums: call them, again and again.

    Parameters
    ----------
    figures_of : callable
        From numbers of rows, some of them several times, to the figures, shape (n_figures,).
    units : Units
        Of all rows.
    resamples, seed : int
        Of the bootstrap.

    Returns
    -------
    Resampled
        Its jackknife leaves out groups of units where there are many. Influences add up, and so do their squares and
        cubes in expectation: spread and acceleration are those of the units.

    References
    ----------
    Shao, J., Tu, D. (1995). The Jackknife and Bootstrap, section 5.1 (grouped jackknife).
    """
    rows = np.arange(units.of_row.size)
    replicates = [
        figures_of(np.repeat(rows, counts[units.of_row].astype(np.intp)))
        for piece in resample_counts(units.stratum, resamples=resamples, seed=seed)
        for counts in piece
    ]
    group, stratum = _groups(units, np.random.default_rng(seed))
    jackknife = [figures_of(rows[group[units.of_row] != left]) for left in range(stratum.size)]
    return Resampled(figures_of(rows), np.stack(replicates), np.stack(jackknife), stratum)


def _groups(units: Units, rng: np.random.Generator) -> tuple[Numbers, Numbers]:
    """Group of each unit, and stratum of each group; by chance, for neighbours may be alike."""
    if units.count <= _JACKKNIFE_GROUPS:
        return np.arange(units.count), units.stratum
    # Of strata that are dealt out evenly, every group holds all: what is left is one stratum.
    shuffled = rng.permutation(units.count)
    dealt = shuffled[np.argsort(units.stratum[shuffled], kind="stable")]
    group = np.empty(units.count, dtype=np.intp)
    group[dealt] = np.arange(units.count) % _JACKKNIFE_GROUPS
    return group, np.zeros(_JACKKNIFE_GROUPS, dtype=np.intp)
