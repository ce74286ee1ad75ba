"""Every exception that bulkstreams raises, as one tree.

Each carries one sentence that says what is wrong, a `hint` that says what to do next, and the exit code of the
command that meets it. Trouble with a single record is never an exception: it is a value (see `model`).
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """What a command's exit code tells its caller."""

    OK = 0
    FAILURES = 1
    USAGE = 2
    LEDGER = 3
    STOPPED = 4
    IN_DOUBT = 5
    INTERRUPTED = 130
    TERMINATED = 143


class BulkstreamsError(Exception):
    """Trouble that ends a command: a sentence, the remedy, an exit code."""

    exit_code: ClassVar[ExitCode] = ExitCode.USAGE

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


def first_cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the one exception of a group that tells what went wrong: ours, if there is one; else the first."""
    ours = group.subgroup(BulkstreamsError)
    found: BaseException = (ours or group).exceptions[0]
    return first_cause(found) if isinstance(found, BaseExceptionGroup) else found


class UsageError(BulkstreamsError):
    """The command line, the environment or the configuration is wrong; nothing was sent."""


class InputError(UsageError):
    """An input cannot be opened or read at all; a bad line in it is not an error of this kind."""


class SecretError(UsageError):
    """A secret reference of the configuration, or a token file, cannot be resolved."""


class ActionError(UsageError):
    """A line names an action that its tenant does not have, or has several of."""


class LedgerError(BulkstreamsError):
    """The ledger cannot be used."""

    exit_code = ExitCode.LEDGER


class LedgerHeldError(LedgerError):
    """A live process holds the ledger."""


class LedgerAddressError(LedgerError):
    """The ledger was made for a tenant at another address."""


class LedgerFormatError(LedgerError):
    """The file is no ledger, is damaged, or is of a newer format."""


class NoLedgerError(LedgerFormatError):
    """The file is no ledger, and never was."""


class LedgerWriteError(LedgerError):
    """The ledger could not be written: full disk, read-only folder, I/O error."""


class LedgerFullError(LedgerWriteError):
    """The disk that holds the ledger is full."""


class OutputError(BulkstreamsError):
    """Standard output takes nothing more."""

    exit_code = ExitCode.FAILURES


class DefectError(BulkstreamsError):
    """Something that we did not foresee: a defect of bulkstreams."""

    exit_code = ExitCode.FAILURES


class StoppedError(BulkstreamsError):
    """A run ended early and can be resumed by the same command."""

    exit_code = ExitCode.STOPPED


class CredentialsError(StoppedError):
    """A tenant refused our credentials, or gave no token for them."""


class TokenUnreachedError(CredentialsError):
    """A tenant gave no answer to token requests: neither a token nor a refusal."""


class InputChangedError(StoppedError):
    """An input file changed after it was read; nothing of the changed part was sent."""
