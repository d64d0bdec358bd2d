"""From a verdict to answers: built, staged, proved, live; and back again."""

from __future__ import annotations

import datetime as dt
import socket
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airflow_mlops.operators.gate import EvaluateGateOperator
from airflow_mlops.operators.promotion import PromoteModelOperator
from airflow_mlops.operators.service import target_of
from airflow_mlops.operators.serving import (
    BuildBentoOperator,
    DeployBentoOperator,
    RollbackDeploymentOperator,
    ShiftTrafficOperator,
    VerifyDeploymentOperator,
)
from airflow_mlops.operators.training import TrainModelOperator
from airflow_mlops.records import Bento, Decision, Deployment, RecordRef, Verdict, short

pytestmark = pytest.mark.slow


@pytest.fixture
def serving(trained: Any) -> Iterator[Any]:
    """The trained loop on a port of its own; whatever it started is stopped."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        trained.configure(port=probe.getsockname()[1])
    yield trained
    target_of(trained.project).stop_all()


def pointer(loop: Any, name: str) -> str | None:
    found = loop.ledger.pointer("bike_demand", name)
    return str(found.to) if found else None


def version_of(loop: Any, verdict: str) -> str:
    return short(loop.ledger.read(Verdict, RecordRef.parse(verdict)).artefact_digest)


def served(loop: Any) -> str | None:
    """Version that users' answers name."""
    try:
        answer = httpx.get(f"{target_of(loop.project).url}/readyz", trust_env=False)
    except httpx.TransportError:
        return None
    return answer.headers["x-model-version"]


def running(loop: Any) -> set[str]:
    """Versions that have a process."""
    return {path.stem for path in (loop.home / "serving" / "bike_demand" / "versions").glob("*.json")}


def deploy(loop: Any, verdict: str, **arguments: Any) -> str:
    """The whole of stage 5; the reference of the deployment."""
    bento = loop.run(BuildBentoOperator, verdict=verdict)
    assert loop.xcoms["verdict"] == verdict
    loop.run(DeployBentoOperator, bento=bento)
    deployment = str(loop.run(VerifyDeploymentOperator, bento=bento, verdict=verdict))
    loop.run(ShiftTrafficOperator, deployment=deployment, **arguments)
    return deployment


def challenger(loop: Any) -> str:
    for day in (19, 20, 21):
        loop.arrive(dt.date(2025, 2, day))
    manifest = loop.run(TrainModelOperator, run_id="second")
    return str(loop.run(EvaluateGateOperator, run_id="second", manifest=manifest))


def test_a_model_is_served_replaced_and_taken_back(serving, monkeypatch):
    loop, first = serving, serving.verdict
    loop.run(PromoteModelOperator, verdict=first)
    one = version_of(loop, first)

    # A dry run proves it all, and leaves nothing running.
    deploy(loop, first, dry_run=True)
    assert (served(loop), running(loop), pointer(loop, "live")) == (None, set(), None)

    live = deploy(loop, first)
    assert (served(loop), pointer(loop, "live")) == (one, live)
    assert loop.context["task"].links["Endpoint"] == target_of(loop.project).url
    # Again, as after a worker that was killed: the same records, no second process.
    pid = target_of(loop.project).live().pid
    assert deploy(loop, first) == live
    assert target_of(loop.project).live().pid == pid
    assert loop.records()["bento"] == loop.records()["deployment"] == 1

    # A challenger whose answers are not what was judged does not go live, and is champion no longer.
    second = challenger(loop)
    two = version_of(loop, second)
    assert two != one
    forged = _with_other_predictions(loop, second)
    loop.run(PromoteModelOperator, verdict=forged)
    with pytest.raises(AirflowFailException, match="is not what the gate judged"):
        deploy(loop, forged)
    assert (served(loop), running(loop), loop.alias()) == (one, {one, two}, "2")
    loop.run(RollbackDeploymentOperator, to="live", reason="refuted", events=[{"verdict": forged}])
    assert (served(loop), running(loop), loop.alias()) == (one, {one}, "1")
    assert (pointer(loop, "champion"), pointer(loop, "live")) == (first, live)

    # With the true predictions it does.
    loop.run(PromoteModelOperator, verdict=second)
    replaced = deploy(loop, second)
    assert (served(loop), running(loop), loop.alias()) == (two, {two}, "2")

    # Back to the one before; the alias follows, and a retry of the same task goes no further.
    for _ in range(2):
        loop.run(RollbackDeploymentOperator, reason="complaints", run_id="back")
        assert (served(loop), running(loop), loop.alias()) == (one, {one}, "1")
        assert (pointer(loop, "champion"), pointer(loop, "live")) == (first, live)
    with pytest.raises(AirflowFailException, match="it is the first"):
        loop.run(RollbackDeploymentOperator, run_id="further back")

    # A deployment whose verdict is the champion's no longer is skipped, and touches nothing.
    with pytest.raises(AirflowSkipException, match="no longer the champion"):
        loop.run(ShiftTrafficOperator, deployment=replaced)
    assert (served(loop), pointer(loop, "live")) == (one, live)

    # What users get is what the ledger says, also after somebody made another one live past it.
    loop.run(PromoteModelOperator, verdict=second)
    loop.run(DeployBentoOperator, bento=str(loop.ledger.read(Deployment, RecordRef.parse(replaced)).bento))
    target_of(loop.project).make_live(two)
    loop.run(RollbackDeploymentOperator, to="live")
    assert (served(loop), running(loop), pointer(loop, "champion")) == (one, {one}, first)

    # A champion that was promoted meanwhile is not taken away by the rollback of another's deployment.
    loop.run(PromoteModelOperator, verdict=second)
    loop.run(RollbackDeploymentOperator, to="live", events=[{"verdict": forged}])
    assert (pointer(loop, "champion"), loop.alias(), served(loop)) == (second, "2", one)


