"""What the serving operators do to the place where a model is served."""

from __future__ import annotations

import datetime as dt
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mlops.errors import LedgerError

if TYPE_CHECKING:
    from airflow_mlops.ledger import Ledger
    from airflow_mlops.project import Project
    from airflow_mlops.records import Bento, Deployment, Verdict
    from airflow_mlops.serving.local import LocalTarget
    from airflow_mlops.serving.target import Staged

__all__ = ["go_live", "golden_answers", "serving_home", "stage", "switch", "target_of"]

_HOME_VARIABLE = "AIRFLOW_MLOPS_SERVING_HOME"


def serving_home() -> Path:
    """Folder in which the local target keeps its processes' state, from ``AIRFLOW_MLOPS_SERVING_HOME``."""
    return Path(os.environ.get(_HOME_VARIABLE, "~/.airflow-mlops/serving")).expanduser()


def target_of(project: Project) -> LocalTarget:
    """Where the project is served."""
    from airflow_mlops.serving.local import LocalTarget

    return LocalTarget(serving_home(), project.name, project.spec.serving.port)


def stage(project: Project, ledger: Ledger, bento: Bento) -> Staged:
    """Start a Bento from the store's archive unless it runs already."""
    with tempfile.TemporaryDirectory(prefix=f"stage-{project.name}-") as scratch:
        archive = ledger.fetch_blob(bento.archive_digest, Path(scratch) / f"{project.name}.bento")
        return target_of(project).stage(archive, bento.tag)


def switch(project: Project, ledger: Ledger, deployment: Deployment) -> None:
    """Let users' requests go to a deployment; where they go there already, do nothing."""
    from airflow_mlops.records import Bento

    target = target_of(project)
    live = target.live()
    if live is None or live.version != deployment.served_version:
        stage(project, ledger, ledger.read(Bento, deployment.bento))
        target.make_live(deployment.served_version)


def go_live(project: Project, ledger: Ledger, deployment: Deployment, *, reason: str) -> None:
    """Switch to a deployment, move the pointer, retire the others."""
    seen = ledger.pointer(project.name, "live")
    switch(project, ledger, deployment)
    ledger.move(project.name, "live", deployment.ref, seen=seen, reason=reason, now=dt.datetime.now(dt.UTC))
    target_of(project).retire_idle()


def golden_answers(ledger: Ledger, verdict: Verdict) -> tuple[list[dict[str, float]], list[float]]:
    """Golden rows as requests, and the predictions of them that the gate judged.

    Raises
    ------
    LedgerError
        If the verdict keeps no predictions, or not one for each golden row.
    """
    from airflow_mlops.records import Golden, Manifest
    from airflow_mlops.table import read_table

    if verdict.predictions_digest is None:
        raise LedgerError(f"expected the gate's predictions with {verdict.ref}, there are none. Run the gate again.")
    manifest = ledger.read(Manifest, verdict.manifest)
    golden = ledger.read(Golden, verdict.golden)
    rows: list[dict[str, float]] = []
    names: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        judged = read_table(ledger.fetch_blob(verdict.predictions_digest, folder / "judged.parquet")).to_pydict()
        for pin in golden.partitions:
            table = read_table(ledger.fetch_blob(pin.digest, folder / f"{pin.night}.parquet"), manifest.features)
            rows += table.to_pylist()
            names += [f"{pin.night}:{number}" for number in range(table.num_rows)]
    answers = dict(zip(judged["row_id"], judged["y_pred"], strict=True))
    if absent := [name for name in names if name not in answers]:
        raise LedgerError(
            f"expected the gate's prediction of every golden row with {verdict.ref}, {len(absent)} of {len(names)} "
            f"have none, such as {absent[0]}. Run the gate again."
        )
    return rows, [answers[name] for name in names]
