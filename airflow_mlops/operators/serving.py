"""Stage 5: the promoted model is built, staged, proved by its answers, and made live; or service stays as it was."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from airflow.sdk.exceptions import AirflowSkipException

from airflow_mlops.approval import objection
from airflow_mlops.errors import ConfigError, LedgerError, RemoteJobFailed
from airflow_mlops.links import EndpointLink, MlflowRunLink, RecordLink
from airflow_mlops.operators.approval import approval_of
from airflow_mlops.operators.promotion import registration_of
from airflow_mlops.operators.service import go_live, golden_answers, stage, switch, target_of
from airflow_mlops.operators.stage import StageOperator, asset_references

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from airflow_mlops.ledger import Ledger
    from airflow_mlops.project import Project
    from airflow_mlops.records import Deployment, Verdict
    from airflow_mlops.serving.local import LocalTarget

__all__ = [
    "BuildBentoOperator",
    "DeployBentoOperator",
    "RollbackDeploymentOperator",
    "ShiftTrafficOperator",
    "VerifyDeploymentOperator",
]


class BuildBentoOperator(StageOperator):
    """Build a Bento from the very artefact that a verdict promotes.

    Parameters
    ----------
    project : str or Path
        Folder of the model project.
    verdict : str
        Reference of the verdict. Empty: the newest one in the asset events that started the run, else the champion's.
    """

    template_fields: Collection[str] = (*StageOperator.template_fields, "verdict")
    operator_extra_links = (RecordLink(), MlflowRunLink())

    def __init__(self, *, project: str | Path, verdict: str | XComArg = "", **kwargs: Any) -> None:
        super().__init__(project=project, **kwargs)
        self.verdict = verdict

    def run_stage(self, context: Context) -> str:
        """Build, or find what was built."""
        from airflow_mlops.records import Bento, Manifest, short
        from airflow_mlops.serving.build import build_bento

        project, ledger = self.load()
        verdict = self._promoted(context, project, ledger)
        # Whether a person had to be asked was decided when it was promoted; the rules may say otherwise since.
        if (why := objection(verdict, approval_of(ledger, verdict), "hold")) is not None:
            raise LedgerError(
                f"expected a verdict that promotes or was approved, {verdict.ref} is neither: {why}. "
                "Nothing else is deployed."
            )
        manifest = ledger.read(Manifest, verdict.manifest)
        if manifest.artefact.digest != verdict.artefact_digest:
            raise LedgerError(
                f"expected the artefact {verdict.artefact_digest} that the verdict names, the manifest names "
                f"{manifest.artefact.digest}. Run the gate again."
            )
        registration = registration_of(ledger, manifest)
        if registration is not None and registration.run_url:
            self.links["MLflow run"] = registration.run_url
        version = short(verdict.artefact_digest)
        bento = ledger.find(Bento, f"{project.name}/{version}")
        if bento is None:
            labels = {"verdict": verdict.ref.digest, "manifest": manifest.ref.digest}
            if registration is not None:
                labels |= {"mlflow_run": registration.run_id, "mlflow_version": registration.registered_version}
            with tempfile.TemporaryDirectory(prefix=f"bento-{project.name}-") as scratch:
                folder = Path(scratch)
                archive = folder / f"{project.name}.bento"
                tag = build_bento(
                    ledger.fetch_folder(manifest.artefact, folder / "artefact"),
                    model=project.name,
                    artefact_digest=verdict.artefact_digest,
                    labels=labels,
                    bentoml_home=folder / "home",
                    archive=archive,
                    on_line=lambda line: self.log.info("%s", line),
                )
                bento = ledger.write(
                    Bento(
                        model=project.name,
                        verdict=verdict.ref,
                        tag=tag,
                        artefact_digest=verdict.artefact_digest,
                        archive_digest=ledger.put_blob(archive),
                        **self.stamp(context, verdict.ref),
                    )
                )
        self.leave(context, bento, f"built {bento.tag} from the model of {manifest.night}")
        # What is deployed is a verdict; the Bento of one artefact serves every verdict that promotes it.
        context["ti"].xcom_push(key="verdict", value=str(verdict.ref))
        return str(bento.ref)

    def _promoted(self, context: Context, project: Project, ledger: Ledger) -> Verdict:
        from airflow_mlops.records import RecordRef, Verdict

        given = [str(self.verdict)] if self.verdict else list(asset_references(context, "verdict"))
        if given:
            return ledger.read(Verdict, RecordRef.parse(given[-1]))
        pointer = ledger.pointer(project.name, "champion")
        if pointer is None:
            raise ConfigError(
                f"expected a champion of {project.name} to deploy, there is none yet. Run the DAG "
                f"{project.name}_retrain first."
            )
        return ledger.read(Verdict, pointer.to)


class DeployBentoOperator(StageOperator):
    """Stage a Bento beside what is live: started and warm, asked by nobody.

    Parameters
    ----------
    project : str or Path
        Folder of the model project.
    bento : str
        Reference of the Bento, as ``BuildBentoOperator`` returns it.
    """

    template_fields: Collection[str] = (*StageOperator.template_fields, "bento")
    operator_extra_links = (RecordLink(), EndpointLink())

    def __init__(self, *, project: str | Path, bento: str | XComArg, **kwargs: Any) -> None:
        super().__init__(project=project, **kwargs)
        self.bento = bento

    def run_stage(self, context: Context) -> str:
        """Start it, or find it running."""
        from airflow_mlops.records import Bento, RecordRef

        project, ledger = self.load()
        bento = ledger.read(Bento, RecordRef.parse(str(self.bento)))
        staged = stage(project, ledger, bento)
        self.links["Endpoint"] = staged.url
        return self.leave(context, bento, f"staged {bento.tag} at {staged.url}")


class VerifyDeploymentOperator(StageOperator):
    """Prove a staged Bento by its answers, before any user gets one.

    It must give the golden rows the predictions that the gate judged, name the right version in every answer, and
    refuse a malformed request.

    Parameters
    ----------
    project : str or Path
        Folder of the model project.
    bento : str
        Reference of the staged Bento.
    verdict : str
        Reference of the verdict that is deployed.
    """

    template_fields: Collection[str] = (*StageOperator.template_fields, "bento", "verdict")
    operator_extra_links = (RecordLink(), EndpointLink())

    def __init__(self, *, project: str | Path, bento: str | XComArg, verdict: str | XComArg, **kwargs: Any) -> None:
        super().__init__(project=project, **kwargs)
        self.bento = bento
        self.verdict = verdict

    def run_stage(self, context: Context) -> str:
        """Write the record of a proved deployment, or fail."""
        from airflow_mlops.records import Bento, Deployment, RecordRef, Verdict
        from airflow_mlops.serving.verify import verify

        project, ledger = self.load()
        bento = ledger.read(Bento, RecordRef.parse(str(self.bento)))
        verdict = ledger.read(Verdict, RecordRef.parse(str(self.verdict)))
        if bento.artefact_digest != verdict.artefact_digest:
            raise LedgerError(
                f"expected a Bento of the artefact {verdict.artefact_digest} that the verdict names, {bento.tag} holds "
                f"{bento.artefact_digest}."
            )
        staged = stage(project, ledger, bento)
        self.links["Endpoint"] = staged.url
        rows, expected = golden_answers(ledger, verdict)
        proof = verify(
            staged.url,
            rows,
            expected,
            version=staged.version,
            digest=bento.artefact_digest,
            tolerance=project.spec.serving.tolerance,
        )
        if not proof.passed:
            raise RemoteJobFailed(f"{bento.tag} is not what the gate judged: {proof.reason}. What is live stays live.")
        deployment = ledger.write(
            Deployment(
                model=project.name,
                bento=bento.ref,
                verdict=verdict.ref,
                target=project.spec.serving.target,
                served_version=staged.version,
                rows_verified=proof.rows,
                largest_difference=proof.largest_difference,
                tolerance=project.spec.serving.tolerance,
                **self.stamp(context, bento.ref, verdict.ref),
            )
        )
        return self.leave(
            context,
            deployment,
            f"{bento.tag} answers {proof.rows} golden rows as judged (off by {proof.largest_difference:.1e})",
        )


class ShiftTrafficOperator(StageOperator):
    """Make a proved deployment live: its answers are what users get from now on; then retire the one before it.

    Parameters
    ----------
    project : str or Path
        Folder of the model project.
    deployment : str
        Reference of the deployment, as ``VerifyDeploymentOperator`` returns it.
    dry_run : bool
        Move no traffic; stop what was staged.
    """

    template_fields: Collection[str] = (*StageOperator.template_fields, "deployment")
    operator_extra_links = (RecordLink(), EndpointLink())

    def __init__(self, *, project: str | Path, deployment: str | XComArg, dry_run: bool = False, **kwargs: Any) -> None:
        super().__init__(project=project, **kwargs)
        self.deployment = deployment
        # BaseOperator has a method of this name already.
        self.moves_nothing = dry_run

    def run_stage(self, context: Context) -> str:
        """Move traffic and pointer."""
        from airflow_mlops.records import Deployment, RecordRef

        project, ledger = self.load()
        deployment = ledger.read(Deployment, RecordRef.parse(str(self.deployment)))
        target = target_of(project)
        if self.moves_nothing:
            target.retire_idle()
            return self.leave(context, deployment, f"dry run: {deployment.served_version} would go live")
        champion = ledger.pointer(project.name, "champion")
        if champion is None or champion.to != deployment.verdict:
            # A newer champion was promoted while this one was being proved: its own run deploys it.
            target.retire_idle()
            self.leave(context, deployment, f"{deployment.served_version} is no longer the champion")
            raise AirflowSkipException(f"{deployment.served_version} is no longer the champion.")
        go_live(project, ledger, deployment, reason=f"verified on {deployment.rows_verified} golden rows")
        self.links["Endpoint"] = target.url
        return self.leave(context, deployment, f"{deployment.served_version} is live at {target.url}")


class RollbackDeploymentOperator(StageOperator):
    """Take service and champion back to a deployment that was proved before.

    Needs neither MLflow's files nor a build: the record names the Bento's archive in the store.

    Before anything was ever live there is nothing to go back to. Then the first model stays the champion, unserved:
    the next challenger needs somebody to be judged against, and to deploy it once the cause is mended takes no new
    training. Where a newer champion was promoted meanwhile, it stays too: a run of its own deploys it.

    Parameters
    ----------
    project : str or Path
        Folder of the model project.
    to : {"live", "previous"}
        ``live``: a promoted model could not be deployed; what is live stays, and becomes the champion again.
        ``previous``: what is live is taken back to the one before it, once in a DAG run however often it is retried.
    reason : str
        Kept with the pointers.
    dry_run : bool
        Say what would be done, and only stop what was staged.
    mlflow_conn_id : str
        Connection of type ``mlflow``; the alias follows what is served.
    """

    template_fields: Collection[str] = (*StageOperator.template_fields, "reason")
    operator_extra_links = (RecordLink(), EndpointLink())

    def __init__(
        self,
        *,
        project: str | Path,
        to: Literal["live", "previous"] = "previous",
        reason: str = "rolled back by hand",
        dry_run: bool = False,
        mlflow_conn_id: str = "mlflow",
        **kwargs: Any,
    ) -> None:
        super().__init__(project=project, **kwargs)
        self.to = to
        self.reason = reason
        # BaseOperator has a method of this name already.
        self.moves_nothing = dry_run
        self.mlflow_conn_id = mlflow_conn_id

    def run_stage(self, context: Context) -> str:
        """Go back, and let the champion follow."""
        from airflow_mlops.records import Deployment

        project, ledger = self.load()
        target = target_of(project)
        live = ledger.pointer(project.name, "live")
        if live is None:
            self._nothing_to_go_back_to(context, project, target)
        # The run's name in the reason tells a retry, which must not go back one more, from a second rollback.
        run = context["dag_run"]
        reason = f"{self.reason} ({run.dag_id}/{run.run_id})"
        stepping = self.to == "previous" and live.reason != reason
        if stepping and not live.history:
            raise LedgerError(
                f"expected a deployment of {project.name} before {live.to}, it is the first. "
                "Nothing was changed: to stop serving it, end its process."
            )
        deployment = ledger.read(Deployment, live.history[0] if stepping else live.to)
        if self.moves_nothing:
            target.retire_idle()
            return self.leave(context, deployment, f"dry run: {deployment.served_version} would answer: {self.reason}")
        switch(project, ledger, deployment)
        if stepping:
            ledger.step_back(live, reason=reason, now=dt.datetime.now(dt.UTC))
        self._champion_follows(context, ledger, deployment, reason)
        target.retire_idle()
        self.links["Endpoint"] = target.url
        return self.leave(context, deployment, f"{deployment.served_version} answers at {target.url}: {self.reason}")

    def _nothing_to_go_back_to(self, context: Context, project: Project, target: LocalTarget) -> NoReturn:
        if self.to == "previous":
            raise LedgerError(
                f"expected a deployment of {project.name} to take back, nothing was ever live. "
                f"Run the DAG {project.name}_deploy first."
            )
        # Also what was made live and could not be recorded: nobody is answered by what the chain does not name.
        if self.moves_nothing:
            target.retire_idle()
        else:
            target.stop_all()
        story = "nothing was ever live: the champion stays unserved. Mend the cause, then clear build_bento"
        self.tell(context, story)
        raise AirflowSkipException(story)

    def _champion_follows(self, context: Context, ledger: Ledger, deployment: Deployment, reason: str) -> None:
        """Let the champion's pointer and alias name what is served."""
        from airflow_mlops.hooks.mlflow import MlflowHook
        from airflow_mlops.records import Manifest, Verdict

        champion = ledger.pointer(deployment.model, "champion")
        deployed = asset_references(context, "verdict")
        if deployed and champion is not None and str(champion.to) not in (deployed[-1], str(deployment.verdict)):
            self.log.info("%s was promoted meanwhile: it stays the champion, its own run deploys it", champion.to)
            return
        now = dt.datetime.now(dt.UTC)
        ledger.move(deployment.model, "champion", deployment.verdict, seen=champion, reason=reason, now=now)
        manifest = ledger.read(Manifest, ledger.read(Verdict, deployment.verdict).manifest)
        registration = registration_of(ledger, manifest)
        if registration is not None:
            MlflowHook(self.mlflow_conn_id).set_alias(
                registration.registered_model, "champion", registration.registered_version
            )
