from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest

from airflow_mlops.drift.beyond import beyond_all_seen
from airflow_mlops.profile import Profile, profile_table

EDGES = {"x": tuple(np.linspace(-2, 2, 9).tolist())}


def nights(means: Sequence[float], rows: int = 50) -> list[Profile]:
    """Rows within a twentieth of each mean."""
    rng = np.random.default_rng(0)
    return [profile_table(pa.table({"x": mean + rng.uniform(-0.05, 0.05, rows)}), EDGES) for mean in means]


USUAL = [0.0, 1.0, -1.0, 0.5, -0.5, 0.2, 0.3] * 2


@pytest.mark.parametrize(
    ("after", "since"),
    [
        ([4.0], 14),
        ([-4.0], 14),
        ([4.0, 4.1, 3.9], 14),
        ([0.4, 4.0], 15),
        ([3.3], 14),  # as far beyond what was seen as all that was seen lies apart
        ([3.0], None),
        ([4.0, 0.0], None),  # it came back
        ([4.0, 0.0, 10.0], 16),  # once before
        ([4.0, 0.0, 10.0, 0.0, 25.0], None),  # it does that
        ([4.0] * 8, None),  # old news
    ],
)
def test_what_was_never_seen_and_stays(after: list[float], since: int | None) -> None:
    *past, tonight = nights(USUAL + after)
    assert beyond_all_seen(past, tonight) == ({} if since is None else {"x": since})


def test_few_nights_say_nothing() -> None:
    *past, tonight = nights([*USUAL[:13], 9.0])
    assert beyond_all_seen(past, tonight) == {}


def test_what_counts_up_is_never_named() -> None:
    *past, tonight = nights(list(range(40)))
    assert beyond_all_seen(past, tonight) == {}


def test_nights_that_lack_the_column_are_passed_over() -> None:
    *past, tonight = nights([*USUAL, 4.0])
    empty = profile_table(pa.table({"x": pa.array([None] * 5, pa.float64())}), EDGES)
    assert beyond_all_seen([*past, empty], tonight) == {"x": 15}


@pytest.mark.slow
@pytest.mark.parametrize("alike", [0.0, 0.9])
def test_chance_names_next_to_nothing(alike: float) -> None:
    """Nights differ and their rows hardly at all; of 20 features fewer than four in a thousand nights begin so."""
    rng = np.random.default_rng(1)
    began = 0
    for draws in rng.normal(size=(150, 100)):
        means = [draws[0]]
        for step in draws[1:]:
            means.append(alike * means[-1] + np.sqrt(1 - alike**2) * step)
        drawn = nights(means, rows=2)
        began += sum(beyond_all_seen(drawn[:place], drawn[place]).get("x") == place for place in range(14, 100))
    assert began < 0.004 * 150 * 86 / 20
