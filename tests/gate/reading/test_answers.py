"""What classifications may say: classes, probabilities, and what is neither."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from airflow_mlops.errors import ConfigError, DataError
from airflow_mlops.gate.reading.paired import PairedPredictions, UnusablePredictions, read_paired

ROWS = 6
IDS = [f"2011-03-05/{hour}" for hour in range(ROWS)]
NAN, INF = float("nan"), float("inf")


@pytest.fixture
def read(tmp_path: Path):
    def _read(names: Any, challenger: dict[str, Any], champion: Any = None, *, suffix: str = "parquet", **options: Any):
        def written(name: str, content: dict[str, Any]) -> Path:
            path = tmp_path / f"{name}.{suffix}"
            table = pa.table({"row_id": IDS} | content)
            pq.write_table(table, path) if suffix == "parquet" else pyarrow.csv.write_csv(table, path)
            return path

        return read_paired(
            **{"task": "binary"} | options,
            truth=written("golden", {"y_true": names, "p_area": range(ROWS)}),
            challenger=written("challenger", challenger),
            champion=None if champion is None else written("champion", champion),
        )

    return _read


NAMES = ["no", "yes", "no", "yes", "yes", "no"]
CHANCES = [0.1, 0.8, 0.3, 0.6, 0.4, 0.2]


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
@pytest.mark.parametrize(
    ("names", "classes"),
    [([0, 1, 0, 1, 1, 0], ("0", "1")), ([0.0, 1.0, 0.0, 1.0, 1.0, 0.0], ("0", "1")),
     ([False, True, False, True, True, False], ("false", "true")),
     (["False", "True", "False", "True", "True", "False"], ("false", "true"))],
)  # fmt: skip
def test_the_positive_class_is_one_or_true(read, names: Any, classes: tuple[str, ...], suffix: str) -> None:
    rows = read(names, {"y_pred": CHANCES}, suffix=suffix)
    assert isinstance(rows, PairedPredictions)
    assert rows.classes == classes
    assert rows.y_true.tolist() == [0, 1, 0, 1, 1, 0]
    assert rows.challenger.probabilities is not None
    assert rows.challenger.probabilities[:, 1].tolist() == CHANCES
    assert rows.challenger.values.tolist() == [0, 1, 0, 1, 0, 0]


def test_the_positive_class_may_be_named(read) -> None:
    others = [1 - chance for chance in CHANCES]
    both = {"p_no": others, "p_yes": CHANCES}
    for prediction in (both, {"p_no": others}, {"y_pred": others}):
        rows = read(NAMES, prediction, positive="no")
        assert isinstance(rows, PairedPredictions)
        assert rows.classes == ("yes", "no")
        assert rows.y_true.tolist() == [1, 0, 1, 0, 0, 1]
        assert rows.challenger.probabilities is not None
        assert rows.challenger.probabilities[:, 0] == pytest.approx(CHANCES)
    with pytest.raises(ConfigError, match="expected one of them as the positive class; the classes are 'no', 'yes'"):
        read(NAMES, both)
    with pytest.raises(ConfigError, match="expected 'maybe' among them"):
        read(NAMES, both, positive="maybe")


ONE_OR_TWO = [1, 2, 1, 2, 2, 1]


def test_of_one_and_two_nobody_knows_which_is_positive(read) -> None:
    both = {"p_1": [1 - chance for chance in CHANCES], "p_2": CHANCES}
    for prediction in (both, {"y_pred": ONE_OR_TWO}):
        with pytest.raises(ConfigError, match=r"the classes are '1', '2'.*positive = "):
            read(ONE_OR_TWO, prediction)
        rows = read(ONE_OR_TWO, prediction, positive="2")
        assert isinstance(rows, PairedPredictions)
        assert (rows.classes, rows.y_true.tolist()) == (("1", "2"), [0, 1, 0, 1, 1, 0])
    # Both models speak of one class alone: that is the one.
    for name, classes in {"p_1": ("2", "1"), "p_2": ("1", "2")}.items():
        rows = read(ONE_OR_TWO, {name: CHANCES}, {name: CHANCES})
        assert isinstance(rows, PairedPredictions)
        assert rows.classes == classes
    with pytest.raises(ConfigError, match="the positive class"):
        read(ONE_OR_TWO, {"p_1": CHANCES}, {"p_2": CHANCES})


@pytest.mark.parametrize(("truth", "said"), [([-1, 1, -1, 1, 1, -1], None), ([1] * ROWS, [1, -1] * 3)])
def test_one_beside_minus_one_is_positive(read, truth: list[int], said: list[int] | None) -> None:
    rows = read(truth, {"y_pred": said or truth})
    assert isinstance(rows, PairedPredictions)
    assert rows.classes == ("-1", "1")
    assert rows.y_true.tolist() == [(label + 1) / 2 for label in truth]


def test_a_window_of_one_class_takes_the_other_from_the_answers(read) -> None:
    rows = read([2] * ROWS, {"y_pred": ONE_OR_TWO}, positive="2")
    assert isinstance(rows, PairedPredictions)
    assert (rows.classes, rows.challenger.values.tolist()) == (("1", "2"), [0, 1, 0, 1, 1, 0])
    # Nonsense is no class, and the challenger's.
    assert isinstance(read([0] * ROWS, {"y_pred": [2.0, *CHANCES[1:]]}), UnusablePredictions)


def test_the_probability_of_the_negative_class_alone_is_not_guessed_from(read) -> None:
    rows = read(NAMES, {"p_no": CHANCES}, positive="yes")
    assert rows == UnusablePredictions(
        "the challenger's predictions give no probability for 'yes', which the truth holds"
    )


def test_named_classes_have_no_probabilities(read) -> None:
    rows = read(NAMES, {"y_pred": ["no", "no", "no", "yes", "yes", "yes"]}, positive="yes")
    assert isinstance(rows, PairedPredictions)
    assert rows.challenger.probabilities is None
    assert rows.challenger.values.tolist() == [0, 0, 0, 1, 1, 1]


def test_a_models_own_threshold_stands(read) -> None:
    eager = [int(chance > 0.25) for chance in CHANCES]
    rows = read([0, 1, 0, 1, 1, 0], {"p_1": CHANCES, "y_pred": eager})
    assert isinstance(rows, PairedPredictions)
    assert rows.challenger.values.tolist() == eager


def test_a_window_may_hold_one_class_only(read) -> None:
    rows = read([0] * ROWS, {"y_pred": CHANCES})
    assert isinstance(rows, PairedPredictions)
    assert (rows.classes, rows.y_true.tolist()) == (("0", "1"), [0] * ROWS)
    rows = read(["yes"] * ROWS, {"y_pred": CHANCES}, positive="yes")
    assert isinstance(rows, PairedPredictions)
    assert (rows.classes[1], rows.y_true.tolist()) == ("yes", [1] * ROWS)


def test_a_binary_truth_of_three_classes_is_bad_input(read) -> None:
    with pytest.raises(DataError, match=r"expected two classes in y_true .* got '0', '1', '2'"):
        read([0, 1, 2, 0, 1, 2], {"y_pred": CHANCES})


MANY = ["10", "9", "x", "10", "9", "x"]


def test_classes_are_those_of_the_truth_and_of_the_predictions(read) -> None:
    third = [1 / 3] * ROWS
    new = {"p_9": third, "p_10": third, "p_x": third, "p_y": [0.0] * ROWS}
    rows = read(MANY, new | {"p_area": range(ROWS)}, {"y_pred": MANY}, task="multiclass", columns=["p_area"])
    assert isinstance(rows, PairedPredictions)
    assert rows.classes == ("9", "10", "x", "y")
    assert rows.y_true.tolist() == [1, 0, 2, 1, 0, 2]
    assert rows.challenger.probabilities is not None
    assert rows.challenger.probabilities.shape == (ROWS, 4)
    assert rows.champion is not None
    assert np.array_equal(rows.champion.values, rows.y_true)


def test_a_label_that_the_truth_does_not_hold_is_wrong_and_no_more(read) -> None:
    """A set may hold no row of a rare class."""
    rows = read(MANY, {"y_pred": ["10", "9", "d", "10", "e", "x"]}, {"y_pred": MANY}, task="multiclass")
    assert isinstance(rows, PairedPredictions)
    assert rows.classes == ("9", "10", "x", "(other)")
    assert rows.challenger.values.tolist() == [1, 0, 3, 1, 3, 2]
    assert rows.warnings == (
        "the challenger answers 2 rows with labels that these truths do not hold, such as 'd': each counts as wrong",
    )
    rows = read(MANY, {"y_pred": MANY}, {"y_pred": [*MANY[:5], "d"]}, task="multiclass")
    assert isinstance(rows, PairedPredictions)
    assert rows.champion is not None
    assert (rows.champion.values.tolist(), rows.warnings) == ([1, 0, 2, 1, 0, 3], ())


def test_a_class_that_is_called_other_is_not_what_strangers_are(read) -> None:
    names = ["(other)", "a", "b"] * 2
    rows = read(names, {"y_pred": ["z", *names[1:]]}, task="multiclass")
    assert isinstance(rows, PairedPredictions)
    assert rows.challenger.values[0] != rows.y_true[0]
    assert (rows.challenger.values[1:] == rows.y_true[1:]).all()


def test_a_broken_champion_is_not_the_challengers_fault(read) -> None:
    rows = read(MANY, {"y_pred": MANY}, {"y_pred": [None] * ROWS}, task="multiclass")
    assert isinstance(rows, PairedPredictions)
    assert "have no value in y_pred" in str(rows.champion_fault)


THIRD = [1 / 3] * ROWS


@pytest.mark.parametrize(
    ("prediction", "says"),
    [
        ({}, "lack the column y_pred, or p_<class> for each class"),
        ({"y_pred": ["a", "b", "a", "b", "a", "z"]}, "say 'a' in y_pred for rows 2011-03-05/0, 2011-03-05/1"),
        ({"y_pred": [9.5] * ROWS}, "say '9.5' in y_pred"),
        ({"y_pred": [None] * ROWS}, "have no value in y_pred"),
        ({"p_9": THIRD, "p_10": THIRD}, "give no probability for 'x', which the truth holds"),
        ({"p_9": THIRD, "p_10": THIRD, "p_x": [0.3] * ROWS}, "do not sum to 1 for rows 2011-03-05/0"),
        ({"p_9": [-0.1] * ROWS, "p_10": [0.6] * ROWS, "p_x": [0.5] * ROWS}, "outside 0..1 for rows 2011-03-05/0"),
        ({"p_9": [NAN] * ROWS, "p_10": THIRD, "p_x": THIRD}, "NaN, infinite or beyond 1e75 in p_9"),
        ({"p_9": ["a"] * ROWS, "p_10": THIRD, "p_x": THIRD}, "hold string in p_9"),
    ],
)
def test_a_challenger_that_names_no_class_is_unusable(read, prediction: dict[str, Any], says: str) -> None:
    rows = read(MANY, prediction, task="multiclass")
    assert isinstance(rows, UnusablePredictions)
    assert says in rows.reason


@pytest.mark.parametrize(
    ("prediction", "says"),
    [
        ({"y_pred": [2.0, *CHANCES[1:]]}, "say '2' in y_pred for rows 2011-03-05/0, 2011-03-05/1"),
        ({"y_pred": [INF, *CHANCES[1:]]}, "say 'inf' in y_pred"),
        ({"y_pred": ["maybe"] * ROWS}, "say 'maybe' in y_pred"),
        ({"p_1": CHANCES, "p_0": CHANCES}, "do not sum to 1"),
        ({"p_1": CHANCES, "p_2": CHANCES}, "give probabilities for '2', which is no class"),
        ({"p_true": CHANCES, "p_True": CHANCES}, "no class|twice"),
    ],
)
def test_a_binary_challenger_that_says_nonsense_is_unusable(read, prediction: dict[str, Any], says: str) -> None:
    rows = read([0, 1, 0, 1, 1, 0], prediction)
    assert isinstance(rows, UnusablePredictions)
    assert re.search(says, rows.reason)
