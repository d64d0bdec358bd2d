import numpy as np
import pytest

from airflow_mlops.drift.performance import loss_model
from airflow_mlops.drift.performance.loss_model import fit_loss_model
from airflow_mlops.errors import DataError


def world(rows: int, rng: np.random.Generator, *, heat: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features, predictions and losses: errors grow with the first feature, and with a level of the second."""
    features = np.column_stack([rng.normal(heat, 1.0, rows), rng.integers(4, size=rows), rng.normal(size=rows)])
    spread = np.exp(0.4 * features[:, 0]) * np.where(features[:, 1] == 3, 2.0, 1.0)
    return features, features[:, 2], np.abs(rng.normal(size=rows) * spread)


def test_on_its_reference_it_is_right_on_average():
    features, said, losses = world(5_000, np.random.default_rng(0))
    model = fit_loss_model(features, said, losses)
    assert model.expected(features, said).mean() == pytest.approx(losses.mean(), rel=0.01)


@pytest.mark.parametrize("heat", [-0.5, 0.5, 1.0])
def test_it_follows_the_loss_where_features_move(heat):
    rng = np.random.default_rng(1)
    model = fit_loss_model(*world(20_000, rng))
    usual = world(20_000, rng)[2].mean()
    features, said, losses = world(20_000, rng, heat=heat)
    missed = model.expected(features, said).mean() - losses.mean()
    assert abs(missed) < 0.15 * abs(losses.mean() - usual)


def test_pure_noise_teaches_hardly_anything():
    rng = np.random.default_rng(2)
    features = rng.normal(size=(2_000, 10))
    model = fit_loss_model(features, rng.normal(size=2_000), rng.exponential(size=2_000))
    assert model.expected(rng.normal(size=(2_000, 10)), rng.normal(size=2_000)).std() < 0.1


def test_missing_values_have_an_effect_of_their_own():
    rng = np.random.default_rng(3)
    features = rng.normal(size=(4_000, 1))
    features[::4] = np.nan
    losses = np.where(np.isnan(features[:, 0]), 3.0, 1.0) + rng.normal(size=4_000) * 0.1
    model = fit_loss_model(features, np.zeros(4_000), losses)
    expected = model.expected(np.array([[np.nan], [0.0], [1e9]]), np.zeros(3))
    assert expected == pytest.approx([3.0, 1.0, 1.0], abs=0.1)


def test_nothing_missing_on_the_reference_and_tonight_something_is():
    features, said, losses = world(1_000, np.random.default_rng(4))
    model = fit_loss_model(features, said, losses)
    assert np.isfinite(model.expected(np.full((1, 3), np.nan), said[:1])).all()


def test_the_choice_does_not_hang_on_the_unit():
    features, said, losses = world(3_000, np.random.default_rng(5))
    grams = fit_loss_model(features, said, 1000 * losses).expected(features, said)
    assert grams == pytest.approx(1000 * fit_loss_model(features, said, losses).expected(features, said))


def test_too_few_rows():
    with pytest.raises(DataError, match="at least 256 labelled rows to learn a loss from, got 20"):
        fit_loss_model(None, np.zeros(20), np.zeros(20))


def test_the_penalty_has_the_least_error_of_generalised_cross_validation():
    rng = np.random.default_rng(6)
    design, losses = rng.normal(size=(60, 8)), rng.normal(size=60)
    values, vectors = np.linalg.eigh(design.T @ design)
    errors = []
    for penalty in loss_model._PENALTIES:
        hat = design @ np.linalg.solve(design.T @ design + penalty * np.eye(8), design.T)
        errors.append(np.square(losses - hat @ losses).sum() / (60 - 1 - np.trace(hat)) ** 2)
    chosen = loss_model._penalty(values, vectors.T @ design.T @ losses, float(losses @ losses), 60)
    assert chosen == pytest.approx(loss_model._PENALTIES[np.argmin(errors)])
