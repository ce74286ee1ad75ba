"""The `bulkstreams` command: arguments, signals, exit codes, progress."""

from __future__ import annotations

import os
import signal
import sys
import threading

from bulkstreams import failpoints
from bulkstreams.cli import outlets
from bulkstreams.cli.app import app
from bulkstreams.cli.telling import fail
from bulkstreams.errors import BulkstreamsError, DefectError, ExitCode


def main() -> None:
    """Run the command line and exit with its code. No traceback reaches a user, unless BULKSTREAMS_DEBUG asks."""
    outlets.prepare()
    try:
        failpoints.arm(os.environ)
        app(prog_name="bulkstreams")
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BulkstreamsError as error:
        code = fail(error)
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
    except Exception as error:  # the last border: whatever we did not foresee
        if os.environ.get("BULKSTREAMS_DEBUG"):
            raise
        code = fail(
            DefectError(
                f"a defect of bulkstreams ({type(error).__name__}).",
                hint="Please report it, with what BULKSTREAMS_DEBUG=1 prints (look it through for secrets first). "
                "The ledger is safe: the same command resumes.",
            )
        )
    _leave(int(code))


def _leave(code: int) -> None:
    """End the process, without waiting for a thread that was left reading a pipe.

    All is said and done: a signal that comes now changes nothing, the exit code least of all.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    if any(one is not threading.main_thread() and not one.daemon for one in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
