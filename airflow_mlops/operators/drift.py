"""Stage 2: tonight among the nights before it, and the last nights against what the champion was trained on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from airflow.sdk.exceptions import AirflowSkipException

from airflow_mlops.boundary import NIGHT
from airflow_mlops.links import RecordLink, ReportLink
from airflow_mlops.operators.performance import SHARE_OF_EACH, performance_opinions
from airflow_mlops.operators.profiles import Profiler, baseline_of
from airflow_mlops.operators.stage import StageOperator

if TYPE_CHECKING:
    import datetime as dt

    from airflow.sdk import Context, XComArg

    from airflow_mlops.drift.compare import Comparison
    from airflow_mlops.ledger import Ledger
    from airflow_mlops.profile import Profile
    from airflow_mlops.project import Project
    from airflow_mlops.records import Baseline, Drift, Manifest, Opinion, PartitionPin, Quality

__all__ = ["DetectDriftOperator", "RequestTrainingOperator"]

# The gravest first; that nothing can be said counts less than what is said.
_SEVERITY = ("drift", "watch", "stable", "insufficient")
# What is usual is learned from at most so many nights; more make no difference.
_PAST_NIGHTS = 173


class DetectDriftOperator(StageOperator):
    """Judge a night by the nights before it, and hold the last ones against the champion's training window.

    The task succeeds whatever the verdict is: drift is an answer. What follows from it is the next task's business. A
    fleet of models is ``DetectDriftOperator.partial(...).expand(project=[...])``.

    Parameters
    ----------
    project : str or Path
        Folder of the model project.
    night : str
        ``YYYY-MM-DD``; the last good night up to it is judged.
    profiles : sequence of str, optional
        References of the profiles that make up the night, as mapped ``ProfileTableOperator`` tasks return them; by
        default its file is read.
    """

    template_fields: Collection[str] = (*StageOperator.template_fields, "night", "profiles")
    operator_extra_links = (RecordLink(), ReportLink())

    def __init__(
        self,
        *,
        project: str | Path,
        night: str = NIGHT,
        profiles: Sequence[str] | XComArg | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(project=project, **kwargs)
        self.night = night
        self.profiles = profiles

    def run_stage(self, context: Context) -> str:
        """Write the drift record of the night."""
        from airflow_mlops.chain import champion_manifest
        from airflow_mlops.nights import good_nights, parse_night

        project, ledger = self.load()
        night = parse_night(self.night)
        good = good_nights(ledger, project.name, until=night)
        champion = champion_manifest(ledger, project.name)
        if champion is None or not good:
            drift = self._nothing_to_judge(context, project, ledger, night, good, champion)
        else:
            drift = self._judged(context, project, ledger, night, good, champion)
        told = {"began": ". An incident began", "ended": ". The incident is over"}.get(drift.notice, "")
        return self.leave(context, drift, f"{night} {drift.verdict}: {drift.reason}{told}", report=True)

    def _nothing_to_judge(
        self,
        context: Context,
        project: Project,
        ledger: Ledger,
        night: dt.date,
        good: Sequence[Quality],
        champion: Manifest | None,
    ) -> Drift:
        from airflow_mlops.chain import drift_before
        from airflow_mlops.records import Drift, DriftVerdict

        window = good[-project.spec.drift.window_nights :]
        trainable = _trainable_nights(ledger, project, [record.partition for record in good])
        standing = drift_before(ledger, project.name, night)
        needed = project.spec.training.min_nights
        return ledger.write(
            Drift(
                model=project.name,
                night=night,
                window=tuple(record.partition for record in window),
                baseline=None,
                verdict=DriftVerdict.INSUFFICIENT,
                features=(),
                wants_training=champion is None and trainable >= needed,
                reason=f"no champion yet: {trainable} good nights to train on besides the golden and the recent ones, "
                f"{needed} are needed for the first training"
                if champion is None
                else f"no good night up to {night}",
                incident=standing.incident if standing else None,
                **self.stamp(context, *(record.ref for record in window)),
            )
        )

    def _judged(
        self,
        context: Context,
        project: Project,
        ledger: Ledger,
        night: dt.date,
        good: Sequence[Quality],
        champion: Manifest,
    ) -> Drift:
        from airflow_mlops.chain import drift_before, was_told
        from airflow_mlops.drift import compare, detect, follow
        from airflow_mlops.drift.performance import weighed
        from airflow_mlops.profile import Profile, merge
        from airflow_mlops.records import Channel, Drift, DriftVerdict, Notice, Opinion, sha256_digest

        spec = project.spec.drift
        window = good[-spec.window_nights :]
        tonight = window[-1].partition
        stamp = self.stamp(context, *(record.ref for record in window))
        baseline, profiler = baseline_of(project, ledger, self.open_data(project), champion, stamp)
        if self.profiles:
            self._keep_merged(profiler, tonight, ledger)
        in_window = {str(one.night): profiler.of_pinned(one.partition) for one in window}
        usual = [
            record.partition
            for record in good[-_PAST_NIGHTS : -len(window)]
            if spec.usual_since is None or record.night >= spec.usual_since
        ]
        before, gone = profiler.of_past(usual)
        kept = before | in_window
        quiet = {str(date) for date in spec.expected}
        profiles = {name: Profile.from_json(record.profile) for name, record in kept.items()}
        current = profiles[str(tonight.night)]
        past = {
            name: one
            for name, one in profiles.items()
            if one is not current and (spec.usual_since is None or name >= str(spec.usual_since))
        }
        reference = Profile.from_json(baseline.profile)
        witnesses = performance_opinions(project, ledger, self.open_data(project), champion, good, stamp)
        share = 1 - 2 * SHARE_OF_EACH if spec.performance else 1.0
        comparison = compare(
            reference,
            current,
            history=past,
            name=str(tonight.night),
            false_alarms_per_year=share * spec.false_alarms_per_year,
            importance=witnesses.importance,
            quiet=quiet,
        )
        far = detect(
            reference,
            merge([profiles[name] for name in in_window if name not in quiet] or [reference.blank]),
            baseline.limits,
            window_nights=spec.window_nights,
        )
        news = _news(comparison)
        standing = drift_before(ledger, project.name, night)
        of_features = weighed(
            comparison.verdict, [change for one in comparison.features for change in one.changes], witnesses.importance
        )
        opinions = (
            Opinion(channel=Channel.FEATURES, verdict=of_features, words="; ".join(comparison.reasons)),
            *witnesses.opinions,
        )
        verdict = min((one.verdict for one in opinions), key=_SEVERITY.index)
        speaking = [one for one in opinions if one.verdict is verdict]
        incident, notice = follow(
            standing.incident if standing else None,
            night,
            # A night that was not good is no calm one; the last good one was judged on its own day.
            verdict if tonight.night == night else DriftVerdict.INSUFFICIENT,
            tuple(one.feature for one in news)
            + tuple(f"{one.channel} performance" for one in speaking if one.channel is not Channel.FEATURES),
            since=min((one.since for one in news if one.since), default=None),
        )
        if was_told(ledger, project.name, night, notice):
            # Judged again, of a corrected file or by another champion, or later than the nights after it.
            notice = Notice.NONE
        is_far = far.verdict is DriftVerdict.DRIFT
        worse = any(one.channel is Channel.REALISED and one.verdict is DriftVerdict.DRIFT for one in opinions)
        notes = [*comparison.notes, *witnesses.notes, *_of_gone(gone)]
        page, lacking = _page(comparison, reference, current, past, baseline, tonight, ledger, quiet)
        return ledger.write(
            Drift(
                model=project.name,
                night=night,
                window=tuple(record.partition for record in window),
                baseline=baseline.ref,
                verdict=verdict,
                features=far.features,
                wants_training=is_far or worse or (comparison.lasting and of_features is DriftVerdict.DRIFT),
                reason=_reason(speaking, far.reason if is_far else "", len(window)),
                far=far.verdict,
                judged_by=comparison.judged_by,
                past=sha256_digest(
                    "\n".join(
                        [
                            spec.model_dump_json(),
                            *(str(record.ref) for record in kept.values()),
                            *(opinion.model_dump_json() for opinion in opinions),
                        ]
                    ).encode()
                ),
                news=news,
                opinions=opinions if spec.performance else (),
                notes=(*notes, *lacking),
                least_effect=comparison.least_effect,
                incident=incident,
                notice=notice,
                page=page,
                **{**stamp, "rests_on": (*stamp["rests_on"], baseline.ref)},
            )
        )

    def _keep_merged(self, profiler: Profiler, tonight: PartitionPin, ledger: Ledger) -> None:
        """Keep the parts' sum as the profile of the night."""
        from airflow_mlops.errors import DataError
        from airflow_mlops.profile import Profile, merge
        from airflow_mlops.records import NightProfile, RecordRef

        references = cast("Iterable[str]", self.profiles)
        parts = [ledger.read(NightProfile, RecordRef.parse(str(ref))) for ref in references]
        if len({part.ref for part in parts}) < len(parts):
            raise DataError(
                f"expected each part of {tonight.night} once, got {len(parts)} profiles of which some are the same."
            )
        for part in parts:
            if part.night != tonight.night or part.edges_digest != profiler.digest:
                raise DataError(
                    f"expected profiles of {tonight.night} in the bins of the champion's baseline, got {part.ref} of "
                    f"{part.night}. Run the profile tasks of this run again."
                )
        whole = merge([Profile.from_json(part.profile) for part in parts])
        # Parts of one night are one night.
        whole = whole.model_copy(update={"parts": 1})
        if Profile.from_json(profiler.keep(tonight, whole).profile) != whole:
            raise DataError(
                f"expected the parts of {tonight.night} as they were profiled before, they are others. Check the night "
                "again, so that it is another one."
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


def _news(comparison: Comparison) -> tuple[Any, ...]:
    import datetime as dt

    from airflow_mlops.records import FeatureNews

    return tuple(
        FeatureNews(
            feature=one.feature,
            verdict=one.verdict,
            p_value=one.p_value if one.p_value is not None else 1.0,
            words=one.words,
            since=dt.date.fromisoformat(one.since) if one.since else None,
        )
        for one in comparison.features
        if one.changes
    )


def _reason(speaking: Sequence[Opinion], far: str, window_nights: int) -> str:
    told = "; ".join(one.words for one in speaking)
    if not far:
        return told
    return f"{told}. The last {window_nights} nights lie far from the champion's training window: {far}"


def _of_gone(gone: Sequence[str]) -> Iterable[str]:
    if gone:
        yield f"{len(gone)} past nights are not known any more; of the last: {gone[-1]}"


def _page(
    comparison: Comparison,
    reference: Profile,
    current: Profile,
    past: dict[str, Profile],
    baseline: Baseline,
    tonight: PartitionPin,
    ledger: Ledger,
    quiet: Collection[str],
) -> tuple[str | None, Iterable[str]]:
    """Digest of the page with its plots; where nothing can draw them, a note that says so."""
    from airflow_mlops.drift.report import render_report
    from airflow_mlops.errors import MissingExtra

    facts = {"reference": str(baseline.manifest), "current": f"{tonight.night} {tonight.digest}"}
    if past:
        facts["history"] = f"{len(past)} nights, {next(iter(past))} to {list(past)[-1]}"
    try:
        page = render_report(
            comparison,
            reference=reference,
            current=current,
            title=f"{baseline.model}, {tonight.night}",
            name=str(tonight.night),
            history=past,
            facts=facts,
            quiet=quiet,
        )
    except MissingExtra as error:
        return None, (f"no plots: {error}",)
    return ledger.put_blob(page.encode()), ()
