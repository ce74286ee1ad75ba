"""A file that takes another's place only when it is whole, whatever the file system can do."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from bulkstreams.commands import replacing
from bulkstreams.commands.filling import Filling
from bulkstreams.commands.replacing import Replacement
from bulkstreams.errors import OutputError, UsageError


@pytest.fixture(params=["nameless", "named"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Go through both ways: files without names, and those that need one."""
    if request.param == "named":
        monkeypatch.setattr(replacing, "_NAMELESS", 0)
    return str(request.param)


def test_nothing_stands_there_before_it_is_put(tmp_path: Path, kind: str) -> None:
    """The old content can be read to the last moment; then the new one, whole, and nothing beside it."""
    place = tmp_path / "a.jsonl"
    place.write_bytes(b"old")
    with Replacement(place, "--output") as file:
        file.write(b"new, ")
        file.write(b"and whole")
        assert len(list(tmp_path.iterdir())) == (1 if kind == "nameless" else 2)
        file.seal()
        assert place.read_bytes() == b"old"
        file.put()
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [("a.jsonl", b"new, and whole")]


@pytest.mark.parametrize("sealed", [False, True])
def test_what_is_not_put_vanishes(tmp_path: Path, kind: str, sealed: bool) -> None:
    """Whoever leaves before the end leaves the folder as it was, also once the new file has a name."""
    with Replacement(tmp_path / "a.jsonl", "--output") as file:
        file.write(b"half")
        if sealed:
            file.seal()
            assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.iterdir()) == []


def test_its_permissions_are_those_that_are_fit(tmp_path: Path, kind: str) -> None:
    """Asked for, else those of the file that it replaces, else those of any new file."""
    found = []
    (tmp_path / "old").touch()
    (tmp_path / "old").chmod(0o604)
    mask = os.umask(0o027)
    try:
        for name, mode in (("private", 0o600), ("old", None), ("new", None)):
            with Replacement(tmp_path / name, "--output", mode=mode) as file:
                file.seal()
                file.put()
            found.append(stat.S_IMODE((tmp_path / name).stat().st_mode))
    finally:
        os.umask(mask)
    assert found == [0o600, 0o604, 0o640]


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """A folder, a device or a pipe is not to be replaced, and a folder that is missing is not made."""
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "folder", tmp_path / "pipe", Path(os.devnull), tmp_path / "no" / "where"):
        with pytest.raises(UsageError, match="--output"):
            Replacement(place, "--output")


def test_a_folder_that_vanishes_is_told(tmp_path: Path, kind: str) -> None:
    """Trouble at the end is our own error, which names the file."""
    folder = tmp_path / "folder"
    folder.mkdir()
    with Replacement(folder / "a.jsonl", "--output") as file:
        for one in folder.iterdir():
            one.unlink()
        folder.rmdir()
        with pytest.raises(OutputError, match=r"a\.jsonl cannot be written"):
            _finish(file)


def _finish(file: Replacement) -> None:
    file.seal()
    file.put()


@pytest.mark.parametrize("text", ["", "A_TOKEN=\n", "\nA_TOKEN=\r\n B_TOKEN= \n"])
def test_a_template_without_values_may_be_replaced(tmp_path: Path, text: str) -> None:
    """Whoever exports again before anything is filled in gets the new names."""
    place = tmp_path / "secrets.env"
    place.write_text(text)
    with Filling(place) as filling:
        filling.seal(["C_TOKEN", "D_PASSWORD"])
        filling.put()
    assert place.read_text() == "C_TOKEN=\nD_PASSWORD=\n"
    assert stat.S_IMODE(place.stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ["A_TOKEN=x\n", "# mine\n", "A_TOKEN=\nB_TOKEN='y'", "export A_TOKEN=z", "\x00"])
def test_a_file_that_holds_anything_else_is_never_replaced(tmp_path: Path, text: str) -> None:
    """What somebody filled in, or wrote beside it, is his."""
    place = tmp_path / "secrets.env"
    place.write_text(text)
    with pytest.raises(UsageError, match="holds more than names without values"):
        Filling(place)
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("secrets.env", text)]
