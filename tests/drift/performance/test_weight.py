import pytest

from airflow_mlops.drift.change import Change
from airflow_mlops.drift.performance import leaned_on, weighed
from airflow_mlops.records import DriftVerdict

IMPORTANCE = {"temp": 10.0, "hum": 1.0, "wind": 0.05, "noise": -0.02}


def moved(feature: str, kind: str = "mean", about: str = "") -> Change:
    return Change(feature=feature, kind=kind, before=1.0, after=2.0, size=2.0, **({"about": about} if about else {}))


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ([moved("wind")], DriftVerdict.WATCH),
        ([moved("noise"), moved("wind")], DriftVerdict.WATCH),
        ([moved("wind"), moved("hum")], DriftVerdict.DRIFT),
        ([moved("temp")], DriftVerdict.DRIFT),
        ([moved("wind", "correlation", "noise")], DriftVerdict.WATCH),
        ([moved("wind", "correlation", "temp")], DriftVerdict.DRIFT),
        ([moved("wind", "vanished")], DriftVerdict.DRIFT),
        ([moved("unknown")], DriftVerdict.DRIFT),
        ([], DriftVerdict.DRIFT),
    ],
    ids=["light", "two light", "light and heavy", "heavy", "light pair", "half pair", "vanished", "unknown", "unnamed"],
)
def test_a_drift_of_what_the_champion_does_not_lean_on_is_a_watch(changes, verdict):
    assert weighed(DriftVerdict.DRIFT, changes, IMPORTANCE) is verdict


@pytest.mark.parametrize("verdict", [DriftVerdict.STABLE, DriftVerdict.WATCH, DriftVerdict.INSUFFICIENT])
def test_it_only_ever_softens_drift(verdict):
    assert weighed(verdict, [moved("wind")], IMPORTANCE) is verdict


@pytest.mark.parametrize("importance", [None, {}, {"wind": 0.0, "temp": 0.0}], ids=["none", "empty", "nothing weighs"])
def test_without_importance_the_verdict_stays(importance):
    assert weighed(DriftVerdict.DRIFT, [moved("wind")], importance) is DriftVerdict.DRIFT


def test_shares_add_up_and_what_is_below_zero_counts_nothing():
    assert leaned_on(["temp", "temp", "noise"], IMPORTANCE) == pytest.approx(10 / 11.05)
    assert leaned_on(IMPORTANCE, IMPORTANCE) == pytest.approx(1.0)
