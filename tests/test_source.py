"""An input's bytes become lines, wherever its blocks end; and each line can be had again, or a change is noticed."""

from __future__ import annotations

import gzip
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bulkstreams import source
from bulkstreams.errors import InputChangedError, InputError
from bulkstreams.model import Line
from bulkstreams.source import AHEAD, MAX_LINE, Cutter, Input, Spool, open_input

BOM = b"\xef\xbb\xbf"
LATER = 4e9
"""A time long after any file of these tests was changed."""


def cut(*blocks: bytes) -> list[Line]:
    """Return the lines of blocks."""
    cutter = Cutter()
    return [line for block in blocks for line in cutter.cut(block)] + cutter.finish()


@contextmanager
def opened(path: Path | str, folder: Path, stdin: BinaryIO | None = None) -> Iterator[Input]:
    """Open an input and close it again."""
    found = open_input(str(path), folder, stdin)
    try:
        yield found
    finally:
        found.close()


@contextmanager
def pipe(data: bytes) -> Iterator[BinaryIO]:
    """Open a pipe that holds some bytes and then ends."""
    reader, writer = os.pipe()
    os.write(writer, data)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        yield stream


def lines_of(found: Input) -> list[Line]:
    """Return all lines of an input."""
    return [line for batch in found.batches() for line in batch]


def texts(lines: list[Line]) -> list[bytes | None]:
    """Return what stands in lines."""
    return [line.data for line in lines]


def written(folder: Path, data: bytes, name: str = "in.jsonl") -> Path:
    """Write a file."""
    path = folder / name
    path.write_bytes(data)
    return path


# -- cutting ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"\n", []),
        (b"a", [Line(1, 0, 1, b"a")]),
        (b"a\n", [Line(1, 0, 1, b"a")]),
        (b"a\nb", [Line(1, 0, 1, b"a"), Line(2, 2, 1, b"b")]),
        (b"a\r\nb\r\n", [Line(1, 0, 1, b"a"), Line(2, 3, 1, b"b")]),
        (b"a\n\n \t\r\n\nb", [Line(1, 0, 1, b"a"), Line(5, 8, 1, b"b")]),
        (b"a\rb\n", [Line(1, 0, 3, b"a\rb")]),
        (BOM + b"a\nb", [Line(1, 3, 1, b"a"), Line(2, 5, 1, b"b")]),
        (BOM + b"\r\na", [Line(2, 5, 1, b"a")]),
        (BOM, []),
        (BOM[:2], [Line(1, 0, 2, BOM[:2])]),
        (BOM + BOM, [Line(1, 3, 3, BOM)]),
        (b"a\n" + BOM + b"b", [Line(1, 0, 1, b"a"), Line(2, 2, 4, BOM + b"b")]),
    ],
)
def test_lines_are_cut_with_their_numbers_and_offsets(data: bytes, lines: list[Line]) -> None:
    """Blank lines are left out but counted; the byte-order mark and the line ends belong to no line."""
    assert cut(data) == lines


@given(st.lists(st.sampled_from([b"a", b"\n", b"\r", b" ", BOM, BOM[:1], b"\x85", b"{}"])).map(b"".join), st.data())
@example(BOM + b"a\r\nb", None)
def test_where_blocks_end_makes_no_difference(data: bytes, draw: st.DataObject | None) -> None:
    """Cut anywhere, byte by byte too, the lines are the same; and each stands in the data at its offset."""
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(data)), max_size=6))) if draw else list(range(len(data)))
    blocks = [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    whole = cut(data)
    assert cut(*blocks) == cut(*(data[i : i + 1] for i in range(len(data)))) == whole
    for _, offset, length, text in whole:
        assert data[offset : offset + length] == text


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b""])
@pytest.mark.parametrize("block", [1 << 20, 1000, 333_333])
def test_a_line_over_the_limit_is_known_by_its_place_alone(end: bytes, block: int) -> None:
    """A line of exactly the limit is kept, one byte more is not; the lines around it are as they were."""
    for over in (0, 1, 700_000, 3 << 20):
        data = b"a\n" + b"x" * (MAX_LINE + over) + end + (b"b" if end else b"")
        first, long, *rest = cut(*(data[i : i + block] for i in range(0, len(data), block)))
        assert first == Line(1, 0, 1, b"a")
        assert (long.number, long.offset, long.data is None) == (2, 2, over > 0)
        assert rest == ([Line(3, len(data) - 1, 1, b"b")] if end else [])


