"""The champion asked about nights: what it says, what that cost where labels have come, what is expected where not."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops.errors import DataError
from airflow_mlops.operators.answers import Hearing

if TYPE_CHECKING:
    import datetime as dt

    import pyarrow as pa

    from airflow_mlops.drift.performance import Estimator, Labelled, Metric
    from airflow_mlops.ledger import Ledger
    from airflow_mlops.project import Project
    from airflow_mlops.records import Manifest, PartitionPin, Score
    from airflow_mlops.store import Store

__all__ = ["Scorer"]

# Of a night of more rows so many, evenly spread: an estimate over them is off by less than a hundredth of its own sd.
_MOST_ROWS = 50_000
# Metrics that are no mean over rows: of those, importance is what log loss grows by.
_OF_RANKS = ("f1", "auc")


class Scorer:
    """One champion and one metric.

    Parameters
    ----------
    project : Project
        The model project.
    ledger : Ledger
        Where nights and models are kept.
    champion : Manifest
        Of the model in service.
    metric : str
        What its performance is measured by.
    folder : Path
        For files.
    """

    def __init__(self, project: Project, ledger: Ledger, champion: Manifest, metric: Metric, folder: Path) -> None:
        from airflow_mlops.records import Golden

        self.project = project
        self.ledger = ledger
        self.champion = champion
        self.metric = metric
        self.folder = folder
        golden = ledger.read(Golden, champion.golden).partitions
        # Neither the golden nor the recent nights were trained on, and their labels have come.
        self.held_out = {str(pin.night): pin for pin in (*golden, *champion.recent)}

    def scores(
        self,
        data: Store,
        pins: Sequence[PartitionPin],
        stamp: Mapping[str, Any],
        *,
        importance: Mapping[str, float] | None = None,
    ) -> list[Score]:
        """Score nights, all in one process; those whose file is gone are left out.

        Raises
        ------
        RemoteJobFailed
            If the champion cannot predict them.
        DataError
            If a night has no rows.
        """
        from airflow_mlops.nights import pinned_file

        asked: dict[dt.date, Path] = {}
        for pin in pins:
            (self.folder / str(pin.night)).mkdir()
            try:
                asked[pin.night] = pinned_file(data, self.project, pin, self.folder / str(pin.night))
            except DataError:
                continue
        if not asked:
            return []
        hearing = Hearing(self.project, self.ledger, {"held out": tuple(self.held_out.values())}, self.folder)
        artefact = self.ledger.fetch_folder(self.champion.artefact, self.folder / "champion" / "artefact")
        files = hearing.nights | {str(night): path for night, path in asked.items()}
        answers = hearing.predict(self.champion, artefact, files, self.folder / "answers" / "predictions.parquet")
        known = {night: self._labelled(answers, night, hearing.nights[night]) for night in sorted(self.held_out)}
        reference = _joined(list(known.values()))
        estimator, lacking = self._estimator(reference)
        losses = [self._loss(rows, self.held_out[night]) for night, rows in known.items()]
        shared = {"reference": tuple(loss for loss in losses if loss), "lacking": lacking}
        if importance is None:
            importance = self._importance(hearing, artefact, reference)
        return [
            self._score(self._labelled(answers, str(pin.night), asked[pin.night]), pin, estimator, stamp).model_copy(
                update={**shared, "importance": dict(importance) if importance else None}
            )
            for pin in pins
            if pin.night in asked
        ]

    def _score(
        self,
        rows: Labelled,
        pin: PartitionPin,
        estimator: Estimator | None,
        stamp: Mapping[str, Any],
    ) -> Score:
        from airflow_mlops.records import Score

        return Score(
            model=self.project.name,
            night=pin.night,
            partition=pin,
            manifest=self.champion.ref,
            metric=self.metric,
            estimated=json.loads(estimator.estimate(rows.predicted).model_dump_json()) if estimator else None,
            realised=self._loss(rows, pin),
            **{**stamp, "rests_on": (self.champion.ref,)},
        )

    def _loss(self, rows: Labelled, pin: PartitionPin) -> dict[str, Any] | None:
        """A ``NightLoss``, where labels have come and the metric is a mean over rows."""
        import numpy as np

        from airflow_mlops.drift.performance import NightLoss, row_losses

        told = ~np.isnan(rows.truth)
        if told.sum() < 2 or self.metric in _OF_RANKS:  # noqa: PLR2004 - of one row nobody knows the scatter
            return None
        known = rows.at(told)
        loss = NightLoss.of(pin.night, row_losses(self.metric, known.predicted, known.truth))
        found: dict[str, Any] = json.loads(loss.model_dump_json())
        return found

    def _estimator(self, reference: Labelled | None) -> tuple[Estimator | None, str | None]:
        """Learn from the nights that were held out; where they are too few to learn from, why."""
        from airflow_mlops.drift.performance import learn_estimator

        if reference is None:
            return None, "the nights that were held out have no labels"
        try:
            return learn_estimator(reference, self.metric), None
        except DataError as error:
            return None, str(error)

    def _importance(self, hearing: Hearing, artefact: Path, reference: Labelled | None) -> dict[str, float] | None:
        """Permutation importance on held-out rows, every permutation predicted in one process."""
        import numpy as np
        import pyarrow as pa
        import pyarrow.parquet as pq

        from airflow_mlops.drift.performance import permutation_importance

        if reference is None or reference.predicted.features is None:
            return None
        batches = [(reference.predicted.features, reference.truth)]
        features = self.champion.features
        dealt: list[Any] = []

        def note(values: Any) -> Any:
            dealt.append(values)
            return np.zeros(len(values))

        try:
            # Once to see which rows it asks about, and, with the answers, once more: it is the same both times.
            permutation_importance(note, batches, features, lambda truth, _: truth * 0.0, seed=self.champion.seed)
        except DataError:
            return None
        files = {}
        for place, values in enumerate(dealt):
            columns = {name: values[:, number] for number, name in enumerate(features)}
            path = self.folder / f"dealt-{place}.parquet"
            pq.write_table(pa.table(columns | {self.champion.target: np.zeros(len(values))}), path)
            files[str(place)] = path
        out = hearing.predict(self.champion, artefact, files, self.folder / "dealt" / "predictions.parquet")
        said = iter([_answers(out, place)[1] for place in files])
        metric = "log_loss" if self.metric in _OF_RANKS else self.metric
        return permutation_importance(
            lambda _: next(said),
            batches,
            features,
            lambda truth, answers: _losses(metric, truth, answers),
            seed=self.champion.seed,
        )

    def _labelled(self, answers: Path, night: str, path: Path) -> Labelled:
        """Rows of a night with what the champion said, NaN where the label has not come."""
        import numpy as np

        from airflow_mlops.drift.performance import Labelled, Predicted
        from airflow_mlops.table import read_table

        truth, said = _answers(answers, night)
        if not len(said):
            raise DataError(f"expected rows in the night {night}, got none. Its check should have found that.")
        chosen = np.unique(np.linspace(0, len(said) - 1, _MOST_ROWS).astype(np.int64))
        table = read_table(path, self.champion.features).take(chosen)
        columns = [table[name].cast("float64", safe=False).to_numpy() for name in self.champion.features]
        values, probabilities = _decided(said[chosen])
        predicted = Predicted(values, probabilities, np.stack(columns, axis=1))
        return Labelled(predicted, truth[chosen], np.repeat(np.array([night]), len(chosen)))


def _answers(path: Path, night: str) -> tuple[Any, Any]:
    """Labels of shape (n,), of a classification the number of the class; predictions of shape (n,) or (n, classes)."""
    import numpy as np
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    table: pa.Table = pq.read_table(path, filters=pc.field("night") == night)
    truth = table["y_true"].to_numpy()
    classes = [name.removeprefix("p_") for name in table.column_names if name.startswith("p_")]
    if not classes:
        return truth, table["y_pred"].to_numpy()
    numbers = {float(name): place for place, name in enumerate(classes)}
    label = np.array([numbers.get(float(value), np.nan) for value in truth])
    return label, np.stack([table[f"p_{name}"].to_numpy() for name in classes], axis=1)


def _decided(said: Any) -> tuple[Any, Any]:
    import numpy as np

    return (said, None) if said.ndim == 1 else (said.argmax(axis=1).astype(np.float64), said)


def _losses(metric: Any, truth: Any, said: Any) -> Any:
    from airflow_mlops.drift.performance import Predicted, row_losses

    return row_losses(metric, Predicted(*_decided(said)), truth)


def _joined(nights: Sequence[Labelled]) -> Labelled | None:
    """Rows of all nights that have a label."""
    import numpy as np

    from airflow_mlops.drift.performance import Labelled, Predicted

    told = [one.at(~np.isnan(one.truth)) for one in nights if not np.isnan(one.truth).all()]
    if not told:
        return None

    def column(name: str) -> Any:
        parts = [getattr(one.predicted, name) for one in told]
        return None if parts[0] is None else np.concatenate(parts)

    return Labelled(
        Predicted(column("values"), column("probabilities"), column("features")),
        np.concatenate([one.truth for one in told]),
        np.concatenate([one.nights for one in told]),
    )
