from __future__ import annotations

import numpy as np
import pytest

from airflow_mlops.gate.statistics.multiplicity import holm

multitest = pytest.importorskip("statsmodels.stats.multitest")


@pytest.mark.parametrize("n_tests", [1, 2, 7, 40])
def test_holm_agrees_with_statsmodels(n_tests: int) -> None:
    rng = np.random.default_rng(n_tests)
    for _ in range(3):
        # Squared: some small ones. Rounded: some ties.
        p_values = np.round(rng.random(n_tests) ** 3, 3)
        np.testing.assert_allclose(holm(p_values), multitest.multipletests(p_values, method="holm")[1], rtol=1e-12)
