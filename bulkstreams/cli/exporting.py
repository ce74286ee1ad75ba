"""The command `export`: its flags in, lines and an exit code out."""

from __future__ import annotations

import os
import select
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final

import anyio
import typer

from bulkstreams.cli import flags
from bulkstreams.cli.attending import attend
from bulkstreams.cli.loop import run_loop
from bulkstreams.cli.places import check_apart
from bulkstreams.cli.progress import ProgressKind, choose
from bulkstreams.cli.telling import finish_with, output, print_json, say
from bulkstreams.commands.export import ExportOptions, ExportReport, open_export
from bulkstreams.commands.live import Reads
from bulkstreams.config import Flags, Settings, load
from bulkstreams.core.exporting import DESTINATIONS, Wanted
from bulkstreams.errors import UsageError
from bulkstreams.schema import nearest
from bulkstreams.secrets import read_token_file

STATUSES: Final = ("enabled", "disabled")


def export(
    tenant: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Repeatable: then each line names its tenant.")
    ] = None,
    all_tenants: Annotated[bool, typer.Option("--all-tenants", help="All tenants of the configuration.")] = False,
    config: flags.Config = None,
    base_url: flags.BaseUrl = None,
    token_file: flags.TokenFile = None,
    to: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE|-", help="Replaced once the export is whole. Default: standard output."),
    ] = None,
    env_template: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the names of the secrets to be filled in, NAME= each.")
    ] = None,
    name: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="Repeatable. Only streams with such names, e.g. 'audit-*'.")
    ] = None,
    type_: Annotated[
        list[str] | None, typer.Option("--type", metavar="T[,T]", help="Only webhook, eventbridge or action streams.")
    ] = None,
    status: Annotated[
        list[str] | None, typer.Option(metavar="S[,S]", help="Only enabled, or only disabled streams.")
    ] = None,
    rate: flags.Rate = None,
    burst: flags.Burst = None,
    reserve: flags.Reserve = None,
    timeout: flags.Timeout = None,
    deadline: Annotated[str | None, typer.Option(metavar="S", help="Seconds for all of it, e.g. 20m.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object on standard output; needs --output FILE.")
    ] = False,
    progress: flags.Progress = ProgressKind.AUTO,
) -> None:
    """Write a tenant's streams as JSON Lines that `run` takes, with references in the place of secrets."""
    asked = tenant or []
    options = ExportOptions(
        tenants=asked,
        all_tenants=all_tenants,
        output=None if to == Path("-") else to,
        env_template=env_template,
        wanted=Wanted(
            names=tuple(name or ()),
            types=frozenset(_words(type_, "--type", tuple(DESTINATIONS))),
            statuses=frozenset(_words(status, "--status", STATUSES)),
        ),
    )
    if as_json and options.output is None:
        raise UsageError("--json and the lines both want standard output.", hint="Give --output FILE.")
    _check_tenants(options, base_url, token_file)
    _check_files(options, [one for one in (config, token_file, Path("bulkstreams.toml")) if one is not None])
    settings = load(
        Flags(
            tenant=asked[0] if len(asked) == 1 else None, config=config, base_url=base_url, rate=rate, burst=burst,
            token=None if token_file is None else read_token_file(token_file), reserve=reserve, timeout=timeout,
            deadline=deadline,
        ),
        os.environ,
        Path.cwd(),
    )  # fmt: skip
    ended = run_loop(lambda: _export(options, settings, choose(progress, os.environ)))
    _tell(ended, options)
    code = int(ended.exit_code)
    if as_json:
        code = finish_with(code, lambda: print_json(ended.figures))
    _tell_secrets(ended, options)
    raise typer.Exit(code)


async def _export(options: ExportOptions, settings: Settings, kind: ProgressKind) -> ExportReport:
    live = Reads(say)
    async with open_export(options, settings, os.environ, live, StandardOutput()) as session:
        return await attend(session, live, kind)


# -- flags ------------------------------------------------------------------------------------------------------------