def test_a_line_without_end_is_not_kept_in_memory() -> None:
    """Of a line that goes on and on, little more than the limit is held."""
    cutter = Cutter()
    block = b"x" * (1 << 20)
    for _ in range(50):
        assert cutter.cut(block) == []
    assert len(cutter._rest) <= MAX_LINE + len(block)
    assert cutter.finish() == [Line(1, 0, 50 << 20, None)]


def test_a_line_keeps_its_text_out_of_its_repr() -> None:
    """A line may hold a secret, so a traceback shows its place alone."""
    assert repr(Line(1, 2, 3, b"dummy-secret")) == "Line(number=1, offset=2, length=3)"


# -- plain files ------------------------------------------------------------------------------------------------------


def test_each_line_of_a_file_can_be_had_again(tmp_path: Path) -> None:
    """In any order, within a stretch that was read ahead or far from it, a line is the one that was read."""
    data = BOM + b"".join(b'{"n": %d, "pad": "%s"}\r\n' % (n, b"x" * (n * 37 % 5000)) for n in range(400))
    with opened(written(tmp_path, data), tmp_path) as found:
        lines = lines_of(found)
        assert len(data) > 3 * AHEAD
        for line in [*lines, *reversed(lines), lines[0], lines[-1]]:
            assert found.read_at(line.offset, line.length) == line.data


def test_a_line_longer_than_what_is_read_ahead_can_be_had_again(tmp_path: Path) -> None:
    """The longest line is read whole."""
    data = b"a\n" + b"x" * MAX_LINE + b"\nb"
    with opened(written(tmp_path, data), tmp_path) as found:
        assert [found.read_at(line.offset, line.length) for line in lines_of(found)] == data.split(b"\n")


def test_a_file_can_be_read_through_more_than_once(tmp_path: Path) -> None:
    """A second reading begins at the start."""
    with opened(written(tmp_path, b"a\nb\n"), tmp_path) as found:
        assert lines_of(found) == lines_of(found) == cut(b"a\nb\n")


def test_an_empty_file_has_no_lines(tmp_path: Path) -> None:
    """No bytes, no lines, no error."""
    with opened(written(tmp_path, b""), tmp_path) as found:
        assert lines_of(found) == []


# -- a file that changes ----------------------------------------------------------------------------------------------


def truncate(path: Path) -> None:
    """Cut the file short."""
    os.truncate(path, 3)


def rewrite(path: Path) -> None:
    """Put other bytes of the same length in the same file."""
    with path.open("r+b") as file:
        file.write(b"b" * path.stat().st_size)
    touch(path)


def append(path: Path) -> None:
    """Add a line."""
    with path.open("ab") as file:
        file.write(b"more\n")


def touch(path: Path) -> None:
    """Set another time of change."""
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))


@pytest.mark.parametrize("change", [truncate, rewrite, append, touch])
def test_a_changed_file_is_noticed_before_a_line_of_it_is_used(tmp_path: Path, change: object) -> None:
    """A line is not read again from a file that was written to in the meantime; the remedy is told."""
    path = written(tmp_path, b"a" * 1000 + b"\n")
    with opened(path, tmp_path) as found:
        (line,) = lines_of(found)
        assert found.unchanged()
        assert callable(change)
        change(path)
        assert not found.unchanged()
        with pytest.raises(
            InputChangedError, match="was changed after it was read; nothing of the change was sent"
        ) as e:
            found.read_at(line.offset, line.length)
        assert "Run the same command again" in e.value.hint


def test_a_replaced_file_is_read_as_it_was(tmp_path: Path) -> None:
    """A file put in the place of the one that is open leaves that one as it was, or is noticed: it is never read."""
    path = written(tmp_path, b"old\n")
    with opened(path, tmp_path) as found:
        (line,) = lines_of(found)
        written(tmp_path, b"new\n", "other").replace(path)
        try:
            assert found.read_at(line.offset, line.length) == b"old"
        except InputChangedError:
            assert not found.unchanged()


