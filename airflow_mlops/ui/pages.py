"""The pages below ``/mlops``: views of the chain of records. Nothing on them changes anything.

Airflow gives an application that a plugin mounts no authentication, so this one asks Airflow itself: every route needs
a user, and what it shows needs read access to the runs of the DAGs that wrote it.
"""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import Any

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.core_api.security import GetUserDep, get_user
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.exceptions import HTTPException as StarletteHTTPException

from airflow_mlops.chain import Chain, chain_of
from airflow_mlops.errors import ConfigError, LedgerError, MLOpsError, RemoteError, TamperedRecord
from airflow_mlops.hooks.store import StoreHook
from airflow_mlops.ledger import Ledger
from airflow_mlops.records import Deployment, Drift, Manifest, Quality, Record, Registration, Verdict, short
from airflow_mlops.ui.access import ALL_DAGS, dags_of, may_read, require_access
from airflow_mlops.ui.neighbours import KINDS, pointers_at, references_in, resting_on
from airflow_mlops.ui.overview import is_known, models_of, overview_of
from airflow_mlops.ui.rendering import facts_of, render

__all__ = ["app"]

_REPORTS = frozenset({"quality", "drift", "verdict", "manifest"})
_STAGES = ("quality", "drift", "retrain", "deploy")
_NIGHTS_SHOWN = 60
# Names as the ledger writes them; anything else (.., NUL, a name that no file can have) is not there.
_NAME = r"(?!\.{1,2}(?:/|$))[\w.=-]{1,200}"
_KEY = re.compile(rf"{_NAME}(/{_NAME}){{1,3}}", re.ASCII)
_MODEL = re.compile(_NAME, re.ASCII)

_HEADERS = {
    # The pages are text, pictures drawn in place and one style: whatever else a record smuggles in does not run.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "frame-ancestors 'self'; base-uri 'none'; form-action 'none'",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}

app = FastAPI(title="MLOps", docs_url=None, redoc_url=None, openapi_url=None, dependencies=[Depends(get_user)])


@app.get("/")
def show_models(request: Request, user: GetUserDep) -> Response:
    """The models of the store that the user may read."""
    ledger = _ledger()
    lines = [overview_of(ledger, model) for model in models_of(ledger)]
    shown = [line for line in lines if may_read(user, ALL_DAGS if line.fault else dags_of(line.records))]
    return _page(request, "models.html", lines=shown, uri=ledger.store.uri)


@app.get("/models/{model}")
def show_model(request: Request, user: GetUserDep, model: str, nights: int = _NIGHTS_SHOWN) -> Response:
    """One model: its pointers, and the chain night by night."""
    ledger = _ledger()
    if not _MODEL.fullmatch(model):
        raise _no_model(model)
    try:
        chain = chain_of(ledger, model)
    except LedgerError:
        require_access(user, ALL_DAGS)
        raise
    if not chain.nights and not chain.pointers:
        raise _no_model(model)
    require_access(user, dags_of(_records_of(chain)))
    served = {pointer.name: _standing(ledger, chain, pointer.name) for pointer in chain.pointers}
    shown = chain.nights[-nights:] if nights > 0 else chain.nights
    return _page(request, "model.html", chain=chain, served=served, shown=shown[::-1], strip=shown)


@app.get("/records/{kind}/{key:path}")
def show_record(request: Request, user: GetUserDep, kind: str, key: str, view: str = "record") -> Response:
    """One record: what it says, what it rests on, what rests on it; or its report, or the page of plots behind that."""
    ledger = _ledger()
    record_kind = KINDS.get(kind)
    record = None
    if record_kind is not None and _KEY.fullmatch(key):
        try:
            record = ledger.find(record_kind, key)
        except LedgerError:
            require_access(user, ALL_DAGS)
            raise
    if record is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, f"There is no record {kind}/{key} in {ledger.store.uri}.")
    require_access(user, dags_of([record]))
    if view == "page" and isinstance(record, Drift) and record.page:
        return HTMLResponse(ledger.blob(record.page), headers=_HEADERS)
    heading: dict[str, Any] = {
        "record": record,
        "has_report": kind in _REPORTS,
        "registration": _registration(ledger, record),
    }
    if view == "report" and kind in _REPORTS:
        sample = json.loads(ledger.blob(record.sample)) if isinstance(record, Quality) and record.sample else None
        return _page(request, f"report_{kind}.html", **heading, view=view, uri=ledger.store.uri, sample=sample)
    return _page(
        request,
        "record.html",
        **heading,
        view="record",
        facts=facts_of(record),
        below=references_in(record),
        above=resting_on(ledger, record),
        pointers=pointers_at(ledger, record),
        json=record.to_json().decode(),
    )


