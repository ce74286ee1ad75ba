"""Hashes of a report's ledger and inputs, and why there are none where there are none.

No secret reaches a report, not even hashed, and the hash of a file takes in the secrets in it. So a file's hash is told
only where the file holds none: where each password, token and header value in it is a reference, and no line is
invalid, which might have one anywhere. What is always told is the hash of the definitions without their secrets, which
the ledger knows by itself. This module must never keep more of a file than a block or a line.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson

from bulkstreams.core.references import parse_reference
from bulkstreams.ledger import History, ReadInput
from bulkstreams.model import SECRET_FIELDS
from bulkstreams.source import identity

_BLOCK: Final = 1 << 20
_BOM: Final = b"\xef\xbb\xbf"
_GZIP: Final = b"\x1f\x8b"
SECRETS: Final = "it holds secrets, or lines that may, and no secret is told, not even hashed"
_SUSPECT: Final = re.compile(rb'"(?:%s)"(?!\s*:\s*"\$\{(?:env|file):[^{}"]+\}")' % "|".join(SECRET_FIELDS).encode())
"""The name of a secret's field that is not followed by a reference to where the secret is."""

_UNMARKED: Final = (
    "it was standard input, a bench's, or a file that had just changed: nothing tells whether it is the same now"
)
_CHANGED: Final = "the file was changed after it was read"


def of_ledger(path: Path) -> dict[str, Any]:
    """Return the size and hash of a ledger's file, or why it has none.

    To be asked before any connection of this process is open on the ledger, since closing a file takes away the locks
    that its process has on it. Where there is no such file, the ledger's reader will say so better.
    """
    try:
        with path.open("rb") as file:
            before = os.fstat(file.fileno())
            found = _hash(_blocks(file))
            after = os.fstat(file.fileno())
        log = path.with_name(f"{path.name}-wal")
        waiting = log.exists() and log.stat().st_size > 0
    except OSError as error:
        return {"bytes": None, "sha256": None, "why_not": f"it cannot be read: {error.strerror or error}"}
    if waiting or identity(before) != identity(after):
        why = "a run goes on or died: part of it stands in the write-ahead log beside it"
        return {"bytes": after.st_size, "sha256": None, "why_not": why}
    return {"bytes": after.st_size, "sha256": found, "why_not": None}


def of_inputs(history: History) -> list[dict[str, Any]]:
    """Return the inputs of the newest reading, each with the hash of its definitions, and of its file if it may be."""
    definitions = _definitions(history)
    return [
        {
            "path": one.path,
            "records": one.records,
            "definitions_sha256": definitions.get(one.id),
            **_of_input(one),
        }
        for one in history.inputs()
    ]


def _definitions(history: History) -> dict[int, str]:
    """Hash each input's lines by number and digest, `LINE:DIGEST` in hex and a line end, as the ledger has them."""
    found: dict[int, Any] = {}
    for id_, line, digest in history.definitions():
        if id_ not in found:
            found[id_] = hashlib.sha256()
        found[id_].update(b"%d:%s\n" % (line, (digest or b"").hex().encode()))
    return {id_: one.hexdigest() for id_, one in found.items()}


def _of_input(one: ReadInput) -> dict[str, Any]:
    found, why = _file_hash(one)
    return {"sha256": found, "why_not": why}


def _file_hash(one: ReadInput) -> tuple[str | None, str | None]:
    """Return the hash of an input's file, or why there is none."""
    if one.fingerprint is None:
        return None, _UNMARKED
    try:
        with Path(one.path).open("rb") as file:
            if _mark(file) != one.fingerprint:
                return None, _CHANGED
            if one.invalid or not _is_free_of_secrets(file):
                return None, SECRETS
            file.seek(0)
            found = _hash(_blocks(file))
            return (found, None) if _mark(file) == one.fingerprint else (None, _CHANGED)
    except FileNotFoundError:
        return None, "there is no such file here any more (a relative path is looked for in this folder)"
    except (OSError, ValueError) as error:
        return None, f"it cannot be read: {getattr(error, 'strerror', None) or error}"


def _mark(file: BinaryIO) -> str:
    return ":".join(map(str, identity(os.fstat(file.fileno()))))


def _is_free_of_secrets(file: BinaryIO) -> bool:
    """Return whether every secret in the lines is a reference; of what is packed nobody can tell.

    Nearly every line is told by its bytes; one that has an escape, or such a name that no reference follows, is read.
    """
    if file.read(len(_GZIP)) == _GZIP:
        return False
    file.seek(0)
    try:
        for line in file:
            if (b"\\" in line or _SUSPECT.search(line)) and _holds_secret(orjson.loads(line.removeprefix(_BOM))):
                return False
    except orjson.JSONDecodeError:
        return False
    return True


def _holds_secret(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_holds_secret, value))
    if not isinstance(value, dict):
        return False
    return any(
        parse_reference(str(its)) is None if name in SECRET_FIELDS else _holds_secret(its)
        for name, its in value.items()
    )


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(_BLOCK):
        yield block


def _hash(blocks: Iterator[bytes]) -> str:
    found = hashlib.sha256()
    for block in blocks:
        found.update(block)
    return found.hexdigest()
