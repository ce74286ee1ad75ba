"""The whole of `import deploy-cli`: files in, lines out, whole or not at all, and what it tells on the way."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path

from bulkstreams.commands.deploy_cli.convert import Converted, convert
from bulkstreams.commands.deploy_cli.files import find, mappings_in
from bulkstreams.commands.filling import Filling
from bulkstreams.commands.lines import Notes
from bulkstreams.commands.replacing import Replacement
from bulkstreams.config import TOKEN_VARIABLES
from bulkstreams.errors import ExitCode, UsageError


def import_deploy_cli(
    path: Path, *, output: Path | None, env_template: Path | None, mappings: Path | None, say: Callable[[str], None]
) -> tuple[list[bytes], ExitCode]:
    """Convert an export; return the lines that are for standard output, and the exit code.

    With an `output` the lines are written there, and none are returned. Files are put in their places only when all
    of them are whole and on disk. Raises UsageError where the export, or a file to be written, cannot be used.
    """
    found, unread = find(path, mappings_in(mappings))
    streams = list(found)
    _keep_apart([path, *(Path(one.file) for one in streams), mappings], [output, env_template])
    with ExitStack() as stack:
        template = None if env_template is None else stack.enter_context(Filling(env_template))
        target = None if output is None else stack.enter_context(Replacement(output, "--output"))
        made = convert(streams, TOKEN_VARIABLES)
        if unread is not None:
            made.notes.append(("another export", f"{unread} was not read: beside it is a folder of event streams"))
        _put(made, template, target)
    _tell(made, env_template, say)
    return [] if target is not None else made.lines, ExitCode.FAILURES if made.questions else ExitCode.OK


def _put(made: Converted, template: Filling | None, target: Replacement | None) -> None:
    """Write the files, and put them in their places: the one to fill in first, so that no lines stand without it."""
    if template is not None:
        template.seal(made.secrets)
    if target is not None:
        target.write(b"".join(made.lines))
        target.seal()
    for one in (template, target):
        if one is not None:
            one.put()


def _keep_apart(read: Iterable[Path | None], written: Iterable[Path | None]) -> None:
    """Raise UsageError where a file would be written over one that was read, or over the other one."""
    taken = {os.path.realpath(one) for one in read if one is not None}
    for one in written:
        if one is None:
            continue
        if os.path.realpath(one) in taken:
            raise UsageError(f"{one} is a part of the export, or named twice.", hint="Give each a file of its own.")
        taken.add(os.path.realpath(one))


def _tell(made: Converted, env_template: Path | None, say: Callable[[str], None]) -> None:
    notes = Notes(say)
    for kind, text in made.notes:
        notes.tell(kind, text)
    notes.close()
    for text in made.questions:
        say(text)
    if made.secrets and env_template is None:
        say("set before the lines are run (--env-template FILE writes a file to fill in):")
        say("\n".join(made.secrets))
    elif made.secrets:
        name = shlex.quote(str(env_template))
        say(f"fill in {env_template}, then: set -a; . {name if os.sep in name else f'./{name}'}; set +a")
    parts = [_count(len(made.lines), "stream"), _count(len(made.secrets), "secret") + " to set"]
    if made.questions:
        parts.append(_count(len(made.questions), "thing") + " to see to")
    empty = (
        "" if made.lines or made.questions else "; the export holds no event streams, so there was nothing to convert"
    )
    say(f"converted: {', '.join(parts)}{empty}")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