@app.get("/dag/{dag_id}")
def show_model_of_dag(request: Request, user: GetUserDep, dag_id: str) -> Response:
    """Go to the model that a DAG belongs to: the tab that every DAG has."""
    require_access(user, [dag_id])
    head, _, stage = dag_id.rpartition("_")
    ledger = _ledger()
    for model in [head] * (stage in _STAGES) + [dag_id]:
        if _MODEL.fullmatch(model) and is_known(ledger, model):
            return RedirectResponse(f"{request.scope['root_path']}/models/{model}", headers=_HEADERS)
    raise HTTPException(
        HTTPStatus.NOT_FOUND,
        f"The DAG {dag_id} has written no record yet, or belongs to no model: a model NAME has the DAGs "
        f"{', '.join(f'NAME_{stage}' for stage in _STAGES)}.",
    )


@app.exception_handler(StarletteHTTPException)
def show_refusal(request: Request, error: StarletteHTTPException) -> Response:
    """Not logged in, not allowed, not there: a page that says so."""
    login = None
    if error.status_code == HTTPStatus.UNAUTHORIZED:
        login = get_auth_manager().get_url_login(next_url=str(request.url))
    return _message(request, HTTPStatus(error.status_code), str(error.detail), login=login)


@app.exception_handler(MLOpsError)
def show_fault(request: Request, error: MLOpsError) -> Response:
    """What is wrong with the store or a record, in the error's own words, which name the remedy."""
    outside = isinstance(error, ConfigError | RemoteError)
    status = HTTPStatus.SERVICE_UNAVAILABLE if outside else HTTPStatus.INTERNAL_SERVER_ERROR
    title = "The store cannot be read" if outside else "The chain of records does not hold"
    if isinstance(error, TamperedRecord):
        title = "A record was changed after it was written"
    return _message(request, status, str(error), title=title)


def _ledger() -> Ledger:
    return StoreHook().ledger()


def _no_model(model: str) -> HTTPException:
    return HTTPException(HTTPStatus.NOT_FOUND, f"There is no record of a model {model}.")


def _records_of(chain: Chain) -> list[Record | None]:
    return [
        record
        for night in chain.nights
        for record in (night.quality, night.drift, night.manifest, night.verdict, night.deployment)
    ]


def _standing(ledger: Ledger, chain: Chain, name: str) -> str:
    """What a pointer stands at, in words."""
    pointer = next(pointer for pointer in chain.pointers if pointer.name == name)
    if pointer.to.kind == Deployment.kind:
        return f"version {ledger.read(Deployment, pointer.to).served_version}"
    if pointer.to.kind == Verdict.kind:
        manifest = ledger.read(Manifest, ledger.read(Verdict, pointer.to).manifest)
        registration = _registration(ledger, manifest)
        version = f", MLflow version {registration.registered_version}" if registration else ""
        return f"the model of {manifest.night}{version}"
    return str(pointer.to.key)


def _registration(ledger: Ledger, record: Record) -> Registration | None:
    """Where MLflow keeps the model of a manifest or a verdict."""
    manifest = record.manifest if isinstance(record, Verdict) else record.ref
    if manifest.kind != Manifest.kind:
        return None
    return ledger.find(Registration, f"{record.model}/{short(manifest.digest)}")


def _page(request: Request, template: str, *, status: HTTPStatus = HTTPStatus.OK, **values: Any) -> Response:
    root = request.scope["root_path"]
    context = {
        "root": root,
        "airflow": root.removesuffix("/mlops"),
        # Inside the frame of the Airflow UI no link may leave it: those are shown as addresses there.
        "embedded": request.headers.get("sec-fetch-dest") == "iframe",
        **values,
    }
    return HTMLResponse(render(template, context), status_code=int(status), headers=_HEADERS)


def _message(
    request: Request, status: HTTPStatus, text: str, *, title: str | None = None, login: str | None = None
) -> Response:
    return _page(request, "message.html", status=status, title=title or status.phrase, text=text, login=login)