def test_what_was_read_ahead_before_a_change_is_still_what_was_read(tmp_path: Path) -> None:
    """No byte written after the reading comes out, whether the change is noticed at once or a stretch later."""
    path = written(tmp_path, b"a" * 10 + b"\n" + b"a" * (2 * AHEAD) + b"\n")
    with opened(path, tmp_path) as found:
        first, second = lines_of(found)
        assert found.read_at(first.offset, 4) == b"aaaa"
        rewrite(path)
        assert found.read_at(first.offset, first.length) == first.data
        with pytest.raises(InputChangedError):
            found.read_at(second.offset, second.length)


def test_bytes_beyond_the_end_are_a_change(tmp_path: Path) -> None:
    """A ledger may point behind the end of a shorter file of the same name."""
    with opened(written(tmp_path, b"a\n"), tmp_path) as found, pytest.raises(InputChangedError):
        found.read_at(1, 5)


# -- fingerprints -----------------------------------------------------------------------------------------------------


def test_a_fingerprint_tells_a_file_from_any_change_of_it(tmp_path: Path) -> None:
    """The same file has the same fingerprint at each opening; every way of changing it makes another one."""
    path = written(tmp_path, b"a" * 100 + b"\n")

    def now() -> str | None:
        with opened(path, tmp_path) as found:
            return found.fingerprint(LATER)

    seen = [now()]
    assert seen == [now()]
    for change in (touch, append, rewrite, truncate, lambda one: written(tmp_path, b"aaa", "new").replace(one)):
        change(path)
        assert now() not in seen, change
        seen.append(now())
    assert None not in seen


def test_a_fingerprint_holds_nothing_of_the_content(tmp_path: Path) -> None:
    """It is made of numbers about the file."""
    with opened(written(tmp_path, b"dummy-secret\n"), tmp_path) as found:
        mark = found.fingerprint(LATER)
    assert mark is not None
    assert all(part.isdigit() for part in mark.split(":"))


def test_a_file_that_changed_just_now_has_no_fingerprint(tmp_path: Path) -> None:
    """A second change in the same clock tick would not show, so such a file is not trusted."""
    path = written(tmp_path, b"a\n")
    changed_at = path.stat().st_ctime
    with opened(path, tmp_path) as found:
        assert found.fingerprint(changed_at) is None
        assert not found.trusted
        assert found.fingerprint(changed_at + 3.0) is not None
        assert found.trusted


def test_a_pipe_has_no_fingerprint_but_its_copy_is_trusted(tmp_path: Path) -> None:
    """Nothing tells one pipe's content from another's; what was spooled of it cannot change."""
    with pipe(b"a\n") as stream, opened("-", tmp_path, stream) as found:
        assert found.fingerprint(LATER) is None
        assert found.trusted
        assert found.unchanged()


# -- gzip -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["in.jsonl.gz", "no-suffix"])
def test_gzip_is_known_by_its_first_bytes(tmp_path: Path, name: str) -> None:
    """A packed file is read as its content, whatever its name; offsets are those of the content."""
    data = BOM + b"".join(b"%d\r\n" % n for n in range(300_000))
    with opened(written(tmp_path, gzip.compress(data, 1), name), tmp_path) as found:
        lines = lines_of(found)
        assert lines == cut(data)
        for line in (lines[0], lines[-1], lines[1234]):
            assert found.read_at(line.offset, line.length) == line.data
        assert found.fingerprint(LATER) is not None


def test_a_plain_file_called_gz_is_read_as_it_is(tmp_path: Path) -> None:
    """The name alone packs nothing."""
    with opened(written(tmp_path, b"a\n", "in.gz"), tmp_path) as found:
        assert texts(lines_of(found)) == [b"a"]


def test_gzip_files_may_be_joined(tmp_path: Path) -> None:
    """`cat a.gz b.gz` makes one input of both."""
    with opened(written(tmp_path, gzip.compress(b"a\nb") + gzip.compress(b"c\nd")), tmp_path) as found:
        assert texts(lines_of(found)) == [b"a", b"bc", b"d"]


def random_lines() -> bytes:
    """Return lines that gzip cannot make much smaller."""
    return b"".join(os.urandom(40).hex().encode() + b"\n" for _ in range(5000))


