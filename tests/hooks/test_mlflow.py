"""Each thing is written to MLflow once, wherever the writing was killed; and no secret leaves the connection."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from airflow_mlops.errors import ConfigError, MissingExtra, RemoteError, RemoteUnavailable
from airflow_mlops.hooks.mlflow import MlflowHook, _first_line
from airflow_mlops.records import Manifest, RecordRef

SECRET = "hunter2-hunter2"  # noqa: S105 - the tests look for it in every message
WRITES = (
    "create_experiment",
    "create_run",
    "log_batch",
    "log_artifacts",
    "create_registered_model",
    "create_model_version",
    "set_terminated",
)


class Killed(BaseException):
    """Nothing catches it, as nothing catches SIGKILL."""


def connect(patch: pytest.MonkeyPatch, **connection: Any) -> MlflowHook:
    patch.setenv("AIRFLOW_CONN_MLFLOW", json.dumps({"conn_type": "mlflow", **connection}))
    return MlflowHook()


@pytest.fixture
def taught(trained: Any, trained_home: Path) -> tuple[Any, Manifest, Path]:
    """A manifest that MLflow does not know yet, and its artefact."""
    manifest = trained.ledger.read(Manifest, RecordRef.parse(trained.manifest))
    artefact = trained.ledger.fetch_folder(manifest.artefact, trained.home / "artefact")
    unknown = manifest.model_copy(update={"model": "another", "fingerprint": "sha256:" + "cd" * 32})
    return trained, unknown, artefact


@pytest.mark.slow
@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("call", WRITES)
def test_killed_at_any_call_and_run_again_there_is_one_run_and_one_version(taught, monkeypatch, call, before):
    _, manifest, artefact = taught
    hook = MlflowHook()
    client = type(hook.client)
    real = getattr(client, call)

    def killed(*args: Any, **kwargs: Any) -> Any:
        if not before:
            real(*args, **kwargs)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(client, call, killed)
        with pytest.raises(Killed):
            hook.register(manifest, artefact, tags={"page": "x"})
    model = MlflowHook().register(manifest, artefact, tags={"page": "x"})
    assert MlflowHook().register(manifest, artefact, tags={"page": "x"}) == model
    found = hook.client
    (run,) = found.search_runs([model.experiment_id])
    (version,) = found.search_model_versions("name = 'another'")
    assert (run.info.run_id, str(version.version)) == (model.run_id, model.version)
    assert run.info.status == "FINISHED"
    assert run.data.metrics == pytest.approx(manifest.metrics)
    assert run.data.params["fingerprint"] == manifest.fingerprint
    history = [found.get_metric_history(model.run_id, name) for name in manifest.metrics]
    assert {len(values) for values in history} == {1}


@pytest.mark.slow
# pandas 3 hands out read-only arrays; the model only reads them.
def test_a_registered_version_predicts_like_the_artefact(trained):
    import mlflow
    import pandas as pd
    import pyarrow.parquet as pq

    from airflow_mlops.training.predict import predict_nights

    manifest = trained.ledger.read(Manifest, RecordRef.parse(trained.manifest))
    night = manifest.snapshot[0].night
    artefact = trained.ledger.fetch_folder(manifest.artefact, trained.home / "artefact")
    predict_nights(artefact, {str(night): trained.file(night)}, trained.home / "out.parquet")
    expected = pq.read_table(trained.home / "out.parquet")["y_pred"].to_numpy()
    mlflow.set_tracking_uri(MlflowHook().tracking_uri)
    rows = pq.read_table(trained.file(night)).select(list(manifest.features)).to_pandas().astype("float32")
    answers = mlflow.pyfunc.load_model("models:/bike_demand/1").predict(pd.DataFrame(rows))
    assert np.allclose(np.asarray(answers).ravel(), expected, rtol=1e-6)


@pytest.mark.slow
def test_an_alias_is_moved_and_read(trained):
    hook = MlflowHook()
    assert hook.alias("bike_demand", "champion") is None
    assert hook.alias("no-such-model", "champion") is None
    hook.set_alias("bike_demand", "champion", "1")
    assert hook.alias("bike_demand", "champion") == "1"
    with pytest.raises(RemoteError, match="set the alias champion"):
        hook.set_alias("bike_demand", "champion", "99")
    assert hook.alias("bike_demand", "champion") == "1"


@pytest.mark.slow
def test_a_deleted_experiment_is_named_with_its_remedy(taught):
    _, manifest, artefact = taught
    hook = MlflowHook()
    hook.client.delete_experiment(hook.client.create_experiment("another"))
    with pytest.raises(RemoteError, match="mlflow experiments restore"):
        hook.register(manifest, artefact, tags={})


@pytest.mark.slow
def test_the_test_button_answers(trained, monkeypatch):
    assert MlflowHook().test_connection() == (True, f"MLflow answers at sqlite:///{trained.home}/mlflow.db.")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    fine, told = connect(
        monkeypatch, host=f"http://me:{SECRET}@127.0.0.1:9", password=SECRET, login="me"
    ).test_connection()
    assert not fine
    assert "expected MLflow (connection 'mlflow', http://127.0.0.1:9) to answer" in told
    assert SECRET not in told
    fine, told = connect(monkeypatch, login="me").test_connection()
    assert not fine
    assert "expected the tracking address as host of the connection 'mlflow'" in told


def test_a_connection_that_is_missing_says_how_to_make_it(loop, monkeypatch):
    monkeypatch.delenv("AIRFLOW_CONN_MLFLOW")
    with pytest.raises(ConfigError, match="airflow connections add mlflow --conn-type mlflow"):
        _ = MlflowHook().tracking_uri


def test_without_mlflow_installed_it_names_the_pip_command(loop, monkeypatch):
    import sys

    for name in [name for name in sys.modules if name == "mlflow" or name.startswith("mlflow.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [_Absent(), *sys.meta_path])
    with pytest.raises(MissingExtra, match=r"pip install 'airflow-provider-mlops\[mlflow\]'"):
        MlflowHook().alias("bike_demand", "champion")
    assert MlflowHook().test_connection()[0] is False


class _Absent:
    def find_spec(self, name: str, *_: Any) -> None:
        if name.partition(".")[0] == "mlflow":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@pytest.mark.parametrize(
    ("connection", "address"),
    [
        ({"host": "http://127.0.0.1:5000"}, "http://127.0.0.1:5000"),
        ({"host": "127.0.0.1", "port": 5000}, "http://127.0.0.1:5000"),
        ({"host": "mlflow.example", "extra": {"scheme": "https"}}, "https://mlflow.example"),
        ({"host": "sqlite:////srv/mlflow.db"}, "sqlite:////srv/mlflow.db"),
    ],
)
def test_the_address_is_what_the_connection_says(monkeypatch, connection, address):
    assert connect(monkeypatch, **connection).tracking_uri == address


@pytest.mark.parametrize(
    "credentials", [f"me:{SECRET}", f"me:p@{SECRET}", f"me:pa/{SECRET}", f"me:12/{SECRET}", SECRET]
)
def test_no_part_of_a_password_in_the_address_is_told(monkeypatch, credentials):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    fine, told = connect(monkeypatch, host=f"http://{credentials}@127.0.0.1:9").test_connection()
    assert not fine
    assert "(connection 'mlflow', http://127.0.0.1:9)" in told
    assert SECRET not in told


def test_an_address_is_redacted_before_it_is_cut():
    told = _first_line(ValueError("x" * 280 + f" http://me:{SECRET}@127.0.0.1:9/api"))
    assert told.endswith("x http://127.0.0.1:9/")


def test_credentials_are_lent_for_a_call_and_to_no_other_server(monkeypatch):
    names = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_PASSWORD", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "of-the-worker")
    hook = connect(monkeypatch, host="http://127.0.0.1:9", login="me", password=SECRET)
    with hook._translated("do it"):
        assert [os.environ.get(name) for name in names] == ["me", SECRET, None]
    assert [os.environ.get(name) for name in names] == [None, None, "of-the-worker"]
    with connect(monkeypatch, host="http://127.0.0.1:9")._translated("do it"):
        assert [os.environ.get(name) for name in names] == [None, None, "of-the-worker"]
    with pytest.raises(RemoteUnavailable), hook._translated("do it"):
        raise ConnectionError("gone")
    assert [os.environ.get(name) for name in names] == [None, None, "of-the-worker"]
    assert SECRET not in repr(hook)
