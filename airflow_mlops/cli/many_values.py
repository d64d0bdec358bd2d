"""An option that takes several values in a row, ``--history A B C``, as a shell's ``*`` gives them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from typer.core import TyperCommand

__all__ = ["many_values"]


def many_values(option: str) -> type[TyperCommand]:
    """A command that takes several values after one of its options; it must have exactly one argument.

    What follows the option up to the next one are its values. If that leaves nothing for the argument, the last of
    them is the argument.
    """

    class ManyValuesCommand(TyperCommand):
        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            flags = {name for one in self.params if getattr(one, "is_flag", False) for name in one.opts}
            return super().parse_args(ctx, spread(args, option, flags=flags | set(ctx.help_option_names)))

    return ManyValuesCommand


def spread(arguments: Sequence[str], option: str, *, flags: set[str]) -> list[str]:
    """Repeat an option before each of its values.

    Examples
    --------
    >>> spread(["now", "--history", "a", "b", "--json"], "--history", flags={"--json"})
    ['now', '--history', 'a', '--history', 'b', '--json']
    >>> spread(["--history", "a", "b", "now"], "--history", flags=set())
    ['--history', 'a', '--history', 'b', 'now']
    >>> spread(["--history", "a", "b", "--", "now"], "--history", flags=set())
    ['--history', 'a', '--history', 'b', '--', 'now']
    """
    told: list[str] = []
    values: list[int] = []
    current, argument = "", False
    for place, word in enumerate(arguments):
        if word == "--":
            argument = argument or place + 1 < len(arguments)
            told += arguments[place:]
            break
        if word.startswith("-") and word != "-":
            if word != option:
                told.append(word)
            current = "" if word in flags or "=" in word else word
            continue
        if current == option:
            values.append(len(told))
            told += [option, word]
            continue
        argument = argument or not current
        told.append(word)
        current = ""
    if option in arguments and not values:
        # Without a value it is for Click to complain.
        told.append(option)
    if not argument and len(values) > 1:
        del told[values[-1]]
    return told
