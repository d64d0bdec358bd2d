"""What a night must hold: ``[quality]`` of ``model.toml``, and each table of a ``tables.yml``."""

from __future__ import annotations

import datetime as dt
import difflib
from typing import Annotated

from pydantic import Field, field_validator

from airflow_mlops.project.section import Section
from airflow_mlops.records import Policy

__all__ = ["QualitySpec"]

# What a policy speaks of most: who asked, what every night must hold, monitors, and the contract's own kinds of check.
_KNOWN_CHECKS = (
    *("default", "sound", "contract", "monitor"),
    *("readable", "rows", "columns", "target", "time"),
    *("freshness", "volume", "schema", "nulls", "distinct", "range", "uniqueness", "text", "relation", "distribution"),
    *("missing", "invalid", "duplicate", "row_count", "aggregate", "metric", "failed_rows"),
)
# Nearer than this, a name is a misspelt one and not that of a check which a contract names itself.
_MISSPELT = 0.8


class QualitySpec(Section):
    """What a night must hold to become training data, and what history teaches."""

    contract: str | None = Field(
        default="contract.yml", description="Soda contract or Great Expectations suite, relative to the project."
    )
    monitors: bool = Field(default=True, description="Also judge each night by the table's own past.")
    false_alarms_per_year: float = Field(
        default=4.0, gt=0, le=182, description="Nights a year that monitors may call bad when nothing happened."
    )
    policy: dict[str, Annotated[Policy, Field(strict=False)]] = Field(
        default={},
        description="block, quarantine or warn, by what did not pass: CHECK:COLUMN, CHECK, contract, monitor, default.",
    )
    sensitive: tuple[str, ...] = Field(
        default=(), strict=False, description="Columns whose values no sample of failing rows may show."
    )
    ignore: tuple[str, ...] = Field(default=(), strict=False, description="Columns that no monitor looks at.")
    expected: tuple[Annotated[dt.date, Field(strict=False)], ...] = Field(
        default=(), strict=False, description="Nights that will be unusual: monitors are silent, and learn nothing."
    )
    since: dt.date | None = Field(
        default=None, strict=False, description="First night that is checked; by default the first one there is."
    )

    @field_validator("policy")
    @classmethod
    def _names_are_spelt_right(cls, policy: dict[str, Policy]) -> dict[str, Policy]:
        # A contract may name its checks as it likes, so that only a near miss can be told.
        for key in policy:
            check = key.partition(":")[0]
            near = difflib.get_close_matches(check, _KNOWN_CHECKS, n=1, cutoff=_MISSPELT)
            if near and check not in _KNOWN_CHECKS:
                raise ValueError(f"names {key!r}; did you mean {near[0]!r}?")
        return policy
