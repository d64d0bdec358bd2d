"""A model with more than two classes, from its export to its answers."""

import socket

import httpx
import pytest
import torch

from airflow_mlops.serving.build import build_bento
from airflow_mlops.serving.local import LocalTarget
from airflow_mlops.serving.verify import verify
from airflow_mlops.training.artefact import export_model

DIGEST = "sha256:" + "cd" * 32


@pytest.mark.slow
def test_probabilities_are_served_as_they_were_judged(tmp_path):
    torch.manual_seed(1)
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Softmax(1))
    features = torch.rand(600, 2)
    artefact = tmp_path / "artefact"
    artefact.mkdir()
    loaded = export_model(model, features, ["hr", "temp"], "kind", artefact, task="multiclass")
    rows = [{"hr": hr, "temp": temp} for hr, temp in features.tolist()]
    judged = loaded.predict(features).tolist()
    archive = tmp_path / "kinds.bento"
    tag = build_bento(
        artefact,
        model="kinds",
        artefact_digest=DIGEST,
        labels={},
        bentoml_home=tmp_path / "bentoml",
        archive=archive,
        on_line=print,
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    target = LocalTarget(tmp_path / "home", "kinds", port)
    try:
        staged = target.stage(archive, tag)
        proof = {"version": staged.version, "digest": DIGEST, "tolerance": 1e-5}
        result = verify(staged.url, rows, judged, **proof)
        assert result.passed, result.reason
        answer = httpx.post(f"{staged.url}/predict", json={"rows": rows[:2]}).json()["predictions"]
        assert [len(row) for row in answer] == [3, 3]

        # Two classes swapped in one row, and a model that would answer with one number.
        judged[7] = [judged[7][1], judged[7][0], judged[7][2]]
        assert "row 7, class" in verify(staged.url, rows, judged, **proof).reason
        alone = verify(staged.url, rows, [row[0] for row in judged], **proof)
        assert not alone.passed
        assert "a number for each row" in alone.reason
    finally:
        target.stop_all()
