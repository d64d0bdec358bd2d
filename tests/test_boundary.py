from __future__ import annotations

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException
from jinja2 import Environment

from airflow_mlops import errors
from airflow_mlops.boundary import NIGHT, airflow_errors

OURS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.MLOpsError)]


@pytest.mark.parametrize("kind", OURS)
def test_an_error_of_ours_is_retried_only_where_that_can_help(kind):
    @airflow_errors
    def fails() -> None:
        raise kind("expected this, got that")

    with pytest.raises(AirflowException, match=rf"^{kind.__name__}: expected this, got that$") as caught:
        fails()
    assert isinstance(caught.value, AirflowFailException) is not kind.retryable
    assert isinstance(caught.value.__cause__, kind)


@pytest.mark.parametrize("kind", [ValueError, AirflowSkipException, KeyboardInterrupt])
def test_any_other_passes_as_it_is(kind):
    @airflow_errors
    def fails() -> None:
        raise kind("as it is")

    with pytest.raises(kind, match="as it is"):
        fails()


@pytest.mark.parametrize(
    ("context", "night"),
    [
        ({"partition_key": "2011-03-05", "ds": "2011-03-06"}, "2011-03-05"),
        ({"partition_key": None, "ds": "2011-03-06"}, "2011-03-06"),
        ({"partition_key": None, "ds": None}, ""),
        ({}, ""),
    ],
)
def test_the_night_of_a_run(context, night):
    assert Environment(autoescape=True).from_string(NIGHT).render(context) == night
