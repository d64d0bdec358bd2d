from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from airflow_mlops.profile import Gram, merge, profile


def correlated(rows: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    common = rng.normal(size=rows)
    return np.stack([1e6 + common, 0.6 * common + 0.8 * rng.normal(size=rows), rng.lognormal(size=rows)])


def gram_of(table: pa.Table, edges: dict[str, tuple[float, ...]]) -> Gram:
    gram = profile(table, edges=edges).gram
    assert gram is not None
    return gram


EDGES = {"a": (1e6 - 1, 1e6, 1e6 + 1), "b": (0.0,), "c": (0.5, 1.0, 2.0)}


def test_correlation_is_that_of_numpy() -> None:
    rows = correlated(70_001)
    gram = gram_of(pa.table(dict(zip("abc", rows, strict=True))), EDGES)
    assert gram.rows == 70_001
    assert gram.correlation() == pytest.approx(np.corrcoef(rows), abs=1e-9)


def test_missing_numbers_are_left_out_pair_by_pair() -> None:
    rows = correlated(20_000)
    rng = np.random.default_rng(1)
    rows[0, rng.random(20_000) < 0.3] = np.nan
    rows[2, rng.random(20_000) < 0.1] = np.inf
    gram = gram_of(pa.table(dict(zip("abc", rows, strict=True))), EDGES)
    present = np.isfinite(rows)
    assert (gram.pairs() == present.astype(int) @ present.T.astype(int)).all()
    both = present[0] & present[1]
    assert gram.correlation()[0, 1] == pytest.approx(np.corrcoef(rows[:2, both])[0, 1], abs=0.01)
    assert gram.correlation()[0, 1] == pytest.approx(0.6, abs=0.02)


def test_a_flip_shows_though_the_columns_alone_do_not() -> None:
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(2, 5000))
    before, after = (
        gram_of(pa.table({"x": x, "y": sign * 0.8 * x + 0.6 * noise}), {"x": (0.0,), "y": (0.0,)}).correlation()
        for sign in (1, -1)
    )
    assert before[0, 1] == pytest.approx(0.8, abs=0.02)
    assert after[0, 1] == pytest.approx(-0.8, abs=0.02)


def test_a_constant_has_no_correlation() -> None:
    table = pa.table({"a": np.full(100, 1e6 + 0.1), "b": np.arange(100.0), "c": np.full(100, np.nan)})
    correlation = gram_of(table, EDGES).correlation()
    assert np.isnan(correlation[0]).all()
    assert np.isnan(correlation[2]).all()
    assert correlation[1, 1] == 1


def test_merged_parts_keep_the_columns_that_all_have() -> None:
    rows = correlated(9000)
    table = pa.table(dict(zip("abc", rows, strict=True)))
    halves = [profile(table[:4000], edges=EDGES), profile(table[4000:].select(["c", "a"]), edges=EDGES)]
    gram = merge(halves).gram
    assert gram is not None
    assert (gram.columns, gram.rows) == (("a", "c"), 9000)
    assert gram.correlation() == pytest.approx(np.corrcoef(rows[[0, 2]]), abs=1e-9)
    assert gram.centres == (1e6, 1.0)


def test_only_the_first_hundred_columns_are_correlated() -> None:
    rng = np.random.default_rng(0)
    table = pa.table({f"c{i}": rng.normal(size=50) for i in range(120)})
    gram = gram_of(table, dict.fromkeys(table.column_names, (0.0,)))
    assert gram.columns == tuple(table.column_names[:100])
    assert gram.correlation() == pytest.approx(np.corrcoef([table[f"c{i}"].to_numpy() for i in range(100)]), abs=1e-9)
