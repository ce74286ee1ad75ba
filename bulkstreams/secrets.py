"""Secrets: found where a reference says they are, and masked in whatever comes back.

This module must never write a secret down, log it, or name it in an error: errors name the variable or the file.
"""

from __future__ import annotations

import base64
import html
import json
import unicodedata
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote, quote_plus

from bulkstreams.core.references import Reference
from bulkstreams.errors import SecretError

MAX_SECRET: Final = 64 * 1024
MASK: Final = "***"
MIN_INNER: Final = 6
"""The least length of a piece of base64 worth masking: a shorter one stands in any text by chance."""

_URL_SIGNS: Final = {ord("+"): "-", ord("/"): "_"}


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
            if value is not None and not _is_plain(value):
                value, problem = None, f"{self._name(reference)} holds control characters"
            self._known[reference], self._problems[reference] = value, problem
        return self._known[reference]

    def _name(self, reference: Reference) -> str:
        if reference.scheme == "env":
            return f"the environment variable {reference.target}"
        return f"the file {self._folder / reference.target}"

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
    if not text or not _is_plain(text) or any(c.isspace() for c in text):
        raise SecretError(
            f"the token file {path} {'is empty' if not text else 'holds more than one token'}.",
            hint="It should hold a token and nothing else.",
        )
    return text


def mask(text: str, secrets: Iterable[str]) -> str:
    """Replace each secret, however it is written, by three asterisks.

    A short one is not spared where it stands within a word, though the word is no longer read then: nobody can tell a
    word that holds it by chance from one that a server has put together with it.
    """
    for secret in sorted(set(secrets), key=len, reverse=True):
        for form in _forms(secret):
            text = text.replace(form, MASK)
    return text


def _forms(secret: str) -> list[str]:
    """Return every way in which a server is likely to write a secret, the longest first."""
    forms = {
        secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1],
        quote(secret, safe=""), quote_plus(secret), html.escape(secret), *_base64_forms(secret.encode()),
    }  # fmt: skip
    return sorted(filter(None, forms), key=len, reverse=True)


def _base64_forms(secret: bytes) -> list[str]:
    """Return the base64 of a secret, alone and within a longer text such as HTTP basic's `user:password`.

    Within, it stands at one of three offsets, and its first and last sign may hang on its neighbours: those are left.
    """
    alone = base64.b64encode(secret).decode()
    inner = []
    for shift in range(3):
        text = base64.b64encode(bytes(shift) + secret).decode()
        whole = text[-(-shift * 8 // 6) : (shift + len(secret)) * 8 // 6]
        if len(whole) >= MIN_INNER:
            inner.append(whole)
    return [form.translate(signs) for form in (alone, *inner) for signs in ({}, _URL_SIGNS)]


def _is_plain(text: str) -> bool:
    """Return whether a text is one line that JSON can carry, or a PEM key; surrogates are bytes that are no text."""
    if text.startswith("-----BEGIN "):
        return True
    return not any(unicodedata.category(c) in {"Cc", "Cs"} and c != "\t" for c in text)


def _read(path: Path) -> str:
    with path.open("rb") as file:
        data = file.read(MAX_SECRET + 1)
    if len(data) > MAX_SECRET:
        raise ValueError("is too large for a secret")
    try:
        return data.decode("utf-8-sig").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise ValueError("is not text") from None
