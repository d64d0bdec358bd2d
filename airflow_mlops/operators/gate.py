"""Stage 4: the challenger against the champion."""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops.errors import ConfigError
from airflow_mlops.links import RecordLink, ReportLink
from airflow_mlops.operators.stage import StageOperator

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from airflow_mlops.ledger import Ledger
    from airflow_mlops.project import Project
    from airflow_mlops.records import Manifest, Verdict

__all__ = ["EvaluateGateOperator"]


class EvaluateGateOperator(StageOperator):
    """Judge a challenger on the frozen golden set and on recent nights that it never saw.

    Judged besides: what its artefact holds, whether golden rows stood in its training nights, what callers must send,
    how it behaves when a feature changes, its size and speed. A prediction runs in a process and an environment of the
    model's own. A challenger that cannot predict, or not in time, is rejected; a champion that cannot, or whose
    artefact is gone, holds.

    The task succeeds whatever the verdict is: a refused model is an answer. Run again, it finds the verdict that
    stands, unless something went wrong while the models were asked: what has been mended since is judged anew.

    Parameters
    ----------
    project : str or Path
        Folder of the model project.
    manifest : str
        Reference of the challenger's manifest, as ``TrainModelOperator`` returns it.
    """

    template_fields: Collection[str] = (*StageOperator.template_fields, "manifest")
    operator_extra_links = (RecordLink(), ReportLink())

    def __init__(self, *, project: str | Path, manifest: str | XComArg, **kwargs: Any) -> None:
        super().__init__(project=project, **kwargs)
        self.manifest = manifest

    def run_stage(self, context: Context) -> str:
        """Write the verdict, or find the one that stands."""
        from airflow_mlops.chain import champion_manifest
        from airflow_mlops.operators.evidence import rules_digest_of
        from airflow_mlops.records import Manifest, RecordRef

        project, ledger = self.load()
        rules_digest = rules_digest_of(project)
        manifest = ledger.read(Manifest, RecordRef.parse(str(self.manifest)))
        champion = champion_manifest(ledger, project.name)
        verdict = _standing_verdict(ledger, manifest, champion, rules_digest)
        if verdict is None:
            verdict = ledger.write(self._judge(context, project, ledger, manifest, champion, rules_digest))
        reasons = "; ".join(verdict.reasons)
        return self.leave(context, verdict, f"{manifest.night} {verdict.decision}: {reasons}", report=True)

    def _judge(
        self,
        context: Context,
        project: Project,
        ledger: Ledger,
        manifest: Manifest,
        champion: Manifest | None,
        rules_digest: str,
    ) -> Verdict:
        from airflow_mlops.gate import judge
        from airflow_mlops.operators.evidence import exhibits, golden_uses, importable
        from airflow_mlops.records import Golden, Verdict

        golden = ledger.read(Golden, manifest.golden)
        if project.spec.gate.golden_digest not in (None, golden.ref.digest):
            raise ConfigError(
                f"expected the golden set {project.spec.gate.golden_digest} that model.toml pins, the challenger kept "
                f"{golden.ref.digest} out of its training. Train again, or correct gate.golden_digest."
            )
        # A night that the champion was trained on would be judged by what it knows by heart.
        known = {pin.night for pin in champion.snapshot} if champion else set()
        recent = tuple(pin for pin in manifest.recent if pin.night not in known)
        uses = golden_uses(ledger, manifest)
        with tempfile.TemporaryDirectory(prefix=f"gate-{project.name}-") as scratch:
            sets = {"golden": golden.partitions, "recent": recent}
            shown = exhibits(project, ledger, manifest, champion, sets, Path(scratch))
            with importable(project):
                judgement = judge(
                    project.spec.gate,
                    golden=shown.golden,
                    recent=shown.recent,
                    seed=manifest.seed,
                    others=shown.others,
                    golden_uses=uses,
                )
            stored = ledger.put_blob(shown.predictions) if shown.predictions else None
        return Verdict(
            model=project.name,
            decision=judgement.decision,
            manifest=manifest.ref,
            champion=champion.ref if champion else None,
            artefact_digest=manifest.artefact.digest,
            rules_digest=rules_digest,
            golden=golden.ref,
            recent=recent,
            rules=judgement.rules,
            reasons=judgement.reasons,
            warnings=judgement.warnings,
            weak_spots=judgement.weak_spots,
            predictions_digest=stored,
            golden_uses=uses,
            run_fault=shown.run_fault,
            **self.stamp(context, manifest.ref, golden.ref, champion.ref if champion else None),
        )


def _standing_verdict(
    ledger: Ledger, manifest: Manifest, champion: Manifest | None, rules_digest: str
) -> Verdict | None:
    """Find the verdict in force: by today's rules against today's champion, or one that ever made it the champion."""
    from airflow_mlops.records import Verdict

    pointer = ledger.pointer(manifest.model, "champion")
    champions = (pointer.to, *pointer.history) if pointer else ()
    for verdict in ledger.all(Verdict, f"{manifest.model}/"):
        promoted = verdict.ref in champions
        today = verdict.rules_digest == rules_digest and verdict.champion == (champion.ref if champion else None)
        today = today and verdict.run_fault is None
        if verdict.manifest == manifest.ref and (promoted or today):
            return verdict
    return None
