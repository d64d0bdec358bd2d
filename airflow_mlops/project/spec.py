"""What ``model.toml`` says, as frozen values; the field's descriptions are the reference of the file."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, ValidationInfo, field_validator, model_validator

from airflow_mlops.project.gate_spec import GateSpec, Task
from airflow_mlops.project.night_path import expanded, with_night
from airflow_mlops.project.quality_spec import QualitySpec
from airflow_mlops.project.section import Section

__all__ = ["DataSpec", "DriftSpec", "ModelSpec", "QualitySpec", "Resources", "ServingSpec", "TrainingSpec"]


class DataSpec(Section):
    """Where the nights lie."""

    path: Annotated[str, AfterValidator(expanded), AfterValidator(with_night)] = Field(
        description="Parquet file of a night: relative to the project, absolute, or s3://; {night} is its date, "
        "${NAME:-default} an environment variable."
    )


class DriftSpec(Section):
    """How a night is judged by the nights before it, and the last ones by what the champion was trained on."""

    window_nights: int = Field(
        default=7, ge=1, le=366, description="Nights that are held together against the champion's training window."
    )
    false_alarms_per_year: float = Field(
        default=0.73,
        gt=0,
        le=182,
        description="How many nights a year may be called drift when nothing happened; five times as many watch.",
    )
    ignore: tuple[str, ...] = Field(
        default=(), strict=False, description="Features that move by the calendar alone, such as the month."
    )
    performance: Literal["accuracy", "f1", "auc", "log_loss", "brier", "mae", "rmse"] | None = Field(
        default=None,
        description="Also let the champion predict each night, and judge this: estimated, and realised with labels.",
    )
    expected: tuple[Annotated[dt.date, Field(strict=False)], ...] = Field(
        default=(),
        strict=False,
        description="Nights that will be unusual, such as a holiday or a planned change: no alarms, nothing learned.",
    )
    usual_since: dt.date | None = Field(
        default=None,
        strict=False,
        description="First night of a new normal, such as after a price change: what was before is not usual any more.",
    )


class Resources(Section):
    """What one training may use."""

    cpu: int = Field(default=1, ge=1, description="Processor cores (threads of the training process).")
    memory_gib: float = Field(default=4.0, gt=0, description="Memory in GiB.")
    timeout_minutes: float = Field(default=60.0, gt=0, description="Longest run in minutes.")


class TrainingSpec(Section):
    """How a challenger is made."""

    entrypoint: str = Field(
        pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$",
        description="module:function inside the project; the function takes a TrainingContext, returns a model.",
    )
    window_nights: int = Field(default=90, ge=1, description="Newest good nights that are trained on.")
    min_nights: int = Field(default=28, ge=1, description="Fewer good nights than this are not trained on.")
    cooldown_nights: int = Field(default=7, ge=0, description="Nights between two trainings of this model.")
    seed: int = Field(default=0, ge=0, lt=2**32, description="Seed of every random generator.")
    runner: Literal["process"] = Field(default="process", description="Where training runs.")
    resources: Resources = Resources()

    @model_validator(mode="after")
    def _window_holds_minimum(self) -> Self:
        if self.min_nights > self.window_nights:
            raise ValueError(
                f"min_nights ({self.min_nights}) is more than window_nights ({self.window_nights}): "
                "no window could ever hold enough"
            )
        return self


class ServingSpec(Section):
    """How the champion answers."""

    target: Literal["local"] = Field(default="local", description="local: a bentoml process on this machine.")
    port: int = Field(default=3210, ge=1024, le=65535, description="Port that users ask; it never changes.")
    tolerance: float = Field(
        default=1e-4, ge=0, description="Largest difference of a served from a judged prediction, relative."
    )


class ModelSpec(Section):
    """The whole of ``model.toml``."""

    name: str = Field(pattern=r"^[a-z]([a-z0-9_]*[a-z0-9])?$", description="Name of the model and of its four DAGs.")
    task: Task = Field(description="What is predicted.")
    target: str = Field(min_length=1, description="Column that is predicted.")
    features: tuple[str, ...] = Field(min_length=1, strict=False, description="Columns that predict it.")
    time_column: str = Field(min_length=1, description="Column that says when a row happened.")
    data: DataSpec
    quality: QualitySpec = QualitySpec()
    drift: DriftSpec = DriftSpec()
    training: TrainingSpec
    gate: GateSpec
    serving: ServingSpec = ServingSpec()

    @field_validator("gate")
    @classmethod
    def _gate_suits_the_model(cls, gate: GateSpec, info: ValidationInfo) -> GateSpec:
        # A first model has no champion to be compared with.
        if not any(rule.kind == "absolute" and rule.required and not rule.of_model for rule in gate.rules):
            raise ValueError(
                "expected at least one required absolute rule: the first model has no champion to be compared with"
            )
        if "task" in info.data and (fault := gate.unsuited(info.data["task"])):
            raise ValueError(fault)
        features = info.data.get("features", ())
        if unknown := [one.feature for one in gate.behaviour if features and one.feature not in features]:
            raise ValueError(f"behaviour names what is no feature: {', '.join(unknown)}")
        return gate

    @field_validator("drift")
    @classmethod
    def _something_is_watched(cls, drift: DriftSpec, info: ValidationInfo) -> DriftSpec:
        features = set(info.data.get("features", ()))
        if features and features <= set(drift.ignore):
            raise ValueError("ignore names every feature: nothing is left to watch for drift")
        if unknown := sorted(set(drift.ignore) - features) if features else []:
            raise ValueError(f"ignore names what is no feature: {', '.join(unknown)}")
        return drift

    # On the field, not on the model: it must speak up also when other keys are wrong.
    @field_validator("features")
    @classmethod
    def _names_are_sound(cls, features: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if info.data.get("target") in features:
            raise ValueError(
                f"target {info.data['target']!r} stands among the features: the model would see the answer"
            )
        if twice := sorted({name for name in features if features.count(name) > 1}):
            raise ValueError(f"features are named twice: {', '.join(twice)}")
        return features

    @field_validator("time_column")
    @classmethod
    def _time_is_neither_input_nor_output(cls, time_column: str, info: ValidationInfo) -> str:
        if time_column == info.data.get("target"):
            raise ValueError(f"time_column {time_column!r} is also the target: name the column that says when")
        if time_column in info.data.get("features", ()):
            raise ValueError(
                f"time_column {time_column!r} stands among the features: a time is no number; take what predicts "
                "from it, such as the hour, into a column of its own"
            )
        return time_column
