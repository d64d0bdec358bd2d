"""What the champion's performance says of a night: estimated before its labels come, realised once they have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mlops.errors import DataError, LedgerError, RemoteJobFailed
from airflow_mlops.operators.scoring import Scorer

if TYPE_CHECKING:
    import datetime as dt

    from airflow_mlops.ledger import Ledger
    from airflow_mlops.project import Project
    from airflow_mlops.records import Manifest, Opinion, PartitionPin, Quality, Score
    from airflow_mlops.store import Store

__all__ = ["SHARE_OF_EACH", "Witnesses", "performance_opinions"]

SHARE_OF_EACH = 0.25
"""Of the budget of false alarms: one for the estimated performance, one for the realised; the features get the rest."""

# Nights that are caught up with at once, after a promotion; older ones would say nothing new.
_MOST_NIGHTS = 60


class Witnesses(NamedTuple):
    """What was said, what could not be, in words, and how much the champion leans on each feature, where known."""

    opinions: tuple[Opinion, ...] = ()
    notes: tuple[str, ...] = ()
    importance: Mapping[str, float] | None = None


def performance_opinions(
    project: Project,
    ledger: Ledger,
    data: Store,
    champion: Manifest,
    good: Sequence[Quality],
    stamp: Mapping[str, Any],
) -> Witnesses:
    """Let the champion predict the nights that it has not been scored on, and judge its performance on the last.

    Parameters
    ----------
    project : Project
        ``[drift] performance`` names the metric.
    ledger, data : Ledger, Store
        Where models and records, and where nights lie.
    champion : Manifest
        Of the model in service.
    good : sequence of Quality
        Good nights up to tonight, the oldest first.
    stamp : mapping
        When and where, for the records.

    Returns
    -------
    Witnesses
        Nothing where no metric is named, or the last night was expected to be unusual.
    """
    metric = project.spec.drift.performance
    # The nights that it was trained up to say nothing of its performance.
    nights = [record.partition for record in good if record.night > champion.night]
    if metric is None or not nights or nights[-1].night in project.spec.drift.expected:
        return Witnesses()
    scores = {pin.night: _standing(ledger, project, champion, pin) for pin in nights}
    missing = [pin for pin in nights if scores[pin.night] is None][-_MOST_NIGHTS:]
    try:
        with TemporaryDirectory(prefix=f"scores-{project.name}-") as scratch:
            scorer = Scorer(project, ledger, champion, metric, Path(scratch))
            importance = next((score.importance for score in scores.values() if score and score.importance), None)
            for score in scorer.scores(data, missing, stamp, importance=importance):
                scores[score.night] = ledger.write(score)
    except (DataError, LedgerError, RemoteJobFailed) as error:
        return Witnesses(notes=(f"performance is not known: {error}",))
    known = [score for score in scores.values() if score is not None]
    importance = next((score.importance for score in known if score.importance), None)
    lacking = [f"no performance is estimated: {score.lacking}" for score in known[-1:] if score.lacking]
    return Witnesses(_opinions(project, known, nights[-1].night), tuple(lacking), importance)


def _standing(ledger: Ledger, project: Project, champion: Manifest, pin: PartitionPin) -> Score | None:
    from airflow_mlops.records import Score

    return ledger.find(Score, Score.key_of(project.name, pin, champion.ref, str(project.spec.drift.performance)))


def _opinions(project: Project, scores: Sequence[Score], tonight: dt.date) -> tuple[Opinion, ...]:
    from airflow_mlops.calibrate import Budget
    from airflow_mlops.drift.performance import EstimatedPerformance, NightLoss, RealisedState, estimated, realised

    spec = project.spec.drift
    metric = str(spec.performance)
    budget = Budget.of(SHARE_OF_EACH * spec.false_alarms_per_year)
    spoken: list[Opinion] = []
    usual = [score for score in scores if score.night not in spec.expected]
    guesses = {score.night: EstimatedPerformance.model_validate(score.estimated) for score in usual if score.estimated}
    if tonight in guesses:
        before = {night: guess for night, guess in guesses.items() if night < tonight}
        spoken.append(estimated(before, tonight, guesses[tonight], budget=budget))
    labelled = [score for score in usual if score.realised]
    if not labelled:
        return tuple(spoken)
    # One champion, one state: whoever follows it begins anew, and until then what is worse stays told.
    reference = [NightLoss.model_validate(loss) for loss in labelled[0].reference]
    nights = [
        # Labels in the order in which they came.
        NightLoss.model_validate(score.realised)
        for score in sorted(labelled, key=lambda score: (score.recorded_at, score.night))
    ]
    _, opinion = realised(RealisedState(reference=tuple(reference)), nights, metric=metric, budget=budget)
    return (*spoken, opinion)