def _with_other_predictions(loop: Any, verdict: str) -> str:
    found = loop.ledger.read(Verdict, RecordRef.parse(verdict))
    path = loop.ledger.fetch_blob(found.predictions_digest, loop.home / "predictions.parquet")
    table = pq.read_table(path)
    place = table.column_names.index("y_pred")
    pq.write_table(table.set_column(place, "y_pred", pc.add(table["y_pred"], pa.scalar(5.0))), path)
    changes = {"predictions_digest": loop.ledger.put_blob(path), "rules_digest": "sha256:" + "ef" * 32}
    return str(loop.ledger.write(found.model_copy(update=changes)).ref)


def test_where_nothing_was_ever_live_the_first_champion_stays(serving):
    serving.run(PromoteModelOperator, verdict=serving.verdict)
    with pytest.raises(AirflowSkipException, match="nothing was ever live: the champion stays unserved"):
        serving.run(RollbackDeploymentOperator, to="live")
    assert (pointer(serving, "champion"), serving.alias()) == (serving.verdict, "1")
    with pytest.raises(AirflowFailException, match="nothing was ever live"):
        serving.run(RollbackDeploymentOperator, to="previous")


def test_only_what_a_verdict_promotes_is_built(serving):
    verdict = serving.ledger.read(Verdict, RecordRef.parse(serving.verdict))
    held = serving.ledger.write(
        verdict.model_copy(update={"decision": Decision.HOLD, "rules_digest": "sha256:" + "aa" * 32})
    )
    with pytest.raises(AirflowFailException, match="Nothing else is deployed"):
        serving.run(BuildBentoOperator, verdict=str(held.ref))
    other = {"artefact_digest": "sha256:" + "bb" * 32, "rules_digest": "sha256:" + "cc" * 32}
    forged = serving.ledger.write(verdict.model_copy(update=other))
    with pytest.raises(AirflowFailException, match="expected the artefact"):
        serving.run(BuildBentoOperator, verdict=str(forged.ref))
    with pytest.raises(AirflowFailException, match="expected a champion of bike_demand to deploy"):
        serving.run(BuildBentoOperator)
    assert "bento" not in serving.records()


def test_it_builds_what_the_newest_event_names_and_once(serving):
    began = time.monotonic()
    bento = serving.run(BuildBentoOperator, events=[{"verdict": "verdict/old@sha256:0"}, {"verdict": serving.verdict}])
    assert serving.xcoms["verdict"] == serving.verdict
    built = time.monotonic() - began
    assert serving.run(BuildBentoOperator, verdict=serving.verdict) == bento
    assert time.monotonic() - began < 2 * built
    record = serving.ledger.read(Bento, RecordRef.parse(bento))
    assert record.tag == f"bike_demand:{version_of(serving, serving.verdict)}"


def test_a_bento_of_another_artefact_is_not_verified(serving):
    bento = serving.run(BuildBentoOperator, verdict=serving.verdict)
    record = serving.ledger.read(Bento, RecordRef.parse(bento))
    other = serving.ledger.write(
        record.model_copy(update={"tag": "bike_demand:another", "artefact_digest": "sha256:" + "dd" * 32})
    )
    with pytest.raises(AirflowFailException, match="expected a Bento of the artefact"):
        serving.run(VerifyDeploymentOperator, bento=str(other.ref), verdict=serving.verdict)
    assert running(serving) == set()
