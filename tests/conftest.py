"""The two places that the chain can lie in: a folder, and S3 (moto's server on loopback, in a process of its own)."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from airflow_mlops.store import Store, StoreOptions, open_store

BUCKET = "chain"

# One request at a time: moto 5.2.5 looks and then writes without a lock, so that of 16 racing writers two now and
# then win under its own threaded server (seen with sys.setswitchinterval(1e-6)). S3 itself promises one.
_SERVER = """
import logging
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
app = DomainDispatcherApplication(create_backend_app)
server = make_server("127.0.0.1", 0, app, threaded=False, request_handler=MotoRequestHandler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


class StoreAddress(NamedTuple):
    """How to open a store again, in another process too."""

    uri: str
    options: StoreOptions | None = None

    def open(self) -> Store:
        return open_store(self.uri, self.options)


@pytest.fixture(scope="session")
def s3_options() -> Iterator[StoreOptions]:
    """A running S3 with an empty bucket."""
    with subprocess.Popen([sys.executable, "-c", _SERVER], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            endpoint = f"http://127.0.0.1:{int(server.stdout.readline())}"
            options = StoreOptions(endpoint, "loopback", "not-a-secret", "us-east-1")
            import boto3

            boto3.client(
                "s3",
                endpoint_url=endpoint,
                aws_access_key_id=options.access_key_id,
                aws_secret_access_key=options.secret_access_key,
                region_name=options.region,
            ).create_bucket(Bucket=BUCKET)
            yield options
        finally:
            server.kill()


@pytest.fixture
def s3_address(s3_options: StoreOptions) -> StoreAddress:
    """A prefix of its own for each test."""
    return StoreAddress(f"s3://{BUCKET}/{uuid.uuid4().hex}", s3_options)


@pytest.fixture
def folder_address(tmp_path: Path) -> StoreAddress:
    return StoreAddress(str(tmp_path / "chain"))


@pytest.fixture(params=["folder", "s3"])
def address(request: pytest.FixtureRequest) -> StoreAddress:
    """Each of the two: a test that asks for it runs on both."""
    found: StoreAddress = request.getfixturevalue(f"{request.param}_address")
    return found


@pytest.fixture
def store(address: StoreAddress) -> Store:
    return address.open()
