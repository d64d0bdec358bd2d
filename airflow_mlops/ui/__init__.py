"""What the provider adds to the Airflow UI: pages that show the chain of records, and a note on every run.

Every Airflow process imports this module; the pages are imported by the api-server alone, on the first request.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import quote, urlsplit

from airflow.configuration import conf
from airflow.plugins_manager import AirflowPlugin

from airflow_mlops.ui import notes

__all__ = ["MLOpsPlugin"]

_Message = MutableMapping[str, Any]

# The Airflow UI does not look below which path it is served: an address without host needs that path in front.
_ROOT = urlsplit(conf.get("api", "base_url", fallback="") or "").path.rstrip("/")
_ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16" fill="none" stroke="{colour}" stroke-width="1.6">'
    '<rect x="1" y="5" width="8" height="6" rx="3"/><rect x="7" y="5" width="8" height="6" rx="3"/></svg>'
)


def _icon(colour: str) -> str:
    return f"data:image/svg+xml,{quote(_ICON.format(colour=colour))}"


class _Pages:
    """The FastAPI application, imported when it is first asked."""

    async def __call__(
        self,
        scope: _Message,
        receive: Callable[[], Awaitable[_Message]],
        send: Callable[[_Message], Awaitable[None]],
    ) -> None:
        from airflow_mlops.ui.pages import app

        await app(scope, receive, send)


class MLOpsPlugin(AirflowPlugin):
    """Pages below ``/mlops``, an entry in the menu, a tab on every DAG, and the listener that writes the notes."""

    name = "airflow_mlops"
    fastapi_apps = [{"app": _Pages(), "url_prefix": "/mlops", "name": "MLOps"}]  # noqa: RUF012  Airflow's own shape
    listeners = [notes]  # noqa: RUF012  likewise
    external_views = [  # noqa: RUF012  likewise
        {
            "name": "MLOps",
            "href": f"{_ROOT}/mlops/",
            "destination": "nav",
            "url_route": "mlops",
            "icon": _icon("#8496ad"),
            "icon_dark_mode": _icon("#e4e4e7"),
        },
        {
            "name": "Model",
            "href": f"{_ROOT}/mlops/dag/{{DAG_ID}}",
            "destination": "dag",
            "url_route": "mlops-model",
            "icon": _icon("#8496ad"),
            "icon_dark_mode": _icon("#e4e4e7"),
        },
    ]
