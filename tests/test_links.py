from __future__ import annotations

from types import SimpleNamespace

from airflow_mlops import links
from airflow_mlops.records import RecordRef

REF = RecordRef(kind="verdict", key="demand/ab12", digest="sha256:" + "00" * 32)


def test_a_button_opens_what_the_operator_left():
    left = SimpleNamespace(links={"Record": "http://x/record", "MLflow run": "http://y/run"})
    shown = {one.name: one.get_link(left, ti_key=None) for one in map(_made, links.__all__) if one}
    assert shown == {"Record": "http://x/record", "Report": "", "MLflow run": "http://y/run", "Endpoint": ""}
    assert links.RecordLink().get_link(SimpleNamespace(), ti_key=None) == ""


def _made(name: str) -> links.RecordLink | None:
    found = getattr(links, name)
    return found() if isinstance(found, type) else None


def test_each_button_has_an_xcom_of_its_own():
    keys = [one.xcom_key for one in map(_made, links.__all__) if one]
    assert len(set(keys)) == 4


def test_the_page_of_a_record(monkeypatch):
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example/team/")
    assert links.record_page(REF) == "https://airflow.example/team/mlops/records/verdict/demand/ab12"
    assert links.record_page(REF, report=True).endswith("/demand/ab12?view=report")
    monkeypatch.delenv("AIRFLOW__API__BASE_URL")
    assert links.record_page(REF) == "/mlops/records/verdict/demand/ab12"
