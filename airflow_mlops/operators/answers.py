"""What models say of pinned nights: fetched from the store, asked in processes of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mlops.errors import ConfigError, LedgerError, RemoteJobFailed

if TYPE_CHECKING:
    from airflow_mlops.ledger import Ledger
    from airflow_mlops.project import Project
    from airflow_mlops.records import Manifest, PartitionPin

__all__ = ["Hearing", "ModelAnswers", "size_of"]

# Enough for bounds of a 99th percentile (299 at 5 %), and a second or two of a small model.
_LATENCY_REQUESTS = 1000


@dataclass(frozen=True)
class ModelAnswers:
    """What came of asking one model.

    Attributes
    ----------
    by_set : mapping of str to Path
        Its predictions of each set; empty if there are none.
    size_bytes : int
        Of the artefact.
    latencies : Path or None
        Milliseconds of single predictions, where a rule asks for them.
    fault : str or None
        Why there are no predictions: what follows "the model".
    of_run : bool
        Whether that may be otherwise the next time: it was asked, or looked for, and failed.
    """

    by_set: Mapping[str, Path] = field(default_factory=dict)
    size_bytes: int = 0
    latencies: Path | None = None
    fault: str | None = None
    of_run: bool = False


class Hearing:
    """The nights on which models are asked the same.

    Parameters
    ----------
    project : Project
        With the rules of today.
    ledger : Ledger
        Where nights and models are kept.
    sets : mapping of str to sequence of PartitionPin
        Nights of the sets ``golden`` and ``recent``.
    folder : Path
        For files; they have to stay until the judgement is done.

    Raises
    ------
    ConfigError
        If there is no night.
    LedgerError
        If a night is not in the store.
    """

    def __init__(
        self, project: Project, ledger: Ledger, sets: Mapping[str, Sequence[PartitionPin]], folder: Path
    ) -> None:
        self.project = project
        self.ledger = ledger
        self.sets = sets
        self.folder = folder
        self.nights = {
            str(pin.night): ledger.fetch_blob(pin.digest, folder / "nights" / f"{pin.night}.parquet")
            for pins in sets.values()
            for pin in pins
        }
        if not self.nights:
            raise ConfigError("expected nights to predict, got none: see golden and recent_nights under [gate].")

    @property
    def golden_nights(self) -> dict[str, Path]:
        """Files of the golden set."""
        return {str(pin.night): self.nights[str(pin.night)] for pin in self.sets["golden"]}

    def ask(self, manifest: Manifest, artefact: Path) -> ModelAnswers:
        """Let a model predict every set, in one process (most of its time is the start)."""
        gate = self.project.spec.gate
        size_bytes = size_of(artefact)
        timed = [max(_LATENCY_REQUESTS, rule.min_rows) for rule in gate.rules if rule.metric == "p99_latency_ms"]
        out = artefact.parent / "answers" / "predictions.parquet"
        try:
            self.predict(manifest, artefact, self.nights, out, columns=gate.columns, requests=max(timed, default=0))
        except RemoteJobFailed as error:
            # A model that cannot predict is an answer, not a fault of the gate: a column that it knew is gone, say.
            return ModelAnswers(size_bytes=size_bytes, fault=f"cannot predict: {error}", of_run=True)
        latencies = Path(f"{out}.latency.json") if timed else None
        return ModelAnswers(_by_set(out, self.sets), size_bytes, latencies)

    def ask_champion(self, manifest: Manifest) -> ModelAnswers:
        """Let the champion predict; that it is gone from the store is no fault of the challenger's."""
        try:
            artefact = self.ledger.fetch_folder(manifest.artefact, self.folder / "champion" / "artefact")
            return self.ask(manifest, artefact)
        except LedgerError as error:
            return ModelAnswers(fault=f"cannot be fetched: {error}", of_run=True)

    def predict(
        self,
        manifest: Manifest,
        artefact: Path,
        nights: Mapping[str, Path],
        out: Path,
        *,
        columns: Sequence[str] = (),
        requests: int = 0,
    ) -> Path:
        """Predict any nights, in the environment that the model was made in.

        Raises
        ------
        RemoteJobFailed
            If it cannot, or not in its time and memory.
        """
        from airflow_mlops.training.process import run_prediction

        resources = self.project.spec.training.resources
        needed = manifest.code.files.get("requirements.txt")
        return run_prediction(
            artefact,
            nights,
            out=out,
            columns=columns,
            requirements=self.ledger.fetch_blob(needed, out.parent / "requirements.txt") if needed else None,
            latency_requests=requests,
            timeout_seconds=resources.timeout_minutes * 60,
            memory_gib=resources.memory_gib,
        )


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _by_set(predictions: Path, sets: Mapping[str, Sequence[PartitionPin]]) -> dict[str, Path]:
    """Divide a file of predictions by the nights of each set."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table = pq.read_table(predictions)
    files = {}
    for name, pins in sets.items():
        files[name] = predictions.with_name(f"{name}.parquet")
        nights = pa.array([str(pin.night) for pin in pins], pa.string())
        pq.write_table(table.filter(pc.is_in(table["night"], nights)), files[name])
    return files
