"""No part of a secret is told, wherever an address carries it."""

from __future__ import annotations

import pytest

from airflow_mlops.hooks.mlflow_faults import without_credentials

SECRET = "s3cret"  # noqa: S105  it is looked for in what is told


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql+psycopg2://db/mlflow?user=me&password={SECRET}",
        f"postgresql://db/mlflow?password={SECRET}&sslmode=require",
        f"postgresql://db/mlflow?PassWord={SECRET}@{SECRET}&sslmode=require",
        f"http://me:p?token={SECRET}@db/mlflow",
        f"http://me:{SECRET}@db/mlflow?passwd={SECRET}",
        f"mysql://db/mlflow?pwd={SECRET}",
        f"https://db/files?api_key={SECRET})",
        f"https://db/files?X-Amz-Signature={SECRET}&X-Amz-Date=1",
        f"connection failed: host=db password='{SECRET} {SECRET}' user=me",
        f"client_secret={SECRET}",
    ],
)
def test_a_secret_in_a_query_is_masked(text: str) -> None:
    told = without_credentials(text)
    assert SECRET not in told
    # Masked text is found to hold none, so that what is fit to be told is told.
    assert without_credentials(told) == told


@pytest.mark.parametrize("text", ["http://db:5000/api?run_id=7&view=keys", "no key is there", "RESOURCE: a=b"])
def test_what_is_no_secret_stays(text: str) -> None:
    assert without_credentials(text) == text
