"""Contracts that a person wrote, in Soda's language or as a Great Expectations suite, behind one door."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, cast

import yaml

from airflow_mlops.errors import ConfigError
from airflow_mlops.quality.contracts import soda
from airflow_mlops.quality.contracts.soda.nodes import value_at
from airflow_mlops.quality.night_table import Finding, NightTable

__all__ = ["ContractLanguage", "check_contract", "contract_faults"]


class ContractLanguage(Protocol):
    """A module that reads one language of contracts."""

    def faults(self, contract: Path, columns: Sequence[str] = ()) -> list[str]:
        """Say what is wrong with a contract, without data."""

    def check(self, table: NightTable, contract: Path) -> tuple[Finding, ...]:
        """Hold a night against a contract: one result a check, whatever came of it."""


def contract_faults(contract: Path, columns: Sequence[str] = ()) -> list[str]:
    """Say what is wrong with a contract, without data.

    Parameters
    ----------
    contract : Path
        The file: Soda's YAML with ``dataset:``, or a Great Expectations suite with ``expectations``.
    columns : sequence of str, optional
        Columns of the data, to find those that the contract names and the data lacks; empty if there is none yet.

    Returns
    -------
    list of str
        ``FILE:LINE: what is wrong``, everything at once; empty if it can be evaluated.

    Raises
    ------
    MissingExtra
        If the library of its language is not installed.
    """
    return _language(contract).faults(contract, columns)


def check_contract(table: NightTable, contract: Path) -> tuple[Finding, ...]:
    """Hold a night against a contract.

    Parameters
    ----------
    table : NightTable
        The night.
    contract : Path
        The file.

    Returns
    -------
    tuple of Finding
        One a check; an ``ERROR`` for each that could not be evaluated, which is never a pass.

    Raises
    ------
    ConfigError
        If the contract is missing or cannot be used.
    MissingExtra
        If the library of its language is not installed.
    RemoteUnavailable
        If the disk or the database does not answer.
    """
    language = _language(contract)
    # First, for a contract that cannot be used is a fault of the project and no reason to quarantine a night.
    if faults := language.faults(contract):
        raise ConfigError("\n".join(["expected a contract that can be evaluated:", *faults]))
    return language.check(table, contract)


def _language(contract: Path) -> ContractLanguage:
    """Tell a contract's language by its keys; what cannot be read at all is for Soda's side to complain of."""
    with contextlib.suppress(OSError, ValueError, yaml.YAMLError, RecursionError):
        root = yaml.compose(contract.read_text(encoding="utf-8").replace("\t", " "), Loader=yaml.SafeLoader)
        if value_at(root, "expectations") is not None and value_at(root, "dataset") is None:
            from airflow_mlops.quality.contracts import expectations

            return cast("ContractLanguage", expectations)
    return cast("ContractLanguage", soda)
