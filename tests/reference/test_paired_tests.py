"""The gate's tests beside scipy's, statsmodels' and published examples."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy import optimize, stats
from statsmodels.stats.contingency_tables import mcnemar

from airflow_mlops.gate.evidence import Design, Question
from airflow_mlops.gate.rows import Answers, PairedPredictions
from airflow_mlops.gate.statistics.bootstrap import acceleration, left_out
from airflow_mlops.gate.statistics.delong import areas
from airflow_mlops.gate.statistics.mcnemar import McNemar, Tango
from airflow_mlops.gate.statistics.measure import measure
from airflow_mlops.gate.statistics.metrics import Sums
from airflow_mlops.gate.statistics.resampled import beside, relative_difference, resampled_metrics
from airflow_mlops.gate.statistics.student import ShareT, jackknife_covariance
from airflow_mlops.gate.statistics.units import units_of_rows
from airflow_mlops.project.gate_spec import RuleSpec


def test_bca_agrees_with_scipy() -> None:
    rng = np.random.default_rng(1)
    losses = np.stack([rng.gamma(2.0, 1.0, 150), rng.gamma(0.7, 3.0, 150)])

    def excess(a: np.ndarray, b: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.sqrt(a.mean(axis=axis)) / np.sqrt(b.mean(axis=axis)) - 1

    theirs = stats.bootstrap(
        tuple(losses),
        excess,
        paired=True,
        vectorized=True,
        method="BCa",
        confidence_level=0.90,
        n_resamples=20_000,
        rng=np.random.default_rng(2),
    ).confidence_interval
    parts = [
        Sums(np.stack([loss, np.ones(150)], axis=1), lambda sums: np.sqrt(sums[..., 0] / sums[..., 1]), 2)
        for loss in losses
    ]
    units = units_of_rows(None, None, 150, "rows")
    found = beside(resampled_metrics(parts, units, resamples=20_000, seed=3)).share()
    # scipy's tails are not taken out for the number of units: at 150, a hundredth of the interval.
    bca = dataclasses.replace(found.parts[1], df=np.inf)  # type: ignore[attr-defined]
    # 20,000 resamples place a 5 % quantile to about 1 % of the interval; both sides err.
    width = theirs.high - theirs.low
    assert bca.bounds(0.05) == pytest.approx((theirs.low, theirs.high), abs=0.04 * width)
    assert bca.acceleration != 0


def test_acceleration_is_scipys_to_the_last_digit() -> None:
    rng = np.random.default_rng(4)
    losses = rng.gamma(1.0, 1.0, (40, 2))
    without = relative_difference(left_out(losses, np.zeros(40, dtype=int)))
    theirs = _scipys_acceleration(losses)
    assert acceleration(without, np.zeros(40, dtype=int)) == pytest.approx(theirs, rel=1e-9)


def _scipys_acceleration(losses: np.ndarray) -> float:
    """The third of what scipy's private function gives; of its public one only the interval can be seen."""
    from scipy.stats import _resampling

    def share(rows: np.ndarray, axis: int = -1) -> np.ndarray:
        # Paired: scipy hands rows over by number.
        taken = losses[rows.astype(int)]
        return taken[..., 0].mean(axis=axis) / taken[..., 1].mean(axis=axis) - 1

    replicates = np.random.default_rng(0).normal(size=99)
    return float(_resampling._bca_interval((np.arange(40.0),), share, -1, 0.05, replicates, None, np)[2])


def test_a_share_is_tested_as_the_paired_t_of_the_losses_themselves() -> None:
    rng = np.random.default_rng(5)
    losses = rng.gamma(1.0, 1.0, (80, 2))
    stratum = np.zeros(80, dtype=int)
    covariance = jackknife_covariance(left_out(losses, stratum) / 80, stratum)
    challenger, champion = losses.mean(axis=0)
    share = ShareT((challenger, champion), covariance, 79)
    for margin in (-0.2, 0.0, 0.1):
        theirs = stats.ttest_1samp(losses[:, 0] - (1 + margin) * losses[:, 1], 0.0, alternative="less").pvalue
        assert share.p_below(margin) == pytest.approx(theirs, rel=1e-9)
        assert share.p_below(margin) + share.p_above(margin) == pytest.approx(1.0)
    low, high = share.bounds(0.05)
    assert share.p_below(high) == pytest.approx(0.05)
    assert share.p_above(low) == pytest.approx(0.05)


def test_the_jackknife_of_clusters_of_one_size_is_the_t_of_their_means() -> None:
    rng = np.random.default_rng(6)
    cluster = np.repeat(np.arange(12), 10)
    values = rng.normal(0, 1, 12)[cluster] + rng.normal(0, 1, 120)
    means = values.reshape(12, 10).mean(axis=1)
    units = units_of_rows(cluster.astype(str), None, 120, "nights")
    without = left_out(units.sums(np.stack([values, np.ones(120)], axis=1)), units.stratum)
    covariance = jackknife_covariance((without[:, 0] / without[:, 1])[:, np.newaxis], units.stratum)
    assert covariance[0, 0] ** 0.5 == pytest.approx(stats.sem(means))


def test_strata_take_their_means_out_of_the_spread() -> None:
    rng = np.random.default_rng(7)
    stratum = np.repeat([0, 1], [30, 70])
    values = rng.normal(0, 1, 100) + 100.0 * stratum
    without = left_out(np.stack([values, np.ones(100)], axis=1), stratum)
    covariance = jackknife_covariance((without[:, 0] / without[:, 1])[:, np.newaxis], stratum)
    # Cochran (1977), eq. 5.12, without a finite population: the sum of (weight * standard error)**2.
    expected = (0.3**2) * values[:30].var(ddof=1) / 30 + (0.7**2) * values[30:].var(ddof=1) / 70
    assert covariance[0, 0] == pytest.approx(expected)


