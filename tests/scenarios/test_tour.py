"""The README's tour, word for word: what a newcomer types is typed here, and the sandbox's books judge it."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.rig import forms

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
FIRST = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)[0].split(".venv/bin/")[-1]
"""The README's first command, but for the set-up: who reads from the top has given it before the tour."""

TOUR = re.findall(r"```sh\n(.*?)```", README.split("## A tour")[1].split("\n## ")[0], re.DOTALL)
PORT = "8025"
TYPED_SECRET = "the-secret-of-this-stream"


def free_port() -> str:
    """Return the tour's own port, or another where somebody listens there already."""
    for wanted in (int(PORT), 0):
        with socket.socket() as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                one.bind(("127.0.0.1", wanted))
            except OSError:
                continue
            return str(one.getsockname()[1])
    raise AssertionError("there is no port")


def commands_in(folder: Path) -> Path:
    """Return a folder with `bulkstreams` as this interpreter has it, and with `curl` where this machine has none."""
    folder.mkdir()
    tools = {"bulkstreams": f'exec {sys.executable} -m bulkstreams "$@"'}
    if shutil.which("curl") is None:
        code = "import sys, urllib.request as u; print(u.urlopen(sys.argv[-1]).read().decode())"
        tools["curl"] = f"exec {sys.executable} -c '{code}' \"$@\""
    for name, line in tools.items():
        path = folder / name
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)
    return folder


def take_the_tour(folder: Path) -> tuple[subprocess.CompletedProcess[str], dict[str, Any], dict[str, Any]]:
    """Type all of it in one shell that ends with the first command that fails; return what it said, and two books.

    The books are those that the tour itself asks for, and those after its undo, just before the sandbox ends.
    """
    port = free_port()
    (folder / "samples").symlink_to(ROOT / "samples")
    path = f"{commands_in(folder / 'bin')}{os.pathsep}{os.environ['PATH']}"
    blocks = [block.replace(PORT, port) for block in TOUR]
    books = next(line for block in blocks for line in block.splitlines() if line.startswith("curl "))
    assert blocks[-1].endswith("kill %1\n")
    blocks[-1] = blocks[-1].replace("kill %1\n", f"{books} > undone.json\nkill %1\n")
    blocks = [block.replace(f"{books}\n", f"{books} > books.json\n") for block in blocks]
    script = "".join(["trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n", FIRST, *blocks])
    ended = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder, capture_output=True, text=True, timeout=280,
        env={"PATH": path, "HOME": str(folder), "LC_ALL": "C.UTF-8", "PYTHONPATH": str(ROOT), "NO_COLOR": "1"},
    )  # fmt: skip
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
    return ended, json.loads((folder / "books.json").read_text()), json.loads((folder / "undone.json").read_text())


@pytest.mark.timeout(300)
def test_the_tour_ends_as_it_says(tmp_path: Path) -> None:
    """Each name is created once at each tenant whatever was killed; undo takes away what was made, and nothing else."""
    assert len(TOUR) >= 9
    ended, books, undone = take_the_tour(tmp_path)
    created = {
        tenant: Counter(one["name"] for one in books["accepted"] if one["tenant"] == tenant)
        for tenant in ("old", "new")
    }
    assert len(created["old"]) == 47
    assert created["old"] == created["new"] == Counter(dict.fromkeys(created["old"], 1))
    new, old = undone["tenants"]["new"], undone["tenants"]["old"]
    assert (old["live"], old["deletes"], old["updates"]) == (47, 0, 0)
    assert (new["live"], new["deletes"]) == (0, 47)
    assert all(statuses[0] == "enabled" for statuses in new["updated"].values())
    assert len(new["updated"]) == 47
    assert len(new["tested"]) == 47
    assert "47 delivered" in ended.stderr
    assert "47 equal" in ended.stderr
    assert "47 deleted" in ended.stderr
    assert "Traceback" not in ended.stderr
    told = (ended.stdout + ended.stderr).encode()
    ledgers = b"".join(path.read_bytes() for path in tmp_path.glob("*.db*"))
    assert not [form for form in forms(TYPED_SECRET) if form in told + ledgers]
