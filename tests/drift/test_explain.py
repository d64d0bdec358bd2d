from __future__ import annotations

import datetime as dt
import math

import pytest

from airflow_mlops.drift.change import Change, ChangeKind
from airflow_mlops.drift.explain import by_weight, explain, in_words


def change(
    feature: str, kind: str, before: float = math.nan, after: float = math.nan, size: float = 0.5, **more: object
) -> Change:
    return Change.model_validate(
        {"feature": feature, "kind": kind, "before": before, "after": after, "size": size, **more}
    )


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (change("temp", "vanished"), "temp vanished"),
        (change("temp", "emptied"), "temp holds no value any more"),
        (change("temp", "mean", 20.14, 23.4, 0.5213), "temp moved up by 0.52 sd: 20.1 -> 23.4"),
        (change("temp", "mean", 20.14, 0.00012, -3.2), "temp moved down by 3.2 sd: 20.1 -> 0.00012"),
        (change("cnt", "mean", 12345.6, 23456.7, 1.0), "cnt moved up by 1 sd: 12,346 -> 23,457"),
        (change("temp", "spread", 2.0, 3.0), "temp spreads 1.5 times as wide: sd 2 -> 3"),
        (change("temp", "spread", 3.0, 1.5), "temp spreads 2 times as narrow: sd 3 -> 1.5"),
        (change("temp", "shape", 3.0, 3.01, 0.44), "temp changed shape by 0.44 sd, with its mean at 3.01"),
        (change("temp", "nulls", 0.02, 0.061), "temp: nulls 2 % -> 6.1 %"),
        (change("temp", "nulls", 0.0, 1.0), "temp: nulls 0 % -> 100 %"),
        (change("city", "level", 0.2, 0.451, about="Oslo"), "city: 'Oslo' 20 % -> 45 % of rows"),
        (change("city", "new levels", 0.0, 0.051, about="'Rome'"), "city: never seen before: 'Rome' (5.1 % of rows)"),
        (
            change("user", "new levels", 0.3, 0.6, about="'a' and 12 more"),
            "user: never seen before: 'a' and 12 more (60 % of rows, usual are 30 %)",
        ),
        (change("city", "gone level", 0.12, 0.0, about="Rome"), "city: gone: 'Rome' (was 12 % of rows)"),
        (change("temp", "correlation", 0.62, -0.55, about="hum"), "temp: correlation with hum flipped: 0.62 -> -0.55"),
        (change("temp", "correlation", 0.62, 0.05, about="hum"), "temp: correlation with hum changed: 0.62 -> 0.05"),
        (
            change("temp", "unit", 14.0, 57.2, about="times 1.8 plus 32, as of Celsius in Fahrenheit"),
            "temp looks like another unit, times 1.8 plus 32, as of Celsius in Fahrenheit: mean 14 -> 57.2",
        ),
    ],
)
def test_a_person_can_read_it(told: Change, words: str) -> None:
    assert explain([told]) == (words,)


def test_every_kind_has_words() -> None:
    for kind in ChangeKind:
        assert in_words(change("x", kind.value, 0.1, 0.2, about="y"))


def test_a_feature_is_one_sentence_and_says_the_most_telling_once() -> None:
    told = [change("x", "shape", 1, 2, 0.9), change("x", "mean", 1, 2, 0.5), change("x", "nulls", 0.0, 0.1, 0.6)]
    assert explain(told) == ("x moved up by 0.5 sd: 1 -> 2; nulls 0 % -> 10 %",)
    told = [
        change("x", "mean", 1, 10, 20),
        change("x", "unit", 1, 10, about="times 10", unmistakable=True),
        change("x", "spread", 1, 10, 5),
    ]
    assert explain(told) == ("x looks like another unit, times 10: mean 1 -> 10",)


def test_since_when() -> None:
    told = [change("x", "mean", 1, 2), change("y", "nulls", 0.0, 0.1)]
    words = explain(told, since={"x": dt.date(2011, 3, 5), "y": "night 12"})
    assert words == ("x moved up by 0.5 sd: 1 -> 2; since 2011-03-05", "y: nulls 0 % -> 10 %; since night 12")


def test_the_largest_first_without_importances() -> None:
    told = [
        change("a", "mean", 1, 2, 0.5),
        change("b", "mean", 1, 2, -0.8),
        change("c", "vanished", size=math.inf, unmistakable=True),
    ]
    assert [one.feature for one in by_weight(told)] == ["c", "b", "a"]


def test_the_weightiest_first() -> None:
    told = [
        change("idle", "vanished", size=math.inf, unmistakable=True),
        change("little", "mean", 1, 2, 2.0),
        change("much", "mean", 1, 2, 0.5),
        change("gone", "vanished", size=math.inf, unmistakable=True),
        change("idle too", "correlation", 0.5, 0.1, 0.9, about="much"),
    ]
    importance = {"much": 0.8, "little": 0.1, "gone": 0.05}
    order = [one.feature for one in by_weight(told, importance)]
    assert order == ["gone", "idle too", "much", "little", "idle"]
