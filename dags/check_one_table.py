"""One operator alone, in a DAG of one's own: a night is checked before anything reads it."""

from pathlib import Path

from airflow.sdk import dag, task

from airflow_mlops.operators.quality import CheckQualityOperator


@dag(schedule="0 6 * * *", catchup=False, tags=["mlops", "example"])
def check_one_table() -> None:
    """Check the night, then use it."""
    checked = CheckQualityOperator(
        task_id="check_quality",
        project=Path(__file__).parent / "bike_demand",
        # At six in the morning the newest whole night is yesterday's.
        night="{{ macros.ds_add(ds, -1) }}",
        on_failure="skip",
    )

    @task
    def build_report(quality_record: object) -> str:
        """Runs only on nights that passed."""
        return f"built from {quality_record}"

    build_report(checked.output)


check_one_table()