@pytest.mark.parametrize("damage", ["cut", "checksum", "garbage"])
def test_a_damaged_gzip_gives_the_lines_before_the_damage(tmp_path: Path, damage: str) -> None:
    """What can be read is given, then the damage is told, with a remedy."""
    data = random_lines()
    packed = gzip.compress(data)
    packed = {"cut": packed[:-9000], "checksum": packed[:-8] + bytes(8), "garbage": packed + b"garbage"}[damage]
    got: list[Line] = []
    with opened(written(tmp_path, packed), tmp_path) as found:
        with pytest.raises(InputError, match=r"in\.jsonl is damaged or cut short .*; nothing was sent\.") as e:
            got.extend(line for batch in found.batches() for line in batch)
        assert "gzip -dc" in e.value.hint
        assert len(got) > 1000
        assert got == cut(data)[: len(got)]


def test_a_packed_line_can_be_had_again_without_reading_all_lines_first(tmp_path: Path) -> None:
    """A resumed run, whose ledger knows the lines already, unpacks the input on its first need of one."""
    with opened(written(tmp_path, gzip.compress(b"a\nbc\n")), tmp_path) as found:
        assert found.read_at(2, 2) == b"bc"


# -- what cannot be read twice ----------------------------------------------------------------------------------------


def test_standard_input_is_spooled(tmp_path: Path) -> None:
    """Each line of a pipe can be had again; the input is called <stdin>."""
    data = b"".join(b"%d\n" % n for n in range(5000))
    with pipe(data) as stream, opened("-", tmp_path, stream) as found:
        lines = lines_of(found)
        assert (found.name, lines) == ("<stdin>", cut(data))
        assert [found.read_at(line.offset, line.length) for line in reversed(lines)] == texts(lines)[::-1]


def test_standard_input_may_be_packed(tmp_path: Path) -> None:
    """`cat in.gz | bulkstreams run -` works as with the file."""
    with pipe(gzip.compress(b"a\nb\n")) as stream, opened("-", tmp_path, stream) as found:
        assert texts(lines_of(found)) == [b"a", b"b"]


def test_standard_input_may_be_a_stream_without_a_file(tmp_path: Path) -> None:
    """Bytes from memory are as good as a pipe."""
    with opened("-", tmp_path, io.BytesIO(b"a\nb")) as found:
        assert texts(lines_of(found)) == [b"a", b"b"]


def test_a_pipe_is_read_once(tmp_path: Path) -> None:
    """A second reading would find nothing, so it is refused and not taken for an empty input."""
    with pipe(b"a\n") as stream, opened("-", tmp_path, stream) as found:
        assert len(lines_of(found)) == 1
        with pytest.raises(InputError, match="was read already"):
            lines_of(found)


