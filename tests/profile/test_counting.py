from __future__ import annotations

import math
import threading

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from airflow_mlops.profile.counting import Counted, count, count_integers, grid_of
from airflow_mlops.profile.kinds import LARGEST

odd = st.sampled_from([math.nan, math.inf, -math.inf, 1e300, -1e200, 0.0, -0.0, 5e-324, -1e-300, 1.0, -(2.0**-30)])
numbers = st.one_of(st.floats(-20, 20), st.integers(-20, 20).map(float), st.floats(allow_nan=False), odd)
on_a_grid = st.lists(st.integers(-300, 300), min_size=1, max_size=12, unique=True).map(
    lambda cells: tuple(cell / 16 for cell in sorted(cells))
)
anywhere = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=12, unique=True).map(lambda edges: tuple(sorted(edges)))


def slowly(values: NDArray[np.float64], edges: tuple[float, ...]) -> tuple[list[int], list[float]]:
    """One number at a time, as the definition says it."""
    counts, sums = [0] * (len(edges) + 1), [[] for _ in range(len(edges) + 1)]
    for value in values.tolist():
        if abs(value) < LARGEST:
            place = sum(edge <= value for edge in edges)
            counts[place] += 1
            sums[place].append(value)
    return counts, [math.fsum(part) for part in sums]


def check(found: Counted, values: NDArray[np.float64], edges: tuple[float, ...]) -> None:
    counts, sums = slowly(values, edges)
    assert found.counts.tolist() == counts
    finite = values[np.abs(values) < LARGEST]
    scale = float(np.abs(finite).sum()) or 1.0
    assert found.sums == pytest.approx(sums, rel=1e-9, abs=1e-12 * scale)
    assert (found.low, found.high) == (finite.min(initial=math.inf), finite.max(initial=-math.inf))
    centred = finite - finite.mean() if finite.size else finite
    assert found.deviation == pytest.approx(float(centred @ centred), rel=1e-9, abs=1e-12 * scale**2)


@given(st.lists(numbers, max_size=60), st.one_of(on_a_grid, anywhere))
@example([-5e-324, -1e-300, 0.0, 0.24999999999999997, 0.25], (-0.5, 0.0, 0.25, 18.0))
@example([-0.0], (0.0,))
@example([2.0**-1074, 7.0], (0.0, 7.0, 7.5))
def test_every_number_lies_in_its_bin_to_the_last_bit(values: list[float], edges: tuple[float, ...]) -> None:
    array = np.array(values)
    check(count(array, np.array(edges), grid_of(edges)), array, edges)
    check(count(array, np.array(edges), None), array, edges)


def test_numbers_beside_an_edge_are_told_apart() -> None:
    edges = tuple((np.arange(-200, 300) / 64).tolist())
    grid = grid_of(edges)
    assert grid is not None
    values = np.concatenate([np.nextafter(edges, -np.inf), edges, np.nextafter(edges, np.inf)])
    found = count(values, np.array(edges), grid)
    assert found.counts.tolist() == [1, *[3] * (len(edges) - 1), 2]


def test_the_grid_and_the_sorting_count_alike() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(10, 3, size=50_000)
    edges = np.floor(np.quantile(values, np.linspace(0, 1, 33)) * 64) / 64
    by_grid, by_sorting = count(values, edges, grid_of(edges.tolist())), count(values, edges, None)
    assert by_grid.counts.tolist() == by_sorting.counts.tolist()
    assert by_grid.sums == pytest.approx(by_sorting.sums, rel=1e-12)
    assert by_grid.deviation == pytest.approx(values.var() * values.size, rel=1e-12)
    assert by_sorting.deviation == pytest.approx(values.var() * values.size, rel=1e-12)


def test_a_far_mean_costs_no_digits_of_the_deviation() -> None:
    values = 1e9 + np.random.default_rng(0).normal(size=10_000)
    edges = (1e9 - 1, 1e9, 1e9 + 1)
    assert grid_of(edges) is not None
    assert count(values, np.array(edges), grid_of(edges)).deviation == pytest.approx(values.var() * 10_000, rel=1e-6)
    assert count(np.full(1000, 0.1), np.array((0.1,)), None).deviation == 0


@pytest.mark.parametrize(
    "edges", [(0.1, 0.2, 0.3, 0.4), (0.0, 1e-9, 1.0, 2.0), (0.0, 2.0**-60, 1.0, 2.0), (-1e200, 0.0, 1.0, 1e200)]
)
def test_edges_that_no_grid_fits_are_counted_by_sorting(edges: tuple[float, ...]) -> None:
    assert grid_of(edges) is None
    values = np.array([-1.0, 0.15, 0.25, 1.5, 5e-10])
    check(count(values, np.array(edges), None), values, edges)


def test_threads_do_not_count_in_each_others_memory() -> None:
    rng = np.random.default_rng(0)
    edges = (-1.0, 0.0, 0.5, 1.0)
    grid = grid_of(edges)
    parts = [rng.normal(size=size) for size in (100, 5000, 20_000, 300)]
    expected = [np.histogram(part, (-np.inf, *edges, np.inf))[0].tolist() for part in parts]
    wrong: list[int] = []

    def work(place: int) -> None:
        found = [count(parts[place], np.array(edges), grid).counts.tolist() for _ in range(50)]
        wrong.extend(place for counts in found if counts != expected[place])

    threads = [threading.Thread(target=work, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@given(st.lists(st.integers(-40, 40), min_size=1, max_size=60), st.one_of(on_a_grid, anywhere))
@example([2**53 - 1, 2**53 - 2], (0.0,))
def test_whole_numbers_are_counted_as_numbers_are(values: list[int], edges: tuple[float, ...]) -> None:
    for kind in (np.int64, np.int8, np.uint64):
        if all(np.iinfo(kind).min <= value <= np.iinfo(kind).max for value in values):
            found = count_integers(np.array(values, dtype=kind), np.array(edges))
            assert found is not None
            check(found, np.array(values, dtype=float), edges)


@pytest.mark.parametrize("values", [[], [0, 1 << 14], [(1 << 53) + 1], [-(1 << 60)]])
def test_whole_numbers_far_apart_or_beyond_float64_are_counted_otherwise(values: list[int]) -> None:
    assert count_integers(np.array(values, dtype=np.int64), np.array((0.0,))) is None


def test_tails_off_the_grid_are_counted_too() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([np.exp(2 * rng.normal(size=20_000)), [-50.0, 1e9]])
    edges = tuple((np.floor(np.quantile(values, np.linspace(0, 0.97, 33)) * 64) / 64).tolist())
    grid = grid_of(edges)
    assert grid is not None
    assert values.max() > grid.high
    assert values.min() < grid.low
    check(count(values, np.array(edges), grid), values, edges)
    spoiled = np.concatenate([values, [np.nan, np.inf, -1e200]])
    check(count(spoiled, np.array(edges), grid), spoiled, edges)
