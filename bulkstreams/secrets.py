"""Secrets: found where a reference says they are, and masked in whatever comes back.

This module must never write a secret down, log it, or name it in an error: errors name the variable or the file.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote

from bulkstreams.core.references import Reference
from bulkstreams.errors import SecretError

MAX_SECRET: Final = 64 * 1024
MASK: Final = "***"


class SecretResolver:
    """Resolves references against an environment and a folder, each reference once."""

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self._environment = environment
        self._folder = folder
        self._known: dict[Reference, str | None] = {}
        self._problems: dict[Reference, str] = {}

    def resolve(self, reference: Reference) -> str:
        """Return the secret; raise SecretError where it cannot be had."""
        value = self._look_up(reference)
        if value is None:
            raise SecretError(self._problems[reference], hint="Set it, then run the same command again.")
        return value

    def problem(self, reference: Reference) -> str | None:
        """Return why a reference cannot be resolved, in one sentence; None where it can."""
        return None if self._look_up(reference) is not None else self._problems[reference]

    def _look_up(self, reference: Reference) -> str | None:
        if reference not in self._known:
            value, problem = (
                self._variable(reference.target) if reference.scheme == "env" else self._file(reference.target)
            )
            if value is not None and reference.scheme == "env" and not _is_one_line(value):
                value, problem = None, f"the environment variable {reference.target} holds control characters"
            self._known[reference], self._problems[reference] = value, problem
        return self._known[reference]

    def _variable(self, name: str) -> tuple[str | None, str]:
        value = self._environment.get(name)
        if value:
            return value, ""
        return None, f"the environment variable {name} is {'not set' if value is None else 'empty'}"

    def _file(self, name: str) -> tuple[str | None, str]:
        path = self._folder / name
        try:
            text = _read(path)
        except OSError as error:
            return None, f"the file {path} cannot be read ({error.strerror})"
        except ValueError as error:
            return None, f"the file {path} {error}"
        return (text, "") if text else (None, f"the file {path} is empty")


def read_token_file(path: Path) -> str:
    """Return the token that a file holds; raise SecretError where it holds none, or more than one line."""
    try:
        text = _read(path).strip()
    except OSError as error:
        raise SecretError(
            f"the token file {path} cannot be read: {error.strerror}.", hint="Check --token-file."
        ) from None
    except ValueError as error:
        raise SecretError(f"the token file {path} {error}.", hint="It should hold a token and nothing else.") from None
    if not text or not _is_one_line(text) or " " in text:
        raise SecretError(
            f"the token file {path} {'is empty' if not text else 'holds more than one token'}.",
            hint="It should hold a token and nothing else.",
        )
    return text


def masker(always: Iterable[str] = ()) -> Callable[[str, tuple[str, ...]], str]:
    """Return a function that masks secrets in a text: those given with it, and `always` some of a tenant's."""
    fixed = tuple(always)
    return lambda text, secrets: mask(text, (*fixed, *secrets))


def mask(text: str, secrets: Iterable[str]) -> str:
    """Replace each secret, however it is written, by three asterisks."""
    for secret in sorted(set(secrets), key=len, reverse=True):
        for form in _forms(secret):
            text = text.replace(form, MASK)
    return text


def _forms(secret: str) -> list[str]:
    plain = {secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], quote(secret, safe="")}
    encoded = base64.b64encode(secret.encode()).decode()
    return [form for form in (*sorted(plain, key=len, reverse=True), encoded) if form]


def _is_one_line(text: str) -> bool:
    return all(c.isprintable() or c == "\t" for c in text) or text.startswith("-----BEGIN ")


def _read(path: Path) -> str:
    with path.open("rb") as file:
        data = file.read(MAX_SECRET + 1)
    if len(data) > MAX_SECRET:
        raise ValueError("is too large for a secret")
    try:
        return data.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise ValueError("is not text") from None
