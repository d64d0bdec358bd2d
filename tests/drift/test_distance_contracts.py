"""One battery over every exported distance between two profiles of a column."""

from __future__ import annotations

import inspect
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from airflow_mlops.drift import distance as room
from airflow_mlops.drift.distance.cells import cells
from airflow_mlops.errors import DataError
from airflow_mlops.profile import Gram, Levels, Numbers, Profile, merge, profile_table

Column = Numbers | Levels
Distance = Callable[[Column, Column], float]

# What makes one number of each, so that all can be asked the same questions.
BOTH: dict[str, Distance] = {
    "population_stability_index": room.population_stability_index,
    "jensen_shannon_distance": room.jensen_shannon_distance,
    "chi_square": lambda a, b: room.chi_square(a, b).statistic,
    "g_statistic": lambda a, b: room.g_statistic(a, b).statistic,
}
NUMBERS: dict[str, Distance] = {
    **BOTH,
    "wasserstein_distance": room.wasserstein_distance,
    "kolmogorov_smirnov_distance, low": lambda a, b: room.kolmogorov_smirnov_distance(a, b).low,
}
LEVELS: dict[str, Distance] = {**BOTH, "total_variation_distance": room.total_variation_distance}
NULLS: dict[str, Distance] = {
    "null_rate_difference": lambda a, b: abs(room.null_rate_difference(a, b)),
    "cohen_h": lambda a, b: abs(room.cohen_h(a, b)),
}
# Of these, cells that are put together can only bring both sides nearer (the data-processing inequality).
COARSER_IS_NEARER = ("jensen_shannon_distance", "chi_square", "g_statistic", "total_variation_distance")

EDGES = tuple(np.linspace(-3, 3, 31).tolist())
SHIFTS = np.linspace(0, 2, 9)


def numbers(values: object) -> Numbers:
    column = profile_table(pa.table({"x": pa.array(values, pa.float64())}), {"x": EDGES}).columns["x"]
    assert isinstance(column, Numbers)
    return column


def normal(shift: float, rows: int = 4000, seed: int = 0) -> Numbers:
    return numbers(np.random.default_rng(seed).normal(size=rows) + shift)


def levels(share: float, rows: int = 1000) -> Levels:
    """Two levels of which one gives way to the other."""
    moved = round(share * rows)
    return Levels(counts={"A": rows - moved, "B": rows + moved}, nulls=10)


def emptying(shift: float) -> Levels:
    return Levels(counts={"A": 100 - int(20 * shift)}, nulls=int(20 * shift))


PAIRS = [
    *[(name, distance, normal) for name, distance in NUMBERS.items()],
    *[(name, distance, levels) for name, distance in LEVELS.items()],
    *[(name, distance, emptying) for name, distance in NULLS.items()],
]  # fmt: skip
NAMED = pytest.mark.parametrize(
    ("distance", "made"), [pair[1:] for pair in PAIRS], ids=[f"{p[0]}-{i}" for i, p in enumerate(PAIRS)]
)


def test_no_exported_distance_is_forgotten() -> None:
    between_columns = {
        name
        for name in room.__all__
        if inspect.isfunction(getattr(room, name))
        and list(inspect.signature(getattr(room, name)).parameters) == ["reference", "current"]
        and "Gram" not in str(inspect.signature(getattr(room, name)))
    }
    assert between_columns == {name.partition(",")[0] for name in (*NUMBERS, *LEVELS, *NULLS)}


@NAMED
def test_zero_for_itself(distance: Distance, made: Callable[[float], Column]) -> None:
    column = made(0.0)
    assert distance(column, column) == pytest.approx(0, abs=1e-12)
    assert distance(column, column) >= 0


@NAMED
def test_symmetric(distance: Distance, made: Callable[[float], Column]) -> None:
    one, other = made(0.0), made(0.7)
    assert distance(one, other) == pytest.approx(distance(other, one), rel=1e-12)


@NAMED
def test_grows_with_a_shift(distance: Distance, made: Callable[[float], Column]) -> None:
    shifts = SHIFTS if made is not levels else SHIFTS / 3
    grown = [distance(made(0.0), made(shift)) for shift in shifts]
    assert (np.diff(grown) > 0).all()


