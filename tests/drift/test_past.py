"""A current table among past windows: what is called unusual, by what, since when."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from airflow_mlops.calibrate import LEAST_NIGHTS, Budget
from airflow_mlops.drift.change import Change, ChangeKind
from airflow_mlops.drift.compare import Comparison, compare
from airflow_mlops.drift.expected import expected_limits
from airflow_mlops.drift.past import past_of, series_names
from airflow_mlops.profile import Profile, edges_of, profile_table
from airflow_mlops.records import DriftVerdict

FIRST = dt.date(2026, 1, 1)
NIGHTS, ROWS = 56, 1500
WEEKDAY = np.array([0, 0, 0, 0, 0.05, 0.3, 0.3])


def night_name(place: int) -> str:
    return f"night={FIRST + dt.timedelta(days=place)}"


def table(place: int, **columns: object) -> pa.Table:
    """A night of a table with a season: on weekends f0 is higher by 0.3 sd."""
    rng = np.random.default_rng(place + 100)
    found: dict[str, object] = {f"f{i}": rng.normal(size=ROWS) for i in range(6)}
    found["f0"] = rng.normal(WEEKDAY[(FIRST + dt.timedelta(days=place)).weekday()], 1, ROWS)
    found["city"] = rng.choice(["Oslo", "Rome", "Bern"], ROWS, p=[0.6, 0.3, 0.1])
    return pa.table(found | columns)


REFERENCE = pa.concat_tables([table(place) for place in range(-14, 0)])
EDGES = edges_of(REFERENCE)
BEFORE = profile_table(REFERENCE, EDGES)
HISTORY = {night_name(place): profile_table(table(place), EDGES) for place in range(NIGHTS)}


def judged(current: pa.Table, *, history: dict[str, Profile] | None = None, place: int = NIGHTS) -> Comparison:
    past = HISTORY if history is None else history
    return compare(BEFORE, profile_table(current, EDGES), history=past, name=night_name(place))


@pytest.mark.parametrize("place", range(NIGHTS, NIGHTS + 7))
def test_nights_of_every_weekday_are_stable(place: int) -> None:
    between = {night_name(one): profile_table(table(one), EDGES) for one in range(NIGHTS, place)}
    found = judged(table(place), history=HISTORY | between, place=place)
    assert (found.verdict, found.judged_by) == (DriftVerdict.STABLE, "history")
    assert (found.windows, found.notes) == (place, ())
    # Ten times as sharp as without a past.
    assert found.least_effect < 0.25
    assert all(one.p_value is None for one in found.features)


def test_what_the_pair_alone_would_not_see() -> None:
    current = table(NIGHTS, f2=np.random.default_rng(1).normal(0.3, 1, ROWS))
    assert compare(BEFORE, profile_table(current, EDGES)).verdict is DriftVerdict.STABLE
    found = judged(current)
    assert found.verdict is DriftVerdict.DRIFT
    assert found.features[0].feature == "f2"
    assert found.features[0].p_value is not None
    assert found.features[0].p_value <= 0.002
    assert found.reasons[0].startswith("f2 moved up by 0.")
    assert [one.verdict for one in found.features[1:]] == [DriftVerdict.STABLE] * 6


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"f1": np.random.default_rng(1).normal(0, 1.5, ROWS)}, "f1 spreads 1.5 times as wide"),
        ({"f1": [None] * 150 + [0.1] * (ROWS - 150)}, "f1"),
        ({"city": ["Oslo"] * 900 + ["Bern"] * 600}, "city: gone: 'Rome'"),
        ({"city": ["Oslo"] * 895 + ["Rome"] * 450 + ["Bern"] * 150 + ["Kiel"] * 5}, "city: never seen before: 'Kiel'"),
        ({"f4": 0.6 * table(NIGHTS)["f3"].to_numpy() + 0.8 * table(999)["f4"].to_numpy()}, "f3: correlation with f4"),
        ({"f5": 10 * table(NIGHTS)["f5"].to_numpy()}, "f5 looks like another unit, times 10"),
    ],
)  # fmt: skip
def test_what_changed_is_said(columns: dict[str, object], reason: str) -> None:
    found = judged(table(NIGHTS, **columns))
    assert found.verdict is DriftVerdict.DRIFT
    assert any(one.startswith(reason) for one in found.reasons), found.reasons


def test_a_column_that_vanished_tonight() -> None:
    found = judged(table(NIGHTS).drop_columns(["f4"]))
    assert found.verdict is DriftVerdict.DRIFT
    assert found.reasons[0].startswith("f4 vanished")


def test_since_when() -> None:
    moved = {
        night_name(place): profile_table(table(place, f2=table(place)["f2"].to_numpy() + 0.5), EDGES)
        for place in (NIGHTS, NIGHTS + 1)
    }
    tonight = table(NIGHTS + 2, f2=table(NIGHTS + 2)["f2"].to_numpy() + 0.5)
    found = judged(tonight, history=HISTORY | moved, place=NIGHTS + 2)
    assert found.verdict is DriftVerdict.DRIFT
    assert found.features[0].since == night_name(NIGHTS)
    assert found.reasons[0].endswith(f"since {night_name(NIGHTS)}")


def test_far_from_the_reference_for_long_is_a_note() -> None:
    far = {
        name: profile_table(table(place, f2=table(place)["f2"].to_numpy() + 3), EDGES)
        for place, name in enumerate(HISTORY)
    }
    found = judged(table(NIGHTS, f2=table(NIGHTS)["f2"].to_numpy() + 3), history=far)
    assert found.verdict is DriftVerdict.STABLE
    assert found.notes[0].startswith("as usual, but far from the reference: f2 moved up by 3")


def test_too_short_a_past_is_said_and_the_reference_alone_speaks() -> None:
    short = dict(list(HISTORY.items())[-10:])
    found = judged(table(NIGHTS), history=short)
    assert (found.verdict, found.judged_by, found.windows) == (DriftVerdict.STABLE, "reference", 10)
    assert len(found.notes) == 1
    assert found.notes[0].startswith(
        f"{night_name(NIGHTS)} has 10 nights before it, at least {LEAST_NIGHTS} are needed"
    )
    assert found.notes[0].endswith("judged against the reference alone, with caution")
    far = judged(table(NIGHTS, f2=table(NIGHTS)["f2"].to_numpy() + 2), history=short)
    assert far.verdict is DriftVerdict.DRIFT


def test_dates_in_the_names_leave_gaps_where_nights_are_missing() -> None:
    whole = past_of(HISTORY, BEFORE, name=night_name(NIGHTS))
    assert (len(whole.names), whole.season) == (NIGHTS + 1, 7)
    holes = {name: one for place, (name, one) in enumerate(HISTORY.items()) if place % 10}
    past = past_of(holes, BEFORE, name=night_name(NIGHTS))
    # The first night is missing too: the row begins with the second.
    assert past.names[:8] == whole.names[1:9]
    assert past.names[9] == ""
    assert past.names[10:19] == whole.names[11:20]
    nameless = past_of({f"part{place:03}": one for place, one in enumerate(HISTORY.values())}, BEFORE)
    assert (len(nameless.names), nameless.season, nameless.names[-1]) == (NIGHTS + 1, 7, "current")
    weekly = {f"{FIRST + dt.timedelta(weeks=week)}": one for week, one in enumerate(HISTORY.values())}
    assert past_of(weekly, BEFORE).season == 1


def test_names_whose_dates_do_not_rise_are_a_row() -> None:
    wrong = {"b 2026-01-02": BEFORE, "c 2026-01-01": BEFORE}
    assert past_of(wrong, BEFORE).names == ("b 2026-01-02", "c 2026-01-01", "current")
    assert past_of({"2026-02-30": BEFORE}, BEFORE).names == ("2026-02-30", "current")


def test_limits_are_where_drift_begins() -> None:
    budget = Budget.of(0.73)
    past = past_of(HISTORY, profile_table(table(NIGHTS), EDGES), name=night_name(NIGHTS))
    found = expected_limits(past, ["mean of f2", "nulls of f2", "share of city 'Rome'", "none such"], budget=budget)
    assert set(found) == {"mean of f2", "nulls of f2", "share of city 'Rome'"}
    limits = found["mean of f2"]
    assert limits.names[-1] == night_name(NIGHTS)
    assert np.isnan(limits.low[0])
    inside = [low <= value <= high for low, value, high in zip(limits.low, limits.values, limits.high, strict=True)][
        14:
    ]
    assert np.mean(inside) > 0.95
    own = table(NIGHTS)["f2"].to_numpy()
    for shift, verdict in ((0.7, DriftVerdict.STABLE), (1.4, DriftVerdict.DRIFT)):
        reach = shift * (limits.high[-1] - np.mean([limits.low[-1], limits.high[-1]]))
        centred = own - own.mean() + np.mean([limits.low[-1], limits.high[-1]]) + reach
        assert (judged(table(NIGHTS, f2=centred)).verdict is DriftVerdict.DRIFT) == (verdict is DriftVerdict.DRIFT)
    assert found["share of city 'Rome'"].values[-1] == pytest.approx(0.3, abs=0.05)


def test_a_change_knows_its_series() -> None:
    pair = Change(feature="a", kind=ChangeKind.CORRELATION, about="b")
    assert series_names(pair) == ("correlation of a and b", "correlation of b and a")
    assert series_names(Change(feature="city", kind=ChangeKind.LEVEL, about="Rome")) == ("share of city 'Rome'",)
    assert series_names(Change(feature="a", kind=ChangeKind.SHAPE)) == ()
    known = set(past_of(HISTORY, BEFORE).series.layout.names)
    for kind, about in [("mean", None), ("spread", None), ("nulls", None)]:
        assert set(series_names(Change(feature="f1", kind=ChangeKind(kind), about=about))) <= known
