"""The ``mlops_store`` connection: where records and artefacts lie."""

from __future__ import annotations

import datetime as dt
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook

from airflow_mlops.errors import ConfigError

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from airflow_mlops.ledger import Ledger
    from airflow_mlops.store import Store, StoreOptions

__all__ = ["StoreHook", "connection_of"]


def connection_of(conn_id: str, *, example: str) -> Connection:
    """Read an Airflow connection, or say how to make it.

    Raises
    ------
    ConfigError
        If there is no connection of this name.
    """
    from airflow.sdk.exceptions import AirflowNotFoundException, AirflowRuntimeError

    try:
        return BaseHook.get_connection(conn_id)
    except (AirflowNotFoundException, AirflowRuntimeError) as error:
        raise ConfigError(
            f"expected an Airflow connection {conn_id!r}: {error}. "
            f"Make one: airflow connections add {conn_id} {example}"
        ) from error


class StoreHook(BaseHook):
    """Opens the store that the connection names.

    Parameters
    ----------
    store_conn_id : str
        A connection of type ``mlops_store``: extra ``uri`` (a folder or ``s3://bucket/prefix``), extra
        ``endpoint_url`` and ``region`` for S3-compatible stores, login and password as access key and secret.
    """

    conn_name_attr = "store_conn_id"
    default_conn_name = "mlops_store"
    conn_type = "mlops_store"
    hook_name = "MLOps store"

    def __init__(self, store_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.store_conn_id = store_conn_id

    @cached_property
    def connection(self) -> Connection:
        """The connection, read once."""
        return connection_of(
            self.store_conn_id, example="""--conn-type mlops_store --conn-extra '{"uri": "/srv/mlops"}'"""
        )

    @property
    def uri(self) -> str:
        """Address of the store.

        Raises
        ------
        ConfigError
            If the connection names none.
        """
        uri = self.connection.extra_dejson.get("uri")
        if not uri:
            raise ConfigError(
                f"expected the extra 'uri' in the connection {self.store_conn_id!r}, a folder or s3://bucket/prefix."
            )
        return str(uri)

    @property
    def options(self) -> StoreOptions:
        """What the connection says of a store beside its address."""
        from airflow_mlops.store import StoreOptions

        extra = self.connection.extra_dejson
        return StoreOptions(
            endpoint_url=extra.get("endpoint_url") or None,
            access_key_id=self.connection.login or None,
            secret_access_key=self.connection.password or None,
            region=extra.get("region") or None,
        )

    def open(self, uri: str | None = None) -> Store:
        """Open the connection's store, or another address with its credentials."""
        from airflow_mlops.store import open_store

        return open_store(uri or self.uri, self.options)

    def ledger(self) -> Ledger:
        """Open the chain of records."""
        from airflow_mlops.ledger import Ledger

        return Ledger(self.open())

    def test_connection(self) -> tuple[bool, str]:
        """Write one small file and read it back: what the Test button of the connection's form does."""
        key, text = "connection-test.txt", f"tested at {dt.datetime.now(dt.UTC).isoformat()}\n".encode()
        try:
            store = self.open()
            standing = store.get(key)
            # Every test writes, also where an earlier one left its file: the store may be read-only by now.
            written = store.replace(key, text, etag=standing.etag) if standing else store.put_if_absent(key, text)
            if not written or store.get(key) is None:
                return False, f"Wrote to {store.uri}, but could not read it back."
        except Exception as error:  # noqa: BLE001 - the form shows whatever went wrong
            return False, str(error)
        return True, f"Wrote to and read from {store.uri}."
