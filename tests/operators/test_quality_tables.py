"""The check of a table that no model eats: named in a `tables.yml`, its nights told to DAGs, people and OpenLineage."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from airflow.providers.openlineage.extractors import OperatorLineage
from airflow.sdk import AssetAlias, BaseNotifier
from airflow.sdk.exceptions import AirflowFailException
from openlineage.client.serde import Serde
from stream import generated_hours, write_night

from airflow_mlops.operators.quality import CheckQualityOperator
from airflow_mlops.records import Alert, Notice, Quality, RecordRef

FIRST = dt.date(2025, 3, 1)
HOURS = generated_hours(FIRST, nights=12, seed=7)
TOLD: list[str] = []


class Notifier(BaseNotifier):
    """Keeps what it tells; ``broken`` tells nobody."""

    template_fields = ("text",)

    def __init__(self, text: str = "{{ headline }}", *, broken: bool = False) -> None:
        super().__init__()
        self.text = text
        self.broken = broken

    def notify(self, context: Any) -> None:
        if self.broken:
            raise ConnectionError("away")
        TOLD.append(self.text)


@pytest.fixture
def table(loop: Any) -> str:
    """A table of a ``tables.yml``, of which no night has come."""
    TOLD.clear()
    file = loop.home / "tables.yml"
    file.write_text("tables:\n  - {name: hours, path: 'hours/night={night}.parquet', time_column: dteday}\n")
    return f"{file}#hours"


def arrive(loop: Any, day: int, corrupt: str | None = None) -> dt.date:
    night = FIRST + dt.timedelta(days=day)
    write_night(HOURS, night, loop.home / "hours", corrupt)
    return night


def check(loop: Any, table: Any, night: dt.date, **arguments: Any) -> Any:
    return loop.run(CheckQualityOperator, project="", table=table, night=str(night), **arguments)


def bad(loop: Any, table: Any, night: dt.date, **arguments: Any) -> Quality:
    with pytest.raises(AirflowFailException, match="quarantined"):
        check(loop, table, night, **arguments)
    found: Quality = loop.context["task"].checked[0]
    return found


def test_a_table_as_file_and_name_and_as_a_dict_is_the_same_table(loop, table):
    night = arrive(loop, 0)
    reference = check(loop, table, night)
    assert RecordRef.parse(reference).key.startswith(f"hours/{night}/")
    assert loop.context["task"].table_name == "hours"
    said = {"name": "hours", "path": f"{loop.home}/hours/night={{night}}.parquet", "time_column": "dteday"}
    assert check(loop, said, night) == reference
    assert loop.context["task"].table_name == "hours"


@pytest.mark.parametrize(
    ("project", "named", "told"),
    [
        ("", None, "either a project or a table, got neither"),
        ("p", "t.yml#t", "either a project or a table, got both"),
        ("", "hours", "a table as FILE#NAME"),
        ("", "{file}#days", "expected a table 'days' in .*tables.yml, it has hours"),
        ("", {"name": "hours", "pathh": "x"}, "pathh"),
    ],
)
def test_what_is_no_table(loop, table, project, named, told):
    if isinstance(named, str):
        named = named.format(file=loop.home / "tables.yml")
    with pytest.raises(AirflowFailException, match=f"ConfigError: .*{told}"):
        loop.run(CheckQualityOperator, project=project, table=named, night=str(FIRST))


def test_a_good_night_is_an_event_of_the_tables_own_asset(loop, table):
    alias = AssetAlias("good_nights")
    reference = check(loop, table, arrive(loop, 0), outlets=[alias])
    (event,) = loop.context["outlet_events"][alias].asset_alias_events
    assert (event.dest_asset_key.name, event.dest_asset_key.uri) == ("hours/data", "mlops://hours/data")
    assert event.extra == {"quality": reference, "story": loop.story}


def test_people_are_told_once_when_it_begins_and_once_when_it_is_over(loop, table):
    notifiers = [Notifier(), Notifier("{{ incident }}")]
    for day, corrupt in enumerate([None, "torn", "torn", None, None, None, None]):
        night = arrive(loop, day, corrupt)
        for _ in range(2):
            if corrupt:
                bad(loop, table, night, notifiers=notifiers)
            else:
                check(loop, table, night, notifiers=notifiers)
    began, whole, over, _ = TOLD
    assert began == "hours: 2025-03-02 quarantined"
    assert "- failed: readable: expected a complete table" in whole
    assert "/mlops/records/quality/hours/2025-03-02/" in whole
    assert over == "hours: good nights again since 2025-03-03"
    alerts = list(loop.ledger.all(Alert, "hours/"))
    assert [(one.night.day, one.notice, one.told) for one in alerts] == [
        (2, Notice.BEGAN, ("Notifier", "Notifier")),
        (6, Notice.ENDED, ("Notifier", "Notifier")),
    ]


def test_a_try_that_died_before_it_told_is_made_up_for(loop, table, monkeypatch):
    night = arrive(loop, 0, "torn")

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as dying:
        dying.setattr(CheckQualityOperator, "_alert", killed)
        with pytest.raises(KeyboardInterrupt):
            check(loop, table, night, notifiers=[Notifier()])
    assert loop.records()["quality"] > 18
    assert not TOLD
    bad(loop, table, night, notifiers=[Notifier()])
    assert len(TOLD) == 1


def test_a_notifier_that_fails_changes_nothing_and_is_tried_again(loop, table):
    night = arrive(loop, 0, "torn")
    bad(loop, table, night, notifiers=[Notifier(broken=True)])
    assert list(loop.ledger.all(Alert, "hours/")) == []
    bad(loop, table, night, notifiers=[Notifier(broken=True), Notifier()])
    (alert,) = loop.ledger.all(Alert, "hours/")
    assert alert.told == ("Notifier",)
    bad(loop, table, night, notifiers=[Notifier()])
    assert len(TOLD) == 1


def test_openlineage_is_told_of_good_and_bad_nights(loop, table):
    check(loop, table, arrive(loop, 0))
    good = loop.context["task"].get_openlineage_facets_on_complete(None)
    assert isinstance(good, OperatorLineage)
    (dataset,) = good.inputs
    assert (dataset.namespace, dataset.name) == ("file", f"{loop.home}/hours")
    told = Serde.to_dict(dataset)["inputFacets"]
    assert told["dataQualityMetrics"]["rowCount"] == 24
    assert told["dataQualityMetrics"]["columnMetrics"]["hr"] == {
        "count": 24, "distinctCount": 24, "min": 0.0, "max": 23.0, "nullCount": 0, "quantiles": {}
    }  # fmt: skip
    assert all(one["success"] for one in told["dataQualityAssertions"]["assertions"])

    bad(loop, table, arrive(loop, 1, "torn"))
    failed = loop.context["task"].get_openlineage_facets_on_failure(None)
    (dataset,) = failed.inputs
    assert dataset.name == f"{loop.home}/hours"
    (readable,) = [
        one for one in Serde.to_dict(dataset)["inputFacets"]["dataQualityAssertions"]["assertions"]
        if not one["success"]
    ]  # fmt: skip
    assert readable["assertion"] == "readable"
    assert CheckQualityOperator(task_id="t").get_openlineage_facets_on_failure(None) is None
