"""A month of nights as records, and an Airflow that knows who may read what."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import numpy as np
import pytest
from fastapi import FastAPI

from airflow_mlops.ledger import Ledger
from airflow_mlops.records import (
    Artefact,
    Baseline,
    Bento,
    CheckResult,
    Decision,
    Deployment,
    Drift,
    DriftLimit,
    DriftVerdict,
    FeatureDrift,
    FeatureNews,
    Golden,
    Incident,
    Manifest,
    Opinion,
    PartitionPin,
    Quality,
    RecordRef,
    Registration,
    RuleResult,
    Verdict,
    sha256_digest,
)
from airflow_mlops.store import open_store

FEATURES = ("hr", "weekday", "workingday", "season", "weathersit", "temp", "atemp", "hum", "windspeed")
FIRST = dt.date(2011, 1, 1)
PASSWORD = "hunter2-hunter2"  # noqa: S105  the tests look for it in every page
GOLDEN_NIGHTS, FIRST_TRAINING, DRIFT_FROM, CORRUPTED = 4, 14, 24, 19


def _digest(text: str) -> str:
    return sha256_digest(text.encode())


class Month:
    """Writes what a month of the loop leaves: a first model on night 14, drift from night 24, a second on night 26."""

    def __init__(self, ledger: Ledger, model: str = "bike_demand", nights: int = 31) -> None:
        self.ledger, self.model, self.nights = ledger, model, nights
        self.rng = np.random.default_rng(0)
        self.good: list[Quality] = []
        self.champion: Manifest | None = None
        self.baseline: Baseline | None = None

    def stamp(self, night: dt.date, stage: str, minute: int, *rests_on: RecordRef) -> dict[str, object]:
        at = dt.datetime.combine(night, dt.time(6, minute), dt.UTC) + dt.timedelta(days=1)
        run = f"{self.model}_{stage}/scheduled__{at:%Y-%m-%dT%H:%M:%S}+00:00"
        return {"model": self.model, "recorded_at": at, "dag_run": run, "rests_on": rests_on}

    def write(self) -> Ledger:
        for number in range(self.nights):
            night = FIRST + dt.timedelta(days=number)
            quality = self.quality(night, corrupted=number == CORRUPTED)
            if quality.quarantined:
                continue
            self.good.append(quality)
            if number == GOLDEN_NIGHTS:
                self.golden(night)
            drift = self.drift(
                night, drifted=number >= DRIFT_FROM and (self.champion is None or number < DRIFT_FROM + 3)
            )
            if number in (FIRST_TRAINING, DRIFT_FROM + 2):
                self.train(night, drift)
        return self.ledger

    def pin(self, night: dt.date) -> PartitionPin:
        return PartitionPin(night=night, digest=_digest(f"{self.model} {night}"), rows=24)

    def quality(self, night: dt.date, *, corrupted: bool) -> Quality:
        checks = [
            CheckResult(name="row count", outcome="passed", expected="24", actual="24"),
            CheckResult(name="schema", outcome="passed", expected="17 columns", actual="17 columns"),
            CheckResult(name="no missing values", column="cnt", outcome="passed", expected="0", actual="0"),
            CheckResult(
                name="range of temp",
                column="temp",
                outcome="failed" if corrupted else "passed",
                expected="between 0 and 1",
                actual="24 rows of 41 <b>degrees</b>" if corrupted else "0 rows outside",
            ),
            CheckResult(name="freshness", column="dteday", outcome="warned", expected="< 8 h", actual="9.5 h"),
        ]
        return self.ledger.write(
            Quality(
                night=night,
                location=f"file:///data/night={night}.parquet",
                partition=self.pin(night),
                rules_digest=_digest("contract"),
                checks=tuple(checks[: 5 if night.weekday() == 6 else 4]),
                **self.stamp(night, "quality", 0),
            )
        )

    def golden(self, night: dt.date) -> None:
        pins = tuple(quality.partition for quality in self.good[:GOLDEN_NIGHTS])
        stamp = self.stamp(night, "quality", 5) | {"dag_run": None}
        self.frozen = self.ledger.write(Golden(name="v1", partitions=pins, **stamp))

    def drift(self, night: dt.date, *, drifted: bool) -> Drift:
        window = tuple(quality.partition for quality in self.good[-7:])
        below = [quality.ref for quality in self.good[-7:]]
        if self.champion is None or self.baseline is None:
            wants = night >= FIRST + dt.timedelta(days=FIRST_TRAINING)
            return self.ledger.write(
                Drift(
                    night=night,
                    window=window,
                    baseline=None,
                    verdict=DriftVerdict.INSUFFICIENT,
                    features=(),
                    wants_training=wants,
                    reason=f"no champion yet: {len(self.good)} good nights, 15 are needed for the first training",
                    **self.stamp(night, "drift", 10, *below),
                )
            )
        features = []
        for feature, limit in self.baseline.limits.items():
            moved = drifted and feature in ("temp", "atemp")
            distance = abs(float(self.rng.normal(limit.median, 0.08))) + (0.9 if moved else 0.0)
            verdict = "drift" if distance > limit.drift else "watch" if distance > limit.watch else "stable"
            features.append(
                FeatureDrift(
                    feature=feature,
                    distance=distance,
                    limit=limit,
                    verdict=verdict,
                    reference_mean=0.5,
                    current_mean=0.5 + (distance if moved else 0.02),
                )
            )
        features.sort(key=lambda feature: -feature.distance / feature.limit.drift)
        worst = features[0]
        reason = f"{worst.feature} moved up by {worst.distance:.1f} sd (limit {worst.limit.drift:.1f}): 0.5 -> 1.4"
        if worst.verdict is DriftVerdict.STABLE:
            far = f"{worst.distance:.2f} of the {worst.limit.drift:.2f} that would be drift"
            reason = f"nothing unusual; farthest is {worst.feature} with {far}"
        news: dict[str, object] = {}
        if drifted:
            words = "temp moved up by 0.9 sd: 0.5 -> 1.4; never seen before: '<b>hot</b>'"
            since = FIRST + dt.timedelta(days=DRIFT_FROM)
            news = {
                "judged_by": "history",
                "news": (FeatureNews(feature="temp", verdict="drift", p_value=0.0004, words=words, since=since),),
                "opinions": (
                    Opinion(
                        channel="estimated", verdict="watch", words="rmse", estimate=51.0, expected=44.0, error=2.5
                    ),
                ),
                "notes": ("as usual, but far from the reference: hum",),
                "incident": Incident(features=("temp",), began=since, noticed=since, latest=night, followed=night),
                "notice": "began" if night == since else "none",
                "page": self.ledger.put_blob(b"<!doctype html><title>Drift</title><svg></svg>"),
            }
        return self.ledger.write(
            Drift(
                **news,
                night=night,
                window=window,
                baseline=self.baseline.ref,
                verdict=worst.verdict,
                features=tuple(features),
                wants_training=worst.verdict is DriftVerdict.DRIFT,
                reason=reason,
                **self.stamp(night, "drift", 10, *below, self.baseline.ref),
            )
        )

    def train(self, night: dt.date, drift: Drift) -> None:
        free = [quality.partition for quality in self.good[GOLDEN_NIGHTS:]]
        at = dt.datetime.combine(night, dt.time(6, 20), dt.UTC) + dt.timedelta(days=1)
        manifest = self.ledger.write(
            Manifest(
                night=night,
                fingerprint=_digest(f"fingerprint {night}"),
                trigger=drift.ref,
                snapshot=tuple(free[:-2]),
                recent=tuple(free[-2:]),
                golden=self.frozen.ref,
                code=Artefact(files={"train.py": _digest("train.py"), "model.toml": _digest("model.toml")}),
                entrypoint="train:train",
                features=FEATURES,
                target="cnt",
                seed=0,
                runner="process",
                environment={"python": "3.11.9", "torch": "2.13.0", "numpy": "2.4.6", "cpu": "AVX2"},
                started_at=at,
                finished_at=at + dt.timedelta(seconds=21.4),
                metrics={"train_rmse": 38.125, "train_rows": 24.0 * len(free), "loss": 0.0123456},
                artefact=Artefact(files={"model.pt2": _digest(f"model {night}"), "signature.json": _digest("s")}),
                **self.stamp(night, "retrain", 21, self.frozen.ref),
            )
        )
        self.ledger.write(
            Registration(
                manifest=manifest.ref,
                experiment_id="1",
                run_id=_digest(str(night))[7:39],
                registered_model=self.model,
                registered_version="1" if self.champion is None else "2",
                run_url="http://127.0.0.1:5000/#/experiments/1/runs/abc",
                **self.stamp(night, "retrain", 22, manifest.ref),
            )
        )
        self.promote(night, manifest)

    def promote(self, night: dt.date, manifest: Manifest) -> None:
        champion = self.champion
        rules = [
            RuleResult(
                rule="rmse absolute",
                on="golden",
                decision="promote",
                rows=96,
                challenger=44.2,
                champion=None,
                estimate=44.2,
                low=38.9,
                high=49.9,
                bound=60.0,
                reason="rmse on golden: 44.2, at most 60 accepted: promote",
            )
        ]
        if champion is not None:
            rules.append(
                RuleResult(
                    rule="rmse non_inferior",
                    on="recent",
                    decision="promote",
                    rows=168,
                    challenger=41.0,
                    champion=58.3,
                    estimate=-0.297,
                    low=-0.381,
                    high=-0.204,
                    bound=0.02,
                    reason="rmse on recent: 41 vs champion 58.3 (-29.7 %, 95 % upper bound -20.4 % over 7 nights), "
                    "margin 2 %: promote",
                )
            )
        below = [manifest.ref, self.frozen.ref, *([champion.ref] if champion else [])]
        verdict = self.ledger.write(
            Verdict(
                decision=Decision.PROMOTE,
                manifest=manifest.ref,
                champion=champion.ref if champion else None,
                artefact_digest=manifest.artefact.digest,
                rules_digest=_digest("rules"),
                golden=self.frozen.ref,
                recent=manifest.recent,
                rules=tuple(rules),
                reasons=tuple(rule.reason for rule in rules),
                predictions_digest=None,
                **self.stamp(night, "retrain", 25, *below),
            )
        )
        tag = f"{self.model}:{manifest.artefact.digest[7:19]}"
        bento = self.ledger.write(
            Bento(
                verdict=verdict.ref,
                tag=tag,
                artefact_digest=manifest.artefact.digest,
                archive_digest=_digest(tag),
                **self.stamp(night, "deploy", 30, verdict.ref),
            )
        )
        deployment = self.ledger.write(
            Deployment(
                bento=bento.ref,
                verdict=verdict.ref,
                target="local",
                served_version=tag.partition(":")[2],
                rows_verified=96,
                largest_difference=3.1e-7,
                tolerance=1e-4,
                **self.stamp(night, "deploy", 32, bento.ref, verdict.ref),
            )
        )
        for name, to, reason in (
            ("champion", verdict.ref, f"{night}: {verdict.reasons[-1]}"),
            ("live", deployment.ref, "verified on 96 golden rows"),
        ):
            seen = self.ledger.pointer(self.model, name)
            self.ledger.move(self.model, name, to, seen=seen, reason=reason, now=deployment.recorded_at)
        self.champion = manifest
        self.baseline = self.ledger.write(
            Baseline(
                manifest=manifest.ref,
                nights=tuple(pin.night for pin in manifest.snapshot),
                columns=FEATURES,
                window_nights=7,
                false_alarms_per_year=4.0,
                profile={"columns": {}},
                limits={name: DriftLimit(median=0.2, watch=0.45, drift=0.62) for name in FEATURES},
                **self.stamp(night, "drift", 40, manifest.ref),
            )
        )


class Visitor(NamedTuple):
    """Somebody's browser, in front of the pages as the api-server mounts them."""

    server: FastAPI
    cookies: dict[str, str]

    def get(self, address: str, **headers: str) -> httpx.Response:
        async def asked() -> httpx.Response:
            transport = httpx.ASGITransport(self.server, raise_app_exceptions=False)
            async with httpx.AsyncClient(
                transport=transport, base_url="http://127.0.0.1", cookies=self.cookies
            ) as client:
                return await client.get(address, headers=headers)

        return asyncio.run(asked())


