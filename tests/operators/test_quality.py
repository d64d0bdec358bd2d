"""A night against its contract: its record stands either way, and a bad one goes no further."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from stream import generated_hours, write_night

from airflow_mlops.operators.quality import CheckQualityOperator
from airflow_mlops.records import Quality, RecordRef

NIGHT = dt.date(2025, 2, 20)
HOURS = generated_hours(dt.date(2025, 2, 1), nights=24, seed=7)
BEFORE = 18


def configure(loop: Any, quality: str = "", **replace: Any) -> None:
    """Rules of the project: no monitors, which have tests of their own, and ``quality`` beside them."""
    loop.configure(replace={"[drift]": f"[quality]\nmonitors = false\n{quality}\n[drift]", **replace})


@pytest.fixture(autouse=True)
def without_monitors(loop):
    configure(loop)


def check(loop: Any, night: dt.date | str = NIGHT, **arguments: Any) -> Any:
    return loop.run(CheckQualityOperator, night=str(night), **arguments)


def test_a_good_night_passes_and_hands_its_record_on(loop):
    loop.configure()
    write_night(HOURS, NIGHT, loop.data)
    data = Asset("bike_demand/data")
    reference = RecordRef.parse(check(loop, outlets=[data]))
    record = loop.ledger.read(Quality, reference)
    assert not record.quarantined
    assert record.partition.rows == 24
    assert record.dag_run == "dag/run"
    assert loop.context["outlet_events"][data].extra["quality"] == str(reference)
    assert loop.story.startswith("2025-02-20 passed")
    links = loop.context["task"].links
    assert links["Record"].endswith(f"/mlops/records/quality/{reference.key}")
    assert links["Report"] == f"{links['Record']}?view=report"


@pytest.mark.parametrize(
    ("corrupt", "told"),
    [
        ("unit", "temp"),
        ("nulls", "temp"),
        ("schema", "temp"),
        ("timezone", "shift of"),
        ("empty", "0 rows"),
        ("torn", "torn"),
    ],
)
def test_a_bad_night_is_quarantined_and_fails_the_task(loop, corrupt, told):
    write_night(HOURS, NIGHT, loop.data, corrupt)
    with pytest.raises(AirflowFailException, match="2025-02-20 quarantined"):
        check(loop)
    record = loop.qualities()[NIGHT]
    assert record.quarantined
    assert told in " ".join(f"{fault.name} {fault.column} {fault.actual}" for fault in record.faults)
    assert loop.records()["quality"] == BEFORE + 1


@pytest.mark.parametrize("bad", [None, float("nan"), float("inf")])
def test_a_target_that_is_no_number_is_quarantined(loop, bad):
    path = write_night(HOURS, NIGHT, loop.data)
    table = pq.read_table(path)
    values = [bad, *table["cnt"].to_pylist()[1:]]
    pq.write_table(table.set_column(table.column_names.index("cnt"), "cnt", pa.array(values, pa.float64())), path)
    with pytest.raises(AirflowFailException, match="target"):
        check(loop)
    assert loop.qualities()[NIGHT].quarantined


def test_on_failure_skip_skips(loop):
    write_night(HOURS, NIGHT, loop.data, "unit")
    with pytest.raises(AirflowSkipException, match="quarantined"):
        check(loop, on_failure="skip")
    assert loop.qualities()[NIGHT].quarantined


def test_a_blocked_night_fails_the_task_whatever_on_failure_says(loop):
    write_night(HOURS, NIGHT, loop.data, "unit")
    configure(loop, 'policy = { contract = "block" }')
    with pytest.raises(AirflowFailException, match="2025-02-20 blocked"):
        check(loop, on_failure="skip")
    assert loop.qualities()[NIGHT].blocked


def test_a_night_that_is_only_warned_of_goes_on(loop):
    write_night(HOURS, NIGHT, loop.data, "unit")
    configure(loop, 'policy = { default = "warn" }')
    record = loop.ledger.read(Quality, RecordRef.parse(check(loop)))
    assert record.faults
    assert not record.quarantined
    assert loop.story.endswith("warned")


def test_a_night_without_a_file_leaves_no_record(loop):
    with pytest.raises(AirflowFailException, match=r"DataError: expected the night 2025-02-20 of .* PartitionSensor"):
        check(loop)
    assert NIGHT not in loop.qualities()


@pytest.mark.parametrize("night", ["", "yesterday", "2025-02-30"])
def test_a_night_that_is_no_date(loop, night):
    with pytest.raises(AirflowFailException, match=r"expected a night as YYYY-MM-DD, got .* partition key"):
        check(loop, night)


def test_only_the_loops_own_assets_get_the_night_as_partition(loop):
    """An event with a partition wakes no plain ``schedule=[asset]``, one without it no DAG of the loop."""
    write_night(HOURS, NIGHT, loop.data)
    own, of_loop = Asset("clean_demand"), Asset("data", uri="mlops://bike_demand/data")
    check(loop, outlets=[own, of_loop])
    events = loop.context["outlet_events"]
    assert events[own].partition_keys == set()
    assert events[of_loop].partition_keys == {str(NIGHT)}


def test_a_night_is_checked_again_when_the_model_wants_other_columns(loop):
    write_night(HOURS, NIGHT, loop.data)
    check(loop)
    configure(loop, **{'"temp"': '"temp", "no_such_column"'})
    with pytest.raises(AirflowFailException, match="no_such_column"):
        check(loop)
    assert loop.qualities()[NIGHT].quarantined


def test_a_corrected_night_takes_its_place(loop):
    write_night(HOURS, NIGHT, loop.data, "unit")
    with pytest.raises(AirflowFailException):
        check(loop)
    write_night(HOURS, NIGHT, loop.data)
    check(loop)
    assert not loop.qualities()[NIGHT].quarantined
    assert loop.records()["quality"] == BEFORE + 2


def test_a_night_that_is_put_back_as_it_was_takes_its_place_again(loop):
    good = write_night(HOURS, NIGHT, loop.data).read_bytes()
    check(loop)
    write_night(HOURS, NIGHT, loop.data, "unit")
    with pytest.raises(AirflowFailException):
        check(loop)
    (loop.data / f"night={NIGHT}.parquet").write_bytes(good)
    check(loop)
    newest = loop.qualities()[NIGHT]
    assert not newest.quarantined
    assert newest.replaces is not None
    assert loop.ledger.read(Quality, newest.replaces).quarantined
    assert loop.records()["quality"] == BEFORE + 3


def test_the_same_night_twice_is_one_record(loop):
    write_night(HOURS, NIGHT, loop.data)
    assert check(loop, run_id="first") == check(loop, run_id="cleared")
    assert loop.records()["quality"] == BEFORE + 1


def test_the_nights_before_it_are_checked_first_and_a_bad_one_among_them_fails_nothing(loop):
    for offset, corrupt in enumerate([None, "unit", None, None]):
        write_night(HOURS, dt.date(2025, 2, 19 + offset), loop.data, corrupt)
    configure(loop, 'since = "2025-02-20"')
    check(loop, dt.date(2025, 2, 22))
    known = loop.qualities()
    assert dt.date(2025, 2, 19) not in known
    assert known[dt.date(2025, 2, 20)].quarantined
    assert not known[dt.date(2025, 2, 21)].quarantined
    before = loop.records()
    check(loop, dt.date(2025, 2, 22))
    assert loop.records() == before


def test_without_its_contract_a_project_says_so(loop):
    write_night(HOURS, NIGHT, loop.data)
    loop.project.contract.unlink()
    with pytest.raises(AirflowFailException, match=r"contract\.yml"):
        check(loop)
    assert NIGHT not in loop.qualities()


def test_a_project_with_faults_fails_with_all_of_them(loop):
    loop.configure(replace={'target = "cnt"': 'target = "hr"\ntypo = 1'})
    with pytest.raises(AirflowFailException, match=r"(?s)2 faults.*target 'hr' stands among.*typo: unknown key"):
        check(loop)