@pytest.mark.parametrize(("gained", "lost"), [(8, 1), (1, 7), (30, 22), (5, 0), (0, 3)])
def test_mcnemar_agrees_with_statsmodels(gained: int, lost: int) -> None:
    # One-sided mid-p: half of the two-sided exact p, less half of what was seen.
    exact = mcnemar([[50, gained], [lost, 20]], exact=True).pvalue / 2
    seen = stats.binom.pmf(gained, gained + lost, 0.5)
    test = McNemar(gained, lost, 70 + gained + lost)
    better = test.p_above(0.0) if gained > lost else test.p_below(0.0)
    assert better == pytest.approx(exact - seen / 2)
    low, high = test.bounds(0.05)
    assert (low > 0) == (test.p_above(0.0) < 0.05)
    assert (high < 0) == (test.p_below(0.0) < 0.05)


def test_mcnemar_and_tango_as_published() -> None:
    # Fagerland, Lydersen & Laake (2013; 2014): airway hyper-responsiveness, 21 children, 1 and 7 discordant.
    assert 2 * McNemar(1, 7, 21).p_below(0.0) == pytest.approx(0.0391, abs=5e-5)
    assert Tango(1, 7, 21).bounds(0.025) == pytest.approx((-0.517, -0.026), abs=5e-4)


@pytest.mark.parametrize(
    ("gained", "lost", "rows", "bound"), [(30, 12, 200, -0.05), (30, 12, 200, 0.03), (5, 9, 60, 0.2), (5, 9, 60, -0.2)]
)
def test_tango_takes_the_variance_of_greatest_likelihood_at_the_bound(
    gained: int, lost: int, rows: int, bound: float
) -> None:
    def unlikely(share: float) -> float:
        concordant = (rows - gained - lost) * np.log(1 - 2 * share - bound)
        return -float(gained * np.log(share + bound) + lost * np.log(share) + concordant)

    limits = (max(0.0, -bound) + 1e-12, (1 - bound) / 2 - 1e-12)
    share = optimize.minimize_scalar(unlikely, bounds=limits, method="bounded", options={"xatol": 1e-13}).x
    score = (gained - lost - rows * bound) / np.sqrt(rows * (2 * share + bound - bound**2))
    assert Tango(gained, lost, rows).p_above(bound) == pytest.approx(stats.norm.sf(score), rel=1e-5)


def _by_definition(y_true: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """DeLong, DeLong & Clarke-Pearson (1988), eq. 4 to 6, pair by pair."""
    positive, negative = scores[:, y_true == 1], scores[:, y_true == 0]
    wins = (positive[:, :, np.newaxis] > negative[:, np.newaxis, :]) + 0.5 * (
        positive[:, :, np.newaxis] == negative[:, np.newaxis, :]
    )
    s10, s01 = np.cov(wins.mean(axis=2)), np.cov(wins.mean(axis=1))
    return wins.mean(axis=(1, 2)), s10 / positive.shape[1] + s01 / negative.shape[1]


def test_delong_agrees_with_its_definition_ties_included() -> None:
    rng = np.random.default_rng(8)
    y_true = (rng.random(90) < 0.3).astype(float)
    scores = np.round(rng.normal(size=(2, 90)) + y_true, 1)
    values, covariance = _by_definition(y_true, scores)
    found = areas(y_true, scores)
    assert found.values == pytest.approx(values)
    assert found.covariance == pytest.approx(covariance)


def test_clusters_of_a_single_row_are_delongs() -> None:
    rng = np.random.default_rng(9)
    y_true = (rng.random(3000) < 0.4).astype(float)
    scores = rng.normal(size=(2, 3000)) + y_true
    alone, clustered = areas(y_true, scores), areas(y_true, scores, np.arange(3000))
    assert clustered.covariance == pytest.approx(alone.covariance, rel=3e-3)


def test_an_area_without_each_cluster_is_that_of_the_other_rows() -> None:
    rng = np.random.default_rng(10)
    cluster = np.repeat(np.arange(60), 20)
    y_true = (rng.random(1200) < 0.4).astype(float)
    scores = np.round(rng.normal(size=(2, 1200)) + y_true + rng.normal(size=(2, 60))[:, cluster], 1)
    left = np.array([areas(y_true[cluster != out], scores[:, cluster != out]).values for out in range(60)])
    jackknife = 59 * np.cov(left.T, ddof=0)
    assert areas(y_true, scores, cluster).covariance == pytest.approx(jackknife, rel=1e-9)


def test_the_p_value_and_the_bounds_of_a_rule_say_the_same() -> None:
    rng = np.random.default_rng(12)
    for trial in range(40):
        n = 120
        y_true = rng.normal(0, 1, n)
        rows = PairedPredictions(
            "regression",
            np.arange(n).astype(str),
            y_true,
            Answers(y_true + rng.standard_t(3, n) * (0.8 + 0.02 * trial)),
            Answers(y_true + rng.standard_t(3, n)),
        )
        for metric in ("rmse", "mae"):
            rule = RuleSpec(metric=metric, kind="non_inferior", margin=0.1)
            [found] = measure(rows, [Question(rule)], design=Design(resamples=500))
            assert found.p_value is not None
            assert found.p_worse is not None
            assert (found.p_value <= 0.05) == (found.high < 0.1)
            assert (found.p_worse <= 0.05) == (found.low > 0.1)
