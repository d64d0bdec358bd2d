from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import pytest

from airflow_mlops.drift.incident import follow
from airflow_mlops.records import DriftVerdict, Incident, Notice

FIRST = dt.date(2026, 11, 2)
S, W, D, I = "stable", "watch", "drift", "insufficient"  # noqa: E741 - one letter a night


def night(place: int) -> dt.date:
    return FIRST + dt.timedelta(place)


def told(verdicts: Sequence[str], *, features: tuple[str, ...] = ("temp",)) -> tuple[Incident | None, list[str]]:
    """The incident after all nights, and what was told on each."""
    incident, notices = None, []
    for place, verdict in enumerate(verdicts):
        incident, notice = follow(incident, night(place), DriftVerdict(verdict), features)
        notices.append(notice.value)
    return incident, notices


@pytest.mark.parametrize(
    ("verdicts", "notices"),
    [
        ([S, W, W, S], ["none"] * 4),
        ([D] * 7, ["began"] + ["none"] * 6),
        ([D, S, S, S], ["began", "none", "none", "ended"]),
        ([D, S, S, W, S, S, S], ["began", "none", "none", "none", "none", "none", "ended"]),
        ([D, S, I, S, I, S], ["began", "none", "none", "none", "none", "ended"]),
        ([D, I, I, I, I], ["began"] + ["none"] * 4),
        ([I, D], ["none", "began"]),
    ],
)
def test_one_incident_is_told_once_and_once_more_when_it_is_over(verdicts: list[str], notices: list[str]) -> None:
    assert told(verdicts)[1] == notices


def test_it_keeps_its_beginning_and_its_end() -> None:
    incident, _ = told([S, D, W, S, S, S])
    assert incident == Incident(
        features=("temp",), began=night(1), noticed=night(1), latest=night(2), followed=night(5), ended=night(5),
        calm_nights=3,
    )  # fmt: skip


def test_it_began_before_it_was_noticed() -> None:
    incident, notice = follow(None, night(9), DriftVerdict.DRIFT, ("temp",), since=night(7))
    assert notice is Notice.BEGAN
    assert incident is not None
    assert (incident.began, incident.noticed) == (night(7), night(9))


def test_features_join_an_incident_that_goes_on() -> None:
    incident, _ = told([D])
    incident, notice = follow(incident, night(1), DriftVerdict.DRIFT, ("wind", "temp"))
    assert notice is Notice.NONE
    assert incident is not None
    assert incident.features == ("temp", "wind")


def test_what_comes_back_in_the_cooldown_is_the_same_incident() -> None:
    incident, _ = told([D, S, S, S])
    back, notice = follow(incident, night(8), DriftVerdict.DRIFT, ("temp",))
    assert notice is Notice.NONE
    assert back is not None
    assert (back.began, back.ended, back.calm_nights) == (night(0), None, 0)


@pytest.mark.parametrize(("after", "features"), [(8, ("wind",)), (8, ("temp", "wind")), (11, ("temp",))])
def test_another_feature_or_a_later_night_is_a_new_incident(after: int, features: tuple[str, ...]) -> None:
    incident, _ = told([D, S, S, S])
    new, notice = follow(incident, night(after), DriftVerdict.DRIFT, features)
    assert notice is Notice.BEGAN
    assert new is not None
    assert (new.began, new.features) == (night(after), features)


def test_a_watch_in_the_cooldown_is_nothing() -> None:
    incident, _ = told([D, S, S, S])
    after, notice = follow(incident, night(5), DriftVerdict.WATCH, ("temp",))
    assert notice is Notice.NONE
    assert after is not None
    assert after.ended == night(3)


def test_a_retry_tells_nobody_twice() -> None:
    incident, _ = told([D])
    assert follow(incident, night(0), DriftVerdict.DRIFT, ("temp",)) == (incident, Notice.NONE)
    calm, _ = told([D, S, S])
    assert follow(calm, night(2), DriftVerdict.STABLE) == (calm, Notice.NONE)
    assert follow(calm, night(3), DriftVerdict.STABLE).notice is Notice.ENDED
    ended, _ = told([D, S, S, S])
    assert follow(ended, night(3), DriftVerdict.STABLE) == (ended, Notice.NONE)


def test_it_survives_being_stored() -> None:
    incident, _ = told([D, S])
    assert incident is not None
    assert Incident.model_validate(incident.model_dump(mode="json")) == incident


def test_another_cause_within_the_cooldown_is_another_incident() -> None:
    """Labels tell of no feature."""
    ended, _ = told([D, S, S, S])
    assert follow(ended, night(4), DriftVerdict.DRIFT, ()).notice is Notice.BEGAN


def test_an_incident_that_nobody_followed_is_over() -> None:
    went_on, _ = told([D])
    found = follow(went_on, night(200), DriftVerdict.DRIFT, ("hum",))
    assert found.notice is Notice.BEGAN
    assert found.incident is not None
    assert found.incident.features == ("hum",)
