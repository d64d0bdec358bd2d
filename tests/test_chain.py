from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops.chain import audit, chain_of
from airflow_mlops.cli import main
from airflow_mlops.errors import LedgerError, TamperedRecord
from airflow_mlops.ledger import Ledger
from airflow_mlops.records import (
    Artefact,
    Bento,
    CheckOutcome,
    CheckResult,
    Decision,
    Deployment,
    Drift,
    DriftVerdict,
    Golden,
    Manifest,
    PartitionPin,
    Quality,
    Record,
    RecordRef,
    Verdict,
    sha256_digest,
)
from airflow_mlops.store import Store

NOW = dt.datetime(2025, 3, 1, tzinfo=dt.UTC)
FIRST, SECOND, THIRD = (dt.date(2025, 2, day) for day in (1, 2, 3))


def _stamp(hour: int, *rests_on: Record) -> dict[str, Any]:
    return {
        "model": "demand",
        "recorded_at": NOW.replace(hour=hour),
        "rests_on": tuple(record.ref for record in rests_on),
    }


def _night_bytes_digest(hour: int) -> str:
    return sha256_digest(f"night of {hour}".encode())


def _quality(night: dt.date, outcome: CheckOutcome, hour: int) -> Quality:
    return Quality(
        **_stamp(hour),
        night=night,
        location="data",
        partition=PartitionPin(night=night, digest=_night_bytes_digest(hour), rows=24),
        rules_digest="sha256:c",
        checks=(CheckResult(name="[temp]", outcome=outcome, expected="0..1", actual="20.0"),),
    )


@pytest.fixture
def chain(store: Store) -> Ledger:
    """Three nights: the first bad, then corrected; the second trained on and served; the third in quarantine."""
    ledger = Ledger(store)
    ledger.write(_quality(FIRST, CheckOutcome.FAILED, hour=1))
    ledger.write(_quality(FIRST, CheckOutcome.PASSED, hour=2))
    quality = ledger.write(_quality(SECOND, CheckOutcome.PASSED, hour=3))
    recent = ledger.write(_quality(FIRST, CheckOutcome.PASSED, hour=2)).partition
    for hour in (2, 3):
        ledger.put_blob(f"night of {hour}".encode())
    ledger.write(_quality(THIRD, CheckOutcome.FAILED, hour=9))
    pins = (quality.partition,)
    golden = ledger.write(Golden(**_stamp(1), name="v1", partitions=pins))
    drift = ledger.write(
        Drift(
            **_stamp(4, quality),
            night=SECOND,
            window=pins,
            baseline=None,
            verdict=DriftVerdict.DRIFT,
            features=(),
            wants_training=True,
            reason="no champion yet",
        )
    )
    manifest = ledger.write(
        Manifest(
            **_stamp(5, drift),
            night=SECOND,
            fingerprint="sha256:0123456789abcdef",
            trigger=drift.ref,
            snapshot=pins,
            recent=(recent,),
            golden=golden.ref,
            code=Artefact(files={"train.py": ledger.put_blob(b"code")}),
            entrypoint="train:train",
            features=("hr",),
            target="cnt",
            seed=0,
            runner="process",
            environment={},
            started_at=NOW,
            finished_at=NOW,
            metrics={"loss": float("nan")},
            artefact=Artefact(files={"model.pt2": ledger.put_blob(b"model")}),
        )
    )
    verdict = ledger.write(
        Verdict(
            **_stamp(6, manifest, golden),
            decision=Decision.PROMOTE,
            manifest=manifest.ref,
            champion=None,
            artefact_digest=manifest.artefact.digest,
            rules_digest="sha256:r",
            golden=golden.ref,
            recent=(),
            rules=(),
            reasons=(),
            predictions_digest=ledger.put_blob(b"predictions"),
        )
    )
    bento = ledger.write(
        Bento(
            **_stamp(7, verdict),
            verdict=verdict.ref,
            tag="demand:v7",
            artefact_digest="sha256:a",
            archive_digest=ledger.put_blob(b"archive"),
        )
    )
    deployment = ledger.write(
        Deployment(
            **_stamp(8, bento),
            bento=bento.ref,
            verdict=verdict.ref,
            target="local",
            served_version="v7",
            rows_verified=24,
            largest_difference=0.0,
            tolerance=1e-4,
        )
    )
    ledger.move("demand", "champion", verdict.ref, seen=None, reason="the first", now=NOW)
    ledger.move("demand", "live", deployment.ref, seen=None, reason="verified", now=NOW)
    return ledger


