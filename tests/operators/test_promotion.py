"""Pointer and alias move together or not at all, whatever is killed, refused or done by hand in between."""

from __future__ import annotations

import json
import os
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from airflow_mlops.errors import RemoteRejected, RemoteUnavailable
from airflow_mlops.hooks.mlflow import MlflowHook
from airflow_mlops.ledger import Ledger
from airflow_mlops.operators.promotion import PromoteModelOperator
from airflow_mlops.records import Approval, Decision, RecordRef

pytestmark = pytest.mark.slow

NAMES = ("one", "two", "three")


def state(judged: Any) -> tuple[str | None, str | None]:
    """Where the ledger's pointer and the alias of MLflow stand."""
    pointer = judged.ledger.pointer("bike_demand", "champion")
    return (str(pointer.to) if pointer else None, judged.loop.alias())


def promote(judged: Any, verdict: str, **arguments: Any) -> Any:
    return judged.run(PromoteModelOperator, verdict=verdict, **arguments)


def set_by_hand(version: str) -> None:
    MlflowHook().client.set_registered_model_alias("bike_demand", "champion", version)


@pytest.fixture
def two(registered: Any) -> tuple[Any, str, str]:
    """A champion, and a challenger that was judged against it."""
    first = registered.verdict(registered.manifest("one"))
    promote(registered, first)
    second = registered.verdict(registered.manifest("two"), champion=registered.manifest("one").ref)
    return registered, first, second


# ── the plain way ────────────────────────────────────────────────────────────────────────────────


def test_a_first_champion_then_the_next(registered):
    """And the verdict is handed on in the asset's event; a cleared task finds it done."""
    asset = Asset("bike_demand/model")
    first = registered.verdict(registered.manifest("one"))
    assert state(registered) == (None, None)
    for _ in range(2):
        assert promote(registered, first, outlets=[asset]) == first
        assert state(registered) == (first, "1")
        assert registered.loop.context["outlet_events"][asset].extra["verdict"] == first
    assert registered.ledger.pointer("bike_demand", "champion").moves == 1
    second = registered.verdict(registered.manifest("two"), champion=registered.manifest("one").ref)
    promote(registered, second)
    assert state(registered) == (second, "2")
    # From MLflow a reader finds the verdict.
    tags = MlflowHook().client.get_model_version("bike_demand", "2").tags
    assert second in tags.values()
    # A cleared task of the old run does not take the new champion's place.
    with pytest.raises(AirflowSkipException, match="was replaced since"):
        promote(registered, first)
    assert state(registered) == (second, "2")


def test_dry_run_moves_nothing(registered):
    promote(registered, registered.verdict(registered.manifest("one")), dry_run=True)
    assert state(registered) == (None, None)
    assert registered.loop.story.startswith("dry run: would promote")


def test_a_model_that_mlflow_never_heard_of_is_promoted_without_it(judged, monkeypatch):
    monkeypatch.setenv("AIRFLOW_CONN_MLFLOW", json.dumps({"conn_type": "mlflow", "host": "http://127.0.0.1:9"}))
    verdict = judged.verdict(judged.manifest("one"))
    promote(judged, verdict)
    assert str(judged.ledger.pointer("bike_demand", "champion").to) == verdict


# ── a person's word ──────────────────────────────────────────────────────────────────────────────


def approve(judged: Any, verdict: str, *, approved: bool) -> None:
    ref = RecordRef.parse(verdict)
    judged.ledger.write(
        Approval(
            model="bike_demand",
            verdict=ref,
            approved=approved,
            decided_by="Ada",
            reason="season",
            recorded_at="2025-02-20T06:00:00Z",
            rests_on=(ref,),
        )
    )


