from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from airflow_mlops.errors import DataError
from airflow_mlops.gate.checks.perturbation import behaviour_result, changed_table
from airflow_mlops.project.gate_spec import BehaviourSpec
from airflow_mlops.records import Decision

PROMOTE, HOLD, REJECT = Decision.PROMOTE, Decision.HOLD, Decision.REJECT


def spec(**changes: Any) -> BehaviourSpec:
    fields: dict[str, Any] = {"name": "more rain, not more riders", "feature": "rain", "expect": "not_more"}
    changed = changes if {"add", "multiply", "set"} & set(changes) else {"add": 1.0, **changes}
    return BehaviourSpec(**{**fields, **changed})


def rows_of(table: pa.Table) -> list[int]:
    return table["__row__"].to_pylist()


# ── what is changed ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("change", "expected"),
    [({"add": 0.5}, [1.5, 2.5]), ({"multiply": -2.0}, [-2.0, -4.0]), ({"set": 9.0}, [9.0, 9.0])],
)
def test_a_feature_is_changed_and_nothing_else(change: dict[str, float], expected: list[float]) -> None:
    table = pa.table({"hr": [7, 8], "rain": pa.array([1, 2], pa.int8()), "cnt": [3, 4]})
    changed = changed_table(table, spec(**change))
    assert changed["rain"].to_pylist() == expected
    assert changed.drop_columns(["rain", "__row__"]) == table.drop_columns(["rain"])


def test_rows_of_which_nothing_is_said_are_left_out() -> None:
    rain = [0.0, 5.0, 9.5, None, float("nan"), float("inf")]
    assert rows_of(changed_table(pa.table({"rain": rain}), spec(within=(0.0, 10.0)))) == [0, 1]
    # A feature that is set to what it was has not changed; nought times anything is nought.
    assert rows_of(changed_table(pa.table({"rain": [0.0, 3.0]}), spec(set=3.0))) == [0]
    assert rows_of(changed_table(pa.table({"rain": [0.0, 3.0]}), spec(multiply=2.0))) == [1]
    assert rows_of(changed_table(pa.table({"rain": pa.array([], pa.float64())}), spec())) == []


def test_a_feature_that_cannot_be_changed_is_named() -> None:
    with pytest.raises(DataError, match=r"expected the feature 'rain'.*it has snow"):
        changed_table(pa.table({"snow": [1]}), spec())
    with pytest.raises(DataError, match="expected numbers in 'rain', got string"):
        changed_table(pa.table({"rain": ["much"]}), spec())


# ── what the prediction did ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("expect", "after", "violations"),
    [
        ("not_more", [1.0, 2.5, 2.0], 1),
        ("not_less", [1.0, 2.5, 2.0], 1),
        ("same", [1.0, 2.5, 2.0], 2),
        ("same", [1.0, 2.0, 3.0], 0),
    ],
)
def test_violations_are_counted_in_their_direction(expect: str, after: list[float], violations: int) -> None:
    result = behaviour_result(spec(expect=expect), np.array([1.0, 2.0, 3.0]), np.array(after))
    assert result.estimate == pytest.approx(violations / 3)
    assert result.decision is (REJECT if violations else PROMOTE)


def test_tolerance_and_share_give_way() -> None:
    before, after = np.zeros(20), np.zeros(20)
    after[0] = 0.3
    assert behaviour_result(spec(), before, after).decision is PROMOTE  # 5 % may do otherwise
    assert behaviour_result(spec(max_violations=0.04), before, after).decision is REJECT
    assert behaviour_result(spec(max_violations=0.0, tolerance=0.3), before, after).decision is PROMOTE


def test_bounds_are_clopper_and_pearsons() -> None:
    after = np.repeat([1.0, 0.0], [12, 188])
    result = behaviour_result(spec(), np.zeros(200), after)
    interval = stats.binomtest(12, 200).proportion_ci(0.9, method="exact")
    assert (result.low, result.high) == pytest.approx((interval.low, interval.high))
    none = behaviour_result(spec(), np.zeros(200), np.zeros(200))
    assert (none.low, none.high) == pytest.approx((0.0, 1 - 0.05 ** (1 / 200)))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("side", [0, 1])
def test_no_number_rejects(bad: float, side: int) -> None:
    sides = [np.zeros(50), np.zeros(50)]
    sides[side][7] = bad
    result = behaviour_result(spec(), *sides)
    assert result.decision is REJECT
    assert "1 predictions of 50 rows are no finite number" in result.reason


def test_nothing_to_look_at_holds_and_another_number_of_rows_rejects() -> None:
    assert behaviour_result(spec(), np.empty(0), np.empty(0)).decision is HOLD
    assert behaviour_result(spec(), np.zeros(3), np.zeros(2)).decision is REJECT
    assert behaviour_result(spec(), np.zeros(3), np.zeros(())).decision is REJECT


def test_of_several_classes_only_sameness_is_asked() -> None:
    before, after = np.full((4, 3), 1 / 3), np.tile([0.5, 0.3, 0.2], (4, 1))
    assert behaviour_result(spec(expect="same"), before, after).decision is REJECT
    assert behaviour_result(spec(expect="same", tolerance=0.2), before, after).decision is PROMOTE
    assert behaviour_result(spec(), before, after).decision is HOLD
