"""Vectors of text or images: the mean of random features, and how far two of them lie apart.

A vector ``x`` becomes ``phi(x)``, the cosines and sines of random directions, so that ``phi(x) . phi(y)`` is about the
Gaussian kernel of the two (Rahimi & Recht 2007). The maximum mean discrepancy of two samples is the distance between
their means of ``phi`` (Gretton et al. 2012): of a night, however many vectors it has, one mean is kept; means merge.

References
----------
Rahimi, A. & Recht, B. (2007). Random features for large-scale kernel machines. Advances in Neural Information
Processing Systems 20, algorithm 1.

Gretton, A., Borgwardt, K. M., Rasch, M. J., Schoelkopf, B. & Smola, A. (2012). A kernel two-sample test. Journal of
Machine Learning Research 13, 723-773, lemma 6 and theorem 7.

McDiarmid, C. (1989). On the method of bounded differences. Surveys in Combinatorics, 148-188.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from airflow_mlops.errors import DataError
from airflow_mlops.records import Value

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "Embedding",
    "RandomFeatures",
    "embed",
    "features_of",
    "maximum_mean_discrepancy",
    "merge_embeddings",
    "sampling_discrepancy",
]

# Pairs of a sample whose median distance is the bandwidth; a median of this many is within 2 %.
_SAMPLE = 1000
# Vectors whose features are held at once: 4096 x 512 float64 are 16 MB.
_BATCH = 4096
_MATRIX = 2


class RandomFeatures(Value):
    """Directions drawn from a seed, so that all nights are looked at along the same ones.

    ``bandwidth`` is in the vectors' unit; ``frequencies`` directions give twice as many features, and the kernel to
    within about ``1 / sqrt(frequencies)``.
    """

    dimension: int = Field(ge=1)
    bandwidth: float = Field(gt=0, allow_inf_nan=False)
    frequencies: int = Field(default=256, ge=1)
    seed: int = Field(default=0, ge=0, lt=2**32)


class Embedding(Value):
    """What is kept of a column of vectors: how many there are, the sum of their features, and the nulls."""

    features: RandomFeatures
    present: int
    sums: tuple[float, ...]
    nulls: int = 0

    @property
    def rows(self) -> int:
        """Rows, nulls among them."""
        return self.present + self.nulls

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean of the features, of shape (2 * frequencies,)."""
        if not self.present:
            raise DataError("expected vectors, the column holds nothing but nulls. Compare the null rates instead.")
        return np.array(self.sums) / self.present


def features_of(vectors: NDArray[np.floating] | pa.Array, *, frequencies: int = 256, seed: int = 0) -> RandomFeatures:
    """Random features for a reference; the bandwidth is the median distance of its vectors (Gretton et al. 2012, 8).

    Parameters
    ----------
    vectors : array of shape (n_vectors, dimension)
        The reference, or a sample of it.
    frequencies : int
        Directions; twice as many features.
    seed : int
        Of the directions and of the sample.

    Raises
    ------
    DataError
        If there are fewer than two vectors, or they are all the same.
    """
    matrix, _ = _matrix(vectors)
    if len(matrix) < _MATRIX:
        raise DataError(f"expected at least 2 vectors to learn a bandwidth from, got {len(matrix)}. Take more nights.")
    # RandomState, not Generator: its stream is promised never to change, and profiles are kept for years.
    rng = np.random.RandomState(seed)
    one, other = rng.randint(len(matrix), size=(2, _SAMPLE))
    distances = np.linalg.norm(matrix[one] - matrix[other], axis=1)
    distances = distances[distances > 0]
    if not distances.size:
        raise DataError("expected vectors that differ, got one again and again. Look at how they were made.")
    return RandomFeatures(
        dimension=matrix.shape[1], bandwidth=float(np.median(distances)), frequencies=frequencies, seed=seed
    )