@pytest.mark.parametrize(
    ("mode", "decision", "approved", "promoted"),
    [
        ("hold", Decision.PROMOTE, None, True),
        ("hold", Decision.PROMOTE, False, False),
        ("hold", Decision.HOLD, None, False),
        ("hold", Decision.HOLD, True, True),
        ("hold", Decision.HOLD, False, False),
        ("always", Decision.PROMOTE, None, False),
        ("always", Decision.PROMOTE, True, True),
        ("always", Decision.HOLD, True, True),
        ("never", Decision.PROMOTE, None, True),
        ("never", Decision.HOLD, True, False),
        ("hold", Decision.REJECT, True, False),
        ("always", Decision.REJECT, True, False),
    ],
)
def test_what_is_promoted(judged, mode, decision, approved, promoted):
    judged.loop.configure(replace={"[gate]": f'[gate]\napproval = "{mode}"'})
    verdict = judged.verdict(judged.manifest("one"), decision)
    if approved is not None:
        approve(judged, verdict, approved=approved)
    if promoted:
        promote(judged, verdict)
        pointer = judged.ledger.pointer("bike_demand", "champion")
        assert str(pointer.to) == verdict
        assert ("approved by Ada: season" in pointer.reason) == bool(approved)
    else:
        with pytest.raises(AirflowSkipException):
            promote(judged, verdict)
        assert judged.ledger.pointer("bike_demand", "champion") is None


def test_an_approval_of_another_verdict_counts_for_nothing(judged):
    """One whose file was copied in its place."""
    own, other = (judged.verdict(judged.manifest(name), Decision.HOLD) for name in NAMES[:2])
    approve(judged, other, approved=True)
    folder = Path(judged.loop.store) / "records" / "approval" / "bike_demand"
    (path,) = folder.glob("*.json")
    path.rename(folder / f"{RecordRef.parse(own).digest.removeprefix('sha256:')[:12]}.json")
    with pytest.raises(AirflowFailException, match="TamperedRecord"):
        promote(judged, own)
    assert judged.ledger.pointer("bike_demand", "champion") is None


def test_an_edited_verdict_promotes_nothing(judged):
    verdict = judged.verdict(judged.manifest("one"))
    (path,) = (Path(judged.loop.store) / "records" / "verdict").rglob("*.json")
    path.write_text(path.read_text().replace('"rows": ', '"rows": 9'))
    with pytest.raises(AirflowFailException, match=r"TamperedRecord: .*verdict"):
        promote(judged, verdict)
    assert judged.ledger.pointer("bike_demand", "champion") is None


# ── together or not at all ───────────────────────────────────────────────────────────────────────


def test_while_mlflow_is_away_nothing_moves(two):
    judged, first, second = two
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_CONN_MLFLOW", json.dumps({"conn_type": "mlflow", "host": "http://127.0.0.1:9"}))
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        with pytest.raises(AirflowException, match="RemoteUnavailable") as caught:
            promote(judged, second)
        assert not isinstance(caught.value, AirflowFailException)
    assert state(judged) == (first, "1")
    promote(judged, second)
    assert state(judged) == (second, "2")


@pytest.mark.parametrize(
    ("error", "ends"), [(RemoteUnavailable("away"), AirflowException), (RemoteRejected("403"), AirflowFailException)]
)
def test_an_alias_that_mlflow_does_not_take_takes_the_pointer_back(two, monkeypatch, error, ends):
    judged, first, second = two
    with monkeypatch.context() as patch:
        patch.setattr(MlflowHook, "set_alias", _raising(error))
        with pytest.raises(AirflowException, match=type(error).__name__) as caught:
            promote(judged, second)
        assert type(caught.value) is ends
    assert state(judged) == (first, "1")
    promote(judged, second)
    assert state(judged) == (second, "2")


def test_an_mlflow_that_only_lets_read_shows_before_anything_moves(registered, monkeypatch):
    """Also of a first champion, which has none to step back to."""
    verdict = registered.verdict(registered.manifest("one"))
    with monkeypatch.context() as patch:
        patch.setattr(MlflowHook, "tag_version", _raising(RemoteRejected("403")))
        with pytest.raises(AirflowFailException, match="403"):
            promote(registered, verdict)
    assert state(registered) == (None, None)


def _raising(error: Exception) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


