from __future__ import annotations

import datetime as dt

import pytest

from airflow_mlops.calibrate import Rhythm, rhythm_of
from airflow_mlops.errors import ConfigError

MONDAY = dt.date(2026, 11, 2)


def days(*offsets: int) -> list[dt.date]:
    return [MONDAY + dt.timedelta(offset) for offset in offsets]


def test_missing_nights_leave_gaps() -> None:
    assert rhythm_of(days(0, 1, 4)) == Rhythm(places=(0, 1, 4), season=7)
    assert rhythm_of(days(0, 1, 4)).length == 5


def test_weekdays_that_never_come_are_no_gaps() -> None:
    workdays = [day for day in range(28) if day % 7 < 5]
    rhythm = rhythm_of(days(*workdays))
    assert rhythm == Rhythm(places=tuple(range(20)), season=5)
    without_a_wednesday = [day for day in workdays if day != 9]
    assert rhythm_of(days(*without_a_wednesday)).places == tuple(place for place in range(20) if place != 7)


def test_a_rhythm_may_begin_on_any_day() -> None:
    workdays = [day for day in range(3, 31) if day % 7 < 5]
    rhythm = rhythm_of(days(*workdays))
    assert rhythm.season == 5
    assert rhythm.places == tuple(range(len(workdays)))


def test_two_weeks_without_a_sunday_are_chance() -> None:
    assert rhythm_of(days(*(day for day in range(14) if day % 7 != 6))).season == 7


def test_weeks_and_every_second_day_have_no_weekdays() -> None:
    assert rhythm_of(days(0, 7, 21)) == Rhythm(places=(0, 1, 3), season=1)
    assert rhythm_of(days(0, 2, 4)) == Rhythm(places=(0, 1, 2), season=1)


def test_a_single_night_is_a_rhythm() -> None:
    assert rhythm_of(days(0)) == Rhythm(places=(0,), season=7)


@pytest.mark.parametrize("offsets", [(), (1, 0), (0, 0)])
def test_nights_that_do_not_ascend_are_refused(offsets: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match="ascend"):
        rhythm_of(days(*offsets))
