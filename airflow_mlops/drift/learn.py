"""How far windows of the champion's own past nights lie from the rest of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from airflow_mlops.calibrate import nightly_probability, upper_limits
from airflow_mlops.drift.distance import column_distance, design_effect, sampling_distance, scale_of
from airflow_mlops.profile import Profile, merge
from airflow_mlops.records import DriftLimit

__all__ = ["LEAST_WINDOWS", "learn_limits"]

# Four windows leave three degrees of freedom: with fewer, Student's t makes limits that nothing ever reaches.
LEAST_WINDOWS = 4
# A watch is a question, not an alarm: it may be asked in vain this many times as often.
_WATCHES_A_DRIFT = 5


def learn_limits(
    nights: Sequence[Profile], *, window_nights: int, false_alarms_per_year: float
) -> dict[str, DriftLimit]:
    """Limits of each feature's distance, within the budget of all of them together.

    Each block of ``window_nights`` nights in a row is held against the nights outside of it. The blocks overlap; they
    are worth as many windows as fit side by side.

    Parameters
    ----------
    nights : sequence of Profile
        Past nights in order, one profile each, all with the same edges.
    window_nights : int
        Nights that are looked at together.
    false_alarms_per_year : float
        Nights a year that may be called drift when nothing happened; five times as many may be called watch.

    Returns
    -------
    dict of str to DriftLimit
        Empty if the nights are worth fewer than four windows, or hold nothing.
    """
    nights = [night for night in nights if night.rows]
    if not nights:
        return {}
    reference = merge(nights)
    columns = [name for name, column in reference.columns.items() if column.present]
    windows = len(nights) / window_nights
    if windows < LEAST_WINDOWS or not columns:
        return {}
    rows = reference.rows * window_nights / len(nights)
    effects = {
        name: design_effect([night.columns[name] for night in nights if name in night.columns]) for name in columns
    }

    def floors(tail_probability: float) -> NDArray[np.float64]:
        return np.array(
            [
                sampling_distance(
                    reference.columns[name], rows=rows, tail_probability=tail_probability, design_effect=effect
                )
                for name, effect in effects.items()
            ]
        )

    blocks = _blocks_left_out(nights, window_nights, reference.blank)
    past = np.array(
        [
            [column_distance(rest.columns[name], block.columns[name], scale=scale) for block, rest in blocks]
            for name, scale in ((name, scale_of(reference.columns[name])) for name in columns)
        ]
    )
    # Below what chance does every other night, a distance says nothing; its logarithm would say a lot.
    past = np.maximum(past, floors(0.5)[:, None])

    def limits(alarms_per_year: float) -> NDArray[np.float64]:
        tail = nightly_probability(alarms_per_year, series=len(columns))
        return np.maximum(upper_limits(past, effective_windows=windows, tail_probability=tail), floors(tail))

    watch, drift = limits(_WATCHES_A_DRIFT * false_alarms_per_year), limits(false_alarms_per_year)
    return {
        name: DriftLimit(median=median, watch=at_watch, drift=at_drift)
        for name, median, at_watch, at_drift in zip(
            columns, np.median(past, axis=1).tolist(), watch.tolist(), drift.tolist(), strict=True
        )
    }


def _blocks_left_out(nights: Sequence[Profile], window_nights: int, blank: Profile) -> list[tuple[Profile, Profile]]:
    """Each block of nights in a row, and the rest of them; ``blank`` stands in for columns that a block lacks."""

    def grow(whole: Profile, night: Profile) -> Profile:
        return merge([whole, night])

    before = list(accumulate(nights, grow, initial=blank))
    after = list(accumulate(reversed(nights), grow, initial=blank))[::-1]
    ends = range(window_nights, len(nights) + 1)
    return [
        (merge([blank, *nights[end - window_nights : end]]), merge([before[end - window_nights], after[end]]))
        for end in ends
    ]