STEPS = [(Ledger, "move"), (MlflowHook, "annotate"), (MlflowHook, "set_alias")]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("owner", "step"), STEPS, ids=[step for _, step in STEPS])
def test_killed_at_any_step_it_is_finished_by_the_retry(two, owner, step, when):
    judged, first, second = two

    def die(original: Callable[..., Any]) -> Callable[..., Any]:
        def dying(*args: Any, **kwargs: Any) -> None:
            if when == "after":
                original(*args, **kwargs)
            os._exit(137)

        return dying

    assert _in_a_process(lambda: promote(judged, second), owner, step, die) == 137
    pointer, alias = state(judged)
    moved = (step, when) in {("move", "after"), ("set_alias", "before"), ("set_alias", "after")}
    assert pointer == (second if moved else first)
    assert alias == ("2" if (step, when) == ("set_alias", "after") else "1")
    promote(judged, second)
    assert state(judged) == (second, "2")
    assert judged.ledger.pointer("bike_demand", "champion").moves == 2


def _in_a_process(work: Callable[[], Any], owner: type, step: str, replaced: Callable[..., Any]) -> int:
    """Exit status of a child in which one step is another."""
    if pid := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    try:
        setattr(owner, step, replaced(getattr(owner, step)))
        work()
        os._exit(0)
    except BaseException:  # noqa: BLE001 - the child must not go on with the tests
        traceback.print_exc()
        os._exit(1)


# ── others at work ───────────────────────────────────────────────────────────────────────────────


def test_a_verdict_against_another_champion_is_refused(registered):
    """Both were judged while there was none; meanwhile one became champion."""
    first, stale = (registered.verdict(registered.manifest(name)) for name in NAMES[:2])
    promote(registered, first)
    with pytest.raises(AirflowFailException, match=r"Conflict: expected the champion .* Run the gate again"):
        promote(registered, stale)
    assert state(registered) == (first, "1")


def test_of_two_promotions_at_once_one_wins(two, monkeypatch):
    """Both look before either moves."""
    judged, _, second = two
    third = judged.verdict(judged.manifest("three"), champion=judged.manifest("one").ref)
    ready, move = threading.Barrier(2), Ledger.move

    def together(*args: Any, **kwargs: Any) -> Any:
        ready.wait(30)
        return move(*args, **kwargs)

    monkeypatch.setattr(Ledger, "move", together)
    ended: dict[str, str] = {}

    def run(verdict: str) -> None:
        # Two tasks are two processes, each with a context of its own.
        own = type(judged)(type(judged.loop)(judged.loop.home))
        try:
            promote(own, verdict)
            ended[verdict] = "won"
        except AirflowException as error:
            ended[verdict] = str(error)

    threads = [threading.Thread(target=run, args=(verdict,)) for verdict in (second, third)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    (winner,) = [verdict for verdict, end in ended.items() if end == "won"]
    (loser,) = set(ended) - {winner}
    assert ended[loser].startswith("Conflict")
    assert state(judged) == (winner, "2" if winner == second else "3")
    # Once more it is told what to do.
    monkeypatch.setattr(Ledger, "move", move)
    with pytest.raises(AirflowFailException, match="Run the gate again"):
        promote(judged, loser)


def test_a_champion_that_was_set_by_hand_in_mlflow_is_not_overwritten(two):
    judged, first, second = two
    set_by_hand("3")
    # Neither by the next one, nor by a cleared task of the one that should be.
    for verdict in (second, first):
        with pytest.raises(
            AirflowFailException, match=r"Conflict: expected .* at version 1, .* it names version 3"
        ) as told:
            promote(judged, verdict)
        assert "Set it back to 1, then clear this task" in str(told.value)
        assert state(judged) == (first, "3")
    set_by_hand("1")
    promote(judged, second)
    assert state(judged) == (second, "2")


def test_an_alias_that_stood_before_there_was_a_champion(registered):
    set_by_hand("3")
    with pytest.raises(AirflowFailException, match=r"unset, .* it names version 3.* Delete it"):
        promote(registered, registered.verdict(registered.manifest("one")))
    assert state(registered) == (None, "3")


def test_an_alias_that_was_deleted_is_set_again(two):
    judged, first, second = two
    MlflowHook().client.delete_registered_model_alias("bike_demand", "champion")
    promote(judged, second)
    assert state(judged) == (second, "2")
    del first


def test_a_version_that_is_gone_from_mlflow_is_not_promoted(two):
    judged, first, second = two
    MlflowHook().client.delete_model_version("bike_demand", "2")
    with pytest.raises(AirflowFailException, match=r"RemoteRejected: expected version 2 of bike_demand"):
        promote(judged, second)
    assert state(judged) == (first, "1")
