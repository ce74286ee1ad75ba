"""The flags that several commands have, each with the words of its help. What they mean is said where they are used."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bulkstreams.cli.progress import ProgressKind
from bulkstreams.model import Status

Inputs = Annotated[list[str], typer.Argument(metavar="INPUT…", help="JSON Lines files (.gz too), or - for stdin.")]
LedgerPath = Annotated[Path, typer.Argument(metavar="LEDGER", help="The file that `run` wrote.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output, and nothing else.")]
Progress = Annotated[ProgressKind, typer.Option(help="How progress is shown.")]

MetricsPort = Annotated[
    int | None,
    typer.Option(metavar="PORT", min=0, max=65535, help="Serve Prometheus metrics on 127.0.0.1; 0: any free port."),
]

# where, and who we are there
Tenant = Annotated[str | None, typer.Option(help="The tenant of lines that name none.")]
Config = Annotated[Path | None, typer.Option(help="Configuration; default: bulkstreams.toml here, if there is one.")]
BaseUrl = Annotated[str | None, typer.Option(metavar="URL", help="The tenant's address, over its domain.")]
TokenFile = Annotated[Path | None, typer.Option(metavar="FILE", help="A file that holds a token.")]
LedgerFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Default: INPUT's stem + .ledger.db, in this folder.")
]

# how fast, and how persistently
Rate = Annotated[
    str | None, typer.Option(metavar="R|auto|max", help="Requests a second; auto follows the server's headers.")
]
Burst = Annotated[int | None, typer.Option(metavar="N", help="Requests at once, within an explicit --rate.")]
Reserve = Annotated[
    str | None, typer.Option(metavar="P%", help="Share of the tenant's budget left to others, such as logins.")
]
Concurrency = Annotated[int | None, typer.Option(metavar="N", help="Requests under way at once. [32]")]
Retries = Annotated[int | None, typer.Option(metavar="N", help="Retries of a record; a 429 costs none. [5]")]
Timeout = Annotated[str | None, typer.Option(metavar="S", help="Seconds for one attempt. [30]")]

# when to stop
Deadline = Annotated[str | None, typer.Option(metavar="S", help="Seconds for the run, e.g. 20m.")]
MaxFailures = Annotated[int | None, typer.Option(metavar="N", help="Stop after N failed records.")]
MaxFailureRate = Annotated[
    str | None, typer.Option(metavar="P%", help="Stop when more than this share has failed (of 20 or more).")
]
Limit = Annotated[int | None, typer.Option(metavar="N", min=1, help="Take at most N records in this run.")]

# what is taken
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Take refused and conflicting ones again.")]
NoPreflight = Annotated[
    bool, typer.Option("--no-preflight", help="Do not look first which streams the tenant has already.")
]
SetStatus = Annotated[Status | None, typer.Option(help="Create every stream with this status instead of its line's.")]
InSandbox = Annotated[bool, typer.Option("--sandbox", help="Take a local Auth0 inside this process for the tenant.")]

# what is accepted
Unknown = Annotated[
    bool | None, typer.Option("--allow-unknown-events", help="Take event types that this version does not know.")
]