@NAMED
def test_parts_that_were_merged_are_the_whole(distance: Distance, made: Callable[[float], Column]) -> None:
    def whole_of(*columns: Column) -> Column:
        return merge(Profile(rows=column.rows, columns={"x": column}) for column in columns).columns["x"]

    parts = [made(shift) for shift in (0.2, 0.4, 0.6)]
    reference = whole_of(made(0.0))
    assert distance(reference, whole_of(*parts)) == distance(reference, whole_of(*parts[::-1]))
    twice = whole_of(reference, reference)
    # Half a row in each cell weighs less among twice as many rows.
    assert distance(reference, twice) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("name", NUMBERS)
def test_finite_for_empty_bins_and_for_sides_that_share_none(name: str) -> None:
    distance = NUMBERS[name]
    for one, other in [([-5.0], [5.0]), ([-2.9] * 50, [2.9] * 7), ([0.0], [0.0])]:
        assert np.isfinite(distance(numbers(one), numbers(other)))


@pytest.mark.parametrize("name", LEVELS)
def test_finite_for_levels_of_one_side_only(name: str) -> None:
    one, other = Levels(counts={"A": 9, "B": 0}, nulls=0), Levels(counts={"C": 1}, nulls=0)
    assert 0 < LEVELS[name](one, other) < np.inf


@pytest.mark.parametrize(("name", "distance"), [*NUMBERS.items()])
def test_nothing_on_one_side_of_numbers_is_an_error(name: str, distance: Distance) -> None:
    for one, other in [(normal(0), numbers([None] * 3)), (numbers([None]), normal(0)), (numbers([]), numbers([]))]:
        with pytest.raises(DataError, match="expected values on both sides"):
            distance(one, other)


@pytest.mark.parametrize(("name", "distance"), [*LEVELS.items(), *NULLS.items()])
def test_nothing_on_one_side_of_levels_is_an_error(name: str, distance: Distance) -> None:
    nothing, some = Levels(counts={}, nulls=0), levels(0.1)
    for one, other in [(some, nothing), (nothing, some), (nothing, nothing)]:
        with pytest.raises(DataError, match="on both sides"):
            distance(one, other)


@pytest.mark.parametrize("name", BOTH)
def test_other_bins_and_other_kinds_are_not_compared(name: str) -> None:
    other = profile_table(pa.table({"x": [1.0, 2.0]}), {"x": (0.0, 1.5)}).columns["x"]
    for one in (normal(0), levels(0.0)):
        with pytest.raises(DataError, match="with the edges of the reference"):
            BOTH[name](one, other)


@pytest.mark.parametrize("name", COARSER_IS_NEARER)
def test_levels_put_together_are_nearer(name: str) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        one, other = (dict(zip("ABCDEF", rng.integers(1, 60, 6).tolist(), strict=True)) for _ in range(2))
        fine = LEVELS[name](Levels(counts=one, nulls=0), Levels(counts=other, nulls=0))
        for side in (one, other):
            side["AB"] = side.pop("A") + side.pop("B")
        assert LEVELS[name](Levels(counts=one, nulls=0), Levels(counts=other, nulls=0)) <= fine + 1e-12


@pytest.mark.parametrize("name", ["jensen_shannon_distance", "total_variation_distance"])
def test_bounded_by_one(name: str) -> None:
    assert LEVELS[name](Levels(counts={"A": 9}, nulls=0), Levels(counts={"B": 4}, nulls=0)) == pytest.approx(1)


def test_cells_of_both_sides_stand_in_one_order() -> None:
    before, now = cells(Levels(counts={"B": 1, "A": 2}, nulls=0), Levels(counts={"A": 3, "C": 4}, nulls=9), of="x")
    assert (before.tolist(), now.tolist()) == ([1, 2, 0], [0, 3, 4])


def test_a_shift_of_one_sd_has_the_index_that_it_has() -> None:
    # J of two unit normals one sd apart is 1; frouros fills empty bins with the smallest float and says 134.95.
    reference, current = normal(0, 20_000), normal(1, 20_000, seed=1)
    assert room.population_stability_index(reference, current) == pytest.approx(1.0, abs=0.1)


def test_chance_makes_the_index_that_is_stated() -> None:
    rng = np.random.default_rng(0)
    edges = tuple(np.linspace(0, 1, 11)[1:-1].tolist())
    found = []
    for _ in range(300):
        one, other = (
            profile_table(pa.table({"x": rng.random(rows)}), {"x": edges}).columns["x"] for rows in (2000, 1000)
        )
        found.append(room.population_stability_index(one, other))
    assert np.mean(found) == pytest.approx((1 / 2000 + 1 / 1000) * 9, rel=0.1)


