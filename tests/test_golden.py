from __future__ import annotations

import datetime as dt
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from airflow_mlops.errors import ConfigError, DataError, RemoteUnavailable
from airflow_mlops.golden import freeze_golden, read_golden, select_every
from airflow_mlops.ledger import Ledger, digest_of_file
from airflow_mlops.project import Project, load_project
from airflow_mlops.records import (
    Artefact,
    CheckOutcome,
    CheckResult,
    Decision,
    Golden,
    Manifest,
    PartitionPin,
    Quality,
    Verdict,
)
from airflow_mlops.store import Store, open_store
from airflow_mlops.store.folder import FolderStore

NOW = dt.datetime(2025, 3, 1, tzinfo=dt.UTC)
NIGHTS = [dt.date(2025, 2, day) for day in range(1, 15)]

MODEL = """\
name = "demand"
task = "regression"
target = "cnt"
features = ["hr"]
time_column = "dteday"
[data]
path = "data/night={night}.parquet"
[training]
entrypoint = "train:train"
[gate]
golden = "v1"
[[gate.rules]]
metric = "rmse"
kind = "absolute"
max = 90.0
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with a fortnight of data."""
    folder = tmp_path / "demand"
    (folder / "data").mkdir(parents=True)
    (folder / "model.toml").write_text(MODEL)
    for night in NIGHTS:
        table = pa.table({"hr": [0, 1], "cnt": [night.day, 2 * night.day]})
        pq.write_table(table, folder / "data" / f"night={night}.parquet")
    return folder


@pytest.fixture
def project(folder: Path) -> Project:
    return load_project(folder)


@pytest.fixture
def ledger(store: Store) -> Ledger:
    return Ledger(store)


Freeze = Callable[..., Golden]


@pytest.fixture
def freeze(ledger: Ledger, project: Project) -> Freeze:
    def frozen(nights: Sequence[dt.date], now: dt.datetime = NOW) -> Golden:
        return freeze_golden(ledger, open_store(project.data_root), project, nights, now=now)

    return frozen


def _path(project: Project, night: dt.date) -> Path:
    return project.folder / "data" / f"night={night}.parquet"


def _quality(project: Project, night: dt.date, outcome: CheckOutcome, hour: int, contract: str = "a") -> Quality:
    path = _path(project, night)
    return Quality(
        model="demand",
        recorded_at=NOW.replace(hour=hour),
        night=night,
        location=str(path),
        partition=PartitionPin(night=night, digest=digest_of_file(path), rows=2),
        rules_digest=f"sha256:{contract}",
        checks=(CheckResult(name="temp in range", outcome=outcome, expected="0..1", actual="20.0"),),
    )


def test_every_nth_night_in_the_order_of_dates() -> None:
    assert select_every(NIGHTS[::-1] + NIGHTS, 5) == [NIGHTS[4], NIGHTS[9]]
    assert select_every(NIGHTS, 1) == NIGHTS
    with pytest.raises(ConfigError, match=r"at least 15 nights .* got 14"):
        select_every(NIGHTS, 15)
    with pytest.raises(ConfigError, match="at least 1"):
        select_every(NIGHTS, 0)


def test_frozen_nights_are_pinned_and_kept(freeze: Freeze, ledger: Ledger, project: Project, tmp_path: Path) -> None:
    golden = freeze([NIGHTS[7], NIGHTS[1], NIGHTS[7]])
    assert [pin.night for pin in golden.partitions] == [NIGHTS[1], NIGHTS[7]]
    assert read_golden(ledger, project) == golden
    for pin in golden.partitions:
        assert pin.digest == digest_of_file(_path(project, pin.night))
        kept = ledger.fetch_blob(pin.digest, tmp_path / "kept.parquet")
        assert pq.read_table(kept)["cnt"].to_pylist() == [pin.night.day, 2 * pin.night.day]


def test_frozen_once(freeze: Freeze, ledger: Ledger, project: Project, folder: Path) -> None:
    first = freeze(NIGHTS[:2])
    assert freeze(NIGHTS[:2], now=NOW + dt.timedelta(days=1)) == first
    with pytest.raises(ConfigError, match=r"frozen on 2025-03-01 already; it holds .* asked for were .* golden = 'v2'"):
        freeze(NIGHTS[:3])
    # The same nights with other rows in them are another set.
    pq.write_table(pa.table({"hr": [0], "cnt": [99]}), _path(project, NIGHTS[1]))
    with pytest.raises(ConfigError, match="the data of 2025-02-02 were replaced since"):
        freeze(NIGHTS[:2])
    assert read_golden(ledger, project) == first
    # What the remedy says works.
    (folder / "model.toml").write_text(MODEL.replace('"v1"', '"v2"'))
    renamed = load_project(folder)
    second = freeze_golden(ledger, open_store(renamed.data_root), renamed, NIGHTS[:2], now=NOW)
    assert read_golden(ledger, renamed) == second != first


def test_of_several_at_once_one_wins(ledger: Ledger, project: Project) -> None:
    start = threading.Barrier(4)
    outcomes: list[Golden | ConfigError] = []

    def work(index: int) -> None:
        start.wait()
        try:
            nights = NIGHTS[index : index + 2]
            outcomes.append(freeze_golden(ledger, open_store(project.data_root), project, nights, now=NOW))
        except ConfigError as error:
            outcomes.append(error)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [outcome for outcome in outcomes if isinstance(outcome, Golden)] == [read_golden(ledger, project)]
    assert len(outcomes) == 4


