"""The markers of auth0-deploy-cli, `##NAME##` and `@@NAME@@`, and what it puts in their place before it reads a file.

It replaces them in the file's text, so that a marker may stand where neither JSON nor YAML has room for one. Pure text.
This module must never guess what a marker stands for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_UNQUOTED = re.compile(r"([:\-\[,])([ \t]*)(@@\w+@@|##\w+##)(?=[ \t]*(?:[,\]}]|\r?$)|[ \t]+#)", re.MULTILINE)


def replace(text: str, mappings: Mapping[str, Any]) -> str:
    """Return a file's text with its markers replaced: `##NAME##` by a text, `@@NAME@@` by JSON, quotes and all.

    A list or an object has no text, so a `##NAME##` that is mapped to one is left.
    """
    for name, value in mappings.items():
        found = json.dumps(value, ensure_ascii=False)
        marker = re.escape(f"@@{name}@@")
        text = re.sub(f"'{marker}'|\"{marker}\"|{marker}", lambda _, found=found: found, text)  # type: ignore[misc]
    for name, value in mappings.items():
        if not isinstance(value, dict | list):
            text = text.replace(f"##{name}##", value if isinstance(value, str) else json.dumps(value))
    return text


def quote_markers(text: str, *, spaced: bool) -> str:
    """Put quotes around the markers that stand alone in the place of a value, so that the text can be parsed.

    `spaced`: only behind a space, as YAML asks for, where `a:b` is one word.
    """
    return _UNQUOTED.sub(lambda m: f'{m[1]}{m[2]}"{m[3]}"' if m[2] or not spaced else m[0], text)


def file_stem(name: str) -> str:
    """Return what deploy-cli calls the file of a stream, less `.json`; streams with equal ones overwrite each other."""
    stem = re.sub(r'[/?<>\\:*|"\x00-\x1f\x80-\x9f]', "-", name)
    if re.fullmatch(r"(?i)\.+|(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", stem):
        stem = "-"
    stem = re.sub(r"[. ]+$", "-", stem)
    return stem.encode()[:255].decode(errors="ignore")
