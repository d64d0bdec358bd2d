"""How much the champion leans on each feature: what its loss would grow by if the feature told nothing.

References
----------
Breiman, L. (2001). Random forests. Machine Learning 45(1), 5-32, section 10.

Fisher, A., Rudin, C. & Dominici, F. (2019). All models are wrong, but many are useful: learning a variable's importance
by studying an entire class of prediction models simultaneously. Journal of Machine Learning Research 20(177), 1-81,
equation 3.3 (no row keeps its own value).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from airflow_mlops.errors import ConfigError, DataError

__all__ = ["permutation_importance"]

Floats = NDArray[np.float64]
_LEAST_ROWS = 30


def permutation_importance(
    predict: Callable[[Floats], Floats],
    batches: Iterable[tuple[Floats, Floats]],
    features: Sequence[str],
    loss: Callable[[Floats, Floats], Floats],
    *,
    seed: int,
    rows: int = 2_000,
    repeats: int = 3,
) -> dict[str, float]:
    """Measure how much worse predictions get where the values of a feature are dealt out anew.

    Of features that say the same each seems to matter little, since the others still tell.

    Parameters
    ----------
    predict : callable
        Values of shape (n_rows, n_features) to predictions, of any shape that ``loss`` takes.
    batches : iterable of (values, truth)
        Labelled rows of shapes (n_rows, n_features) and (n_rows,), passed through once.
    features : sequence of str
        Names of the columns.
    loss : callable
        Truth and predictions to a loss of each row, of shape (n_rows,); less is better.
    seed : int
        Of the sample and the dealing.
    rows : int
        Rows that are kept of all, at random: memory and time are bounded.
    repeats : int
        Times that each feature is dealt out.

    Returns
    -------
    dict of str to float
        Mean growth of the loss, in its unit; zero for what only helps by being dealt out.

    Raises
    ------
    ConfigError
        If batches have another number of columns than there are names.
    DataError
        If there are fewer than 30 rows.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> values = rng.normal(size=(5_000, 2))
    >>> batches = [(values, 2 * values[:, 0])]
    >>> def squares(truth, said):
    ...     return (truth - said) ** 2
    >>> weights = permutation_importance(lambda x: 2 * x[:, 0], batches, ("temp", "wind"), squares, seed=0)
    >>> {name: round(weight) for name, weight in weights.items()}
    {'temp': 8, 'wind': 0}
    """
    rng = np.random.default_rng(seed)
    values, truth = _sample(batches, len(features), rows, rng)
    usual = float(np.mean(loss(truth, predict(values))))
    grown = dict.fromkeys(features, 0.0)
    for _ in range(repeats):
        order = rng.permutation(len(values))
        dealt = np.empty_like(order)
        # Each row gets the value of the next in a random circle: none keeps its own.
        dealt[order] = np.roll(order, 1)
        for number, name in enumerate(features):
            changed = values.copy()
            changed[:, number] = values[dealt, number]
            grown[name] += (float(np.mean(loss(truth, predict(changed)))) - usual) / repeats
    return {name: max(weight, 0.0) for name, weight in grown.items()}


def _sample(
    batches: Iterable[tuple[Floats, Floats]], columns: int, rows: int, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Rows with the least random keys, whichever batch they came in."""
    kept: tuple[Floats, Floats, Floats] = (np.empty((0, columns)), np.empty(0), np.empty(0))
    for values, truth in batches:
        if values.ndim != 2 or values.shape[1] != columns:  # noqa: PLR2004 - rows x columns
            raise ConfigError(
                f"expected rows of {columns} features, got an array of shape {values.shape}. Name each column."
            )
        together = tuple(
            np.concatenate(pair) for pair in zip(kept, (values, truth, rng.random(len(truth))), strict=True)
        )
        least = np.argsort(together[2], kind="stable")[:rows]
        kept = (together[0][least], together[1][least], together[2][least])
    if len(kept[1]) < _LEAST_ROWS:
        raise DataError(f"expected at least {_LEAST_ROWS} labelled rows, got {len(kept[1])}. Give more nights.")
    return kept[0], kept[1]
