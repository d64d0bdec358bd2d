from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from airflow_mlops.drift.embedding import (
    Embedding,
    RandomFeatures,
    embed,
    features_of,
    maximum_mean_discrepancy,
    merge_embeddings,
    sampling_discrepancy,
)
from airflow_mlops.errors import DataError

DIMENSION = 16


def vectors(rows: int = 800, shift: float = 0.0, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(size=(rows, DIMENSION)) + shift


FEATURES = features_of(vectors())


def test_the_discrepancy_is_that_of_the_kernel() -> None:
    """Against the sums over all pairs (Gretton et al. 2012, equation 5), which is what random features spare."""

    def kernel(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
        squares = ((x[:, None] - y[None]) ** 2).sum(axis=2)
        return float(np.exp(-squares / (2 * FEATURES.bandwidth**2)).mean())

    many = FEATURES.model_copy(update={"frequencies": 4096})
    for shift in (0.3, 1.0):
        x, y = vectors(300, seed=1), vectors(300, shift, seed=2)
        exact = np.sqrt(kernel(x, x) + kernel(y, y) - 2 * kernel(x, y))
        assert maximum_mean_discrepancy(embed([x], many), embed([y], many)) == pytest.approx(exact, rel=0.05)


def test_zero_for_itself_symmetric_and_growing() -> None:
    one = embed([vectors()], FEATURES)
    assert maximum_mean_discrepancy(one, one) == 0
    others = [embed([vectors(shift=shift, seed=1)], FEATURES) for shift in np.linspace(0, 1, 6)]
    distances = [maximum_mean_discrepancy(one, other) for other in others]
    assert (np.diff(distances) > 0).all()
    assert distances == [maximum_mean_discrepancy(other, one) for other in others]


def test_what_no_single_dimension_shows() -> None:
    # Two dimensions that turn together: every marginal stays, the distribution does not.
    rng = np.random.default_rng(0)
    one, turned = rng.normal(size=(2000, 2)), rng.normal(size=(2000, 2))
    turned[:, 1] = turned[:, 0] * 0.95 + turned[:, 1] * 0.31
    features = features_of(one)
    reference, current = embed([one], features), embed([turned], features)
    assert maximum_mean_discrepancy(reference, current) > sampling_discrepancy(
        reference, current, tail_probability=0.001
    )


def test_chance_exceeds_the_sampling_discrepancy_less_often_than_stated() -> None:
    reference = embed([vectors(1000)], FEATURES)
    others = [embed([vectors(200, seed=seed)], FEATURES) for seed in range(1, 200)]
    limit = sampling_discrepancy(reference, others[0], tail_probability=0.05)
    found = [maximum_mean_discrepancy(reference, other) for other in others]
    assert np.mean(np.array(found) > limit) <= 0.05
    # A bound for any distribution is generous: how much is what a table's own past tells.
    assert limit < 5 * np.median(found)


def test_parts_merge_in_any_order() -> None:
    rows = vectors()
    parts = [embed([rows[i::3]], FEATURES) for i in range(3)]
    whole = embed([rows], FEATURES)
    merged = merge_embeddings(parts)
    assert merged == merge_embeddings(parts[::-1])
    assert (merged.present, merged.rows) == (len(rows), len(rows))
    np.testing.assert_allclose(merged.sums, whole.sums, atol=1e-9)
    np.testing.assert_allclose(embed(np.array_split(rows, 7), FEATURES).sums, whole.sums, atol=1e-9)


def test_what_is_kept_is_small_and_survives_its_json() -> None:
    kept = embed([vectors()], FEATURES)
    text = kept.model_dump_json()
    assert len(text) < 20_000
    assert Embedding.model_validate_json(text) == kept


def test_directions_are_those_of_the_seed_for_ever() -> None:
    # Profiles are kept for years: with other directions they would mean nothing.
    kept = embed([np.array([[1.0, 2.0]])], RandomFeatures(dimension=2, bandwidth=1.5, frequencies=2, seed=7))
    assert kept.sums == pytest.approx((0.275372707, 0.688043436, 0.651283250, 0.163083507), abs=1e-9)


@pytest.mark.parametrize("kind", [pa.list_(pa.float32()), pa.large_list(pa.float64()), pa.list_(pa.float32(), 3)])
def test_arrow_lists(kind: pa.DataType) -> None:
    rows = [[1.0, 2.0, 3.0], None, [4.0, float("nan"), 6.0], [7.0, 8.0, 9.5]]
    features = RandomFeatures(dimension=3, bandwidth=2.0)
    kept = embed([pa.array(rows, kind), pa.array([None], kind)], features)
    assert (kept.present, kept.nulls) == (2, 3)
    assert kept.sums == pytest.approx(embed([np.array([rows[0], rows[3]])], features).sums)
    sliced = pa.array(rows, kind)[3:]
    assert embed([sliced], features).sums == pytest.approx(embed([np.array([rows[3]])], features).sums)


def test_the_bandwidth_is_the_median_distance() -> None:
    rows = vectors(600)
    exact = np.median(np.linalg.norm(rows[:, None] - rows[None], axis=2)[np.triu_indices(600, 1)])
    assert features_of(rows).bandwidth == pytest.approx(exact, rel=0.03)
    assert features_of(rows) == features_of(rows)


def test_bad_input() -> None:
    with pytest.raises(DataError, match=r"dimension 16, got 3"):
        embed([np.zeros((2, 3))], FEATURES)
    with pytest.raises(DataError, match=r"shape \(n_vectors, dimension\), got \(4,\)"):
        embed([np.zeros(4)], FEATURES)
    with pytest.raises(DataError, match="lists of numbers"):
        embed([pa.array(["text"])], FEATURES)
    with pytest.raises(DataError, match=r"one dimension, got \[1, 2\]"):
        embed([pa.array([[1.0], [1.0, 2.0]])], FEATURES)
    with pytest.raises(DataError, match="vectors that differ"):
        features_of(np.ones((5, 2)))
    with pytest.raises(DataError, match="at least 2 vectors"):
        features_of(np.ones((1, 2)))
    one, other = embed([vectors()], FEATURES), embed([vectors()], features_of(vectors(), seed=1))
    for compared in (maximum_mean_discrepancy, lambda a, b: merge_embeddings([a, b])):
        with pytest.raises(DataError, match="same features"):
            compared(one, other)
    with pytest.raises(DataError, match="nothing but nulls"):
        maximum_mean_discrepancy(one, embed([], FEATURES))
