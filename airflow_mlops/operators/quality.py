"""Stage 1: whether a night is fit to become training data."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from airflow.sdk import AssetAlias
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airflow_mlops.assets import assets_of
from airflow_mlops.boundary import NIGHT
from airflow_mlops.links import RecordLink, ReportLink, record_page
from airflow_mlops.operators.stage import StageOperator

if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage
    from airflow.sdk import BaseNotifier, Context
    from pydantic import JsonValue

    from airflow_mlops.ledger import Ledger
    from airflow_mlops.project.tables import TableSpec
    from airflow_mlops.records import Facts, Quality

__all__ = ["CheckQualityOperator"]


class CheckQualityOperator(StageOperator):
    """Check a night by its contract and by its own past, and quarantine it if it does not pass.

    The record is written either way. A night that is quarantined never becomes training data, and what follows the task
    does not run. A corrected night is checked again and takes its place. Nights before it that have no record yet are
    checked first, the oldest first, from ``since`` on; a bad one among them fails nothing.

    Many tables are ``CheckQualityOperator.partial(...).expand(table=[...])``; with
    ``map_index_template="{{ task.table_name }}"`` each task shows the name of its table. With an ``AssetAlias`` among
    the outlets each good night is an event of the asset ``mlops://TABLE/data``.

    Parameters
    ----------
    project : str or Path
        Folder of a model project, whose nights are checked.
    table : str or dict
        Instead of a project: a table of a ``tables.yml`` as ``FILE#NAME``, or what it says of one.
    night : str
        ``YYYY-MM-DD``; the partition key of the run, or its logical date.
    on_failure : {"fail", "skip"}
        What a quarantined night does to the task. A blocked one always fails it.
    notifiers : sequence of BaseNotifier
        Called once when bad nights begin and once when they are over, with ``{{ incident }}``, the whole text, and
        ``{{ headline }}``, its first line. One that fails is logged, and fails nothing.
    """

    template_fields: Collection[str] = (*StageOperator.template_fields, "table", "night")
    operator_extra_links = (RecordLink(), ReportLink())

    def __init__(
        self,
        *,
        project: str | Path = "",
        table: TableSpec | Mapping[str, Any] | str | None = None,
        night: str = NIGHT,
        on_failure: Literal["fail", "skip"] = "fail",
        notifiers: Sequence[BaseNotifier] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(project=project, **kwargs)
        self.table = table
        self.night = night
        self.on_failure = on_failure
        self.notifiers = notifiers
        self.checked: tuple[Quality, Facts | None] | None = None

    @property
    def table_name(self) -> str:
        """Name of the table, for ``map_index_template``."""
        from airflow_mlops.hooks.tables import name_of

        return name_of(self.project, self.table)

    def run_stage(self, context: Context) -> str:
        """Check the night, and those before it that nobody has checked."""
        from airflow_mlops.hooks.store import StoreHook
        from airflow_mlops.hooks.tables import nights_of, table_of
        from airflow_mlops.nights import parse_night
        from airflow_mlops.quality.nightly import NightlyChecks

        night = parse_night(self.night)
        table, ledger = table_of(self.project, self.table), StoreHook(self.store_conn_id).ledger()
        source = nights_of(table, self.store_conn_id)
        record = NightlyChecks(table, source, ledger, partial(self.stamp, context)).check(night)
        self.checked = (record, _facts_of(ledger, record))
        reference = self.leave(context, record, _story(record), report=True)
        extra: dict[str, JsonValue] = {record.kind: reference, "story": _story(record)}
        for alias in self.outlets:
            if isinstance(alias, AssetAlias):
                context["outlet_events"][alias].add(assets_of(record.model).data, extra=extra)
        self._alert(context, ledger, record)
        if record.quarantined:
            skips = self.on_failure == "skip" and not record.blocked
            raise (AirflowSkipException if skips else AirflowFailException)(_story(record))
        return reference

    def get_openlineage_facets_on_complete(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:
        """What OpenLineage is told of the night: each check as an assertion, and its columns in numbers."""
        from airflow_mlops.operators.lineage import lineage_of

        del task_instance
        return None if self.checked is None else lineage_of(*self.checked)

    def get_openlineage_facets_on_failure(self, task_instance: Any) -> OperatorLineage[Any, Any] | None:
        """The same of a bad night: the task fails, and its checks are told."""
        return self.get_openlineage_facets_on_complete(task_instance)

    def _alert(self, context: Context, ledger: Ledger, record: Quality) -> None:
        """Tell people what they have to be told, then write down that they were."""
        from airflow_mlops.notifications import alert_due, headline, incident_text, tell
        from airflow_mlops.records import Alert, Notice

        notice = alert_due(ledger, record) if self.notifiers else Notice.NONE
        if notice is Notice.NONE or record.incident is None:
            return
        text = incident_text(record, notice, record_page(record.ref, report=True))
        told = tell(self.notifiers, context, incident=text, headline=headline(record, notice))
        # Where nobody was reached, the next try or the next bad night makes up for it.
        if told:
            ledger.write(
                Alert(
                    model=record.model,
                    night=record.night,
                    noticed=record.incident.noticed,
                    notice=notice,
                    quality=record.ref,
                    told=told,
                    **self.stamp(context, record.ref),
                )
            )


def _facts_of(ledger: Ledger, record: Quality) -> Facts | None:
    """What monitors counted of the night, without them None."""
    from airflow_mlops.records import Facts

    return next((ledger.read(Facts, ref) for ref in record.rests_on if ref.kind == Facts.kind), None)


def _story(record: Quality) -> str:
    if record.quarantined:
        faults = "; ".join(
            f"{check.name}: expected {check.expected}, got {check.actual}" for check in record.faults[:3]
        )
        return f"{record.night} {'blocked' if record.blocked else 'quarantined'}: {faults}"
    warned = f", {len(record.faults)} warned" if record.faults else ""
    return f"{record.night} passed {len(record.checks)} checks on {record.partition.rows} rows{warned}"
