"""What every command checks of its command line before it looks at what any of it means: that each value is a text.

An empty value is a variable of a shell that was not set, as a rule: whoever wrote `--rate "$RATE"` did not ask for the
default, nor for the current folder as a file. Bytes that are no text cannot be told in JSON, nor kept in a ledger.
This module must never know what a flag is for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from typer.core import TyperCommand, TyperOption

from bulkstreams.core.texts import is_text, shown
from bulkstreams.errors import UsageError


class Command(TyperCommand):
    """A command that refuses values that are empty or no text, of its flags and of its arguments."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the command line; raise UsageError at the first value that cannot be meant."""
        given, _, _ = self.make_parser(ctx).parse_args(args=list(args))
        for name, value in _values(self, given):
            if not value.strip():
                raise UsageError(
                    f"{name} is empty.",
                    hint="Give it a value, or leave it out; a variable of the shell may not be set.",
                )
            if not is_text(value):
                which = "" if "://" in value else f": {shown(value)}"  # an address may hold a credential
                raise UsageError(
                    f"{name} holds bytes that are no UTF-8{which}.",
                    hint="Rename what it names, or reach that by a link with another name; or go into that folder.",
                )
        return super().parse_args(ctx, args)


def _values(command: TyperCommand, given: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each text that was given, with the name of what it was given to."""
    for one in command.params:
        found = given.get(one.name or "")
        name = one.opts[0] if isinstance(one, TyperOption) else _metavar(one)
        values = found if isinstance(found, list | tuple) else (found,)
        yield from ((name, value) for value in values if isinstance(value, str))


def _metavar(argument: Any) -> str:
    return str(argument.metavar or argument.name).strip("[]…")
