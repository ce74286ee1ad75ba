"""The commands `import …`: what other tools wrote, as lines that `run` takes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from bulkstreams.cli.given import Command
from bulkstreams.cli.telling import output as to_output
from bulkstreams.cli.telling import say
from bulkstreams.commands.deploy_cli.command import import_deploy_cli

app = typer.Typer(
    name="import",
    help="Turn what another tool exported into lines that `run` takes.",
    no_args_is_help=True,
)


@app.callback()
def _main() -> None:
    pass


@app.command("deploy-cli", cls=Command)
def deploy_cli(
    path: Annotated[
        Path, typer.Argument(metavar="PATH", help="A YAML export, or the folder of one with event-streams/.")
    ],
    output: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write there, whole or not at all; default: standard output.")
    ] = None,
    env_template: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a dotenv file with the secrets' names, to fill in.")
    ] = None,
    mappings: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="deploy-cli's config.json, or its keyword mappings: replaces ##NAME##."),
    ] = None,
) -> None:
    """Convert the event streams of an auth0-deploy-cli export. Sends nothing; takes over no secret."""
    lines, code = import_deploy_cli(path, output=output, env_template=env_template, mappings=mappings, say=say)
    with to_output():
        sys.stdout.buffer.writelines(lines)
        sys.stdout.buffer.flush()
    raise typer.Exit(code)
