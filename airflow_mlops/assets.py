"""The assets by which the four DAGs of a model wake each other."""

from __future__ import annotations

from typing import NamedTuple

from airflow.sdk import Asset

__all__ = ["ModelAssets", "assets_of", "is_of_loop"]

_SCHEME = "mlops://"


class ModelAssets(NamedTuple):
    """``data``: a night passed its contract. ``drift``: a retraining is due. ``champion``: a model was promoted."""

    data: Asset
    drift: Asset
    champion: Asset


def assets_of(model: str) -> ModelAssets:
    """Assets of a model.

    Examples
    --------
    >>> assets_of("bike_demand").drift.name
    'bike_demand/drift'
    """
    return ModelAssets(
        *(Asset(name=f"{model}/{what}", uri=f"{_SCHEME}{model}/{what}") for what in ("data", "drift", "model"))
    )


def is_of_loop(asset: Asset) -> bool:
    """Whether an asset is one that ties the DAGs of a loop, whose events carry a night as partition."""
    return str(asset.uri).startswith(_SCHEME)