def test_a_night_holds_the_newest_record_of_each_stage(chain: Ledger) -> None:
    found = chain_of(chain, "demand")
    assert [night.night for night in found.nights] == [FIRST, SECOND, THIRD]
    first, second, third = found.nights
    assert first.quality is not None
    assert not first.quality.quarantined
    assert first.drift is first.manifest is first.verdict is first.deployment is None
    assert second.drift is not None
    assert second.manifest is not None
    assert second.verdict is not None
    assert second.verdict.decision is Decision.PROMOTE
    assert second.deployment is not None
    assert second.deployment.served_version == "v7"
    assert third.quality is not None
    assert third.quality.quarantined
    assert {pointer.name: pointer.to.kind for pointer in found.pointers} == {
        "champion": "verdict",
        "live": "deployment",
    }


def test_another_model_whose_name_begins_alike_is_not_mixed_in(chain: Ledger) -> None:
    assert chain_of(chain, "dem").nights == ()
    assert chain_of(chain, "dem").pointers == ()


def test_a_whole_chain_has_no_fault(chain: Ledger) -> None:
    found = audit(chain)
    assert found.faults == ()
    assert found.records == 4 + 6 + 2


# What follows edits files by hand, which is the same mischief in either store; a folder is at hand.


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "chain"


def _only(root: Path, pattern: str) -> Path:
    (path,) = root.glob(pattern)
    return path


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


only_folder = pytest.mark.parametrize("address", ["folder"], indirect=True)


@only_folder
def test_an_edited_record_is_found(chain: Ledger, root: Path) -> None:
    path = _only(root, "records/quality/demand/2025-02-03/*.json")
    _edit(path, '"failed"', '"passed"')
    (fault,) = audit(chain).faults
    assert fault.path == path.relative_to(root).as_posix()
    assert "Records are never edited" in fault.reason
    with pytest.raises(TamperedRecord, match=fault.path):
        chain_of(chain, "demand")


@only_folder
def test_a_record_that_is_gone_is_told_at_those_that_rest_on_it(chain: Ledger, root: Path) -> None:
    _only(root, "records/manifest/demand/*.json").unlink()
    (fault,) = audit(chain).faults
    assert fault.path.startswith("records/verdict/")
    assert "rests on what does not hold" in fault.reason
    assert "manifest/demand/0123456789ab@" in fault.reason
    with pytest.raises(LedgerError, match="manifest/demand/0123456789ab"):
        chain_of(chain, "demand")


@only_folder
def test_a_replaced_record_is_told_at_those_that_rest_on_it(chain: Ledger, root: Path) -> None:
    path = _only(root, "records/golden/demand/v1.json")
    path.unlink()
    chain.write(Golden(**_stamp(2), name="v1", partitions=()))
    faults = audit(chain).faults
    assert [fault.path.split("/")[1] for fault in faults] == ["manifest", "verdict"]
    assert all("was replaced" in fault.reason for fault in faults)


@only_folder
@pytest.mark.parametrize(
    ("content", "kinds"),
    [
        (b"night of 3", ["golden", "manifest"]),
        (b"night of 2", ["manifest"]),
        (b"code", ["manifest"]),
        (b"model", ["manifest"]),
        (b"predictions", ["verdict"]),
        (b"archive", ["bento"]),
    ],
)
def test_a_blob_that_is_gone_is_told_at_the_records_that_name_it(
    chain: Ledger, root: Path, content: bytes, kinds: list[str]
) -> None:
    digest = sha256_digest(content)
    (root / "blobs" / "sha256" / digest.removeprefix("sha256:")).unlink()
    faults = audit(chain).faults
    assert [fault.path.split("/")[1] for fault in faults] == kinds
    assert all(f"expected the blob {digest} in {chain.store.uri}" in fault.reason for fault in faults)


