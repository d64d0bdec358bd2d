"""What must hold whatever the data are: change one feature, and look what the prediction does."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import stats

from airflow_mlops.errors import DataError
from airflow_mlops.project.gate_spec import BehaviourSpec
from airflow_mlops.records import Decision, RuleResult

__all__ = ["ROW", "behaviour_fault", "behaviour_result", "changed_table"]

Floats = npt.NDArray[np.float64]

# In a changed file: number of the row in the night's own file.
ROW = "__row__"
_ALPHA = 0.05


def changed_table(table: pa.Table, spec: BehaviourSpec, *, first_row: int = 0) -> pa.Table:
    """Change the feature in every row that a statement is about.

    Left out are rows whose feature is missing, stays what it was, or falls outside ``spec.within``: of them nothing is
    said.

    Parameters
    ----------
    table : pyarrow.Table
        Shape (n_rows, n_columns).
    spec : BehaviourSpec
        What is changed.
    first_row : int
        Number of the table's first row in its file.

    Returns
    -------
    pyarrow.Table
        The feature as float64, and one more column with the number of the row, ``__row__``.

    Raises
    ------
    DataError
        If there is no such feature, or it holds no numbers.

    Examples
    --------
    >>> spec = BehaviourSpec(name="more rain, not more riders", feature="rain", add=2.0, within=(0, 10),
    ...                      expect="not_more")
    >>> changed_table(pa.table({"rain": [0, 9, 3], "cnt": [5, 6, 7]}), spec).to_pydict()
    {'rain': [2.0, 5.0], 'cnt': [5, 7], '__row__': [0, 2]}
    """
    at = table.schema.get_field_index(spec.feature)
    if at < 0:
        raise DataError(
            f"behaviour {spec.name!r}: expected the feature {spec.feature!r} in the golden set, it has "
            f"{', '.join(table.column_names)}. Name one of them under [[gate.behaviour]] in model.toml."
        )
    try:
        values = table.column(at).cast(pa.float64(), safe=False).to_numpy()
    except pa.ArrowException as error:
        raise DataError(
            f"behaviour {spec.name!r}: expected numbers in {spec.feature!r}, got {table.column(at).type}. "
            "Name a feature that holds numbers under [[gate.behaviour]] in model.toml."
        ) from error
    changed = _changed(values, spec)
    kept = np.isfinite(values) & np.isfinite(changed) & (changed != values)
    if spec.within is not None:
        low, high = spec.within
        kept &= (changed >= low) & (changed <= high)
    rows = np.arange(first_row, first_row + table.num_rows, dtype=np.int64)
    return (
        table.set_column(at, spec.feature, pa.array(changed, pa.float64()))
        .append_column(ROW, pa.array(rows))
        .filter(pa.array(kept))
    )


def behaviour_result(spec: BehaviourSpec, before: Floats, after: Floats) -> RuleResult:
    """Judge what the prediction did when the feature changed.

    Parameters
    ----------
    spec : BehaviourSpec
        What it may do.
    before, after : numpy.ndarray of float, shape (n_rows,) or (n_rows, n_classes)
        Predictions of the same rows as they are, and changed.

    Returns
    -------
    RuleResult
        Named ``behaviour: <name>``. Its estimate is the share of rows that do otherwise, held against
        ``max_violations``; its one-sided 95 % bounds inform.

    References
    ----------
    Ribeiro, M. T. et al. (2020). Beyond Accuracy: Behavioral Testing of NLP Models with CheckList. ACL, 4902-4912.
    Clopper, C. J., Pearson, E. S. (1934). The use of confidence or fiducial limits. Biometrika 26(4), 404-413.

    Examples
    --------
    >>> spec = BehaviourSpec(name="rain keeps riders away", feature="rain", add=2.0, expect="not_more")
    >>> print(behaviour_result(spec, np.array([5.0, 6.0, 7.0]), np.array([4.0, 6.5, 6.0])).reason)
    behaviour 'rain keeps riders away': 1 of 3 rows (33.3 %) do otherwise, worst by 0.5, at most 5 % accepted: reject
    """
    before, after = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    if before.shape != after.shape:
        why = f"expected predictions of the shape {before.shape}, those of the changed rows have {after.shape}"
        return _result(spec, Decision.REJECT, why)
    rows = len(before)
    if not rows:
        return _result(spec, Decision.HOLD, f"there is no golden row in which {spec.feature} can be changed so")
    if broken := int(np.count_nonzero(~(np.isfinite(before) & np.isfinite(after)))):
        return _result(spec, Decision.REJECT, f"{broken} predictions of {rows} rows are no finite number", rows=rows)
    if before.ndim > 1 and spec.expect != "same":
        why = f"{spec.expect} says nothing of {before.shape[1]} classes; only expect = 'same' does"
        return _result(spec, Decision.HOLD, why, rows=rows)
    otherwise = {"same": np.abs(after - before), "not_more": after - before, "not_less": before - after}[spec.expect]
    if otherwise.ndim > 1:
        otherwise = otherwise.max(axis=1)
    violations = int(np.count_nonzero(otherwise > spec.tolerance))
    share, accepted = violations / rows, violations / rows <= spec.max_violations
    worst = f", worst by {otherwise.max():.4g}" if violations else ""
    return _result(
        spec,
        Decision.PROMOTE if accepted else Decision.REJECT,
        f"{violations} of {rows} rows ({100 * share:.1f} %) do otherwise{worst}, "
        f"at most {100 * spec.max_violations:g} % accepted",
        rows=rows,
        violations=violations,
    )


def _changed(values: Floats, spec: BehaviourSpec) -> Floats:
    if spec.add is not None:
        return values + spec.add
    if spec.multiply is not None:
        return values * spec.multiply
    return np.full_like(values, spec.set)


def behaviour_fault(spec: BehaviourSpec, why: str, *, rows: int = 0) -> RuleResult:
    """Reject what could not be predicted; ``why`` is a clause of plain language."""
    return _result(spec, Decision.REJECT, why, rows=rows)


def _result(
    spec: BehaviourSpec, decision: Decision, why: str, *, rows: int = 0, violations: int | None = None
) -> RuleResult:
    share = low = high = float("nan")
    if violations is not None:
        share = violations / rows
        low = float(stats.beta.ppf(_ALPHA, violations, rows - violations + 1)) if violations else 0.0
        high = float(stats.beta.ppf(1 - _ALPHA, violations + 1, rows - violations)) if violations < rows else 1.0
    return RuleResult(
        rule=f"behaviour: {spec.name}",
        on="golden",
        decision=decision,
        required=spec.required,
        rows=rows,
        units=rows,
        method="Clopper-Pearson",
        scale="value",
        challenger=share,
        champion=None,
        estimate=share,
        low=low,
        high=high,
        bound=spec.max_violations,
        reason=f"behaviour {spec.name!r}: {why}: {decision}",
    )
