from __future__ import annotations

from typing import Any

import pytest

from airflow_mlops.quality.policy import under_policy
from airflow_mlops.records import CheckOrigin, CheckOutcome, CheckResult, Policy

C, M, S = CheckOrigin.CONTRACT, CheckOrigin.MONITOR, CheckOrigin.SOUND
FAILED, ERROR, WARNED, PASSED = CheckOutcome.FAILED, CheckOutcome.ERROR, CheckOutcome.WARNED, CheckOutcome.PASSED


def judged(name: str, origin: CheckOrigin, outcome: CheckOutcome, policy: dict[str, str]) -> tuple[str, str]:
    check = CheckResult(name=name, column="temp", outcome=outcome, expected="", actual="", origin=origin)
    found = under_policy(check, {key: Policy(value) for key, value in policy.items()})
    assert found.policy is not None
    return found.policy.value, found.outcome.value


@pytest.mark.parametrize(
    ("name", "origin", "outcome", "policy", "expected"),
    [
        ("nulls", M, FAILED, {}, ("quarantine", "failed")),
        ("distribution", M, FAILED, {}, ("warn", "warned")),
        ("relation", M, FAILED, {}, ("warn", "warned")),
        ("distribution", C, FAILED, {}, ("quarantine", "failed")),
        ("distribution", M, FAILED, {"default": "quarantine"}, ("quarantine", "failed")),
        ("nulls", M, FAILED, {"nulls:temp": "block", "nulls": "warn", "monitor": "warn"}, ("block", "failed")),
        ("nulls", M, FAILED, {"nulls:hum": "block", "nulls": "warn", "monitor": "block"}, ("warn", "warned")),
        ("nulls", M, FAILED, {"monitor": "block", "default": "warn"}, ("block", "failed")),
        ("missing", C, FAILED, {"monitor": "block", "default": "warn"}, ("warn", "warned")),
        ("missing", C, FAILED, {"contract": "block"}, ("block", "failed")),
        ("missing", C, ERROR, {"missing:temp": "warn"}, ("quarantine", "error")),
        ("missing", C, ERROR, {"contract": "block"}, ("block", "error")),
        ("missing", C, WARNED, {"contract": "block"}, ("block", "warned")),
        ("missing", C, PASSED, {"contract": "warn"}, ("warn", "passed")),
        ("time", S, FAILED, {"default": "warn"}, ("quarantine", "failed")),
        ("time", S, FAILED, {"default": "block"}, ("block", "failed")),
        ("time", S, FAILED, {"time": "warn"}, ("warn", "warned")),
        ("readable", S, FAILED, {"readable": "warn"}, ("quarantine", "failed")),
    ],
)
def test_what_a_check_does_to_its_night(name: str, origin: Any, outcome: Any, policy: Any, expected: Any) -> None:
    assert judged(name, origin, outcome, policy) == expected
