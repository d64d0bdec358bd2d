"""What callers must send: the same columns as the champion takes, or a person has to know."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_mlops.records import Decision, Manifest, RuleResult

__all__ = ["signature_result"]


def signature_result(challenger: Manifest, champion: Manifest | None) -> RuleResult:
    """Compare what two models take and what they predict.

    A model of other columns may be better, but whoever calls the service sends the old ones: that holds, and a
    person may approve it once the callers know.

    Parameters
    ----------
    challenger, champion : Manifest
        Of the new model, and of the one in service; None if there is none.

    Returns
    -------
    RuleResult
        Named ``signature``; its estimate is the number of differences.
    """
    differences = [] if champion is None else _differences(challenger, champion)
    if champion is None:
        decision, why = Decision.PROMOTE, f"first model, takes {len(challenger.features)} features"
    elif differences:
        decision = Decision.HOLD
        why = f"{'; '.join(differences)}. Callers must send other rows: tell them, then approve"
    else:
        decision, why = Decision.PROMOTE, f"takes the champion's {len(challenger.features)} features, in its order"
    count = float(len(differences))
    return RuleResult(
        rule="signature",
        on="model",
        decision=decision,
        rows=0,
        method="features and target by name",
        scale="value",
        challenger=count,
        champion=None if champion is None else 0.0,
        estimate=count,
        low=count,
        high=count,
        bound=0.0,
        reason=f"signature: {why}: {decision}",
    )


def _differences(challenger: Manifest, champion: Manifest) -> list[str]:
    new, known = challenger.features, champion.features
    differences = []
    if added := [name for name in new if name not in known]:
        differences.append(f"also takes {_listed(added)}")
    if missing := [name for name in known if name not in new]:
        differences.append(f"no longer takes {_listed(missing)}")
    if not differences and new != known:
        differences.append(f"takes the features in the order {_listed(new)}, the champion in {_listed(known)}")
    if challenger.target != champion.target:
        differences.append(f"predicts {challenger.target}, the champion {champion.target}")
    return differences


def _listed(names: Sequence[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
