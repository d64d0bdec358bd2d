from __future__ import annotations

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_mlops.errors import ConfigError
from airflow_mlops.nights import good_nights, parse_night, split_nights
from airflow_mlops.records import CheckOutcome, PartitionPin

FIRST = dt.date(2025, 2, 1)


@given(
    days=st.sets(st.integers(0, 120), max_size=80),
    golden=st.sets(st.integers(0, 120), max_size=20),
    window_nights=st.integers(1, 60),
    recent_nights=st.integers(1, 14),
)
def test_no_night_is_both_learned_from_and_judged_on(days, golden, window_nights, recent_nights):
    pins = [PartitionPin(night=FIRST + dt.timedelta(days=day), digest=str(day), rows=24) for day in sorted(days)]
    frozen = {FIRST + dt.timedelta(days=day) for day in golden}
    split = split_nights(pins, golden=frozen, window_nights=window_nights, recent_nights=recent_nights)
    training, recent = ([pin.night for pin in part] for part in split)
    assert set(training).isdisjoint(recent)
    assert frozen.isdisjoint({*training, *recent})
    assert len(training) <= window_nights
    assert training == sorted(training)
    assert recent == sorted(recent)
    assert set(recent) <= {pin.night for pin in [pin for pin in pins if pin.night not in frozen][-2 * recent_nights :]}


@pytest.mark.parametrize("every", [1, 2, 4])
@pytest.mark.parametrize("begin", range(4))
def test_data_that_comes_every_few_days_falls_to_both_sides(every, begin):
    days = range(begin, begin + 40 * every, every)
    pins = [PartitionPin(night=FIRST + dt.timedelta(days=day), digest=str(day), rows=24) for day in days]
    split = split_nights(pins, golden=[], window_nights=90, recent_nights=7)
    assert 6 <= len(split.recent) <= 8


def test_what_one_training_holds_out_the_one_before_it_held_out_too():
    pins = [PartitionPin(night=FIRST + dt.timedelta(days=day), digest=str(day), rows=24) for day in range(60)]
    for later in range(41, 60):
        before = split_nights(pins[:40], golden=[], window_nights=90, recent_nights=7)
        after = split_nights(pins[:later], golden=[], window_nights=90, recent_nights=7)
        assert not {pin.night for pin in after.recent} & {pin.night for pin in before.training}


def test_quarantined_and_later_nights_are_left_out(loop):
    nights = [dt.date(2025, 2, day) for day in (19, 20, 21)]
    loop.arrive(nights[0])
    loop.arrive(nights[2])
    loop.file(nights[1]).write_bytes(loop.file(nights[0]).read_bytes())
    loop.approve(nights[1], CheckOutcome.FAILED)
    good = [record.night for record in good_nights(loop.ledger, "bike_demand", until=nights[1])]
    assert good[-2:] == [dt.date(2025, 2, 18), nights[0]]
    assert good == sorted(good)
    assert [one.night for one in good_nights(loop.ledger, "bike_demand", until=dt.date.max)][-1] == nights[2]


@pytest.mark.parametrize("text", ["", "today", "2025-02-30", "05.03.2011", "2011-03-051", "2011-03-05; drop"])
def test_what_is_no_night(text):
    with pytest.raises(ConfigError, match="expected a night as YYYY-MM-DD"):
        parse_night(text)
