"""Nights boiled down, once each: found in the ledger, or made and kept there."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from airflow_mlops.boundary import NIGHT
from airflow_mlops.errors import DataError
from airflow_mlops.links import RecordLink
from airflow_mlops.operators.stage import StageOperator

if TYPE_CHECKING:
    import datetime as dt

    from airflow.sdk import Context

    from airflow_mlops.ledger import Ledger
    from airflow_mlops.profile import Edges, Profile
    from airflow_mlops.project import Project
    from airflow_mlops.records import Baseline, Manifest, NightProfile, PartitionPin
    from airflow_mlops.store import Store, StoreOptions

__all__ = ["ProfileTableOperator", "Profiler", "baseline_of"]

# A reference that has this share of its numbers beyond its outermost edges is counted too coarsely there.
_MOST_BEYOND = 0.05


class ProfileTableOperator(StageOperator):
    """Boil a night, or a part of it, down to counts in the bins of the champion's baseline.

    Mapped over the parts of a night it is how one night is read by several workers at once; ``DetectDriftOperator``
    merges what they leave::

        parts = ProfileTableOperator.partial(task_id="profile_part", project=project).expand(part=[...])
        DetectDriftOperator(task_id="detect_drift", project=project, profiles=parts.output)

    Parameters
    ----------
    project : str or Path
        Folder of the model project.
    night : str
        ``YYYY-MM-DD``.
    part : str, optional
        Parquet or CSV file, folder, or ``s3://``, read with the store's credentials; by default the night's own file.
    """

    template_fields: Collection[str] = (*StageOperator.template_fields, "night", "part")
    operator_extra_links = (RecordLink(),)

    def __init__(self, *, project: str | Path, night: str = NIGHT, part: str | None = None, **kwargs: Any) -> None:
        super().__init__(project=project, **kwargs)
        self.night = night
        self.part = part

    def run_stage(self, context: Context) -> str:
        """Write the profile."""
        from airflow_mlops.chain import champion_manifest
        from airflow_mlops.nights import parse_night, quality_of

        project, ledger = self.load()
        night = parse_night(self.night)
        champion = champion_manifest(ledger, project.name)
        if champion is None:
            raise AirflowSkipException(f"{project.name} has no champion yet: there are no bins to count in")
        _, profiler = baseline_of(project, ledger, self.open_data(project), champion, self.stamp(context))
        if self.part is not None:
            record = self._of_part(profiler, night)
        else:
            checked = quality_of(ledger, project.name, night)
            if checked is None or checked.quarantined:
                raise DataError(f"expected a good night {night}, it was not found to be one. Check its quality first.")
            record = profiler.of_pinned(checked.partition)
        return self.leave(context, record, f"{night}: {record.partition.rows:,} rows profiled")

    def _of_part(self, profiler: Profiler, night: dt.date) -> NightProfile:
        from airflow_mlops.hooks.store import StoreHook
        from airflow_mlops.profile import profile
        from airflow_mlops.records import PartitionPin, sha256_digest

        options = StoreHook(self.store_conn_id).options if str(self.part).startswith("s3://") else None
        found = profile(str(self.part), edges=profiler.edges, options=options)
        # A part may be a folder, or an object of many gigabytes: its content stands for it.
        digest = sha256_digest(f"{self.part} {found.model_dump_json()}".encode())
        return profiler.keep(PartitionPin(night=night, digest=digest, rows=found.rows), found)


class Profiler:
    """Profiles of a model's nights in the bins of its baseline.

    Parameters
    ----------
    project : Project
        The model project.
    ledger : Ledger
        Where profiles are kept.
    data : Store
        Where the nights lie.
    edges : dict
        Bins and levels of the baseline.
    stamp : dict
        When and where, for the records.
    """

    def __init__(self, project: Project, ledger: Ledger, data: Store, edges: Edges, stamp: dict[str, Any]) -> None:
        from airflow_mlops.records import sha256_digest

        self.project = project
        self.ledger = ledger
        self.data = data
        self.edges = edges
        self.digest = sha256_digest(json.dumps(edges, sort_keys=True).encode())
        self._stamp = stamp

    def found(self, pin: PartitionPin) -> NightProfile | None:
        """The record of a night that was profiled already."""
        from airflow_mlops.records import NightProfile

        return self.ledger.find(NightProfile, NightProfile.key_of(self.project.name, pin, self.digest))

    def of_pinned(self, pin: PartitionPin) -> NightProfile:
        """The record of a night; its file, or the ledger's copy of it, is read if that was never done.

        Raises
        ------
        DataError
            If the file is gone, or not the one that was checked.
        """
        from airflow_mlops.nights import pinned_file

        if (found := self.found(pin)) is not None:
            return found
        with TemporaryDirectory() as scratch:
            try:
                path = pinned_file(self.data, self.project, pin, Path(scratch))
            except DataError:
                if pin.digest not in self.ledger.blobs():
                    raise
                return self.of_copy(pin)
            return self.of_file(pin, path)

    def of_file(self, pin: PartitionPin, path: Path | str, options: StoreOptions | None = None) -> NightProfile:
        """The record of what lies at ``path``."""
        from airflow_mlops.profile import profile

        return self.found(pin) or self.keep(pin, profile(path, edges=self.edges, options=options))

    def keep(self, pin: PartitionPin, profile: Profile) -> NightProfile:
        """Keep a profile as that of a night, unless there is one."""
        from airflow_mlops.records import NightProfile

        return self.ledger.write(
            NightProfile(
                model=self.project.name,
                night=pin.night,
                partition=pin,
                edges_digest=self.digest,
                profile=profile.to_json(),
                **self._stamp,
            )
        )

    def of_past(self, pins: Iterable[PartitionPin]) -> tuple[dict[str, NightProfile], list[str]]:
        """Records of past nights by their dates, and why there is none of others."""
        found, lacking = {}, []
        for pin in pins:
            try:
                found[str(pin.night)] = self.of_pinned(pin)
            except DataError as error:
                lacking.append(str(error))
        return found, lacking

    def of_copy(self, pin: PartitionPin) -> NightProfile:
        """The record of a night that was trained or judged with, of which the ledger has a copy."""
        if (found := self.found(pin)) is not None:
            return found
        with TemporaryDirectory() as scratch:
            return self.of_file(pin, self.ledger.fetch_blob(pin.digest, Path(scratch) / f"{pin.night}.parquet"))


def baseline_of(
    project: Project, ledger: Ledger, data: Store, champion: Manifest, stamp: dict[str, Any]
) -> tuple[Baseline, Profiler]:
    """What the champion was trained on, boiled down once, and what profiles nights in its bins.

    The bins of the baseline before are kept while they fit: then the nights that were profiled need not be read again.
    """
    from airflow_mlops.drift import learn_limits
    from airflow_mlops.profile import Profile, edges_of, merge
    from airflow_mlops.records import Baseline

    spec = project.spec.drift
    columns = tuple(name for name in champion.features if name not in spec.ignore)
    key = Baseline.key_of(project.name, champion.ref, columns, spec.window_nights, spec.false_alarms_per_year)
    found = ledger.find(Baseline, key)
    if found is not None:
        return found, Profiler(project, ledger, data, Profile.from_json(found.profile).edges, stamp)
    pins = _training_window(ledger, champion)
    for edges in _standing_edges(ledger, project.name, columns):
        profiler = Profiler(project, ledger, data, edges, stamp)
        try:
            nights = _nightly(profiler, pins)
        except DataError:  # a column of another type than it had
            continue
        reference = merge(nights)
        if _fits(reference):
            break
    else:
        with TemporaryDirectory() as scratch:
            for pin in pins:
                ledger.fetch_blob(pin.digest, Path(scratch) / f"{pin.night}.parquet")
            profiler = Profiler(project, ledger, data, edges_of(scratch, columns), stamp)
        nights = _nightly(profiler, pins)
        reference = merge(nights)
    baseline = Baseline(
        model=project.name,
        manifest=champion.ref,
        columns=columns,
        nights=tuple(pin.night for pin in pins),
        window_nights=spec.window_nights,
        false_alarms_per_year=spec.false_alarms_per_year,
        profile=reference.to_json(),
        limits=learn_limits(nights, window_nights=spec.window_nights, false_alarms_per_year=spec.false_alarms_per_year),
        **{**stamp, "rests_on": (champion.ref,)},
    )
    return ledger.write(baseline), profiler


def _nightly(profiler: Profiler, pins: Sequence[PartitionPin]) -> list[Profile]:
    from airflow_mlops.profile import Profile

    records = (profiler.of_copy(pin) for pin in pins)
    return [Profile.from_json(record.profile) for record in records]


def _standing_edges(ledger: Ledger, model: str, columns: Sequence[str]) -> list[Edges]:
    """Bins of the newest baseline of these columns; none before the first."""
    from airflow_mlops.profile import Profile
    from airflow_mlops.records import Baseline

    alike = [one for one in ledger.all(Baseline, f"{model}/") if one.columns == tuple(columns)]
    newest = max(alike, key=lambda one: one.recorded_at, default=None)
    return [] if newest is None else [Profile.from_json(newest.profile).edges]


def _fits(reference: Profile) -> bool:
    from airflow_mlops.profile import Numbers

    for column in reference.columns.values():
        if not isinstance(column, Numbers):
            if column.other > _MOST_BEYOND * column.present:
                return False
        elif column.high is not None and column.present:
            # The last bin holds what lies on the last edge, too: only if something lies beyond is it open.
            above = column.counts[-1] if column.high > column.edges[-1] else 0
            if column.counts[0] + above > _MOST_BEYOND * column.present:
                return False
    return True


def _training_window(ledger: Ledger, champion: Manifest) -> list[PartitionPin]:
    """Every good night of the time that the champion was trained on, also those held out for the gate.

    What is usual in a week is learned from weeks without holes.
    """
    from airflow_mlops.records import Golden

    golden = ledger.read(Golden, champion.golden).partitions
    pins = {pin.night: pin for pin in (*golden, *champion.recent, *champion.snapshot)}
    return [pins[night] for night in sorted(pins) if champion.snapshot[0].night <= night <= champion.night]
