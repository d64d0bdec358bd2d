"""What follows from a verdict: the ledger's champion and the alias of MLflow move together."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk.exceptions import AirflowSkipException

from airflow_mlops.approval import objection
from airflow_mlops.errors import Conflict, MLOpsError, RemoteRejected
from airflow_mlops.links import MlflowRunLink, RecordLink, ReportLink, record_page
from airflow_mlops.operators.approval import approval_of
from airflow_mlops.operators.stage import StageOperator

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from airflow_mlops.hooks.mlflow import MlflowHook
    from airflow_mlops.ledger import Ledger
    from airflow_mlops.records import Manifest, Pointer, RecordRef, Registration, Verdict

__all__ = ["PromoteModelOperator", "registration_of"]

_ALIAS = "champion"


class PromoteModelOperator(StageOperator):
    """Make a challenger the champion: the ledger's pointer and the MLflow alias, both or neither.

    Before anything moves, MLflow has to answer, the version has to be whole, and the alias has to name the ledger's
    champion: one that a person set by hand is a conflict, not overwritten. Then the pointer moves (of two promotions
    at once, one wins), then the alias. Where MLflow refuses that, the pointer steps back. Killed between the two, the
    task does the rest when it runs again.

    Skips where the verdict does not promote, or a person has to approve it and has not.

    Parameters
    ----------
    project : str or Path
        Folder of the model project.
    verdict : str
        Reference of the verdict, as ``EvaluateGateOperator`` or ``RequestApprovalOperator`` returns it.
    dry_run : bool
        Say what would be promoted, and move neither pointer nor alias.
    mlflow_conn_id : str
        Connection of type ``mlflow``.
    """

    template_fields: Collection[str] = (*StageOperator.template_fields, "verdict")
    operator_extra_links = (RecordLink(), ReportLink(), MlflowRunLink())

    def __init__(
        self,
        *,
        project: str | Path,
        verdict: str | XComArg,
        dry_run: bool = False,
        mlflow_conn_id: str = "mlflow",
        **kwargs: Any,
    ) -> None:
        super().__init__(project=project, **kwargs)
        self.verdict = verdict
        # BaseOperator has a method of this name already.
        self.moves_nothing = dry_run
        self.mlflow_conn_id = mlflow_conn_id

    def run_stage(self, context: Context) -> str:
        """Move pointer and alias, or skip."""
        from airflow_mlops.hooks.mlflow import MlflowHook
        from airflow_mlops.records import Manifest, RecordRef, Verdict

        project, ledger = self.load()
        verdict = ledger.read(Verdict, RecordRef.parse(str(self.verdict)))
        manifest = ledger.read(Manifest, verdict.manifest)
        registration = registration_of(ledger, manifest)
        if registration is not None and registration.run_url:
            self.links["MLflow run"] = registration.run_url
        approval = approval_of(ledger, verdict)
        if (why := objection(verdict, approval, project.spec.gate.approval)) is not None:
            self._skip(context, verdict, f"not promoted: {verdict.decision}", why)
        if self.moves_nothing:
            story = f"dry run: would promote the model of {manifest.night}"
            return self.leave(context, verdict, story, report=True, night=manifest.night)
        pointer = ledger.pointer(project.name, "champion")
        if pointer is None or pointer.to != verdict.ref:
            self._prove_unchanged(context, ledger, verdict, manifest, pointer)
        hook = MlflowHook(self.mlflow_conn_id) if registration is not None else None
        if hook is not None and registration is not None:
            _prove_ready(hook, ledger, verdict, registration, pointer)
        reason = f"{manifest.night}: {'; '.join(verdict.reasons)}"
        if approval is not None:
            reason = f"{reason}; approved by {approval.decided_by}: {approval.reason}"
        now = dt.datetime.now(dt.UTC)
        moved = ledger.move(project.name, "champion", verdict.ref, seen=pointer, reason=reason, now=now)
        if hook is not None and registration is not None:
            try:
                hook.set_alias(registration.registered_model, _ALIAS, registration.registered_version)
            except MLOpsError as error:
                # What an earlier try moved stays for the next one, as if that had been killed in between.
                if moved is not pointer:
                    self._undo(ledger, moved, error)
                raise
        version = f" (MLflow version {registration.registered_version})" if registration else ""
        story = f"champion is now the model of {manifest.night}{version}"
        return self.leave(context, verdict, story, report=True, night=manifest.night)

    def _skip(self, context: Context, verdict: Verdict, story: str, why: str) -> NoReturn:
        self.leave(context, verdict, story, report=True)
        raise AirflowSkipException(why)

    def _prove_unchanged(
        self, context: Context, ledger: Ledger, verdict: Verdict, manifest: Manifest, pointer: Pointer | None
    ) -> None:
        """See that the champion is still the one that the challenger was judged against."""
        from airflow_mlops.chain import champion_manifest

        champion = champion_manifest(ledger, verdict.model)
        if verdict.champion == (champion.ref if champion else None):
            return
        if pointer is not None and verdict.ref in pointer.history:
            # Only a rollback goes back along the chain; a cleared task of an old run must not.
            story = f"not promoted: the model of {manifest.night} was replaced since"
            self._skip(context, verdict, story, f"{verdict.ref} made a champion before, which was replaced since.")
        raise Conflict(
            f"expected the champion that the challenger was judged against ({verdict.champion}), but "
            f"{champion.ref if champion else 'none'} is champion now. Run the gate again."
        )

    def _undo(self, ledger: Ledger, moved: Pointer, error: MLOpsError) -> None:
        if not moved.history:
            self.log.warning("The first champion has none before it to step back to: the retry sets its alias")
            return
        try:
            ledger.step_back(moved, reason=f"MLflow did not take the alias: {error}", now=dt.datetime.now(dt.UTC))
        except MLOpsError as another:
            # The error of MLflow is the one to tell: it says whether a retry helps, which then sets the alias.
            self.log.warning("The pointer stays at %s: %s", moved.to, another)


def registration_of(ledger: Ledger, manifest: Manifest) -> Registration | None:
    """Where MLflow keeps a trained model; None if it was never registered."""
    from airflow_mlops.records import Registration, short

    return ledger.find(Registration, f"{manifest.model}/{short(manifest.ref.digest)}")


def _prove_ready(
    hook: MlflowHook, ledger: Ledger, verdict: Verdict, registration: Registration, pointer: Pointer | None
) -> None:
    """See that MLflow answers and takes what is written, has the version whole, and the alias where the loop left it.

    Raises
    ------
    Conflict
        If the alias names a version that is neither the champion's nor the challenger's own.
    RemoteRejected
        If the version is gone, or is not ready.
    """
    model, version = registration.registered_model, registration.registered_version
    # The own version: a promotion that was killed before may have come as far as that.
    expected = {version}
    if pointer is not None:
        # Where the pointer has moved already, the alias may still name the champion before.
        champions = (pointer.to, *pointer.history[:1]) if pointer.to == verdict.ref else (pointer.to,)
        expected |= {found for ref in champions if (found := _version_of(ledger, ref)) is not None}
    named = hook.alias(model, _ALIAS)
    if named is not None and named not in expected:
        champion = _version_of(ledger, pointer.to) if pointer is not None else None
        wanted, remedy = (
            (f"at version {champion}", f"Set it back to {champion}") if champion else ("unset", "Delete it")
        )
        raise Conflict(
            f"expected the MLflow alias {_ALIAS} of {model} {wanted}, as the ledger has it, it names version {named}: "
            f"somebody set it by hand. {remedy}, then clear this task."
        )
    if not hook.version_ready(model, version):
        raise RemoteRejected(
            f"expected version {version} of {model} in MLflow, whole and ready, it is not. Restore it, or train again "
            "with `force`."
        )
    # Leads from MLflow to the verdict; and where writing is refused, that shows before anything has moved.
    hook.annotate(model, version, verdict, page=record_page(verdict.ref, report=True))


def _version_of(ledger: Ledger, ref: RecordRef) -> str | None:
    from airflow_mlops.records import Manifest, Verdict

    registration = registration_of(ledger, ledger.read(Manifest, ledger.read(Verdict, ref).manifest))
    return registration.registered_version if registration is not None else None