def embed(batches: Iterable[NDArray[np.floating] | pa.Array], features: RandomFeatures) -> Embedding:
    """Sum the features of vectors in one pass; a few thousand are held at once.

    Parameters
    ----------
    batches : iterable of arrays of shape (n_vectors, dimension)
        NumPy, or Arrow lists of numbers. A vector that is null, or holds what is no finite number, counts as null.
    features : RandomFeatures
        From `features_of` the reference.

    Raises
    ------
    DataError
        If a vector has another dimension.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> before, now = rng.normal(size=(500, 8)), rng.normal(0.5, size=(500, 8))
    >>> features = features_of(before)
    >>> reference, current = embed([before], features), embed([now], features)
    >>> round(maximum_mean_discrepancy(reference, current), 2)
    0.3
    >>> round(sampling_discrepancy(reference, current, tail_probability=0.01), 2)
    0.23
    """
    directions = _directions(features)
    sums, present, nulls = np.zeros(2 * features.frequencies), 0, 0
    for batch in batches:
        matrix, empty = _matrix(batch)
        nulls += empty
        if len(matrix) and matrix.shape[1] != features.dimension:
            raise DataError(
                f"expected vectors of dimension {features.dimension}, got {matrix.shape[1]}. "
                "Embed both sides with one model."
            )
        present += len(matrix)
        for start in range(0, len(matrix), _BATCH):
            angles = matrix[start : start + _BATCH] @ directions
            sums[: features.frequencies] += np.cos(angles).sum(axis=0)
            sums[features.frequencies :] += np.sin(angles).sum(axis=0)
    # Cosine and sine of one direction: the square of a vector of features is exactly 1.
    return Embedding(
        features=features, present=present, nulls=nulls, sums=tuple((sums / math.sqrt(features.frequencies)).tolist())
    )


def merge_embeddings(parts: Iterable[Embedding]) -> Embedding:
    """The embedding of all the vectors that several saw.

    Raises
    ------
    DataError
        If there is none, or two were made with other features.
    """
    found = list(parts)
    if len({part.features for part in found}) != 1:
        raise DataError(
            f"expected embeddings made with the same features, got {len(found)} that differ or none. "
            "Embed every part with the features of the reference."
        )
    return Embedding(
        features=found[0].features,
        present=sum(part.present for part in found),
        nulls=sum(part.nulls for part in found),
        sums=tuple(math.fsum(column) for column in zip(*(part.sums for part in found), strict=True)),
    )


def maximum_mean_discrepancy(reference: Embedding, current: Embedding) -> float:
    """Distance between the means of the features, in [0, sqrt(2)]: the biased MMD (Gretton et al. 2012, equation 5).

    Raises
    ------
    DataError
        If one side holds no vector, or they were made with other features.
    """
    _same_features(reference, current)
    return float(np.linalg.norm(reference.mean - current.mean))


def sampling_discrepancy(reference: Embedding, current: Embedding, *, tail_probability: float) -> float:
    """Discrepancy that chance exceeds with at most this probability, if both came from one source.

    The features of one vector have length 1, so that what a mean scatters by is known from the mean alone. To that
    McDiarmid's (1989) bound is added, since one vector moves the discrepancy by at most ``2 / n``.

    Raises
    ------
    DataError
        If one side holds no vector, or they were made with other features.
    """
    _same_features(reference, current)
    thinness = 1 / reference.present + 1 / current.present
    scatter = max(1.0 - float(np.square(reference.mean).sum()), 0.0)
    return math.sqrt(thinness * scatter) + math.sqrt(2 * thinness * math.log(1 / tail_probability))


def _same_features(reference: Embedding, current: Embedding) -> None:
    if reference.features != current.features:
        raise DataError(
            "expected embeddings made with the same features, got two that differ. "
            "Embed the current vectors with the features of the reference."
        )


@lru_cache(maxsize=8)
def _directions(features: RandomFeatures) -> NDArray[np.float64]:
    """Drawn from the kernel's spectrum: normal, as wide as the kernel is narrow."""
    rng = np.random.RandomState(features.seed)
    drawn: NDArray[np.float64] = rng.standard_normal((features.dimension, features.frequencies)) / features.bandwidth
    return drawn


def _matrix(vectors: NDArray[np.floating] | pa.Array) -> tuple[NDArray[np.float64], int]:
    """Finite vectors of shape (n_vectors, dimension), and how many are none."""
    if not isinstance(vectors, np.ndarray):
        return _from_arrow(vectors)
    if vectors.ndim != _MATRIX:
        raise DataError(f"expected vectors of shape (n_vectors, dimension), got {vectors.shape}. Stack them.")
    matrix = vectors.astype(np.float64, copy=False)
    finite = np.isfinite(matrix).all(axis=1)
    return matrix[finite], int((~finite).sum())


def _from_arrow(column: pa.Array) -> tuple[NDArray[np.float64], int]:
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        raise DataError(f"expected a column of vectors (lists of numbers), got {kind}. Name the column with them.")
    vectors = column.drop_null()
    lengths = pc.unique(pc.list_value_length(vectors)).to_pylist()
    if len(lengths) > 1:
        raise DataError(f"expected vectors of one dimension, got {sorted(lengths)}. Embed all rows with one model.")
    if not lengths:
        return np.empty((0, 0)), len(column)
    numbers = pc.list_flatten(vectors).cast(pa.float64()).to_numpy(zero_copy_only=False)
    matrix, broken = _matrix(numbers.reshape(-1, lengths[0]))
    return matrix, broken + column.null_count
