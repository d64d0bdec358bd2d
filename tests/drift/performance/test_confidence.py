import numpy as np
import pytest
from sklearn import metrics

from airflow_mlops.drift.performance.confidence import expected_performance, recalibrate
from airflow_mlops.drift.performance.rows import Predicted
from airflow_mlops.errors import ConfigError

SKLEARN = {
    "accuracy": lambda truth, one: metrics.accuracy_score(truth, one.values),
    "f1": lambda truth, one: metrics.f1_score(truth, one.values, average=None)[1],
    "auc": lambda truth, one: metrics.roc_auc_score(truth, one.probabilities[:, 1]),
    "log_loss": lambda truth, one: metrics.log_loss(truth, one.probabilities),
    "brier": lambda truth, one: metrics.brier_score_loss(truth, one.probabilities[:, 1]),
}


def binary(rows: int, rng: np.random.Generator) -> tuple[Predicted, np.ndarray]:
    """Rows whose probabilities are true; of few values, so that there are ties."""
    positive = rng.beta(1.5, 2.5, size=rows).round(2).clip(0.01, 0.99)
    predicted = Predicted((positive > 0.5).astype(float), np.stack([1 - positive, positive], axis=1))
    return predicted, (rng.random(rows) < positive).astype(float)


@pytest.mark.parametrize("metric", SKLEARN)
def test_with_certain_labels_it_is_the_realised_metric(metric):
    predicted, truth = binary(500, np.random.default_rng(0))
    value, error = expected_performance(metric, predicted, np.eye(2)[truth.astype(int)])
    assert value == pytest.approx(SKLEARN[metric](truth, predicted))
    assert error > 0


@pytest.mark.parametrize("metric", SKLEARN)
def test_true_probabilities_promise_what_labels_say_on_average(metric):
    rng = np.random.default_rng(1)
    predicted, _ = binary(4_000, rng)
    value, _ = expected_performance(metric, predicted, predicted.probabilities)
    positive = predicted.probabilities[:, 1]
    labels = [(rng.random(4_000) < positive).astype(float) for _ in range(40)]
    said = [SKLEARN[metric](truth, predicted) for truth in labels]
    assert abs(value - np.mean(said)) < 4 * np.std(said) / 40**0.5


@pytest.mark.parametrize("metric", SKLEARN)
def test_the_error_is_how_far_estimates_scatter_with_the_rows(metric):
    rng = np.random.default_rng(2)
    found = [expected_performance(metric, one, one.probabilities) for one, _ in (binary(400, rng) for _ in range(300))]
    values, errors = np.array(found).T
    assert errors.mean() == pytest.approx(values.std(), rel=0.2)


def test_several_classes():
    rng = np.random.default_rng(3)
    said = rng.dirichlet(np.ones(4), size=600)
    predicted = Predicted(said.argmax(axis=1).astype(float), said)
    truth = rng.integers(4, size=600)
    certain = np.eye(4)[truth]
    assert expected_performance("f1", predicted, certain)[0] == pytest.approx(
        metrics.f1_score(truth, predicted.values, average="macro")
    )
    with pytest.raises(ConfigError, match="a metric of 4 classes, got auc"):
        expected_performance("auc", predicted, certain)


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_recalibration_makes_probabilities_true(power):
    rng = np.random.default_rng(4)
    said = rng.uniform(size=40_000)
    truth = (rng.random(said.size) < said**power).astype(float)
    learned = recalibrate(np.stack([1 - said, said], axis=1), truth)
    new = np.linspace(0.05, 0.95, 19)
    chances = learned(np.stack([1 - new, new], axis=1))
    assert np.abs(chances[:, 1] - new**power).max() < 0.05
    assert chances.sum(axis=1) == pytest.approx(1.0)
    assert (np.diff(chances[:, 1]) >= 0).all()


def test_recalibrated_chances_are_never_certain():
    said = np.linspace(0.0, 1.0, 50)
    learned = recalibrate(np.stack([1 - said, said], axis=1), (said > 0.5).astype(float))
    chances = learned(np.array([[1.0, 0.0], [0.0, 1.0]]))
    assert (chances > 0).all()
    assert np.isfinite(np.log(chances)).all()


def test_recalibration_of_several_classes_undoes_sharpening():
    rng = np.random.default_rng(5)
    true = rng.dirichlet(np.ones(3), size=30_000)
    sharp = true**2 / (true**2).sum(axis=1, keepdims=True)
    truth = (rng.random((len(true), 1)) > true.cumsum(axis=1)).sum(axis=1).clip(max=2).astype(float)
    chances = recalibrate(sharp, truth)(sharp)
    assert chances.sum(axis=1) == pytest.approx(1.0)
    assert np.abs(chances - true).mean() < 0.6 * np.abs(sharp - true).mean()


def test_a_class_that_never_came_is_no_division_by_nothing():
    said = np.full((40, 3), 1 / 3)
    chances = recalibrate(said, np.zeros(40))(said)
    assert np.isfinite(chances).all()


def test_no_row_is_compared_with_itself():
    said = np.array([[0.2, 0.8], [0.6, 0.4]])
    value, _ = expected_performance("auc", Predicted(np.array([1.0, 0.0]), said), said)
    assert value == pytest.approx(0.8 * 0.6 / (0.8 * 0.6 + 0.4 * 0.2))
