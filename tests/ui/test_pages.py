"""x"""
import pytest
pytestmark = pytest.mark.filterwarnings("ignore:Using `httpx` with:starlette.exceptions.StarletteDeprecationWarning")
from airflow_mlops.records import Drift


def test_models(visit) -> None:
    client = visit()
    for a in ("/mlops/", "/mlops/models/bike_demand", "/mlops/dag/bike_demand_drift", "/mlops/nothing"):
        r = client.get(a)
        print(a, r.status_code, len(r.text), r.headers)
        assert r.status_code < 500, r.text