@only_folder
def test_a_record_may_have_lost_a_blob_and_its_foundation(chain: Ledger, root: Path) -> None:
    _only(root, "records/verdict/demand/*.json").unlink()
    (root / "blobs" / "sha256" / sha256_digest(b"archive").removeprefix("sha256:")).unlink()
    told = [fault.reason for fault in audit(chain).faults if fault.path.startswith("records/bento/")]
    assert len(told) == 2
    assert "expected the blob" in told[0]
    assert "rests on what does not hold" in told[1]


@only_folder
def test_a_copied_record_is_found(chain: Ledger, root: Path) -> None:
    path = _only(root, "records/quality/demand/2025-02-02/*.json")
    copy = path.parent.parent / "2025-02-04" / path.name
    copy.parent.mkdir()
    copy.write_bytes(path.read_bytes())
    (fault,) = audit(chain).faults
    assert "2025-02-04" in fault.path
    assert "Somebody copied the file" in fault.reason


@only_folder
def test_a_pointer_to_nowhere_and_an_edited_one(chain: Ledger, root: Path) -> None:
    nowhere = RecordRef(kind="verdict", key="demand/none", digest="sha256:0")
    chain.move("demand", "champion", nowhere, seen=chain.pointer("demand", "champion"), reason="x", now=NOW)
    _edit(root / "pointers/demand/live.json", '"verified"', '"was not"')
    champion, live = audit(chain).faults
    assert "there is none" in champion.reason
    assert "expected content with digest" in live.reason


@only_folder
@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b'{"schema": 1, "digest": 2, "record": 3}'])
def test_what_is_no_record_at_all(chain: Ledger, root: Path, content: bytes) -> None:
    for name in ("quality/demand/2025-02-05/x.json", "sermon/demand/x.json"):
        path = root / "records" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    faults = audit(chain).faults
    assert [fault.path.split("/")[1] for fault in faults] == ["quality", "sermon"]
    assert "expected a kind among acceptance, alert, approval, baseline, bento" in faults[1].reason


@only_folder
def test_a_record_with_other_fields_under_a_sound_digest(chain: Ledger, root: Path) -> None:
    """As a fork of this package would write it: nobody edited it, and still it is no record of ours."""
    path = _only(root, "records/bento/demand/*.json")
    envelope = json.loads(path.read_bytes())
    del envelope["record"]["tag"]
    canonical = json.dumps([envelope["schema"], envelope["record"]], sort_keys=True, separators=(",", ":"))
    envelope["digest"] = sha256_digest(canonical.encode())
    path.write_text(json.dumps(envelope))
    assert any("expected the fields of" in fault.reason for fault in audit(chain).faults)


# The commands over it.


@only_folder
def test_the_command_shows_the_chain(
    chain: Ledger, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    assert main(["chain", "demand", "--store", chain.store.uri]) == 0
    out = capsys.readouterr().out
    for text in ("2025-02-03", "quarantined: [temp]", "drift", "promote", "v7", "champion", "verified"):
        assert text in out


@only_folder
def test_the_command_writes_json(chain: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chain", "demand", "--store", chain.store.uri, "--json"]) == 0
    value = json.loads(capsys.readouterr().out)
    assert value["model"] == "demand"
    assert value["pointers"]["champion"]["reason"] == "the first"
    second = value["nights"][1]
    assert second["deployment"]["served_version"] == "v7"
    assert second["manifest"]["ref"].startswith("manifest/demand/0123456789ab@sha256:")
    assert value["nights"][0]["drift"] is None


@only_folder
def test_an_unknown_model_is_a_no(chain: Ledger, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["chain", "demnd", "--store", chain.store.uri]) == 1
    assert "no record of a model 'demnd'" in capsys.readouterr().err


@only_folder
def test_verify_ledger(chain: Ledger, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify-ledger", "--store", chain.store.uri]) == 0
    assert "12 records read, 0 faults" in capsys.readouterr().out
    path = _only(root, "records/quality/demand/2025-02-03/*.json")
    _edit(path, '"failed"', '"passed"')
    assert main(["verify-ledger", "--store", chain.store.uri]) == 1
    out = capsys.readouterr().out
    assert path.relative_to(root).as_posix() in out
    assert "1 fault" in out
    assert main(["chain", "demand", "--store", chain.store.uri]) == 1
    assert "TamperedRecord" in capsys.readouterr().err
