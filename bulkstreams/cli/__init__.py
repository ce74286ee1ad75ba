"""The `bulkstreams` command: arguments, signals, exit codes, progress."""

from __future__ import annotations

import os
import sys

from bulkstreams.cli.app import app, fail
from bulkstreams.errors import BulkstreamsError, ExitCode


def main() -> None:
    """Run the command line and exit with its code. No traceback reaches a user, unless BULKSTREAMS_DEBUG asks."""
    try:
        app(prog_name="bulkstreams")
    except BulkstreamsError as error:
        sys.exit(fail(error))
    except BrokenPipeError:
        # The reader of our output went away; a second attempt to flush would only fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(ExitCode.FAILURES)
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)
    except Exception as error:  # the last border: whatever we did not foresee
        if os.environ.get("BULKSTREAMS_DEBUG"):
            raise
        print(  # noqa: T201
            f"error: a defect of bulkstreams ({type(error).__name__}).\n"
            "Please report it, with what BULKSTREAMS_DEBUG=1 prints (look it through for secrets first). "
            "The ledger is safe: the same command resumes.",
            file=sys.stderr,
        )
        sys.exit(ExitCode.FAILURES)
