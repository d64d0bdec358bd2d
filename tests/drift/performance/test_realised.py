import datetime as dt
import itertools

import numpy as np
import pytest

from airflow_mlops.calibrate import Budget
from airflow_mlops.drift.performance.nightly_luck import NightlyLuck
from airflow_mlops.drift.performance.realised import RealisedState, judged_nights, realised
from airflow_mlops.drift.performance.rows import NightLoss
from airflow_mlops.errors import DataError
from airflow_mlops.records import DriftVerdict

FIRST = dt.date(2026, 1, 5)


def nights(losses, *, error: float = 0.1, first: int = 0) -> tuple[NightLoss, ...]:
    return tuple(
        NightLoss(night=FIRST + dt.timedelta(first + number), loss=float(loss), error=error, rows=500)
        for number, loss in enumerate(losses)
    )


def iid(count: int, *, seed: int, mean: float = 4.0, first: int = 0) -> tuple[NightLoss, ...]:
    return nights(np.random.default_rng(seed).normal(mean, 0.1, size=count), first=first)


@pytest.fixture(scope="module")
def state() -> RealisedState:
    return RealisedState(reference=iid(42, seed=0))


def test_a_worse_champion_is_found_and_when_it_became_worse_is_told(state):
    after, opinion = realised(state, (*iid(10, seed=1, first=42), *iid(4, seed=2, mean=4.7, first=52)), metric="mae")
    assert opinion.verdict is DriftVerdict.DRIFT
    assert f"on 4 nights since {FIRST + dt.timedelta(52)}" in opinion.words
    assert opinion.estimate == pytest.approx(4.7, abs=0.1)
    assert opinion.expected == pytest.approx(4.0, abs=0.05)
    assert 0 < opinion.error < 0.15
    assert len(after.eaten) == 14


def test_a_better_champion_is_no_alarm(state):
    _, opinion = realised(state, iid(20, seed=1, mean=3.0, first=42))
    assert opinion.verdict is DriftVerdict.STABLE


def test_one_odd_night_is_never_drift(state):
    _, opinion = realised(state, nights([400.0], first=42))
    assert opinion.verdict is DriftVerdict.WATCH


def test_it_calms_down_when_losses_do(state):
    worse, opinion = realised(state, iid(6, seed=1, mean=4.6, first=42))
    assert opinion.verdict is DriftVerdict.DRIFT
    _, opinion = realised(worse, iid(10, seed=2, first=48))
    assert opinion.verdict is DriftVerdict.STABLE


def test_a_night_is_never_eaten_twice(state):
    bad = nights([5.0], first=42)
    once, opinion = realised(state, bad)
    again, repeated = realised(once, bad * 5)
    assert again == once
    assert repeated == opinion
    # Nor is one of the reference.
    assert realised(state, state.reference[:3])[0] == state


def test_nights_one_by_one_are_nights_at_once(state):
    arriving = (*iid(5, seed=3, first=42), *iid(5, seed=4, mean=4.3, first=47))
    at_once, opinion = realised(state, arriving)
    probability, _ = judged_nights(state.reference, arriving, drift=Budget().drift)
    by_one = state
    for night, expected in zip(arriving, probability, strict=True):
        by_one, found = realised(by_one, [night])
        assert found.probability == pytest.approx(expected)
    assert by_one == at_once
    assert found == opinion


def test_late_labels_are_eaten_as_they_come(state):
    arriving = iid(6, seed=5, mean=4.5, first=42)
    order = [0, 3, 1, 5, 2, 4]
    late, opinion = realised(state, [arriving[place] for place in order])
    assert [one.night for one in late.eaten] == [arriving[place].night for place in order]
    assert opinion.verdict is DriftVerdict.DRIFT


def test_the_state_survives_its_json(state):
    after, opinion = realised(state, iid(3, seed=6, first=42))
    back = RealisedState.model_validate_json(after.model_dump_json())
    assert back == after
    assert realised(back, ())[1] == opinion


def test_before_there_are_14_nights_it_learns():
    found = RealisedState()
    for night in iid(13, seed=0):
        found, opinion = realised(found, [night])
        assert opinion.verdict is DriftVerdict.INSUFFICIENT
    assert "labels of 13 nights, at least 14 are needed" in opinion.words
    found, opinion = realised(found, iid(1, seed=1, first=13))
    assert opinion.verdict is DriftVerdict.STABLE
    assert "no night since has labels" in opinion.words
    found, _ = realised(found, iid(1, seed=2, first=14))
    assert (len(found.reference), len(found.eaten)) == (14, 1)


def test_the_state_stays_small_and_remembers_what_it_forgot(state):
    many = iid(200, seed=7, first=42)
    grown = RealisedState(reference=state.reference, eaten=many[:167])
    grown, _ = realised(grown, many[167:])
    assert len(grown.eaten) == 168
    assert len(grown.model_dump_json()) < 25_000
    assert realised(grown, many[:1])[0] == grown


