"""What MLflow holds of a model leads to the records and back; and no secret leaves the connection."""

from __future__ import annotations

import json
import os
import shutil
import traceback
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from requests import HTTPError, Response

from airflow_mlops.errors import ConfigError, MissingExtra, RemoteError, RemoteRejected, RemoteUnavailable
from airflow_mlops.hooks.mlflow import MlflowHook, MlflowModel
from airflow_mlops.hooks.mlflow_faults import _first_line, translated
from airflow_mlops.records import Manifest, RecordRef

SECRET = "hunter2-hunter2"  # noqa: S105 - the tests look for it in every message


def answered(status: int) -> HTTPError:
    response = Response()
    response.status_code = status
    return HTTPError(f"{status} of the artefact store", response=response)


def connect(patch: pytest.MonkeyPatch, **connection: Any) -> MlflowHook:
    patch.setenv("AIRFLOW_CONN_MLFLOW", json.dumps({"conn_type": "mlflow", **connection}))
    return MlflowHook()


@pytest.fixture(scope="session")
def empty_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's tables in it, made once: that takes seconds."""
    file = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    with pytest.MonkeyPatch.context() as patch:
        assert connect(patch, host=f"sqlite:///{file}").alias("none", "none") is None
    return file


@pytest.fixture
def hook(empty_tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowHook:
    """On a database of its own."""
    shutil.copy(empty_tables, tmp_path)
    monkeypatch.setattr("airflow_mlops.hooks.mlflow._FIRST_PAUSE_SECONDS", 0.01)
    return connect(monkeypatch, host=f"sqlite:///{tmp_path}/mlflow.db")


@pytest.fixture
def registered(hook: MlflowHook, unregistered: Any) -> MlflowModel:
    return hook.register(
        unregistered.manifest, unregistered.artefact, tags={"airflow_mlops.page": "/p"}, golden=unregistered.golden
    )


@pytest.mark.slow
def test_run_logged_model_and_version_lead_to_each_other_and_to_the_records(hook, unregistered, registered):
    manifest = unregistered.manifest
    run = hook.client.get_run(registered.run_id)
    model = hook.client.get_logged_model(registered.model_id)
    version = hook.client.get_model_version("bike_demand", registered.version)
    for tags in (run.data.tags, version.tags):
        assert tags["airflow_mlops.manifest"] == str(manifest.ref)
        assert tags["airflow_mlops.dag_run"] == "bike_demand_retrain/scheduled"
        assert tags["airflow_mlops.artefact"] == manifest.artefact.digest
        assert tags["airflow_mlops.page"] == "/p"
    assert model.tags["airflow_mlops.manifest.digest"] == manifest.ref.digest
    assert json.loads(model.tags["mlflow.modelVersions"]) == [{"name": "bike_demand", "version": 1}]
    assert [output.model_id for output in run.outputs.model_outputs] == [model.model_id]
    assert (version.source, version.run_id) == (f"models:/{model.model_id}", run.info.run_id)
    assert run.data.params["nights"] == model.params["nights"] == "2025-02-01 to 2025-02-12"
    assert (run.info.status, str(model.status)) == ("FINISHED", "READY")


@pytest.mark.slow
def test_the_files_lie_beside_the_database_wherever_the_worker_runs(hook, unregistered, registered, tmp_path):
    import mlflow

    model = hook.client.get_logged_model(registered.model_id)
    assert model.artifact_location.startswith(f"file://{tmp_path}/mlruns/bike_demand/")
    with hook._translated("read"):
        folder = Path(mlflow.artifacts.download_artifacts(f"models:/bike_demand/{registered.version}"))
    stored = next(folder.rglob("model.pt2")).parent
    assert {file.name: file.read_bytes() for file in stored.iterdir()} == {
        file.name: file.read_bytes() for file in unregistered.artefact.iterdir()
    }


@pytest.mark.slow
def test_of_many_classes_mlflow_answers_with_a_column_each(unregistered, tmp_path):
    import mlflow
    import pandas as pd
    import torch

    from airflow_mlops.hooks.mlflow_contents import save_files
    from airflow_mlops.training.artefact import export_model

    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Softmax(1))
    artefact = tmp_path / "artefact"
    artefact.mkdir()
    export_model(model, torch.rand(8, 2), ["hr", "temp"], "cnt", artefact, task="multiclass")
    logged = SimpleNamespace(artifact_location="mlruns", source_run_id="1", model_id="m-1")
    save_files(unregistered.manifest, artefact, logged, tmp_path / "model")
    loaded = mlflow.pyfunc.load_model(str(tmp_path / "model"))
    rows = pd.DataFrame({"temp": [0.5, 0.1], "hr": [1.0, 2.0]}, dtype="float32")
    answers = loaded.predict(rows)
    assert list(answers.columns) == loaded.metadata.get_output_schema().input_names() == ["p_0", "p_1", "p_2"]
    expected = model(torch.tensor(rows[["hr", "temp"]].to_numpy(copy=True))).detach().numpy()
    assert np.allclose(answers.to_numpy(), expected, atol=1e-6)


