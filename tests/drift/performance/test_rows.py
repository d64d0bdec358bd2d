import datetime as dt

import numpy as np
import pytest
from sklearn import metrics

from airflow_mlops.drift.performance.rows import Labelled, NightLoss, Predicted, row_losses
from airflow_mlops.errors import ConfigError, DataError

NIGHT = dt.date(2026, 5, 1)


def drawn(rows: int = 400, classes: int = 3) -> tuple[Predicted, np.ndarray]:
    rng = np.random.default_rng(0)
    said = rng.dirichlet(np.ones(classes), size=rows)
    truth = np.array([rng.choice(classes, p=one) for one in said], dtype=float)
    return Predicted(said.argmax(axis=1).astype(float), said), truth


def test_losses_add_up_to_the_metrics_of_sklearn():
    predicted, truth = drawn()
    assert 1 - row_losses("accuracy", predicted, truth).mean() == pytest.approx(
        metrics.accuracy_score(truth, predicted.values)
    )
    assert row_losses("log_loss", predicted, truth).mean() == pytest.approx(
        metrics.log_loss(truth, predicted.probabilities)
    )
    assert 2 * row_losses("brier", predicted, truth).mean() == pytest.approx(
        metrics.brier_score_loss(truth, predicted.probabilities)
    )


def test_of_two_classes_brier_is_the_square_of_the_error():
    said = np.array([[0.2, 0.8], [0.7, 0.3]])
    assert row_losses("brier", Predicted(np.array([1.0, 0.0]), said), np.array([1.0, 1.0])) == pytest.approx(
        [0.04, 0.49]
    )


def test_errors_of_numbers():
    predicted = Predicted(np.array([1.0, 5.0]))
    assert row_losses("mae", predicted, np.array([3.0, 4.0])).tolist() == [2.0, 1.0]
    assert row_losses("rmse", predicted, np.array([3.0, 4.0])).tolist() == [4.0, 1.0]


@pytest.mark.parametrize("metric", ["f1", "auc"])
def test_what_is_no_mean_over_rows_is_refused(metric):
    predicted, truth = drawn()
    with pytest.raises(ConfigError, match=f"mean over rows, got {metric}"):
        row_losses(metric, predicted, truth)


def test_probabilities_that_are_not_there_are_asked_for():
    with pytest.raises(ConfigError, match="brier needs a probability"):
        row_losses("brier", Predicted(np.array([1.0])), np.array([1.0]))


def test_broken_predictions_are_no_input():
    with pytest.raises(DataError, match="finite predictions"):
        Predicted(np.array([1.0, np.nan]))
    with pytest.raises(DataError, match="got none"):
        Predicted(np.array([]))
    with pytest.raises(DataError, match="a line for each of 2"):
        Predicted(np.array([1.0, 2.0]), features=np.zeros((3, 1)))
    with pytest.raises(DataError, match="labels have not come"):
        Labelled(Predicted(np.array([1.0])), np.array([np.nan]), np.array([1]))
    with pytest.raises(DataError, match="a label and a night for each of 1"):
        Labelled(Predicted(np.array([1.0])), np.array([1.0, 2.0]), np.array([1]))


def test_the_error_of_a_night_is_that_of_a_mean():
    losses = np.random.default_rng(0).exponential(size=400)
    night = NightLoss.of(NIGHT, losses)
    assert night.error == pytest.approx(losses.std(ddof=1) / 20)
    assert night.rows == 400


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_night_without_scatter_still_has_an_error(value):
    assert NightLoss.of(NIGHT, np.full(100, value)).error > 0


def test_a_night_with_too_few_labels_is_waited_for():
    with pytest.raises(DataError, match="2026-05-01: expected at least 2 losses"):
        NightLoss.of(NIGHT, np.array([1.0]))
