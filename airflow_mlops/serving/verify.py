"""Proof by answers: a version is believed when it gives the predictions that the gate has judged."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from airflow_mlops.errors import ConfigError, RemoteUnavailable, require

if TYPE_CHECKING:
    import httpx

__all__ = ["Verification", "verify"]

_ROWS_PER_REQUEST = 500
_WARM_UP_REQUESTS = 3
_TIMEOUT_SECONDS = 30.0


class Verification(NamedTuple):
    """What the answers proved.

    ``largest_difference`` is relative (see ``verify``); infinite where not every row got an answer to compare.
    """

    passed: bool
    rows: int
    largest_difference: float
    reason: str


class _Refuted(Exception):
    """An answer that the version cannot be believed after."""


def verify(
    url: str,
    rows: Sequence[Mapping[str, float]],
    expected: Sequence[float],
    *,
    version: str,
    digest: str,
    tolerance: float,
) -> Verification:
    r"""Warm a server up, then compare its answers with known predictions.

    The difference of a row is :math:`|served - expected| / \max(|expected|, mean |expected|)`: relative, and yet not
    inflated by a prediction that happens to lie near zero.

    Parameters
    ----------
    url : str
        Address of the server.
    rows : sequence of mapping, shape (n_rows,)
        Feature to value.
    expected : sequence of float, shape (n_rows,)
        The gate's own predictions for these rows.
    version, digest : str
        What every answer must state in ``x-model-version`` and ``x-model-digest``.
    tolerance : float
        Largest difference that passes.

    Returns
    -------
    Verification
        Also where it failed: that is a result, not an error.

    Raises
    ------
    ConfigError
        If there are no rows, or not as many as expectations.
    RemoteUnavailable
        If the server does not answer at all.
    """
    if not rows or len(rows) != len(expected):
        raise ConfigError(
            f"expected golden rows and as many predictions for them, got {len(rows)} rows and {len(expected)} "
            "predictions. Freeze the golden set and run the gate again."
        )
    library = require("httpx", extra="bentoml")
    plain = [{name: float(value) for name, value in row.items()} for row in rows]
    # No proxy of the environment may answer in the server's place.
    with library.Client(base_url=url, timeout=_TIMEOUT_SECONDS, trust_env=False) as client:
        try:
            for _ in range(_WARM_UP_REQUESTS):
                _post(client, {"rows": plain[:_ROWS_PER_REQUEST]}, version=version, digest=digest)
            served = [
                prediction
                for start in range(0, len(plain), _ROWS_PER_REQUEST)
                for prediction in _predictions(
                    client, plain[start : start + _ROWS_PER_REQUEST], version=version, digest=digest
                )
            ]
            _refuses_malformed(client, plain[0], version=version, digest=digest)
        except _Refuted as refuted:
            return Verification(False, len(rows), math.inf, str(refuted))
        except library.TransportError as error:
            raise RemoteUnavailable(
                f"expected an answer from {url} to verify version {version}, got {type(error).__name__}: {error}. "
                "See that the server runs (its log is below the target's home), then run the task again."
            ) from error
    return _compared(served, expected, tolerance=tolerance)


def _compared(served: Sequence[float], expected: Sequence[float], *, tolerance: float) -> Verification:
    judged = np.asarray(expected, dtype=np.float64)
    scale = np.maximum(np.abs(judged), np.mean(np.abs(judged)))
    # An expectation that is no number can be met by none.
    with np.errstate(invalid="ignore"):
        difference = np.abs(np.asarray(served, dtype=np.float64) - judged) / np.where(scale > 0, scale, 1.0)
    difference = np.where(np.isfinite(difference), difference, np.inf)
    worst = int(np.argmax(difference))
    largest = float(difference[worst])
    told = f"row {worst}: expected {judged[worst]:.6g}, got {served[worst]:.6g}, a relative difference of {largest:.3g}"
    passed = largest <= tolerance
    verdict = f"{len(judged)} rows agree within {tolerance:g}" if passed else f"more than {tolerance:g} apart"
    return Verification(passed, len(judged), largest, f"{verdict}; {told}")


def _predictions(
    client: httpx.Client, rows: Sequence[Mapping[str, float]], *, version: str, digest: str
) -> list[float]:
    answer = _post(client, {"rows": rows}, version=version, digest=digest)
    if answer.status_code != HTTPStatus.OK:
        raise _Refuted(f"expected HTTP 200 for golden rows, got {answer.status_code}: {answer.text[:200]}")
    try:
        predictions = answer.json()["predictions"]
    except (ValueError, KeyError, TypeError):
        raise _Refuted(f"expected predictions in the answer, got {answer.text[:200]!r}") from None
    if not isinstance(predictions, list) or len(predictions) != len(rows):
        raise _Refuted(f"expected {len(rows)} predictions, got {str(predictions)[:200]}")
    if wrong := [value for value in predictions if isinstance(value, bool) or not isinstance(value, int | float)]:
        raise _Refuted(f"expected numbers as predictions, got {wrong[0]!r}")
    return [float(value) for value in predictions]


def _refuses_malformed(client: httpx.Client, row: Mapping[str, float], *, version: str, digest: str) -> None:
    for fault, body in _malformed(row):
        answer = _post(client, body, version=version, digest=digest)
        if answer.status_code != HTTPStatus.BAD_REQUEST:
            raise _Refuted(f"expected HTTP 400 for a row with {fault}, got {answer.status_code}")


def _post(client: httpx.Client, body: Mapping[str, Any], *, version: str, digest: str) -> httpx.Response:
    # Not httpx's own encoder: it refuses the NaN that a server has to be asked with.
    answer = client.post("/predict", content=json.dumps(body), headers={"content-type": "application/json"})
    for header, wanted in (("x-model-version", version), ("x-model-digest", digest)):
        stated = answer.headers.get(header)
        if stated != wanted:
            raise _Refuted(f"expected {header}: {wanted} in every answer, got {stated} (HTTP {answer.status_code})")
    return answer


def _malformed(row: Mapping[str, float]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    feature = next(iter(row))
    yield "a feature missing", {"rows": [{name: value for name, value in row.items() if name != feature}]}
    yield "a text for a number", {"rows": [{**row, feature: "text"}]}
    yield "NaN for a number", {"rows": [{**row, feature: math.nan}]}
    yield "an unknown feature", {"rows": [{**row, "no such feature": 0.0}]}