def _words(given: Sequence[str] | None, flag: str, known: Sequence[str]) -> Iterator[str]:
    """Yield the words of a flag that may be repeated, and hold several with commas between; raise UsageError."""
    for word in (word.strip() for text in given or () for word in text.split(",")):
        if word not in known:
            raise UsageError(
                f"{flag}: there is no {flag[2:]} {word!r}{nearest(word, known)}.", hint=f"Allowed: {', '.join(known)}."
            )
        yield word


def _check_tenants(options: ExportOptions, base_url: str | None, token_file: Path | None) -> None:
    if options.all_tenants and options.tenants:
        raise UsageError("--all-tenants and --tenant are two answers to one question.", hint="Give one of them.")
    if options.several and (base_url is not None or token_file is not None):
        raise UsageError(
            "--base-url and --token-file are for one tenant.", hint="Name the tenants in bulkstreams.toml instead."
        )


def _check_files(options: ExportOptions, others: Sequence[Path]) -> None:
    """Refuse to write over what is read, or twice into one file."""
    taken = list(others)
    for flag, path in (("--output", options.output), ("--env-template", options.env_template)):
        if path is None:
            continue
        if path == Path("-"):
            raise UsageError(f"{flag} needs a file.", hint="The names also stand at the end of standard error.")
        check_apart(flag, path, taken)
        taken.append(path)


# -- what comes out ---------------------------------------------------------------------------------------------------


class StandardOutput:
    """Lines on standard output, by a thread of its own: a reader that is slow must not keep answers waiting."""

    async def write(self, lines: Iterable[bytes]) -> None:
        """Write whole lines."""
        with output():
            for chunk in _chunks(lines):
                await anyio.to_thread.run_sync(_write, chunk, abandon_on_cancel=True)


def _chunks(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Yield lines, as many together as a pipe takes whole or not at all, whatever ends us."""
    chunk = b""
    for line in lines:
        if chunk and len(chunk) + len(line) > select.PIPE_BUF:
            yield chunk
            chunk = b""
        chunk += line
    if chunk:
        yield chunk


def _write(data: bytes) -> None:
    to = sys.stdout.fileno()
    while data:
        try:
            data = data[os.write(to, data) :]
        except BlockingIOError:  # whoever shares it with us made it so
            select.select([], [to], [])


def _tell(ended: ExportReport, options: ExportOptions) -> None:
    """Say how it ended: what there is, or what is missing and what to do."""
    figures = ended.figures
    tenants = figures["tenants"]
    of = next(iter(tenants)) if len(tenants) == 1 else f"{len(tenants):,} tenants"
    if ended.exit_code == 0:
        where = "" if options.output is None else f" to {options.output}"
        none = f"; {_none_of(ended.met)}" if ended.met and not figures["streams"] else ""
        say(f"exported {_count(figures['streams'], 'stream')} of {of}{where} in {figures['elapsed_s']:.1f} s{none}")
        return
    for name, reason in ended.reasons.items():
        say(f"stopped {name}: {reason}")
    if options.output is not None:
        say(f"not whole: nothing was put in the place of {options.output}")
    else:
        say("not whole: what went to standard output is not all that there is")
        for name, count in ended.written.items():
            if name in ended.reasons:
                say(f"written of {name}: {_count(count, 'line') if count else 'nothing'}")
    for hint in ended.hints:
        say(hint)
    say(f"To export again: {shlex.join(['bulkstreams', *sys.argv[1:]])}")


def _none_of(met: int) -> str:
    return "one is there, and it is not asked for" if met == 1 else f"{met:,} are there, and none is asked for"


def _tell_secrets(ended: ExportReport, options: ExportOptions) -> None:
    """List the variables to be filled in, a name a line: the last that is said."""
    secrets = ended.figures["secrets"]
    if secrets:
        where = "" if options.env_template is None else f" (in {options.env_template})"
        say(f"{_count(len(secrets), 'secret')} to fill in before `bulkstreams run`{where}:")
        say("\n".join(secrets))


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
