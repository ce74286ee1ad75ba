"""What is kept of others: the plotting library, byte for byte as its project has published it, with its licence."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from bulkstreams import report

UPLOT = Path(report.__file__).parent / "assets" / "uplot"
VERSION = "1.6.32"
HASHES = {
    "uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
    "LICENSE": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
}


@pytest.mark.parametrize("name", HASHES)
def test_the_plotting_library_is_as_published(name: str) -> None:
    """A change of it is a new version of it, never an edit."""
    assert hashlib.sha256((UPLOT / name).read_bytes()).hexdigest() == HASHES[name]


def test_its_version_is_told() -> None:
    """In its own head, and where it is said how to renew it."""
    assert f"(v{VERSION})" in (UPLOT / "uPlot.iife.min.js").read_text(encoding="utf-8")[:100]
    assert (UPLOT / "README.md").read_text(encoding="utf-8").startswith(f"# uPlot {VERSION}\n")