@pytest.mark.slow
def test_datasets_have_our_digests_and_name_the_records_that_pin_them(hook, unregistered, registered):
    import mlflow.data

    manifest = unregistered.manifest
    inputs = hook.client.get_run(registered.run_id).inputs.dataset_inputs
    told = {(one.dataset.name, one.tags[0].value, json.loads(one.dataset.profile)["num_rows"]) for one in inputs}
    assert told == {
        ("training 2025-02-01 to 2025-02-12", "training", 288),
        ("recent 2025-02-13 to 2025-02-15", "evaluation", 72),
        ("golden 2025-02-21 to 2025-02-23", "evaluation", 72),
    }
    datasets = {one.dataset.name.partition(" ")[0]: one.dataset for one in inputs}
    assert manifest.golden.digest.removeprefix("sha256:").startswith(datasets["golden"].digest)
    assert len({dataset.digest for dataset in datasets.values()}) == 3
    origin = mlflow.data.get_source(hook.client.get_run(registered.run_id).inputs.dataset_inputs[0]).to_dict()
    assert set(origin["tags"].values()) <= {str(manifest.ref), str(manifest.golden)}


@pytest.mark.slow
def test_another_night_of_data_is_another_digest(unregistered):
    from airflow_mlops.hooks.mlflow_contents import datasets_of

    manifest = unregistered.manifest
    *same, last = manifest.snapshot
    edited = manifest.model_copy(update={"snapshot": (*same, last.model_copy(update={"digest": "sha256:" + "0" * 64}))})
    before, after = (datasets_of(one, None)[0].dataset for one in (manifest, edited))
    assert before.name == after.name
    assert before.digest != after.digest


@pytest.mark.slow
def test_a_version_leads_to_the_newest_verdict(hook, registered, unregistered):
    verdict = SimpleNamespace(
        ref=RecordRef(kind="verdict", key="bike_demand/ab", digest="sha256:1"), decision="hold", dag_run="dag/1"
    )
    hook.annotate("bike_demand", "1", verdict, page="/v/1")
    verdict.decision = "promote"
    hook.annotate("bike_demand", "1", verdict)
    tags = hook.client.get_model_version("bike_demand", "1").tags
    assert tags["airflow_mlops.verdict"] == "verdict/bike_demand/ab@sha256:1"
    assert tags["airflow_mlops.verdict.decision"] == "promote"
    assert tags["airflow_mlops.verdict.dag_run"] == "dag/1"
    assert tags["airflow_mlops.verdict.page"] == "/v/1"
    with pytest.raises(RemoteRejected, match="tag version 99 of bike_demand"):
        hook.tag_version("bike_demand", "99", {"a": "b"})


@pytest.mark.slow
def test_a_version_without_its_files_is_not_ready_and_is_registered_again(hook, registered, unregistered):
    assert hook.version_ready("bike_demand", registered.version)
    assert not hook.version_ready("bike_demand", "99")
    assert not hook.version_ready("bike_demand", "nonsense")
    assert not hook.version_ready("no-such-model", "1")
    hook.client.delete_logged_model(registered.model_id)
    assert not hook.version_ready("bike_demand", registered.version)
    again = hook.register(unregistered.manifest, unregistered.artefact, tags={})
    assert hook.version_ready("bike_demand", again.version)
    assert [str(one.version) for one in hook.client.search_model_versions("name = 'bike_demand'")] == [again.version]
    # A version that somebody made of something else is theirs to judge.
    with hook._translated("make versions by hand"):
        foreign = hook.client.create_model_version("bike_demand", "s3://somewhere/else")
        half = hook.client.create_logged_model(registered.experiment_id, name="half")
        pending = hook.client.create_model_version("bike_demand", f"models:/{half.model_id}")
    assert hook.version_ready("bike_demand", str(foreign.version))
    assert not hook.version_ready("bike_demand", str(pending.version))


