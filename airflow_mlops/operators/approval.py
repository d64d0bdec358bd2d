"""Between gate and promotion: a person decides about what the gate holds, or about everything."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import Param
from airflow.sdk.exceptions import AirflowSkipException

from airflow_mlops.approval import awaits_person, objection, verdict_table
from airflow_mlops.boundary import airflow_errors
from airflow_mlops.links import RecordLink, ReportLink, record_page
from airflow_mlops.operators.stage import StageOperator

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from airflow_mlops.ledger import Ledger
    from airflow_mlops.records import Approval, Verdict

__all__ = ["RequestApprovalOperator", "approval_of"]

APPROVE, REJECT = "Approve", "Reject"

_LONGEST_REASON = 2000


class RequestApprovalOperator(StageOperator, HITLOperator):
    """Let a person decide about a verdict, where ``gate.approval`` of ``model.toml`` asks for one.

    The request stands in the Airflow UI under "Required actions" with the verdict's table; waiting takes no worker's
    slot. The answer becomes a record with the person's name and reason. Nobody's answer within
    ``gate.approval_hours`` is a rejection, and recorded too. A verdict is decided about once: a task that is cleared
    or tried again finds the record.

    A verdict that promotes goes straight on unless ``gate.approval`` is ``always``; a rejected one skips, and so does
    one that holds where it is ``never``.

    Parameters
    ----------
    project : str or Path
        Folder of the model project.
    verdict : str
        Reference of the verdict, as ``EvaluateGateOperator`` returns it.
    **kwargs
        Also ``notifiers`` and ``assigned_users`` of Airflow's ``HITLOperator``: who is told, and who may answer.
    """

    template_fields: Collection[str] = (*StageOperator.template_fields, "verdict")
    operator_extra_links = (RecordLink(), ReportLink())

    def __init__(self, *, project: str | Path, verdict: str | XComArg, **kwargs: Any) -> None:
        # Airflow hands every operator of a DAG the DAG's own: those are no question to this person.
        kwargs.pop("params", None)
        super().__init__(
            project=project,
            subject="Approve a model",
            options=[APPROVE, REJECT],
            # What Airflow answers with when nobody did.
            defaults=REJECT,
            params={"reason": Param("", type="string", title="Reason", description="Kept with the decision.")},
            # Until model.toml is read; without one, an execution_timeout among default_args would take its place.
            response_timeout=dt.timedelta(hours=72),
            **kwargs,
        )
        self.verdict = verdict

    def run_stage(self, context: Context) -> str:
        """Go on, skip, or ask and wait."""
        from airflow_mlops.records import Manifest

        project, ledger = self.load()
        verdict = self._read(ledger)
        gate = project.spec.gate
        standing = approval_of(ledger, verdict)
        if standing is None and awaits_person(verdict.decision, gate.approval):
            # Given to an earlier try, which could not record it.
            if (answer := context["task_state_store"].get(self._digest)) is not None:
                return self._decided(context, ledger, verdict, answer)
            night = ledger.read(Manifest, verdict.manifest).night
            self.subject = f"{project.name}, {night}: the gate says {verdict.decision}. Promote the model?"
            self.body = verdict_table(verdict, page=record_page(verdict.ref, report=True))
            self.response_timeout = dt.timedelta(hours=gate.approval_hours)
            self.tell(context, f"{night}: waiting for a person, up to {gate.approval_hours:g} hours")
            # Ends by raising what lets the task wait; Airflow goes on with `execute_complete`.
            HITLOperator.execute(self, context)
        if (why := objection(verdict, standing, gate.approval)) is not None:
            self._refused(context, verdict, why)
        told = f"approved by {standing.decided_by}" if standing else "promotes: no person is asked"
        return self.leave(context, verdict, told, report=True)

    @airflow_errors
    def execute_complete(self, context: Context, event: dict[str, Any]) -> str:
        """Record the answer; then go on, or skip."""
        answer = self._answer(super().execute_complete(context, event))
        # With Airflow first: where the store is away, the retry need not ask the same person again.
        context["task_state_store"].set(self._digest, answer)
        _, ledger = self.load()
        return self._decided(context, ledger, self._read(ledger), answer)

    @property
    def _digest(self) -> str:
        """Of the verdict that is asked about: a cleared task may ask about another one."""
        from airflow_mlops.records import RecordRef, short

        return short(RecordRef.parse(str(self.verdict)).digest)

    @staticmethod
    def _answer(event: Mapping[str, Any]) -> dict[str, Any]:
        person = event["responded_by_user"]
        return {
            "approved": list(event["chosen_options"] or ()) == [APPROVE],
            "decided_by": (person["name"] or person["id"]) if person else None,
            "reason": str(event["params_input"].get("reason") or "").strip()[:_LONGEST_REASON],
        }

    def _read(self, ledger: Ledger) -> Verdict:
        from airflow_mlops.records import RecordRef, Verdict

        return ledger.read(Verdict, RecordRef.parse(str(self.verdict)))

    def _decided(self, context: Context, ledger: Ledger, verdict: Verdict, answer: Any) -> str:
        from airflow_mlops.records import Approval

        silent = answer["decided_by"] is None
        approval = ledger.write(
            Approval(
                model=verdict.model,
                verdict=verdict.ref,
                approved=answer["approved"] and not silent,
                decided_by=answer["decided_by"],
                reason="nobody decided in time" if silent else answer["reason"] or "no reason given",
                **self.stamp(context, verdict.ref),
            )
        )
        if (why := objection(verdict, approval, "hold")) is not None:
            self._refused(context, verdict, why)
        return self.leave(context, verdict, f"approved by {approval.decided_by}: {approval.reason}", report=True)

    def _refused(self, context: Context, verdict: Verdict, why: str) -> NoReturn:
        self.leave(context, verdict, f"not approved: {why}", report=True)
        raise AirflowSkipException(why)


def approval_of(ledger: Ledger, verdict: Verdict) -> Approval | None:
    """What a person decided about a verdict; None if nobody did.

    Raises
    ------
    TamperedRecord
        If what stands there is about another verdict.
    """
    from airflow_mlops.errors import TamperedRecord
    from airflow_mlops.records import Approval, short

    approval = ledger.find(Approval, f"{verdict.model}/{short(verdict.ref.digest)}")
    if approval is not None and approval.verdict != verdict.ref:
        raise TamperedRecord(
            f"expected an approval of {verdict.ref}, got one of {approval.verdict}. Restore the store from a backup."
        )
    return approval
