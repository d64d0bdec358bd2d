"""What the serving operators do to the place where a model is served."""

from __future__ import annotations

import datetime as dt
import json
import math
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops.errors import LedgerError

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_mlops.ledger import Ledger
    from airflow_mlops.project import Project
    from airflow_mlops.records import Bento, Deployment, Verdict
    from airflow_mlops.serving.local import LocalTarget
    from airflow_mlops.serving.target import Staged
    from airflow_mlops.serving.verify import Prediction

__all__ = ["go_live", "golden_answers", "serving_home", "stage", "switch", "target_of"]

_HOME_VARIABLE = "AIRFLOW_MLOPS_SERVING_HOME"

_ROWS_VERIFIED = 10_000


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


def golden_answers(ledger: Ledger, verdict: Verdict) -> tuple[list[dict[str, float]], list[Prediction]]:
    """Golden rows as requests, and the predictions of them that the gate judged.

    Of a large golden set every n-th row of each night: some 10,000 prove what all would.

    Raises
    ------
    LedgerError
        If the verdict keeps no predictions, or not one for each of these rows.
    """
    import pyarrow as pa

    from airflow_mlops.records import Golden, Manifest

    if verdict.predictions_digest is None:
        raise LedgerError(f"expected the gate's predictions with {verdict.ref}, there are none. Run the gate again.")
    manifest = ledger.read(Manifest, verdict.manifest)
    golden = ledger.read(Golden, verdict.golden)
    step = max(1, math.ceil(sum(pin.rows for pin in golden.partitions) / _ROWS_VERIFIED))
    asked: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for pin in golden.partitions:
            path = ledger.fetch_blob(pin.digest, folder / "night.parquet")
            for first, batch in _batches(path, manifest.features):
                chosen = range(-first % step, batch.num_rows, step)
                rows = batch.take(pa.array(chosen, pa.int64())).to_pylist()
                asked |= {f"{pin.night}:{first + number}": row for number, row in zip(chosen, rows, strict=True)}
        signature = ledger.fetch_blob(manifest.artefact.files["signature.json"], folder / "signature.json")
        judged = _judged(
            ledger.fetch_blob(verdict.predictions_digest, folder / "judged.parquet"),
            json.loads(signature.read_text(encoding="utf-8")),
            list(asked),
        )
    if absent := [name for name in asked if name not in judged]:
        raise LedgerError(
            f"expected the gate's prediction of every golden row with {verdict.ref}, {len(absent)} of {len(asked)} "
            f"have none, such as {absent[0]}. Run the gate again."
        )
    return list(asked.values()), [judged[name] for name in asked]


def _judged(predictions: Path, signature: Mapping[str, Any], row_ids: Sequence[str]) -> dict[str, Prediction]:
    """What the model answers: one number, or of more than two classes the probability of each."""
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = pa.array(row_ids, pa.string())
    task, classes = signature["task"], signature.get("classes", ())
    names = {"binary": ["p_1"], "multiclass": [f"p_{name}" for name in classes]}.get(task, ["y_pred"])
    judged: dict[str, Prediction] = {}
    for _, batch in _batches(predictions, ["row_id", *names]):
        found = batch.filter(pc.is_in(batch["row_id"], wanted))
        columns = [found[name].to_pylist() for name in names]
        answers = zip(*columns, strict=True) if task == "multiclass" else columns[0]
        judged.update(zip(found["row_id"].to_pylist(), answers, strict=True))
    return judged


def _batches(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Rows of a file in batches, each with the number of its first row."""
    import pyarrow.parquet as pq

    first = 0
    # Without pre_buffer, which would fetch whole row groups at once: a golden set may be larger than memory.
    with pq.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False) as file:
        for batch in file.iter_batches(columns=list(columns)):
            yield first, batch
            first += batch.num_rows
