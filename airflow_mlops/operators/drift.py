"""Stage 2: the last nights against what the champion was trained on."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from airflow_mlops.boundary import NIGHT
from airflow_mlops.links import RecordLink, ReportLink
from airflow_mlops.operators.stage import StageOperator

if TYPE_CHECKING:
    import pyarrow as pa
    from airflow.sdk import Context, XComArg

    from airflow_mlops.ledger import Ledger
    from airflow_mlops.profile import Profile
    from airflow_mlops.project import Project
    from airflow_mlops.records import Baseline, Manifest, PartitionPin
    from airflow_mlops.store import Store

__all__ = ["DetectDriftOperator", "RequestTrainingOperator"]


class DetectDriftOperator(StageOperator):
    """Compare the last ``window_nights`` good nights with the champion's training window.

    The task succeeds whatever the verdict is: drift is an answer. What follows from it is the next task's business.

    Parameters
    ----------
    project : str or Path
        Folder of the model project.
    night : str
        ``YYYY-MM-DD``, the last night of the window.
    """

    template_fields: Collection[str] = (*StageOperator.template_fields, "night")
    operator_extra_links = (RecordLink(), ReportLink())

    def __init__(self, *, project: str | Path, night: str = NIGHT, **kwargs: Any) -> None:
        super().__init__(project=project, **kwargs)
        self.night = night

    def run_stage(self, context: Context) -> str:
        """Write the drift record of the night."""
        from airflow_mlops.drift import detect
        from airflow_mlops.nights import good_nights, parse_night
        from airflow_mlops.profile import Profile, merge, profile_table
        from airflow_mlops.records import Drift, DriftVerdict

        project, ledger = self.load()
        data = self.open_data(project)
        night = parse_night(self.night)
        good = good_nights(ledger, project.name, until=night)
        window = good[-project.spec.drift.window_nights :]
        pins = tuple(record.partition for record in window)
        champion = champion_manifest(ledger, project.name)
        trainable = _trainable_nights(ledger, project, [record.partition for record in good])
        stamp = self.stamp(context, *(record.ref for record in window))
        if champion is None or not window:
            needed = project.spec.training.min_nights
            drift = Drift(
                model=project.name,
                night=night,
                window=pins,
                baseline=None,
                verdict=DriftVerdict.INSUFFICIENT,
                features=(),
                wants_training=champion is None and trainable >= needed,
                reason=f"no champion yet: {trainable} good nights to train on besides the golden and the recent ones, "
                f"{needed} are needed for the first training"
                if champion is None
                else f"no good night up to {night}",
                **stamp,
            )
        else:
            baseline = self._baseline(context, project, ledger, champion)
            reference = Profile.from_json(baseline.profile)
            current = merge(
                profile_table(table, reference.edges) for table in (self._read(data, project, pin) for pin in pins)
            )
            found = detect(reference, current, baseline.limits, window_nights=project.spec.drift.window_nights)
            drift = Drift(
                model=project.name,
                night=night,
                window=pins,
                baseline=baseline.ref,
                verdict=found.verdict,
                features=found.features,
                wants_training=found.verdict is DriftVerdict.DRIFT,
                reason=found.reason,
                **{**stamp, "rests_on": (*stamp["rests_on"], baseline.ref)},
            )
        drift = ledger.write(drift)
        return self.leave(context, drift, f"{night} {drift.verdict}: {drift.reason}", report=True)

    def _read(self, data: Store, project: Project, pin: PartitionPin) -> Any:
        from airflow_mlops.nights import pinned_file
        from airflow_mlops.table import read_table

        with TemporaryDirectory() as scratch:
            return read_table(pinned_file(data, project, pin, Path(scratch)))

    def _baseline(self, context: Context, project: Project, ledger: Ledger, champion: Manifest) -> Baseline:
        import pyarrow as pa

        from airflow_mlops.drift import learn_limits
        from airflow_mlops.profile import edges_of, merge, profile_table
        from airflow_mlops.records import Baseline

        spec = project.spec.drift
        columns = tuple(name for name in champion.features if name not in spec.ignore)
        key = Baseline.key_of(project.name, champion.ref, columns, spec.window_nights, spec.false_alarms_per_year)
        found = ledger.find(Baseline, key)
        if found is not None:
            return found
        nights = _training_window(ledger, champion)
        tables = list(_pinned_tables(ledger, nights, columns))
        edges = edges_of(pa.concat_tables(tables, promote_options="permissive"), columns)
        nightly: Sequence[Profile] = [profile_table(table, edges) for table in tables]
        return ledger.write(
            Baseline(
                model=project.name,
                manifest=champion.ref,
                columns=columns,
                nights=tuple(pin.night for pin in nights),
                window_nights=spec.window_nights,
                false_alarms_per_year=spec.false_alarms_per_year,
                profile=merge(nightly).to_json(),
                limits=learn_limits(
                    nightly, window_nights=spec.window_nights, false_alarms_per_year=spec.false_alarms_per_year
                ),
                **self.stamp(context, champion.ref),
            )
        )


class RequestTrainingOperator(StageOperator):
    """Wake the retraining (by this task's outlets) if a drift record asks for it; otherwise skip.

    Parameters
    ----------
    project : str or Path
        Folder of the model project.
    drift : str
        Reference of the drift record, as ``DetectDriftOperator`` returns it.
    """

    template_fields: Collection[str] = (*StageOperator.template_fields, "drift")
    operator_extra_links = (RecordLink(), ReportLink())

    def __init__(self, *, project: str | Path, drift: str | XComArg, **kwargs: Any) -> None:
        super().__init__(project=project, **kwargs)
        self.drift = drift

    def run_stage(self, context: Context) -> str:
        """Let the asset event go out, or not."""
        from airflow_mlops.records import Drift, RecordRef

        _, ledger = self.load()
        drift = ledger.read(Drift, RecordRef.parse(str(self.drift)))
        answer = "asks for training" if drift.wants_training else "asks for no training"
        reference = self.leave(context, drift, f"{drift.night} {answer}: {drift.reason}", report=True)
        if not drift.wants_training:
            raise AirflowSkipException(f"{drift.verdict}: {drift.reason}")
        return reference


def champion_manifest(ledger: Ledger, model: str) -> Manifest | None:
    """Manifest of the model in service, or None before the first promotion."""
    from airflow_mlops.records import Manifest, Verdict

    pointer = ledger.pointer(model, "champion")
    if pointer is None:
        return None
    return ledger.read(Manifest, ledger.read(Verdict, pointer.to).manifest)


def _trainable_nights(ledger: Ledger, project: Project, good: Sequence[PartitionPin]) -> int:
    """How many nights a training would find now: it takes neither the golden nor the recent ones."""
    from airflow_mlops.nights import split_nights
    from airflow_mlops.records import Golden

    golden = ledger.find(Golden, f"{project.name}/{project.spec.gate.golden}")
    split = split_nights(
        good,
        golden=[pin.night for pin in golden.partitions] if golden else [],
        window_nights=project.spec.training.window_nights,
        recent_nights=project.spec.gate.recent_nights,
    )
    return len(split.training)


def _training_window(ledger: Ledger, champion: Manifest) -> list[PartitionPin]:
    """Every good night of the time that the champion was trained on, also those held out for the gate.

    What is usual in a week is learned from weeks without holes.
    """
    from airflow_mlops.records import Golden

    golden = ledger.read(Golden, champion.golden).partitions
    pins = {pin.night: pin for pin in (*golden, *champion.recent, *champion.snapshot)}
    return [pins[night] for night in sorted(pins) if champion.snapshot[0].night <= night <= champion.night]


def _pinned_tables(ledger: Ledger, pins: Sequence[PartitionPin], columns: Sequence[str]) -> Iterator[pa.Table]:
    from airflow_mlops.table import read_table

    with TemporaryDirectory() as scratch:
        for pin in pins:
            path = ledger.fetch_blob(pin.digest, Path(scratch) / f"{pin.night}.parquet")
            yield read_table(path, columns)
            path.unlink()