def test_after_an_incident_it_begins_anew(state):
    worse, opinion = realised(state, iid(20, seed=1, mean=4.6, first=42))
    assert opinion.verdict is DriftVerdict.DRIFT
    restarted = worse.restarted()
    assert realised(restarted, worse.eaten)[0] == restarted
    _, opinion = realised(restarted, iid(1, seed=2, first=62))
    assert opinion.verdict is DriftVerdict.STABLE
    # What was accepted is what later nights are held against.
    _, opinion = realised(worse.restarted(accepted=True), iid(10, seed=3, mean=4.6, first=62))
    assert opinion.verdict is DriftVerdict.STABLE
    _, opinion = realised(restarted, iid(10, seed=3, mean=4.6, first=62))
    assert opinion.verdict is DriftVerdict.DRIFT


@pytest.mark.parametrize(("loss", "error"), [(float("nan"), 0.1), (1.0, 0.0), (1.0, float("inf"))])
def test_a_loss_that_is_none(state, loss, error):
    with pytest.raises(DataError, match="a finite loss with a positive error"):
        realised(state, [NightLoss(night=FIRST + dt.timedelta(50), loss=loss, error=error, rows=5)])


def test_a_weekly_season_is_no_news():
    weekday = np.tile([0.0, 0.0, 0.0, 0.0, 0.0, 1.5, 1.5], 12)
    losses = 4 + weekday + np.random.default_rng(8).normal(0, 0.1, size=84)
    found = RealisedState(reference=nights(losses[:42]))
    for night in nights(losses[42:], first=42):
        found, opinion = realised(found, [night])
        assert opinion.verdict is DriftVerdict.STABLE
    # Sunday's loss on a Monday is.
    _, opinion = realised(found, nights([5.5, 5.5], first=84))
    assert opinion.verdict is DriftVerdict.DRIFT


def test_scores_are_standard_normal_if_nights_are_as_assumed():
    """Drawn from one way, with gaps and in disorder, its scores are independent and of variance one."""
    rng = np.random.default_rng(9)
    luck = NightlyLuck(np.array([[0.3, 0.8, 0.2]]), mean=4.0, scatter=0.4)
    days = rng.permutation(np.sort(rng.choice(90, size=60, replace=False)))
    weekdays, fading = rng.normal(size=(400, 7)) * 0.2, rng.normal(size=(400, 90)) * 0.3
    for day in range(1, 90):
        fading[:, day] = 0.8 * fading[:, day - 1] + 0.6 * fading[:, day]
    losses = 4 + weekdays[:, days % 7] + fading[:, days] + rng.normal(0, 0.1, size=(400, 60))
    found = []
    for history in losses:
        told = tuple(
            NightLoss(night=FIRST + dt.timedelta(int(day)), loss=loss, error=0.1, rows=500)
            for day, loss in zip(days, history, strict=True)
        )
        found.append(luck.scores(told)[0][0, 10:])
    scores = np.array(found)
    assert scores.mean() == pytest.approx(0.0, abs=0.03)
    assert scores.var() == pytest.approx(1.0, abs=0.04)
    neighbours = [np.corrcoef(a, b)[0, 1] for a, b in itertools.pairwise(scores.T)]
    assert np.mean(neighbours) == pytest.approx(0.0, abs=0.03)


def test_slow_luck_below_that_of_rows_is_seen():
    """Nights of few rows that hang together: lag one hardly shows it, the likelihood of them all does."""
    rng = np.random.default_rng(10)
    fading = rng.normal(size=84)
    for day in range(1, 84):
        fading[day] = 0.9 * fading[day - 1] + 0.44 * fading[day]
    luck = NightlyLuck.of(nights(4 + 0.1 * fading + rng.normal(0, 0.1, size=84)))
    assert (luck.ways[:, 0] > 0.03).all()
    assert (luck.ways[:, 1] >= 0.6).any()


def test_all_ways_that_nights_do_not_speak_against_must_agree(state, monkeypatch):
    arriving = iid(6, seed=11, mean=4.25, first=42)
    cautious, _ = judged_nights(state.reference, arriving, drift=0.002)
    luck = NightlyLuck.of(state.reference)
    for way in luck.ways:
        alone = NightlyLuck(way[None], luck.mean, luck.scatter)
        monkeypatch.setattr(NightlyLuck, "of", classmethod(lambda cls, _, alone=alone: alone))
        single, _ = judged_nights(state.reference, arriving, drift=0.002)
        assert (single <= cautious + 1e-12).all()


def test_the_share_of_nights_is_within_the_budget_where_luck_is_known(monkeypatch):
    """Of independent nights with a known spread, for any budget: at most so many, and not hardly any."""
    luck = NightlyLuck(np.array([[0.0, 0.0, 0.0]]), mean=4.0, scatter=0.1)
    monkeypatch.setattr(NightlyLuck, "of", classmethod(lambda cls, _: luck))
    reference = nights([4.0] * 84)
    called = []
    for seed in range(150):
        probability, _ = judged_nights(reference, iid(150, seed=100 + seed, first=84), drift=0.01)
        called.append([(probability <= 0.01).mean(), (probability <= 0.05).mean()])
    drift, watch = np.mean(called, axis=0)
    assert 0.001 < drift < 0.012
    assert 0.005 < watch < 0.055
