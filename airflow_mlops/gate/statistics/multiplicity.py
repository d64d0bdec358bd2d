"""Many questions at once: one of twenty true claims looks false at the 5 % level, by chance alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["holm"]


def holm(p_values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """p-values adjusted so that the chance of one or more false discoveries among all of them is at most alpha.

    Step-down and never weaker than Bonferroni, under any dependence between the tests.

    Parameters
    ----------
    p_values : array_like of float, shape (n_tests,)
        In 0..1; NaN, a test that could not be made, is taken for 1.

    Returns
    -------
    numpy.ndarray of float, shape (n_tests,)
        In the order given; a test is significant at family-wise level alpha if its adjusted value is at most alpha.

    References
    ----------
    Holm, S. (1979). A simple sequentially rejective multiple test procedure. Scandinavian Journal of Statistics
    6(2), 65-70.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03, 0.005]).round(3).tolist()
    [0.03, 0.06, 0.06, 0.02]
    """
    values = np.nan_to_num(np.asarray(p_values, dtype=np.float64), nan=1.0)
    order = np.argsort(values, kind="stable")
    steps = np.arange(values.size, 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate(values[order] * steps), 1.0)
    return adjusted
