"""What is told where the packages of an extra are missing. This module must never import any of them."""

from __future__ import annotations

import re
import shlex
import sys
from importlib.metadata import requires

from bulkstreams.errors import UsageError


def not_installed(what: str, extra: str, missing: ModuleNotFoundError) -> UsageError:
    """Return the error that names the packages of an extra, without which `what` cannot be, and how to install them."""
    of_it = re.compile(rf"""extra\s*==\s*['"]{extra}['"]""")
    found = [text.partition(";")[0].strip() for text in requires("bulkstreams") or () if of_it.search(text)]
    command = shlex.join([sys.executable, "-m", "pip", "install", *(found or [f"bulkstreams[{extra}]"])])
    return UsageError(f"{what} needs a package that is not installed ({missing.name}).", hint=f"Install it: {command}")
