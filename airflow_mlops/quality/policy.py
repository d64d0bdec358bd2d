"""What a check that does not pass does to its night."""

from __future__ import annotations

from collections.abc import Mapping

from airflow_mlops.records import CheckOrigin, CheckOutcome, CheckResult, Policy

__all__ = ["under_policy"]

# Monitors of how values lie: the world may change as well as the data.
_MAY_DRIFT = frozenset({"distribution", "relation"})


def under_policy(result: CheckResult, policy: Mapping[str, Policy]) -> CheckResult:
    """Say what a check does to its night if it does not pass, and let a failed one that only warns be a warning.

    It is the first that the policy names of ``NAME:COLUMN``, ``NAME``, the origin (``contract``, ``monitor``) and
    ``default``; otherwise quarantine, but a warning for the monitors ``distribution`` and ``relation``: what drifts has
    to get as far as the drift check. A check that could not be evaluated quarantines at least, and so does what every
    night must hold, unless the policy names that very check.

    Examples
    --------
    >>> failed = CheckResult(name="nulls", column="temp", outcome=CheckOutcome.FAILED, expected="", actual="")
    >>> under_policy(failed, {"nulls": Policy.WARN, "nulls:temp": Policy.BLOCK}).policy.value
    'block'
    >>> under_policy(failed, {"contract": Policy.WARN}).outcome.value
    'warned'
    """
    named = (result.label, result.name)
    general = (result.origin.value, "default")
    chosen = next((policy[key] for key in (*named, *general) if key in policy), None)
    if chosen is None:
        of_drift = result.origin is CheckOrigin.MONITOR and result.name in _MAY_DRIFT
        chosen = Policy.WARN if of_drift else Policy.QUARANTINE
    if chosen is Policy.WARN and _grave(result, by_name=any(key in policy for key in named)):
        chosen = Policy.QUARANTINE
    warns = result.outcome is CheckOutcome.FAILED and chosen is Policy.WARN
    return result.model_copy(update={"policy": chosen, "outcome": CheckOutcome.WARNED if warns else result.outcome})


def _grave(result: CheckResult, *, by_name: bool) -> bool:
    if result.outcome is CheckOutcome.ERROR or result.name == "readable":
        return True
    return result.origin is CheckOrigin.SOUND and not by_name
