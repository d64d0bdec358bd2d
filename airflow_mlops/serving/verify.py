"""Proof by answers: a version is believed when it gives the predictions that the gate has judged."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from airflow_mlops.errors import ConfigError, RemoteUnavailable, require

if TYPE_CHECKING:
    import httpx

__all__ = ["Prediction", "Verification", "verify"]

Prediction = float | Sequence[float]
"""A number, or of more than two classes the probability of each."""

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
    expected: Sequence[Prediction],
    *,
    version: str,
    digest: str,
    tolerance: float,
) -> Verification:
    r"""Warm a server up, then compare its answers with known predictions.

    The difference of a number is :math:`|served - expected| / \max(|expected|, mean |expected|)`: relative, and yet not
    inflated by a prediction that happens to lie near zero.

    Parameters
    ----------
    url : str
        Address of the server.
    rows : sequence of mapping, shape (n_rows,)
        Feature to value.
    expected : sequence of float or of sequences of float, shape (n_rows,) or (n_rows, n_classes)
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
    judged = np.asarray(expected, dtype=np.float64)
    library = require("httpx", extra="bentoml")
    plain = [{name: float(value) for name, value in row.items()} for row in rows]
    # No proxy of the environment may answer in the server's place.
    with library.Client(base_url=url, timeout=_TIMEOUT_SECONDS, trust_env=False) as client:
        try:
            for _ in range(_WARM_UP_REQUESTS):
                _post(client, {"rows": plain[:_ROWS_PER_REQUEST]}, version=version, digest=digest)
            served = [
                _predictions(
                    client, plain[start : start + _ROWS_PER_REQUEST], judged.shape[1:], version=version, digest=digest
                )
                for start in range(0, len(plain), _ROWS_PER_REQUEST)
            ]
            _refuses_malformed(client, plain[0], version=version, digest=digest)
        except _Refuted as refuted:
            return Verification(False, len(rows), math.inf, str(refuted))
        except library.TransportError as error:
            raise RemoteUnavailable(
                f"expected an answer from {url} to verify version {version}, got {type(error).__name__}: {error}. "
                "See that the server runs (its log is below the target's home), then run the task again."
            ) from error
    return _compared(np.concatenate(served), judged, tolerance=tolerance)


def _compared(served: npt.NDArray[np.float64], judged: npt.NDArray[np.float64], *, tolerance: float) -> Verification:
    scale = np.maximum(np.abs(judged), np.mean(np.abs(judged)))
    # An expectation that is no number can be met by none.
    with np.errstate(invalid="ignore"):
        difference = np.abs(served - judged) / np.where(scale > 0, scale, 1.0)
    difference = np.where(np.isfinite(difference), difference, np.inf)
    worst = np.unravel_index(np.argmax(difference), difference.shape)
    largest = float(difference[worst])
    place = f"row {worst[0]}" + (f", class {worst[1]}" if len(worst) > 1 else "")
    told = f"{place}: expected {judged[worst]:.6g}, got {served[worst]:.6g}, a relative difference of {largest:.3g}"
    passed = largest <= tolerance
    verdict = f"{len(judged)} rows agree within {tolerance:g}" if passed else f"more than {tolerance:g} apart"
    return Verification(passed, len(judged), largest, f"{verdict}; {told}")


def _predictions(
    client: httpx.Client, rows: Sequence[Mapping[str, float]], width: tuple[int, ...], *, version: str, digest: str
) -> npt.NDArray[np.float64]:
    """Predictions of some rows, each of the shape ``width``."""
    answer = _post(client, {"rows": rows}, version=version, digest=digest)
    if answer.status_code != HTTPStatus.OK:
        raise _Refuted(f"expected HTTP 200 for golden rows, got {answer.status_code}: {answer.text[:200]}")
    try:
        predictions = answer.json()["predictions"]
    except (ValueError, KeyError, TypeError):
        raise _Refuted(f"expected predictions in the answer, got {answer.text[:200]!r}") from None
    if not isinstance(predictions, list) or len(predictions) != len(rows):
        raise _Refuted(f"expected {len(rows)} predictions, got {str(predictions)[:200]}")
    for prediction in predictions:
        numbers = prediction if width and isinstance(prediction, list) else [prediction]
        if (width and len(numbers) != width[0]) or not all(_is_number(value) for value in numbers):
            wanted = f"{width[0]} numbers for each row" if width else "a number for each row"
            raise _Refuted(f"expected {wanted} as predictions, got {str(prediction)[:200]}")
    return np.array(predictions, dtype=np.float64)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


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