@pytest.mark.slow
def test_what_a_killed_try_left_is_cleared_away_but_for_what_a_person_named(hook, registered, unregistered):
    client, manifest = hook.client, unregistered.manifest
    tags = {"airflow_mlops.manifest.digest": manifest.ref.digest}
    experiment, source = registered.experiment_id, f"models:/{registered.model_id}"
    with hook._translated("be killed"):
        run = client.create_run(experiment, tags=tags)
        client.create_logged_model(experiment, name="bike_demand", source_run_id=run.info.run_id, tags=tags)
        for _ in range(2):
            client.create_model_version("bike_demand", source, registered.run_id, tags=tags)
    hook.set_alias("bike_demand", "mine", "3")
    assert hook.register(manifest, unregistered.artefact, tags={}) == registered
    assert sorted(int(one.version) for one in client.search_model_versions("name = 'bike_demand'")) == [1, 3]
    assert [one.info.run_id for one in client.search_runs([registered.experiment_id])] == [registered.run_id]
    assert [one.model_id for one in client.search_logged_models([registered.experiment_id])] == [registered.model_id]


@pytest.mark.slow
@pytest.mark.parametrize(("code", "tries"), [("TEMPORARILY_UNAVAILABLE", 3), ("INVALID_STATE", 1)])
def test_what_can_pass_is_tried_again_and_nothing_else(hook, monkeypatch, code, tries):
    from mlflow.exceptions import MlflowException

    asked = []

    def refuse(*_: Any) -> None:
        asked.append(1)
        raise MlflowException("no", error_code=getattr(databricks_pb2, code))

    from mlflow.protos import databricks_pb2

    monkeypatch.setattr(hook.client, "get_model_version_by_alias", refuse)
    with pytest.raises(RemoteUnavailable if tries > 1 else RemoteRejected, match=code):
        hook.alias("bike_demand", "champion")
    assert len(asked) == tries


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (answered(503), RemoteUnavailable),
        (answered(429), RemoteUnavailable),
        (answered(403), RemoteRejected),
        (shutil.Error([("a", "b", "[Errno 28] No space left on device")]), RemoteUnavailable),
        (PermissionError(13, "Permission denied"), RemoteRejected),
    ],
)
def test_a_full_disk_and_a_busy_server_may_pass_and_a_refusal_does_not(error, kind):
    with pytest.raises(kind, match=r"^expected MLflow to answer, got \w+: "), translated("expected MLflow to answer"):
        raise error


def test_no_error_in_the_chain_tells_a_password():
    failed = OSError("it failed")
    failed.__cause__ = ConnectionError(f"no answer of http://me:{SECRET}@127.0.0.1:9")
    with pytest.raises(RemoteUnavailable) as caught, translated("expected MLflow to answer"):
        raise failed
    assert SECRET not in "".join(traceback.format_exception(caught.value))


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
def test_an_alias_is_moved_and_read(hook, registered):
    assert hook.alias("bike_demand", "champion") is None
    assert hook.alias("no-such-model", "champion") is None
    hook.set_alias("bike_demand", "champion", "1")
    assert hook.alias("bike_demand", "champion") == "1"
    with pytest.raises(RemoteError, match="set the alias champion"):
        hook.set_alias("bike_demand", "champion", "99")
    assert hook.alias("bike_demand", "champion") == "1"


@pytest.mark.slow
def test_a_deleted_experiment_is_named_with_its_remedy(hook, unregistered):
    hook.client.delete_experiment(hook.client.create_experiment("bike_demand"))
    with pytest.raises(RemoteError, match="mlflow experiments restore"):
        hook.register(unregistered.manifest, unregistered.artefact, tags={})


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


def test_the_address_of_the_process_is_left_as_it_was(monkeypatch):
    import mlflow

    # Whatever another test has set goes before the environment.
    mlflow.set_tracking_uri(None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:7")
    with connect(monkeypatch, host="http://127.0.0.1:9")._translated("do it"):
        assert mlflow.get_tracking_uri() == "http://127.0.0.1:9"
    assert mlflow.get_tracking_uri() == os.environ["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:7"
    mlflow.set_tracking_uri(None)
