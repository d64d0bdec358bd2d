"""The ``bentocloud`` connection; the target that deploys through it has its own place in ``serving``."""

from __future__ import annotations

from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import httpx
from airflow.sdk import BaseHook

from airflow_mlops.errors import ConfigError, RemoteRejected, RemoteUnavailable
from airflow_mlops.hooks.store import connection_of

if TYPE_CHECKING:
    from airflow.sdk import Connection

__all__ = ["BentoCloudHook"]

# Where the client library itself asks who it is (bentoml 1.4, _internal/cloud/client.py).
_WHO_AM_I = "/api/v1/auth/current"
_TIMEOUT_SECONDS = 15.0


class BentoCloudHook(BaseHook):
    """Knows a BentoCloud organisation.

    Parameters
    ----------
    bentocloud_conn_id : str
        A connection of type ``bentocloud``: host is the endpoint (``https://ORG.cloud.bentoml.com``), password the
        API token.
    """

    conn_name_attr = "bentocloud_conn_id"
    default_conn_name = "bentocloud"
    conn_type = "bentocloud"
    hook_name = "BentoCloud"

    def __init__(self, bentocloud_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.bentocloud_conn_id = bentocloud_conn_id

    @cached_property
    def connection(self) -> Connection:
        """The connection, read once."""
        return connection_of(
            self.bentocloud_conn_id,
            example="--conn-type bentocloud --conn-host https://ORG.cloud.bentoml.com --conn-password TOKEN",
        )

    def organisation(self) -> str:
        """Name of whom the token belongs to.

        Raises
        ------
        ConfigError
            If endpoint or token are missing.
        RemoteUnavailable, RemoteRejected
            If the endpoint does not answer, or refuses the token.
        """
        endpoint, token = self.connection.host, self.connection.password
        if not endpoint or not token:
            raise ConfigError(
                f"expected host (the endpoint) and password (the API token) in the connection "
                f"{self.bentocloud_conn_id!r}."
            )
        # A host without a scheme is what `airflow connections add` stores for an address.
        address = endpoint if "://" in endpoint else f"https://{endpoint}"
        try:
            answer = httpx.get(
                f"{address.rstrip('/')}{_WHO_AM_I}",
                headers={"X-YATAI-API-TOKEN": token},
                timeout=_TIMEOUT_SECONDS,
            )
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise ConfigError(f"expected the endpoint as https://ORG.cloud.bentoml.com, got {endpoint!r}.") from error
        except httpx.TransportError as error:
            raise RemoteUnavailable(
                f"expected an answer from {address}, got {type(error).__name__}: {error}."
            ) from error
        if answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise RemoteUnavailable(f"expected {address} to know the token, it answered HTTP {answer.status_code}.")
        if answer.status_code != HTTPStatus.OK:
            raise RemoteRejected(
                f"expected {address} to accept the token, it answered HTTP {answer.status_code}. "
                "Make a new API token in BentoCloud and put it into the connection's password."
            )
        try:
            return str(answer.json()["name"])
        except (ValueError, KeyError, TypeError) as error:
            raise RemoteRejected(
                f"expected {address} to say whose token it is, got {answer.text[:60]!r}. Check the endpoint: it is "
                "the address of the organisation, without a path."
            ) from error

    def test_connection(self) -> tuple[bool, str]:
        """Ask whose token it is: what the Test button of the connection's form does."""
        try:
            return True, f"BentoCloud knows this token as {self.organisation()!r}."
        except Exception as error:  # noqa: BLE001 - the form shows whatever went wrong
            return False, str(error)
