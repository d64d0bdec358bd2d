from __future__ import annotations

import json

import pytest

from airflow_mlops.errors import ConfigError, RemoteRejected, RemoteUnavailable
from airflow_mlops.polling import Ended, Waiting, decide

AWAY = RemoteUnavailable("no answer")


@pytest.mark.parametrize(
    ("seen", "now", "expected"),
    [
        (None, 0.0, Waiting(5.0)),
        (None, 57.0, Waiting(3.0)),
        ("version 2", 0.0, Ended(found="version 2")),
        # Found is found, however late.
        ("version 2", 99.0, Ended(found="version 2")),
        ("", 0.0, Ended(found="")),
        (0, 0.0, Ended(found=0)),
        (False, 0.0, Ended(found=False)),
        (AWAY, 0.0, Waiting(5.0)),
        (ConfigError("wrong"), 0.0, Ended(error="ConfigError: wrong")),
        (RemoteRejected("no"), 0.0, Ended(error="RemoteRejected: no")),
        (OSError("disk"), 0.0, Ended(error="OSError: disk")),
    ],
)
def test_what_a_look_means(seen, now, expected):
    assert decide(seen, now=now, deadline=60.0, poll_seconds=5.0, waiting_for="it") == expected


@pytest.mark.parametrize(("seen", "why"), [(None, "it did not come"), (AWAY, "the last look failed: no answer")])
@pytest.mark.parametrize("now", [60.0, 61.0])
def test_the_deadline_ends_it_and_says_why(seen, why, now):
    ended = decide(seen, now=now, deadline=60.0, poll_seconds=5.0, waiting_for="the night")
    assert isinstance(ended, Ended)
    assert ended.late
    assert ended.error == f"expected the night before the deadline, {why}. Look upstream, then clear the task."


def test_the_event_is_json():
    assert json.loads(json.dumps(Ended(found="x").payload())) == {"found": "x", "error": None, "late": False}