class _FullAtTheRecord(FolderStore):
    def put_if_absent(self, key: str, data: bytes) -> bool:
        raise RemoteUnavailable(f"expected room for {key}")


def test_stopped_before_the_record_nothing_is_frozen_and_again_works(tmp_path: Path, project: Project) -> None:
    data = open_store(project.data_root)
    with pytest.raises(RemoteUnavailable):
        freeze_golden(Ledger(_FullAtTheRecord(tmp_path / "chain")), data, project, NIGHTS[:2], now=NOW)
    ledger = Ledger(FolderStore(tmp_path / "chain"))
    with pytest.raises(ConfigError, match="none was frozen"):
        read_golden(ledger, project)
    assert freeze_golden(ledger, data, project, NIGHTS[2:4], now=NOW) == read_golden(ledger, project)


def test_nights_that_are_not_there(freeze: Freeze, ledger: Ledger) -> None:
    with pytest.raises(ConfigError, match=r"2025-03-01, 2025-03-02 .* it has 14 nights from 2025-02-01 to 2025-02-14"):
        freeze([NIGHTS[0], dt.date(2025, 3, 1), dt.date(2025, 3, 2)])
    with pytest.raises(ConfigError, match="at least one night"):
        freeze([])
    assert list(ledger.store.keys("")) == []


def test_a_torn_night(freeze: Freeze, ledger: Ledger, project: Project) -> None:
    _path(project, NIGHTS[0]).write_bytes(b"PAR1 torn")
    with pytest.raises(DataError, match="torn"):
        freeze(NIGHTS[:2])
    assert list(ledger.store.keys("")) == []


def test_a_quarantined_night_is_refused(freeze: Freeze, ledger: Ledger, project: Project) -> None:
    ledger.write(_quality(project, NIGHTS[0], CheckOutcome.WARNED, hour=1))
    ledger.write(_quality(project, NIGHTS[1], CheckOutcome.FAILED, hour=1))
    with pytest.raises(ConfigError, match=r"2025-02-02 are in quarantine .on 2025-02-02: temp in range."):
        freeze(NIGHTS[:3])
    # A better contract let the same bytes pass later: the newest word counts.
    ledger.write(_quality(project, NIGHTS[1], CheckOutcome.PASSED, hour=2, contract="b"))
    assert len(freeze(NIGHTS[:3]).partitions) == 3


def test_the_quarantine_of_replaced_bytes_does_not_count(freeze: Freeze, ledger: Ledger, project: Project) -> None:
    ledger.write(_quality(project, NIGHTS[1], CheckOutcome.FAILED, hour=1))
    pq.write_table(pa.table({"hr": [0], "cnt": [5]}), _path(project, NIGHTS[1]))
    assert freeze([NIGHTS[1]]).partitions[0].rows == 1


def test_a_night_that_the_champion_was_trained_on_is_refused(
    freeze: Freeze, ledger: Ledger, project: Project, folder: Path
) -> None:
    golden = freeze(NIGHTS[:1])
    pins = tuple(PartitionPin(night=night, digest="sha256:0", rows=2) for night in NIGHTS[2:9])
    manifest = Manifest(
        model="demand",
        recorded_at=NOW,
        night=NIGHTS[9],
        fingerprint="sha256:1",
        trigger=None,
        snapshot=pins,
        recent=(),
        golden=golden.ref,
        code=Artefact(files={}),
        entrypoint="train:train",
        features=("hr",),
        target="cnt",
        seed=0,
        runner="process",
        environment={},
        started_at=NOW,
        finished_at=NOW,
        metrics={},
        artefact=Artefact(files={}),
    )
    verdict = Verdict(
        model="demand",
        recorded_at=NOW,
        decision=Decision.PROMOTE,
        manifest=manifest.ref,
        champion=None,
        artefact_digest=manifest.artefact.digest,
        rules_digest="sha256:2",
        golden=golden.ref,
        recent=(),
        rules=(),
        reasons=(),
        predictions_digest=None,
    )
    ledger.write(manifest)
    ledger.write(verdict)
    ledger.move("demand", "champion", verdict.ref, seen=None, reason="first", now=NOW)
    (folder / "model.toml").write_text(MODEL.replace('"v1"', '"v2"'))
    project = load_project(folder)
    data = open_store(project.data_root)
    with pytest.raises(ConfigError, match=r"it was trained on 2025-02-09: it would be judged by what it knows"):
        freeze_golden(ledger, data, project, NIGHTS[8:11], now=NOW)
    assert len(freeze_golden(ledger, data, project, NIGHTS[9:12], now=NOW).partitions) == 3


def test_never_frozen_names_the_command(ledger: Ledger, project: Project) -> None:
    with pytest.raises(ConfigError, match=r"Run: airflow-mlops golden freeze .*/demand --every 6 --store "):
        read_golden(ledger, project)


def test_the_pinned_digest_is_compared(freeze: Freeze, ledger: Ledger, folder: Path) -> None:
    golden = freeze(NIGHTS[:2])
    for digest in (golden.ref.digest, f"sha256:{'0' * 64}"):
        (folder / "model.toml").write_text(MODEL.replace("[gate]", f'[gate]\ngolden_digest = "{digest}"'))
        if digest == golden.ref.digest:
            assert read_golden(ledger, load_project(folder)) == golden
            continue
        with pytest.raises(ConfigError, match=r"with digest sha256:0+, got sha256:.* Correct gate.golden_digest"):
            read_golden(ledger, load_project(folder))
