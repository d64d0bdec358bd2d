"""From tables to series: what stands in them, and that their errors are those of sampling."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from airflow_mlops.calibrate import judge
from airflow_mlops.drift.series import NightlySeries, new_levels, nightly_series
from airflow_mlops.errors import DataError
from airflow_mlops.profile import Profile, edges_of, profile_table

ROWS = 400


def table(rng: np.random.Generator, rows: int = ROWS, **columns: object) -> pa.Table:
    common = rng.normal(size=rows)
    return pa.table(
        {
            "temp": common + rng.normal(size=rows),
            "wind": common + rng.normal(size=rows),
            "count": rng.poisson(2.0, size=rows),
            "city": rng.choice(["A", "B", "C", "D"], p=[0.6, 0.3, 0.09, 0.01], size=rows),
            **columns,
        }
    )


def profiles(tables: list[pa.Table]) -> list[Profile]:
    edges = edges_of(pa.concat_tables(tables, promote_options="permissive"))
    return [profile_table(one, edges) for one in tables]


def series_of(series: NightlySeries, name: str) -> np.ndarray:
    return series.values[:, series.layout.names.index(name)]


@pytest.fixture(scope="module")
def many() -> NightlySeries:
    rng = np.random.default_rng(0)
    return nightly_series(profiles([table(rng) for _ in range(150)]))


def test_each_series_has_a_name_of_its_own_and_a_kind(many: NightlySeries) -> None:
    assert len(set(many.layout.names)) == len(many.layout.names)
    assert set(many.layout.kinds) == {"mean", "spread", "shape", "nulls", "level", "correlation"}
    assert set(many.layout.features) == {"temp", "wind", "count", "city", None}
    assert many.values.shape == many.errors.shape == (150, len(many.layout.names))


def test_errors_are_those_of_sampling(many: NightlySeries) -> None:
    for name, kind in zip(many.layout.names, many.layout.kinds, strict=True):
        values, errors = series_of(many, name), many.errors[:, many.layout.names.index(name)]
        if values.std() == 0 or "'D'" in name:
            continue
        ratio = values.std() / errors.mean()
        # The kurtosis of a column is a little too small where bins stand for values, and its error with it.
        low, high = (0.8, 1.35) if kind == "spread" else (0.8, 1.2)
        # Shares of a rare value: the arcsine scale is exact for many rows only.
        assert low < ratio < high, f"{name}: {ratio:.2f}"


def test_values_are_what_the_tables_hold() -> None:
    rng = np.random.default_rng(1)
    tables = [table(rng) for _ in range(3)]
    series = nightly_series(profiles(tables))
    temp = [one["temp"].to_numpy() for one in tables]
    assert series_of(series, "mean of temp") == pytest.approx([one.mean() for one in temp])
    assert series_of(series, "spread of temp") == pytest.approx([np.log(one.std()) for one in temp])
    shares = [np.mean(one["city"].to_numpy(zero_copy_only=False) == "A") for one in tables]
    assert series_of(series, "share of city 'A'") == pytest.approx(np.arcsin(np.sqrt(shares)))
    correlations = [np.corrcoef(one["temp"], one["wind"])[0, 1] for one in tables]
    assert series_of(series, "correlation of temp and wind") == pytest.approx(np.arctanh(correlations))
    assert (series_of(series, "nulls of temp") == 0).all()


def test_rare_levels_stand_together(many: NightlySeries) -> None:
    assert "share of city 'D'" not in many.layout.names
    assert np.sin(series_of(many, "share of rarer levels of city").mean()) ** 2 == pytest.approx(0.01, abs=0.003)


def test_a_missing_night_and_a_missing_column_say_nothing() -> None:
    rng = np.random.default_rng(0)
    nights: list[Profile | None] = [*profiles([table(rng), table(rng).drop_columns(["wind"]), table(rng)])]
    nights.insert(1, None)
    series = nightly_series(nights)
    assert np.isnan(series.values[1]).all()
    assert np.isnan(series_of(series, "mean of wind")).tolist() == [False, True, True, False]
    assert series_of(series, "nulls of wind")[2] == pytest.approx(np.pi / 2)
    assert series.rows.tolist() == [ROWS, 0, ROWS, ROWS]


def test_a_few_far_values_do_not_make_the_mean() -> None:
    rng = np.random.default_rng(0)

    def night() -> pa.Table:
        return table(rng, price=np.exp(1.5 * rng.normal(size=ROWS)))

    calm, wild = night(), night()
    prices = wild["price"].to_numpy().copy()
    prices[0] = 1e6
    wild = wild.set_column(wild.column_names.index("price"), "price", pa.array(prices))
    nights = [night() for _ in range(20)]
    edges = edges_of(pa.concat_tables(nights))
    series = nightly_series([profile_table(one, edges) for one in (*nights, calm, wild)])
    means = series_of(series, "mean of price")
    assert abs(means[-1] - means[-2]) < 5 * series.errors[0, series.layout.names.index("mean of price")]
    assert not any("price" in name for name in series.layout.names if name.startswith("correlation"))


def test_a_constant_column_has_errors_all_the_same() -> None:
    rng = np.random.default_rng(0)
    nights = profiles([table(rng, unit=np.full(ROWS, 5.0)) for _ in range(20)])
    series = nightly_series(nights)
    known = np.isfinite(series.values)
    assert (series.errors[known] > 0).all()
    assert "spread of unit" not in series.layout.names


def test_rows_that_are_alike_within_a_night_are_judged_by_nights() -> None:
    # A flag that is set for whole nights, one of seven: its sampling error is no measure of it.
    rng = np.random.default_rng(0)
    series = nightly_series(
        profiles([table(rng, flag=np.full(ROWS, float(night % 7 == 5))) for night in range(7 * 8 + 6)])
    )
    assert not judge(series.values, series.errors, series.layout).watch


def test_a_least_effect_can_be_told_in_rows() -> None:
    rng = np.random.default_rng(0)
    series = nightly_series(profiles([table(rng) for _ in range(40)]))
    shifts = series.shifts(judge(series.values, series.errors, series.layout).least_effects)
    assert set(shifts) == {"temp", "wind", "count"}
    # Five to six standard errors of a mean of 400 rows.
    assert 0.2 < shifts["temp"] < 0.4


def test_nights_without_rows_are_refused() -> None:
    with pytest.raises(DataError, match="at least one night with rows"):
        nightly_series([None, None])


@pytest.mark.parametrize(("seen", "found"), [(4, {}), (5, {"city": {"Z": 5}})])
def test_a_new_level_is_one_that_is_seen_often_enough(seen: int, found: dict[str, dict[str, int]]) -> None:
    rng = np.random.default_rng(0)
    before, tonight = table(rng), table(rng)
    cities = [*["Z"] * seen, *tonight["city"].to_pylist()[seen:]]
    tonight = tonight.set_column(tonight.column_names.index("city"), "city", pa.array(cities))
    edges = edges_of(before)
    past, now = profile_table(before, edges), profile_table(tonight, edges)
    assert new_levels(past, now) == found
    assert new_levels(now, now) == {}


def test_levels_of_an_identifier_are_never_new() -> None:
    rng = np.random.default_rng(0)
    nights = [table(rng, id=np.char.mod(f"{night}-%d", np.repeat(np.arange(ROWS // 10), 10))) for night in range(4)]
    edges = edges_of(nights[0])
    past, middle, last = (
        profile_table(pa.concat_tables(nights[:2]), edges),
        *(profile_table(one, edges) for one in nights[2:]),
    )
    assert "id" in new_levels(past, middle) or past.columns["id"].other > 0
    crowd = profile_table(pa.concat_tables(nights[:3]), edges)
    assert "id" not in new_levels(crowd, last)


def test_a_table_that_outgrew_its_bins_is_not_taken_for_a_heavy_tail() -> None:
    """Summer in the bins of winter: all rows lie in the last bin, and the mean still moves with them."""
    rng = np.random.default_rng(0)
    edges = {"temp": tuple(np.linspace(0.0, 1.0, 33).tolist())}
    warm = [profile_table(pa.table({"temp": rng.normal(3.0 + night, 0.1, 500)}), edges) for night in range(5)]
    series = nightly_series(warm)
    means = series.values[:, series.layout.names.index("mean of temp")]
    assert np.allclose(means, 3.0 + np.arange(5), atol=0.05)


@pytest.mark.parametrize(("rows", "correlated"), [(500, False), (20_000, True)])
def test_columns_with_far_values_are_correlated_where_nights_have_many_rows(rows: int, correlated: bool) -> None:
    rng = np.random.default_rng(0)
    tables = [pa.table({name: np.exp(0.6 * rng.normal(size=rows)) for name in "ab"}) for _ in range(3)]
    edges = edges_of(pa.concat_tables(tables))
    found = nightly_series([profile_table(table, edges) for table in tables])
    assert ("correlation of a and b" in found.layout.names) is correlated
