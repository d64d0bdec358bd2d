"""The frozen values that cross rooms, with their JSON and its version.

A record is written once and names, by digest, the records that it rests on:

    quality -> drift -> manifest -> verdict -> bento -> deployment

Its ``key`` is its identity (what it is about), its ``digest`` its content. Two workers that do the same work
make records of one key, so that one of them is kept.
"""

from __future__ import annotations

from airflow_mlops.records.alert import Alert
from airflow_mlops.records.drift import (
    Baseline,
    Channel,
    Drift,
    DriftLimit,
    DriftVerdict,
    FeatureDrift,
    FeatureNews,
    NightProfile,
    Opinion,
    Score,
)
from airflow_mlops.records.incident import AffectedModel, Course, Incident, Notice, QualityIncident
from airflow_mlops.records.model import Artefact, Golden, Manifest, Registration
from airflow_mlops.records.night import Acceptance, CheckOrigin, CheckOutcome, CheckResult, Facts, Policy, Quality
from airflow_mlops.records.record import Instant, PartitionPin, Record, RecordRef, Value, sha256_digest, short
from airflow_mlops.records.service import Bento, Deployment, Pointer
from airflow_mlops.records.verdict import Approval, Decision, RuleResult, Verdict, WeakSpot

__all__ = [
    "Acceptance",
    "AffectedModel",
    "Alert",
    "Approval",
    "Artefact",
    "Baseline",
    "Bento",
    "Channel",
    "CheckOrigin",
    "CheckOutcome",
    "CheckResult",
    "Course",
    "Decision",
    "Deployment",
    "Drift",
    "DriftLimit",
    "DriftVerdict",
    "Facts",
    "FeatureDrift",
    "FeatureNews",
    "Golden",
    "Incident",
    "Instant",
    "Manifest",
    "NightProfile",
    "Notice",
    "Opinion",
    "PartitionPin",
    "Pointer",
    "Policy",
    "Quality",
    "QualityIncident",
    "Record",
    "RecordRef",
    "Registration",
    "RuleResult",
    "Score",
    "Value",
    "Verdict",
    "WeakSpot",
    "sha256_digest",
    "short",
]
