import numpy as np
import pytest
from sklearn.inspection import permutation_importance as of_sklearn
from sklearn.linear_model import LinearRegression

from airflow_mlops.drift.performance import permutation_importance
from airflow_mlops.errors import ConfigError, DataError

NAMES = ("temp", "hum", "wind")


def squares(truth, said):
    return (truth - said) ** 2


def world(rows: int = 3_000) -> tuple[np.ndarray, np.ndarray, LinearRegression]:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(rows, 3))
    truth = 3 * values[:, 0] + values[:, 1] + 0.1 * rng.normal(size=rows)
    return values, truth, LinearRegression().fit(values, truth)


def test_as_sklearn_has_it():
    values, truth, model = world()
    found = permutation_importance(model.predict, [(values, truth)], NAMES, squares, seed=0, rows=3_000, repeats=5)
    theirs = of_sklearn(model, values, truth, scoring="neg_mean_squared_error", n_repeats=5, random_state=0)
    assert list(found.values()) == pytest.approx(theirs.importances_mean.tolist(), rel=0.05, abs=1e-3)


def test_the_same_rows_in_other_batches_give_much_the_same():
    values, truth, model = world(20_000)
    whole = permutation_importance(model.predict, [(values, truth)], NAMES, squares, seed=1)
    batches = [(values[i : i + 100], truth[i : i + 100]) for i in range(0, 20_000, 100)]
    parts = permutation_importance(model.predict, iter(batches), NAMES, squares, seed=1)
    assert parts["temp"] == pytest.approx(whole["temp"], rel=0.15)


def test_the_sample_is_bounded_and_drawn_from_everywhere():
    seen = []

    def predict(values):
        seen.append(values)
        return values[:, 0]

    batches = ((np.full((500, 3), float(number)), np.zeros(500)) for number in range(40))
    permutation_importance(predict, batches, NAMES, squares, seed=0, rows=400, repeats=1)
    assert {len(one) for one in seen} == {400}
    assert len(np.unique(seen[0][:, 0])) == 40


def test_no_row_keeps_its_own_value():
    values = np.arange(300.0)[:, None]
    kept = []
    permutation_importance(
        lambda x: kept.append(x) or x[:, 0], [(values, values[:, 0])], ("id",), squares, seed=0, repeats=1
    )
    assert (kept[0] != kept[1]).all()
    assert sorted(kept[1][:, 0]) == sorted(kept[0][:, 0])


def test_a_seed_is_a_result():
    values, truth, model = world()
    first, again, other = (
        permutation_importance(model.predict, [(values, truth)], NAMES, squares, seed=seed) for seed in (3, 3, 4)
    )
    assert first == again != other
    assert min(first.values()) >= 0


def test_bad_input():
    with pytest.raises(ConfigError, match="rows of 2 features"):
        permutation_importance(lambda x: x[:, 0], [(np.zeros((50, 3)), np.zeros(50))], NAMES[:2], squares, seed=0)
    with pytest.raises(DataError, match="at least 30 labelled rows, got 5"):
        permutation_importance(lambda x: x[:, 0], [(np.zeros((5, 3)), np.zeros(5))], NAMES, squares, seed=0)
