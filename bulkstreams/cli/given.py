"""What every command checks of its command line before it looks at what any of it means: that no value is empty.

An empty value is a variable of a shell that was not set, as a rule: whoever wrote `--rate "$RATE"` did not ask for the
default, nor for the current folder as a file. This module must never know what a flag is for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import typer
from typer.core import TyperCommand

from bulkstreams.errors import UsageError


class Command(TyperCommand):
    """A command that refuses empty values, of its flags and of its arguments."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the command line; raise UsageError at the first value that is empty."""
        given, _, _ = self.make_parser(ctx).parse_args(args=list(args))
        for name in _empty(self, given):
            raise UsageError(
                f"{name} is empty.", hint="Give it a value, or leave it out; a variable of the shell may not be set."
            )
        return super().parse_args(ctx, args)


def _empty(command: TyperCommand, given: Mapping[str, Any]) -> Iterator[str]:
    for one in command.params:
        found = given.get(one.name or "")
        values = found if isinstance(found, list | tuple) else (found,)
        if any(isinstance(value, str) and not value.strip() for value in values):
            yield one.opts[0] if isinstance(one, typer.core.TyperOption) else _metavar(one)


def _metavar(argument: Any) -> str:
    return str(argument.metavar or argument.name).strip("[]…")
