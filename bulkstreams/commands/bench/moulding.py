"""What a bench's definitions are made of: its inputs, its template, or the one that is built in.

This module must never keep more of an input than `definitions.enough` has.
"""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

import orjson

from bulkstreams.commands.bench.options import BenchOptions
from bulkstreams.commands.live import MOST_SHOWN
from bulkstreams.engine.definitions import BUILT_IN, Mould, as_one_line, enough, mould, problems_told
from bulkstreams.errors import InputError, UsageError
from bulkstreams.ledger import Ledger
from bulkstreams.model import Line, TenantName
from bulkstreams.schema import Rules
from bulkstreams.secrets import SecretResolver
from bulkstreams.source import open_input

_MEANT: Final = "A template is one definition, on as many lines as it likes; give definitions a line each as INPUT."


class Moulds(NamedTuple):
    """What a load's definitions are made of, and the names of its inputs, which its moulds number from 0 on."""

    each: Sequence[Mould]
    inputs: Sequence[str]

    async def known_to(self, ledger: Ledger) -> list[Mould]:
        """Return them with their inputs numbered as the ledger does."""
        ids = [await ledger.input(name) for name in self.inputs]
        return [replace(one, input=ids[one.input]) for one in self.each]


class Moulding:
    """Reads what is given, before there is a ledger.

    `say` is told of the lines that are left out, or are meant for another tenant than the one that is loaded.
    """

    def __init__(
        self,
        options: BenchOptions,
        tenant: TenantName,
        secrets: SecretResolver,
        rules: Rules,
        say: Callable[[str], None],
    ) -> None:
        self._options, self._tenant, self._secrets, self._rules = options, tenant, secrets, rules
        self._inputs: dict[str, int] = {}
        self._say = say
        self._left_out = 0

    def read(self) -> Moulds:
        """Return the lines that can be sent; raise UsageError where there is none."""
        moulds = self._all()
        return Moulds(moulds, list(self._inputs))

    def _all(self) -> list[Mould]:
        options = self._options
        if options.template is not None:
            moulds = self._made_of(str(options.template), [_read_template(options.template)])
        elif not options.inputs:
            moulds = self._made_of("built-in", [as_one_line(BUILT_IN)])
        else:
            moulds = [one for name in options.inputs for one in self._input(name)]
        if not moulds:
            raise UsageError("no line of the input can be sent.", hint="See why: bulkstreams validate INPUT.")
        self._tell_of_tenants(moulds)
        return moulds

    def _tell_of_tenants(self, moulds: Sequence[Mould]) -> None:
        """Tell of lines that name another tenant than the one that they are sent to."""
        others = [one.tenant for one in moulds if one.tenant not in {None, self._tenant}]
        if others:
            which = "the definition names" if len(moulds) == 1 else f"{len(others):,} of {len(moulds):,} lines name"
            self._say(f'{which} another tenant, such as "{str(others[0])[:60]}": a bench sends all to {self._tenant}')

    def _input(self, name: str) -> list[Mould]:
        moulds: list[Mould] = []
        size = 0
        with closing(open_input(name, self._options.ledger.absolute().parent)) as one:
            for lines in one.batches():
                size += sum(line.length for line in lines)
                moulds += self._made_of(one.name, lines, may_fail=True)
                if enough(len(moulds), size):
                    break
        return moulds

    def _made_of(self, name: str, lines: Sequence[Line], *, may_fail: bool = False) -> list[Mould]:
        input_ = self._inputs.setdefault(name, len(self._inputs))
        moulds = []
        for line in lines:
            found = mould(input_, line, self._rules, self._secrets.problem, self._secrets.resolve)
            if isinstance(found, Mould):
                moulds.append(found)
                continue
            told = f"{name}:{line.number}: {problems_told(found)}"
            if not may_fail:
                raise UsageError(f"--template cannot be sent: {told}.", hint=f"Mend it. {_MEANT}")
            self._leave_out(told)
        return moulds

    def _leave_out(self, told: str) -> None:
        self._left_out += 1
        if self._left_out <= MOST_SHOWN:
            self._say(f"left out: {told}")
        elif self._left_out == MOST_SHOWN + 1:
            self._say("… more lines are left out; `bulkstreams validate INPUT` tells them all")


def _read_template(path: Path) -> Line:
    """Read a template; raise InputError where there is none, or where lines of an input are taken for one."""
    try:
        data = path.read_bytes().removeprefix(BOM_UTF8)
    except OSError as error:
        raise InputError(f"--template {path} cannot be read: {error.strerror or error}.", hint=_MEANT) from None
    if not data.strip():
        raise InputError(f"--template {path} is empty.", hint=_MEANT)
    if _is_lines(data):
        raise InputError(f"--template {path} holds several definitions, a line each.", hint=_MEANT)
    return as_one_line(data)


def _is_lines(data: bytes) -> bool:
    """Return whether each of several lines is JSON by itself."""
    lines = [line for line in data.splitlines() if not line.isspace() and line]
    try:
        return len(lines) > 1 and all(isinstance(orjson.loads(line), dict) for line in lines)
    except ValueError:
        return False
