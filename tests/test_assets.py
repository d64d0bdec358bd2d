from __future__ import annotations

from airflow_mlops.assets import assets_of


def test_each_model_has_assets_of_its_own():
    one, two = assets_of("demand"), assets_of("supply")
    assert [asset.name for asset in one] == ["demand/data", "demand/drift", "demand/model"]
    assert len({asset.uri for asset in (*one, *two)}) == 6
