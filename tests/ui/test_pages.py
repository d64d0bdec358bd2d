"""The pages over a month of nights: what they show, to whom, and what they make of nonsense."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from html import unescape
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from airflow_mlops.ledger import Ledger
from airflow_mlops.records import (
    Baseline,
    Drift,
    Golden,
    Quality,
    Record,
    Registration,
    Verdict,
)
from airflow_mlops.store import open_store

PASSWORD = "hunter2-hunter2"  # noqa: S105  as in conftest.py
DAGS = frozenset(f"bike_demand_{stage}" for stage in ("quality", "drift", "retrain", "deploy"))
Visit = Callable[..., object]


def newest(store: Path, kind: type[Record], model: str = "bike_demand") -> Record:
    return max(Ledger(open_store(str(store))).all(kind, f"{model}/"), key=lambda record: record.recorded_at)


def address(record: Record, view: str = "record") -> str:
    return f"/mlops/records/{record.kind}/{record.key}?view={view}"


def file_of(store: Path, record: Record) -> Path:
    return store / f"records/{record.kind}/{record.key}.json"


@pytest.fixture
def own(month: Path, tmp_path: Path) -> Path:
    """A copy of the month, to spoil."""
    return shutil.copytree(month, tmp_path / "own")


def links_of(page: httpx.Response) -> set[str]:
    return {unescape(link) for link in re.findall(r'href="([^"]*)"', page.text)}


def test_every_link_leads_to_a_page_without_secrets_or_markup_of_others(visit, month: Path) -> None:
    visitor = visit()
    waiting, seen = ["/mlops/"], {}
    while waiting:
        link = waiting.pop()
        page = seen[link] = visitor.get(link)
        assert page.status_code == 200, (link, page.text[-300:])
        assert PASSWORD not in page.text
        assert "<b>degrees" not in page.text
        assert "script" not in page.text
        waiting += [found for found in links_of(page) if found.startswith("/mlops/") and found not in seen]
        seen |= dict.fromkeys(waiting)
    records = {link.partition("?")[0] for link in seen if "/records/" in link}
    stored = {
        f"/mlops/{path.relative_to(month).as_posix()}".removesuffix(".json") for path in month.glob("records/**/*.json")
    }
    # Nothing rests on the check of a night that was quarantined, and yet it is found.
    assert records == stored


def test_the_front_page_says_where_each_model_stands(visit, month: Path) -> None:
    page = visit().get("/mlops/").text
    assert "the model of 2011-01-27" in page
    assert newest(month, Verdict).artefact_digest[7:19] in page
    assert re.search(r'class="badge stable">stable</span> <a [^>]*>2011-01-31', page)


def test_the_chain_of_a_model_has_a_line_for_each_night(visit) -> None:
    page = visit().get("/mlops/models/bike_demand").text
    nights = re.findall(r"<tr>\s*<th>(\d{4}-\d\d-\d\d)", page)
    assert nights == [f"2011-01-{day:02d}" for day in range(31, 0, -1)]
    assert "range of temp: 24 rows of 41 &lt;b&gt;degrees" in page
    assert "the model of 2011-01-27, MLflow version 2" in page
    assert "Stood before at 1 other" in page
    assert page.count("badge quarantined") == 1


def test_a_long_chain_is_shown_in_part_until_asked_for(visit) -> None:
    visitor = visit()
    short = visitor.get("/mlops/models/bike_demand?nights=5")
    assert len(re.findall(r"<tr>\s*<th>2011", short.text)) == 5
    assert "Show all 31 nights" in short.text
    assert len(re.findall(r"<tr>\s*<th>2011", visitor.get("/mlops/models/bike_demand?nights=0").text)) == 31


def test_a_record_says_what_it_rests_on_and_what_rests_on_it(visit, month: Path) -> None:
    verdict = newest(month, Verdict)
    page = visit().get(address(verdict))
    links = links_of(page)
    for ref in (verdict.manifest, verdict.champion, verdict.golden):
        assert f"/mlops/records/{ref.kind}/{ref.key}" in links
    assert any(link.startswith("/mlops/records/bento/") for link in links)
    assert any(link.startswith("/mlops/records/deployment/") for link in links)
    assert "<b>champion</b> of" in page.text
    assert verdict.to_json().decode() in unescape(page.text)
    assert f"/dags/{verdict.dag_run.partition('/')[0]}/runs/{quote(verdict.dag_run.partition('/')[2])}" in links


def test_a_night_knows_the_models_that_were_trained_on_it(visit, month: Path) -> None:
    quality = next(iter(Ledger(open_store(str(month))).all(Quality, "bike_demand/2011-01-10/")))
    links = links_of(visit().get(address(quality)))
    assert sum(link.startswith("/mlops/records/manifest/") for link in links) == 2
    assert sum(link.startswith("/mlops/records/drift/") for link in links) == 7


def test_reports_draw_what_they_report(visit, month: Path) -> None:
    visitor = visit()
    drift = visitor.get(address(newest(month, Drift), "report")).text
    assert drift.count('class="reach') == 9
    verdict = visitor.get(address(newest(month, Verdict), "report")).text
    assert verdict.count('class="interval"') == 2
    assert verdict.count('class="limit"') == 2
    assert "-38.1 % to -20.4 %" in verdict
    # A kind that has no report shows the record.
    assert "As it is written" in visitor.get(address(newest(month, Baseline), "report")).text


def test_the_report_of_an_incident_tells_what_happened_and_leads_to_its_plots(visit, month: Path) -> None:
    visitor = visit()
    drift = next(one for one in Ledger(open_store(str(month))).all(Drift, "bike_demand/") if one.incident)
    report = unescape(visitor.get(address(drift, "report")).text)
    assert "Incident of temp: since 2011-01-25, noticed on 2011-01-25" in report
    assert "temp moved up by 0.9 sd" in report
    assert "estimated" in report
    assert "as usual, but far from the reference: hum" in report
    page = visitor.get(address(drift, "page"))
    assert "<svg>" in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert address(drift, "page") in links_of(visitor.get(address(drift, "report")))
    # One without a page shows the record instead.
    before = min(Ledger(open_store(str(month))).all(Drift, "bike_demand/"), key=lambda one: one.night)
    assert "As it is written" in visitor.get(address(before, "page")).text
    assert visit(readable=frozenset()).get(address(drift, "page")).status_code == 403


def test_figures_that_are_not_finite_are_said_not_drawn(visit, own: Path) -> None:
    ledger = Ledger(open_store(str(own)))
    verdict, drift = newest(own, Verdict), newest(own, Drift)
    rule = verdict.rules[-1].model_copy(
        update={"challenger": float("nan"), "estimate": float("nan"), "high": float("inf")}
    )
    broken = ledger.write(verdict.model_copy(update={"rules": (rule,), "rules_digest": "other"}))
    gone = drift.features[0].model_copy(update={"distance": float("inf"), "current_mean": float("nan")})
    lost = ledger.write(drift.model_copy(update={"features": (gone,), "window": drift.window[1:]}))
    visitor = visit(store=own)
    page = visitor.get(address(broken, "report"))
    assert page.status_code == 200
    assert "cannot be drawn" in page.text
    page = visitor.get(address(lost, "report"))
    assert 'width="100.0"' in page.text
    assert "∞" in page.text
    assert visitor.get("/mlops/models/bike_demand").status_code == 200


def test_no_route_is_open(visit, month: Path) -> None:
    from airflow.api_fastapi.core_api.security import get_user

    from airflow_mlops.ui.pages import app

    verdict = newest(month, Verdict)
    addresses = {
        "/": "/mlops/",
        "/models/{model}": "/mlops/models/bike_demand",
        "/records/{kind}/{key:path}": address(verdict),
        "/dag/{dag_id}": "/mlops/dag/bike_demand_drift",
    }
    # A new route must be added here, and so be shown to be closed; docs and schema are no routes of it.
    assert {route.path for route in app.routes} == addresses.keys()
    # Even one that forgets to ask for its user.
    assert get_user in {dependency.dependency for dependency in app.router.dependencies}
    anonymous, stranger = visit(logged_in=False), visit(readable=frozenset())
    for path, asked in addresses.items():
        page = anonymous.get(asked)
        assert page.status_code == 401, path
        assert "bike_demand" not in unescape(page.text).replace(quote(asked, safe=""), "")
        assert "/auth/login?next=" in page.text
        forged = anonymous._replace(cookies={"_token": "forged"}).get(asked)
        assert forged.status_code == 403, path
        page = stranger.get(asked)
        assert page.status_code == (200 if path == "/" else 403), path
        assert "2011-01" not in page.text


def test_a_page_needs_the_dags_that_wrote_what_stands_on_it(visit, month: Path) -> None:
    quality, drift, golden = newest(month, Quality), newest(month, Drift), newest(month, Golden)
    some = visit(readable=frozenset({"bike_demand_quality"}))
    assert some.get(address(quality, "report")).status_code == 200
    assert some.get(address(drift, "report")).status_code == 403
    assert some.get("/mlops/models/bike_demand").status_code == 403
    assert "bike_demand" not in some.get("/mlops/").text
    all_four = visit(readable=DAGS)
    assert all_four.get("/mlops/models/bike_demand").status_code == 200
    assert "bike_demand" in all_four.get("/mlops/").text
    # No DAG froze the golden set: only who may read every DAG sees it.
    assert all_four.get(address(golden)).status_code == 403
    assert visit().get(address(golden)).status_code == 200


def test_the_tab_of_a_dag_leads_to_its_model(visit) -> None:
    visitor = visit()
    for dag in DAGS | {"bike_demand"}:
        page = visitor.get(f"/mlops/dag/{dag}")
        assert (page.status_code, page.headers["location"]) == (307, "/mlops/models/bike_demand")
    for dag in ("other_drift", "drift", "_drift", "%2e%2e", "bike_demand_report"):
        page = visitor.get(f"/mlops/dag/{dag}")
        assert page.status_code == 404, dag
        assert "<h1>" in page.text


def test_an_edited_record_is_found_out(visit, own: Path) -> None:
    verdict = newest(own, Verdict)
    path = file_of(own, verdict)
    path.write_text(path.read_text().replace('"hold"', '"promote"').replace("44.2", "14.2"))
    visitor = visit(store=own)
    for asked in (address(verdict), address(verdict, "report"), "/mlops/models/bike_demand"):
        page = visitor.get(asked)
        assert page.status_code == 500
        assert "A record was changed after it was written" in page.text
        assert f"records/verdict/{verdict.key}.json: expected content with digest" in page.text
    front = visitor.get("/mlops/")
    assert front.status_code == 200
    assert "expected content with digest" in front.text
    # Who wrote it can no longer be believed either.
    assert visit(store=own, readable=DAGS).get(address(verdict)).status_code == 403
    assert "digest" not in visit(store=own, readable=DAGS).get("/mlops/").text


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"schema": 1}', b"\xff\xfe"])
def test_a_broken_record_is_a_page_too(visit, own: Path, content: bytes) -> None:
    verdict = newest(own, Verdict)
    file_of(own, verdict).write_bytes(content)
    page = visit(store=own).get(address(verdict))
    assert page.status_code == 500
    assert "Restore it from a backup" in page.text


def test_no_address_leads_out_of_the_records(visit, own: Path) -> None:
    (own.parent / "secret.json").write_text('{"secret": "outside"}')
    (own / "secret.json").write_text('{"secret": "inside"}')
    visitor = visit(store=own)
    keys = [
        "../../../secret", "../../secret", "..%2f..%2f..%2fsecret", "%2e%2e/%2e%2e/secret", "/etc/passwd", "a%00b/c",
        "bike_demand/..%2f../secret", "bike_demand/" + "x" * 5000, "bike_demand", "bike_demand/", "./bike_demand/x",
        "bike_demand//x", "bike_demand\\x/y", "%F0%9F%90%8D/x", "-", "bike_demand/2011-01-31",
    ]  # fmt: skip
    for kind in ("quality", "verdict", "pointer", "blobs", ".."):
        for key in keys:
            # Encoded, since a client takes plain dots out before it asks.
            page = visitor.get(f"/mlops/records/{kind}/{key}".replace("..", "%2e%2e"))
            assert page.status_code == 404, (kind, key)
            assert "inside" not in page.text
            assert "outside" not in page.text
    for model in ("%2e%2e", "%2e%2e%2f%2e%2e", "a%00b", "nobody", "x" * 5000):
        assert visitor.get(f"/mlops/models/{model}").status_code == 404, model


def test_without_a_connection_the_page_says_how_to_make_one(visit, monkeypatch: pytest.MonkeyPatch) -> None:
    visitor = visit()
    monkeypatch.delenv("AIRFLOW_CONN_MLOPS_STORE")
    page = visitor.get("/mlops/")
    assert page.status_code == 503
    assert "airflow connections add mlops_store" in page.text
    connection = {"conn_type": "mlops_store", "password": PASSWORD, "extra": "{}"}
    monkeypatch.setenv("AIRFLOW_CONN_MLOPS_STORE", json.dumps(connection))
    page = visitor.get("/mlops/models/bike_demand")
    assert page.status_code == 503
    assert "extra &#39;uri&#39;" in page.text
    assert PASSWORD not in page.text


def test_an_empty_store_is_not_a_fault(visit, tmp_path: Path) -> None:
    visitor = visit(store=tmp_path / "nowhere")
    page = visitor.get("/mlops/")
    assert page.status_code == 200
    assert "No record of a model" in page.text
    assert visitor.get("/mlops/models/bike_demand").status_code == 404


def test_inside_the_frame_of_airflow_no_link_leads_out_of_it(visit, month: Path) -> None:
    visitor = visit()
    asked = address(newest(month, Verdict))
    run = newest(month, Registration).run_url
    assert run in links_of(visitor.get(asked))
    framed = visitor.get(asked, **{"sec-fetch-dest": "iframe"})
    assert {link for link in links_of(framed) if not link.startswith("/mlops/")} == set()
    assert run in framed.text


def test_an_address_that_runs_code_is_no_link(visit, own: Path) -> None:
    registration = newest(own, Registration)
    file_of(own, registration).unlink()
    evil = registration.model_copy(update={"run_url": "javascript:alert(1)"})
    Ledger(open_store(str(own))).write(evil)
    page = visit(store=own).get(address(newest(own, Verdict)))
    assert not any(link.startswith("javascript") for link in links_of(page))
    assert "default-src 'none'" in page.headers["content-security-policy"]


def test_below_another_path_every_link_keeps_it(visit) -> None:
    visitor = visit(prefix="/airflow/mlops")
    links = links_of(visitor.get("/airflow/mlops/models/bike_demand"))
    assert all(link.startswith("/airflow/") for link in links)
    assert (
        visitor.get("/airflow/mlops/dag/bike_demand_drift").headers["location"] == "/airflow/mlops/models/bike_demand"
    )
