"""When a demo went well, and what it says when it did not."""

from __future__ import annotations

import datetime as dt

import pytest
from demonstration.timeline import Night, Split, faults_of

NIGHT = dt.date(2011, 3, 20)


@pytest.mark.parametrize(
    ("line", "champion", "served", "fault"),
    [
        (Night(NIGHT, quality="passed", drift="stable"), "ab12", "ab12", None),
        # A night that the data itself spoiled is what the loop is for.
        (Night(NIGHT, quality="quarantined"), "ab12", "ab12", None),
        (Night(NIGHT, corrupted="unit", quality="quarantined"), "ab12", "ab12", None),
        (Night(NIGHT, quality="passed", split=Split(40.0, 60.0, {})), "ab12", "ab12", None),
        (Night(NIGHT, corrupted="unit", quality="passed"), "ab12", "ab12", "corrupted on purpose (unit)"),
        (Night(NIGHT), "ab12", "ab12", "expected a quality record"),
        (Night(NIGHT, quality="passed", split=Split(40.0, 61.0, {})), "ab12", "ab12", "it took 61 s"),
        (Night(NIGHT, quality="passed", faults=["the run failed"]), "ab12", "ab12", "2011-03-20: the run failed"),
        (Night(NIGHT, quality="passed"), None, None, "no model was promoted"),
        (Night(NIGHT, quality="passed"), "ab12", None, "expected the champion ab12 to be served, nothing is"),
        (Night(NIGHT, quality="passed"), "ab12", "cd34", "expected the champion ab12 to be served, cd34 is"),
    ],
)
def test_faults(line: Night, champion: str | None, served: str | None, fault: str | None) -> None:
    faults = faults_of([line], champion=champion, served=served)
    assert len(faults) == (fault is not None)
    assert all(str(fault) in found for found in faults)