def test_a_named_pipe_is_spooled(tmp_path: Path) -> None:
    """A shell's `<(command)` is a path that can be read once."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    writer = os.open(path, os.O_RDWR)  # opened for both, so that neither side waits for the other
    os.write(writer, b"a\nb\n")
    with opened(path, tmp_path) as found:
        os.close(writer)
        lines = lines_of(found)
        assert texts(lines) == [b"a", b"b"]
        assert found.read_at(lines[1].offset, lines[1].length) == b"b"


def test_the_spool_has_no_name_and_holds_nothing_in_the_clear(tmp_path: Path) -> None:
    """No secret of a piped input lies on a disk: there is no file to open, and its bytes are sealed."""
    data = b"dummy-secret " * 5000 + b"\n"
    with pipe(data) as stream, opened("-", tmp_path, stream) as found:
        lines_of(found)
        assert list(tmp_path.iterdir()) == []
        assert found._spool is not None
        file = found._spool._file
        sealed = os.pread(file.fileno(), 2 * len(data), 0)
        assert len(sealed) == len(data)
        assert b"dummy" not in sealed
        assert b"secret" not in sealed
        assert len({sealed[i : i + 16] for i in range(0, 16 * 4000, 16)}) == 4000, "no block is like another"


@given(st.lists(st.binary(max_size=50), max_size=20), st.data())
def test_a_spool_gives_back_any_stretch(
    tmp_path_factory: pytest.TempPathFactory, blocks: list[bytes], data: st.DataObject
) -> None:
    """Whatever the pieces in which it was written, and wherever a stretch begins, its bytes come back."""
    whole = b"".join(blocks)
    start = data.draw(st.integers(0, len(whole)))
    length = data.draw(st.integers(0, len(whole) - start))
    spool = Spool(tmp_path_factory.getbasetemp())
    try:
        for block in blocks:
            spool.write(block)
        assert spool.read_at(start, length) == whole[start : start + length]
    finally:
        spool.close()


def test_a_full_disk_ends_the_reading_with_a_remedy(tmp_path: Path) -> None:
    """Where the spool has no room, the input is named as it could be read without one."""

    class Full(io.BytesIO):
        def write(self, _: object) -> int:
            raise OSError(28, "No space left on device")

    with pipe(b"a\n") as stream, opened("-", tmp_path, stream) as found:
        assert found._spool is not None
        found._spool._file.close()
        found._spool._file = Full()
        with pytest.raises(InputError, match="cannot be spooled: No space left on device") as e:
            lines_of(found)
        assert "plain file" in e.value.hint


def test_a_spool_needs_a_folder(tmp_path: Path) -> None:
    """Where nothing can be spooled, another folder is asked for."""
    with pipe(b"a\n") as stream, pytest.raises(InputError, match=r"<stdin> cannot be spooled in .*: No such file") as e:
        open_input("-", tmp_path / "gone", stream)
    assert "--ledger FILE" in e.value.hint


# -- what cannot be opened --------------------------------------------------------------------------------------------


def test_a_missing_file_is_told_with_the_nearest_name(tmp_path: Path) -> None:
    """A typo is answered with the name that was meant."""
    right = written(tmp_path, b"", "streams.jsonl")
    wrong = tmp_path / "strems.jsonl"
    with pytest.raises(InputError) as e:
        open_input(str(wrong), tmp_path)
    assert e.value.message == f"there is no file {wrong} (did you mean {right}?)."
    assert e.value.hint == "Name an existing file, or - for standard input."


@pytest.mark.parametrize("path", ["nothing-like-it", "no/such/folder/in.jsonl"])
def test_a_missing_file_with_nothing_near_is_just_missing(tmp_path: Path, path: str) -> None:
    """No far-fetched guess is made, and a missing folder is no other error."""
    written(tmp_path, b"", "streams.jsonl")
    with pytest.raises(InputError) as e:
        open_input(str(tmp_path / path), tmp_path)
    assert e.value.message == f"there is no file {tmp_path / path}."


def test_a_folder_is_no_input(tmp_path: Path) -> None:
    """Who names a folder is told how to name the files in it."""
    with pytest.raises(InputError, match="is a folder") as e:
        open_input(str(tmp_path), tmp_path)
    assert "*.jsonl" in e.value.hint


def test_a_file_that_may_not_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason is the system's own; root may read anything, so the refusal is played."""

    def refuse(*_: object) -> BinaryIO:
        raise PermissionError(13, "Permission denied")

    path = written(tmp_path, b"a\n")
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError) as e:
        open_input(str(path), tmp_path)
    assert e.value.message == f"{path} cannot be read: Permission denied."


def test_a_path_through_a_file_is_told(tmp_path: Path) -> None:
    """`in.jsonl/x` cannot be opened, and no traceback says so."""
    with pytest.raises(InputError, match="cannot be read: Not a directory"):
        open_input(str(written(tmp_path, b"") / "x"), tmp_path)


@pytest.mark.parametrize("path", ["a\0b", "x" * 5000])
def test_a_path_that_can_be_none_is_told(tmp_path: Path, path: str) -> None:
    """A name that no file can have is an error like any other."""
    with pytest.raises(InputError):
        open_input(path, tmp_path)


def test_a_disk_that_fails_is_told(tmp_path: Path) -> None:
    """An error while reading is an error of that input."""

    class Failing(io.BytesIO):
        def read(self, _: int | None = -1, /) -> bytes:
            raise OSError(5, "Input/output error")

    with (
        opened("-", tmp_path, Failing()) as found,
        pytest.raises(InputError, match="<stdin> cannot be read: Input/output error"),
    ):
        lines_of(found)


def test_a_line_is_at_most_what_the_api_takes() -> None:
    """The API's limit is 1 MiB."""
    assert source.MAX_LINE == 1024 * 1024


def test_a_name_that_is_no_text_is_refused_in_one_that_is(tmp_path: Path) -> None:
    """A ledger could not keep it: it is told with its bytes, before anything is read."""
    os.close(os.open(os.fsencode(tmp_path) + b"/caf\xe9.jsonl", os.O_CREAT))
    with pytest.raises(InputError, match=r"caf\\xe9\.jsonl is no UTF-8") as caught:
        open_input(os.fsdecode(b"caf\xe9.jsonl"), tmp_path)
    caught.value.message.encode()
