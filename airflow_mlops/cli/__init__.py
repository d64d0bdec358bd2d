"""``airflow-mlops ...``: the same domain functions, on a laptop, without a scheduler.

Every command ends with 0 if all is well, 1 if its answer is no, 2 if what it was given cannot be used, and 3 if
something outside did not work. Whatever a command needs is imported when it runs, so that ``--help`` is quick.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from airflow_mlops.cli.check import check
from airflow_mlops.cli.drift import drift_app
from airflow_mlops.cli.gate import gate
from airflow_mlops.cli.golden import golden_app
from airflow_mlops.cli.options import BAD_INPUT, NO, OUTSIDE
from airflow_mlops.cli.quality import quality_app
from airflow_mlops.cli.records import chain, verify_ledger
from airflow_mlops.errors import ConfigError, DataError, MLOpsError, RemoteError

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    # A traceback of ours is for us: plain, and without the values of variables, which may be secrets.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(check)
app.command()(gate)
app.add_typer(quality_app, name="quality")
app.add_typer(drift_app, name="drift")
app.add_typer(golden_app, name="golden")
app.command()(chain)
app.command()(verify_ledger)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the one place where an error becomes an exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        By default those of the process.

    Returns
    -------
    int
        0 fine, 1 the answer is no, 2 bad input, 3 something outside did not work.
    """
    try:
        app(args=None if arguments is None else list(arguments), prog_name="airflow-mlops")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else NO
    except (ConfigError, DataError) as error:
        return _said(error, BAD_INPUT)
    except (RemoteError, OSError) as error:
        return _said(error, OUTSIDE)
    except MLOpsError as error:
        return _said(error, NO)
    return 0


def _said(error: Exception, code: int) -> int:
    typer.echo(f"airflow-mlops: {type(error).__name__}: {error}", err=True)
    return code


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"airflow-mlops {version('airflow-provider-mlops')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Data quality, drift, training, gate and deployment, from the command line."""
    del version
