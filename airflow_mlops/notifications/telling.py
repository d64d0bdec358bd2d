"""Calling notifiers: whatever becomes of them, what they tell of stands."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from copy import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.sdk import BaseNotifier

__all__ = ["tell"]

_log = logging.getLogger(__name__)


def tell(notifiers: Iterable[BaseNotifier], context: Mapping[str, Any], **words: str) -> tuple[str, ...]:
    """Call each notifier once; one that fails is logged, and keeps nobody else from being told.

    Parameters
    ----------
    notifiers : iterable of BaseNotifier
        Of any provider.
    context : mapping
        The task's, or a deadline's.
    **words : str
        What their templates may say beside it, such as ``{{ incident }}``.

    Returns
    -------
    tuple of str
        Names of those that went through.
    """
    told = []
    for notifier in notifiers:
        name = type(notifier).__name__
        try:
            # Rendering changes a notifier for good, and mapped tasks may share it.
            copy(notifier)({**context, **words})
        except Exception as error:  # noqa: BLE001 - whatever a foreign notifier raises, the check has been made
            # Only the kind: an address with a token in it is no rarity in the text of such errors.
            _log.error("%s told nobody: %s", name, type(error).__name__)
        else:
            told.append(name)
    return tuple(told)
