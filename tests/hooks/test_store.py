"""The Test button writes, every time; and credentials stay out of what is shown."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest

from airflow_mlops.errors import ConfigError
from airflow_mlops.hooks.store import StoreHook
from airflow_mlops.store.folder import FolderStore

SECRET = "hunter2-hunter2"  # noqa: S105 - the tests look for it in every message


def connect(patch: pytest.MonkeyPatch, **connection: Any) -> StoreHook:
    patch.setenv("AIRFLOW_CONN_MLOPS_STORE", json.dumps({"conn_type": "mlops_store", **connection}))
    return StoreHook()


def test_a_folder_is_written_to_every_time(tmp_path, monkeypatch):
    hook = connect(monkeypatch, extra={"uri": str(tmp_path / "store")})
    assert hook.test_connection() == (True, f"Wrote to and read from file://{tmp_path}/store.")
    first = (tmp_path / "store" / "connection-test.txt").read_text()
    assert hook.test_connection()[0]
    assert (tmp_path / "store" / "connection-test.txt").read_text() != first
    assert list(hook.ledger().store.keys("records/")) == []


def test_a_store_that_became_read_only_is_found_out(tmp_path, monkeypatch):
    """It holds the file of an earlier test, so that looking for that would prove nothing."""
    hook = connect(monkeypatch, extra={"uri": str(tmp_path)})
    assert hook.test_connection()[0]

    def refused(*_: Any, **__: Any) -> bool:
        raise PermissionError(30, "Read-only file system", str(tmp_path))

    # A test runs as root, whom no mode stops.
    monkeypatch.setattr(os, "replace", refused)
    monkeypatch.setattr(FolderStore, "replace", refused)
    fine, told = hook.test_connection()
    assert not fine
    assert "Read-only" in told


def test_s3_with_its_credentials(s3_options, monkeypatch):
    hook = connect(
        monkeypatch,
        login=s3_options.access_key_id,
        password=s3_options.secret_access_key,
        extra={"uri": "s3://chain/hook", "endpoint_url": s3_options.endpoint_url, "region": s3_options.region},
    )
    assert hook.test_connection() == (True, "Wrote to and read from s3://chain/hook.")
    assert hook.test_connection()[0]


def test_an_s3_that_is_down_or_a_bucket_that_is_not_there(s3_options, monkeypatch):
    for endpoint, bucket in (("http://127.0.0.1:9", "chain"), (s3_options.endpoint_url, "no-such-bucket")):
        hook = connect(
            monkeypatch,
            login="key",
            password=SECRET,
            extra={"uri": f"s3://{bucket}/hook", "endpoint_url": endpoint, "region": "us-east-1"},
        )
        fine, told = hook.test_connection()
        assert not fine
        assert SECRET not in told + repr(hook) + repr(hook.open)


@pytest.mark.parametrize(("extra", "told"), [({}, "expected the extra 'uri'"), ({"uri": "ftp://x"}, "got ftp://")])
def test_an_address_that_is_missing_or_strange(monkeypatch, extra, told):
    fine, message = connect(monkeypatch, extra=extra).test_connection()
    assert not fine
    assert told in message


def test_a_connection_that_is_missing_says_how_to_make_it(monkeypatch):
    monkeypatch.delenv("AIRFLOW_CONN_MLOPS_STORE", raising=False)
    with pytest.raises(ConfigError, match="airflow connections add mlops_store --conn-type mlops_store"):
        StoreHook().open()