@pytest.fixture(scope="session")
def month(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A month of records, to look at; a test that changes something copies it."""
    root = tmp_path_factory.mktemp("month") / "store"
    Month(Ledger(open_store(str(root)))).write()
    return root


@pytest.fixture(scope="session")
def airflow_tables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Airflow's own tables in a SQLite file of this session, in place of whatever is configured."""
    from airflow import settings
    from airflow.models import import_all_models
    from airflow.models.base import Base

    path = tmp_path_factory.mktemp("airflow") / "airflow.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", f"sqlite:///{path}")
        patch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "of these tests alone " * 4)
        settings.configure_vars()
        settings.dispose_orm()
        settings.configure_orm()
        import_all_models()
        Base.metadata.create_all(settings.engine)
        yield
        settings.dispose_orm()
    settings.configure_vars()
    settings.configure_orm()


@pytest.fixture
def visit(airflow_tables: None, month: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Visitor]:
    """Open the pages as a user who may read some DAGs (None: every one; no user: nobody is logged in)."""
    from airflow.api_fastapi.app import _AuthManagerState
    from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    class PerDag(SimpleAuthManager):
        """Airflow's simple manager knows roles alone; this one knows DAGs, as the others do."""

        readable: frozenset[str] | None = None

        def is_authorized_dag(self, *, method, user, access_entity=None, details=None):  # type: ignore[no-untyped-def]
            assert method == "GET"
            assert access_entity is not None
            return self.readable is None or (details is not None and details.id in self.readable)

    def opened(
        *, readable: frozenset[str] | None = None, logged_in: bool = True, store: Path = month, prefix: str = "/mlops"
    ) -> Visitor:
        from airflow_mlops.ui import MLOpsPlugin

        manager = PerDag()
        manager.readable = readable
        monkeypatch.setattr(_AuthManagerState, "instance", manager)
        extra = json.dumps({"uri": str(store)})
        connection = {"conn_type": "mlops_store", "login": "key", "password": PASSWORD, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_MLOPS_STORE", json.dumps(connection))
        # As the api-server does it.
        server = FastAPI()
        for mounted in MLOpsPlugin.fastapi_apps:
            server.mount(prefix, mounted["app"])
        user = SimpleAuthManagerUser(username="ada", role="viewer")
        return Visitor(server, {"_token": manager.generate_jwt(user)} if logged_in else {})

    return opened