def test_chance_makes_the_chi_square_that_is_stated() -> None:
    rng = np.random.default_rng(0)
    shares = [0.5, 0.3, 0.15, 0.05]
    p_values, excess = [], []
    for _ in range(400):
        one, other = (
            Levels(counts=dict(zip("ABCD", rng.multinomial(rows, shares).tolist(), strict=True)), nulls=0)
            for rows in (900, 400)
        )
        for statistic in (room.chi_square, room.g_statistic):
            p_values.append(statistic(one, other).p_value)
            excess.append(statistic(one, other).statistic - statistic(one, other).expected)
    assert np.mean(np.array(p_values) < 0.05) == pytest.approx(0.05, abs=0.025)
    assert np.mean(excess) == pytest.approx(0, abs=0.3)


def test_one_level_that_all_have_says_nothing() -> None:
    assert room.chi_square(levels(1.0), levels(1.0)).p_value == 1.0
    assert room.g_statistic(Levels(counts={"A": 3}, nulls=0), Levels(counts={"A": 5}, nulls=0)) == (0.0, 0, 1.0)


def test_new_levels_are_one_cell() -> None:
    reference = Levels(counts={"A": 60, "B": 40}, nulls=0)
    listed = Levels(counts={"A": 50, "B": 20, "C": 20, "D": 10}, nulls=0)
    counted = Levels(counts={"A": 50, "B": 20}, nulls=0, other=30, novel={"C": 20, "D": 10})
    for name in ("jensen_shannon_distance", "total_variation_distance", "chi_square", "g_statistic"):
        assert LEVELS[name](reference, counted) == pytest.approx(LEVELS[name](reference, listed))


def test_what_is_no_finite_number_is_missing() -> None:
    one = numbers([0.0, 1.0, 2.0, 3.0])
    assert room.null_rate_difference(one, numbers([0.0, None, float("nan"), float("inf")])) == 0.75


def gram(rho: float, rows: int = 4000, seed: int = 0) -> Gram:
    x, y, z = np.random.default_rng(seed).normal(size=(3, rows))
    values = np.stack([x, rho * x + np.sqrt(1 - rho**2) * y, z, np.ones(rows)])
    products = (values @ values.T)[np.triu_indices(4)]
    return Gram(
        columns=tuple("xyzc"), rows=rows, centres=(0,) * 4, sums=values.sum(axis=1).tolist(), products=products.tolist()
    )


def test_a_correlation_that_flipped() -> None:
    before, now = gram(0.6), gram(-0.6, seed=1)
    differences = room.correlation_differences(before, now)
    assert differences[0, 1] == pytest.approx(-2 * np.arctanh(0.6), abs=0.1)
    np.testing.assert_array_equal(differences, differences.T)
    np.testing.assert_array_equal(differences, -room.correlation_differences(now, before))
    # A constant is correlated with nothing.
    assert (differences[3] == 0).all()
    assert room.correlation_distance(before, now) == np.abs(differences).max()
    assert room.correlation_distance(before, before) == 0
    grown = [room.correlation_distance(before, gram(rho)) for rho in (0.6, 0.4, 0.0, -0.5, -0.9)]
    assert (np.diff(grown) > 0).all()
    assert np.isfinite(room.correlation_distance(before, gram(1.0)))


def test_chance_makes_the_scatter_that_is_stated() -> None:
    before = gram(0.3, 100_000)
    found = [room.correlation_differences(before, gram(0.3, 400, seed))[0, 1] for seed in range(1, 200)]
    scatter = room.correlation_scatter(before, gram(0.3, 400))
    assert np.std(found) == pytest.approx(scatter[0, 1], rel=0.15)
    assert np.isinf(room.correlation_scatter(before, gram(0.3, 3))).all()


def test_correlations_of_other_columns_and_of_nothing() -> None:
    with pytest.raises(DataError, match="correlations of the columns x, y, z, c, got those of x, y"):
        room.correlation_distance(gram(0.3), gram(0.3).among(["x", "y"]))
    for one, other in [(gram(0.3), gram(0.3).blank), (gram(0.3).blank, gram(0.3))]:
        with pytest.raises(DataError, match="rows on both sides"):
            room.correlation_distance(one, other)
