"""What a budget of false alarms a year is on one night."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np

from airflow_mlops.calibrate.combination import single_of
from airflow_mlops.errors import ConfigError

__all__ = ["Budget", "nightly_probability"]

_NIGHTS_A_YEAR = 365.0
# A watch is a question, not an alarm: it may be asked in vain this many times as often.
_WATCHES_A_DRIFT = 5.0
_MOST = 0.5


@dataclass(frozen=True)
class Budget:
    """Shares of nights that may be called watch (drift among them) and drift when nothing happened.

    By default one night in a hundred, and one in five hundred.
    """

    watch: float = 0.01
    drift: float = 0.002

    def __post_init__(self) -> None:
        if not 0 < self.drift <= self.watch <= _MOST:
            raise ConfigError(
                f"expected shares of nights with 0 < drift <= watch <= {_MOST}, got {self.drift} and {self.watch}. "
                "State a budget such as 4 false alarms a year."
            )

    @classmethod
    def of(cls, false_alarms_per_year: float, *, nights_per_year: float = _NIGHTS_A_YEAR) -> Self:
        """Of a number of nights a year that may be called drift in vain; five times as many may be called watch.

        Examples
        --------
        >>> Budget.of(3.65)
        Budget(watch=0.05, drift=0.01)
        """
        if not 0 < false_alarms_per_year <= _MOST * nights_per_year:
            raise ConfigError(
                f"expected a budget of false alarms a year above 0 and of at most half of {nights_per_year:g} nights, "
                f"got {false_alarms_per_year}. Set false_alarms_per_year to a number such as 4."
            )
        drift = false_alarms_per_year / nights_per_year
        return cls(watch=min(_WATCHES_A_DRIFT * drift, _MOST), drift=drift)


def nightly_probability(alarms_per_year: float, *, series: int) -> float:
    """Tail probability for one series on one night, when ``series`` of them share a budget (Sidak 1967).

    Parameters
    ----------
    alarms_per_year : float
        Nights a year on which an alarm may be false; more than there are nights are all of them.
    series : int
        Series that are looked at each night.

    Returns
    -------
    float
        In (0, 1).

    Raises
    ------
    ConfigError
        If the budget is not positive or there is no series.

    Examples
    --------
    >>> round(nightly_probability(4, series=11), 5)
    0.001
    """
    if not alarms_per_year > 0 or series < 1:
        raise ConfigError(
            f"expected a positive budget of false alarms a year and at least one series, got {alarms_per_year} "
            f"and {series}. Set false_alarms_per_year to a number such as 4."
        )
    any_series = min(alarms_per_year / _NIGHTS_A_YEAR, 0.99)
    return float(single_of(np.array(any_series), series))
