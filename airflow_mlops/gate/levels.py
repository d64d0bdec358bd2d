"""A column of texts as numbers: the level of each row."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = ["level_codes"]


def level_codes(column: npt.NDArray[np.str_]) -> tuple[npt.NDArray[np.intp], list[str]]:
    """Number the distinct values of a column in the order of the alphabet.

    Parameters
    ----------
    column : numpy.ndarray of str, shape (n_rows,)
        Values.

    Returns
    -------
    codes : numpy.ndarray of int, shape (n_rows,)
        The level of each row.
    names : list of str
        Of the levels.

    Examples
    --------
    >>> codes, names = level_codes(np.array(["south", "north", "south"]))
    >>> codes.tolist(), names
    ([1, 0, 1], ['north', 'south'])
    """
    # Arrow hashes; numpy would sort a hundred thousand texts.
    encoded = pa.array(column, type=pa.string()).dictionary_encode()
    found = np.array(encoded.dictionary.to_pylist(), dtype=object)
    order = np.argsort(found)
    number = np.empty(found.size, dtype=np.intp)
    number[order] = np.arange(found.size)
    return number[encoded.indices.to_numpy(zero_copy_only=False)], found[order].tolist()
